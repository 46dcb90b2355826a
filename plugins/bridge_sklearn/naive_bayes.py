"""GaussianNB → hub, a class at a time, so that records stay rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.graphs import finished, labelled, started


def model(src: Any, count: int) -> ir.Model:
    """log P(class) - ½ Σ log 2πσ² - ½ Σ (x - θ)² / σ², and its softmax."""
    graph, op, x = started(src, count)
    scores = []
    for prior, mean, variance in zip(src.class_prior_, src.theta_, src.var_, strict=True):
        gap = op.Sub(x, op.const(mean[None]))
        fit = op.MatMul(op.Mul(gap, gap), op.const(-0.5 / variance[:, None]))
        start = np.log(prior) - 0.5 * np.log(2 * np.pi * variance).sum()
        scores.append(op.Add(fit, op.const(np.array([start]))))
    matrix = op.Concat(*scores, axis=1)
    label = labelled(op, src, op.ArgMax(matrix, axis=1, keepdims=0))
    return finished(graph, {"label": label, "probabilities": op.Softmax(matrix, axis=-1)})
