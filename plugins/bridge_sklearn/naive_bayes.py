"""Classifiers by the likelihood of a record in each class: naive Bayes, quadratic discriminants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, classify


def doubles(values: Any) -> np.ndarray:
    """Numbers of a model in double: one that was fitted on floats has floats."""
    return np.asarray(values, np.float64)


def classify_softmax(op: hub.Builder, src: Any, scores: ir.Value) -> Outputs:
    return classify(op, src, scores, op.Softmax(scores, axis=-1))


def gaussian(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """log P(class) - ½ Σ log 2πσ² - ½ Σ (x - θ)² / σ², added up as scikit-learn does, and its softmax, a
    class at a time, so that records stay rows."""
    scores = []
    for prior, mean, variance in zip(src.class_prior_, src.theta_, src.var_, strict=True):
        gap = op.Sub(x, op.const(doubles(mean[None])))
        parts = op.Div(op.Mul(gap, gap), op.const(doubles(variance[None])))
        far = op.Mul(op.ReduceSum(parts, np.array([1]), keepdims=1), op.const(np.array([0.5])))
        spread = op.const(doubles([-0.5 * np.log(2 * np.pi * variance).sum()]))
        scores.append(op.Add(op.Sub(spread, far), op.const(doubles([np.log(prior)]))))
    return classify_softmax(op, src, op.Concat(*scores, axis=1))


def quadratic(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """log P(class) - ½ (Σ ((x - μ) R / √S)² + Σ log S), and its softmax."""
    scores = []
    for prior, mean, rotation, scale in zip(
        src.priors_, src.means_, src.rotations_, src.scalings_, strict=True
    ):
        turned = op.const(doubles(rotation * scale**-0.5))
        rotated = op.MatMul(op.Sub(x, op.const(doubles(mean[None]))), turned)
        fit = op.Mul(op.ReduceSumSquare(rotated, np.array([1]), keepdims=1), op.const(np.array([-0.5])))
        scores.append(op.Add(fit, op.const(doubles([np.log(prior) - 0.5 * np.log(scale).sum()]))))
    return classify_softmax(op, src, op.Concat(*scores, axis=1))


def categorical(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """log P(class) + Σ log P(category | class), and its softmax; a category that was never seen makes it
    missing. Numbers are cut off to whole ones."""
    whole = op.Cast(op.Cast(x, to=int(ir.DataType.INT64)), to=int(ir.DataType.DOUBLE))
    columns = [op.Gather(whole, np.array([i]), axis=1) for i in range(src.n_features_in_)]
    scores = []
    for index, prior in enumerate(src.class_log_prior_):
        parts = [
            lookup_log_probability(op, c, t[index])
            for c, t in zip(columns, src.feature_log_prob_, strict=True)
        ]
        total = op.ReduceSum(op.Concat(*parts, axis=1), np.array([1]), keepdims=1)
        scores.append(op.Add(total, op.const(np.array([prior]))))
    return classify_softmax(op, src, op.Concat(*scores, axis=1))


def lookup_log_probability(op: hub.Builder, column: ir.Value, table: np.ndarray) -> ir.Value:
    """The entry of a table at a whole number, NaN beside it."""
    return op.node(
        "LabelEncoder",
        column,
        _domain="ai.onnx.ml",
        _dtype=ir.DataType.DOUBLE,
        _shape=column.shape,
        keys_tensor=ir.tensor(np.arange(len(table), dtype=np.float64)),
        values_tensor=ir.tensor(table),
        default_tensor=ir.tensor(np.array([np.nan])),
    )
