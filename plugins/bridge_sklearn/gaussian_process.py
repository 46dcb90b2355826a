"""Gaussian processes: kernels against the training records."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge_sklearn.graphs import Outputs, Unwritten

CANCELLED = 1e-3
"""Error of a sum in floats, as a part of what is learnt, from which doubles are needed."""


def gaussian_process_regressor(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """mean + std Σ weight · k(record, row), where k is a sum of terms, each a constant times one kernel.

    Raises Unwritten for kernels other than RBF and DotProduct, and for products of two.
    """
    weights = np.asarray(src.alpha_, np.float64).reshape(len(src.alpha_), -1)
    spread = float(np.std(src.y_train_ * src._y_train_std))
    total: Any = None
    for factor, kernel in terms(src.kernel_):
        scaled = factor * weights * src._y_train_std
        part = term(op, kernel, x, np.asarray(src.X_train_, np.float64), scaled, spread)
        total = part if total is None else op.Add(total, part)
    if total is None:
        raise Unwritten("its kernel tells nothing of a new record")
    mean = np.broadcast_to(np.asarray(src._y_train_mean, np.float64), weights.shape[1])
    return {"variable": op.Add(total, op.const(mean[None].copy()))}


def gaussian_process_classifier(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """Raises Unwritten."""
    raise Unwritten(
        "its probabilities need the variance of its latent process, products of all pairs of training rows"
    )


def terms(kernel: Any) -> list[tuple[float, Any]]:
    """A kernel as a sum of terms: a factor and a kernel, None for a constant. Noise is between equal records
    alone."""
    name = type(kernel).__name__
    if name == "WhiteKernel":
        return []
    if name == "ConstantKernel":
        return [(kernel.constant_value, None)]
    if name == "Sum":
        return terms(kernel.k1) + terms(kernel.k2)
    if name == "Product":
        first, second = terms(kernel.k1), terms(kernel.k2)
        if any(a is not None and b is not None for _, a in first for _, b in second):
            raise Unwritten("its kernel is a product of two that read the record")
        return [(f * g, a if b is None else b) for f, a in first for g, b in second]
    if name not in ("RBF", "DotProduct"):
        raise Unwritten(f"its kernel {name} is not written")
    return [(1.0, kernel)]


def term(
    op: hub.Builder, kernel: Any, x: ir.Value, rows: np.ndarray, weights: np.ndarray, spread: float
) -> ir.Value:
    """Σ weight · k(record, row), [N, targets]; `spread` is the standard deviation of what was learnt."""
    if kernel is None:
        flat = np.zeros((rows.shape[1], weights.shape[1]))
        return op.Add(op.MatMul(x, op.const(flat)), op.const(weights.sum(axis=0, keepdims=True)))
    if type(kernel).__name__ == "DotProduct":
        return op.Add(
            op.MatMul(x, op.const(rows.T @ weights)),
            op.const(kernel.sigma_0**2 * weights.sum(axis=0, keepdims=True)),
        )
    scale = np.broadcast_to(np.asarray(kernel.length_scale, np.float64), rows.shape[1])
    differences = op.Sub(
        op.Unsqueeze(op.Div(x, op.const(scale[None].copy())), np.array([1])), op.const((rows / scale)[None])
    )
    square = op.ReduceSum(op.Mul(differences, differences), np.array([2]), keepdims=0)
    total = op.MatMul(op.Exp(op.Mul(square, op.const(np.array(-0.5)))), op.const(weights))
    if np.abs(weights).sum(0).max() * np.finfo(np.float32).eps > CANCELLED * max(spread, 1e-30):
        facts.DECISIVE.set(total.producer(), True)
    return total
