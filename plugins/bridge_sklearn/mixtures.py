"""Models of where records lie: mixtures of normal distributions, one ellipse."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, PartBuilder
from bridge_sklearn.trees import inliers


def gaussian_mixture(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The component with the highest log(weight) + log density, and their softmax."""
    scores = op.Concat(*(log_density(op, src, x, k) for k in range(len(src.weights_))), axis=1)
    scores = op.Add(scores, op.const(np.log(src.weights_)[None]))
    return {"label": op.ArgMax(scores, axis=1, keepdims=0), "probabilities": op.Softmax(scores, axis=-1)}


def log_density(op: hub.Builder, src: Any, x: ir.Value, index: int) -> ir.Value:
    """log |P| - F/2 log 2π - ½ |(x - μ) P|² of one component, P the root of its precision, [N, 1]."""
    width = int(src.means_.shape[1])
    gaps = op.Sub(x, op.const(np.asarray(src.means_[index], np.float64)[None]))
    roots = src.precisions_cholesky_
    root = roots if src.covariance_type == "tied" else roots[index]
    if np.ndim(root) == 2:
        scaled, logs = op.MatMul(gaps, op.const(np.asarray(root, np.float64))), np.log(np.diag(root)).sum()
    else:
        factors = np.broadcast_to(np.asarray(root, np.float64), (width,)).copy()
        scaled, logs = op.Mul(gaps, op.const(factors[None])), np.log(factors).sum()
    square = op.ReduceSum(op.Mul(scaled, scaled), np.array([1]), keepdims=1)
    start = logs - 0.5 * width * np.log(2 * np.pi)
    return op.Add(op.Mul(square, op.const(np.array(-0.5))), op.const(np.array(start)))


def elliptic_envelope(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """-1 where the squared Mahalanobis distance is beyond the offset, else 1."""
    gaps = op.Sub(x, op.const(np.asarray(src.location_, np.float64)[None]))
    spread = op.MatMul(gaps, op.const(np.asarray(src.get_precision(), np.float64)))
    square = op.ReduceSum(op.Mul(spread, gaps), np.array([1]), keepdims=1)
    scores = op.Sub(op.Neg(square), op.const(np.array(float(src.offset_))))
    return {"label": inliers(op, scores), "scores": scores}
