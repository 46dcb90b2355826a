"""Classifiers made of others: one against one, and one for each of several outputs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, Unwritten, cast, classify


def one_vs_one(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Votes by pairs of classes, plus c / 3 (|c| + 1) of the sum c of their confidences.

    Raises Unwritten for precomputed kernels, and for classifiers that tell no confidence.
    """
    if src.pairwise_indices_ is not None:
        raise Unwritten("it reads distances between records")
    pairs = list(itertools.combinations(range(len(src.classes_)), 2))
    wins, confidences = zip(*(confidence(op, each, x) for each in src.estimators_), strict=True)
    signs = np.zeros((len(pairs), len(src.classes_)))
    for row, (low, high) in enumerate(pairs):
        signs[row, low], signs[row, high] = -1.0, 1.0
    winners = op.Concat(*wins, axis=1)
    base = op.const((signs < 0).sum(axis=0, keepdims=True).astype(np.float64))
    votes = op.Add(op.MatMul(winners, op.const(signs)), base)
    total = op.MatMul(op.Concat(*confidences, axis=1), op.const(signs))
    scale = op.Mul(op.Add(op.Abs(total), op.const(np.array([1.0]))), op.const(np.array([3.0])))
    return classify(op, src, op.Add(votes, op.Div(total, scale)))


def confidence(op: PartBuilder, each: Any, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Prediction of a binary classifier, 1 for the second class, and its confidence, [N, 1] both."""
    if hasattr(each, "coef_") and hasattr(each, "decision_function"):
        weights = op.const(np.asarray(each.coef_, np.float64).reshape(1, -1).T)
        bias = op.const(np.asarray(each.intercept_, np.float64).reshape(-1)[:1])
        score = op.Add(op.MatMul(cast(op, x, DOUBLE), weights), bias)
        return op.Cast(op.Greater(score, op.const(np.array([0.0]))), to=DOUBLE), score
    if hasattr(each, "decision_function") or not hasattr(each, "predict_proba"):
        raise Unwritten(f"the decision function of {type(each).__name__} is not written")
    shares = cast(op, op.embed(each, x)["probabilities"], DOUBLE)
    first, second = (op.Gather(shares, np.array([i]), axis=1) for i in (0, 1))
    return op.Cast(op.Greater(second, first), to=DOUBLE), second


def multi_output(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The labels of all outputs side by side, and the probabilities of each."""
    parts = [op.embed(each, x) for each in src.estimators_]
    columns = [op.Unsqueeze(p["label"], np.array([1])) for p in parts]
    outputs = {"label": op.Concat(*columns, axis=1)}
    for index, part in enumerate(parts):
        if "probabilities" in part:
            outputs[f"probabilities_{index + 1}"] = op.Identity(part["probabilities"])
    return outputs
