"""Operators spelled out in those that integer kernels are for."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import attr, const, held, rank_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["AsProducts", "SpellOut"]

ops = OpTable()
FLOAT = dtype("float")
RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)


def has_constants(node: Any) -> bool:
    return all(held(v) is not None for v in node.inputs[1:])


CONSTANT = condition("constant parameters", has_constants)


@ops.op("BatchNormalization", needs=(FLOAT, RANKED, CONSTANT, attribute("training_mode", 0)))
def batch_normalization(op, node, x, *parameters):
    scale, shift, mean, variance = (const(v) for v in parameters)
    factor = scale / np.sqrt(variance + np.float32(attr(node, "epsilon")))
    shape = (-1, *[1] * (rank_of(x) - 2))
    product = op.Mul(x, factor.reshape(shape).astype(np.float32))
    return op.Add(product, (shift - mean * factor).reshape(shape).astype(np.float32))


@ops.op("GlobalAveragePool", needs=(FLOAT, RANKED))
def global_average_pool(op, node, x):
    return op.ReduceMean(x, list(range(2, rank_of(x))))


@ops.op("HardSigmoid", needs=(FLOAT,))
def hard_sigmoid(op, node, x):
    return op.Clip(op.Add(op.Mul(x, attr(node, "alpha")), attr(node, "beta")), 0.0, 1.0)


@ops.op("Swish", needs=(FLOAT,))
def swish(op, node, x):
    alpha = attr(node, "alpha")
    return op.Mul(x, op.Sigmoid(x if alpha == 1.0 else op.Mul(x, alpha)))


@ops.op("Div", needs=(FLOAT, condition("a constant divisor", has_constants)))
def divide(op, node, x, divisor):
    array = const(divisor)
    usable = np.isfinite(array) & (np.abs(array) > 1e-30)
    return op.Mul(x, (1 / array).astype(np.float32)) if usable.all() else NotImplemented


class SpellOut(Rewrite):
    """1. Operators that no target has integer kernels for, and that are simple arithmetic, are that."""

    def __init__(self) -> None:
        super().__init__(ops)


products = OpTable()


@products.op("Gemm", needs=(FLOAT, attribute("transA", 0), attribute("alpha", 1.0), attribute("beta", 1.0)))
def gemm(op, node, x, weights, bias=None):
    """MatMul of constant weights, [K, N], and an Add."""
    array = const(weights)
    if array is None:
        return NotImplemented
    product = op.MatMul(x, np.ascontiguousarray(array.T) if attr(node, "transB") else weights)
    return product if bias is None else op.Add(product, bias)


class AsProducts(Rewrite):
    """1. A Gemm of constant weights is a MatMul, which has kernels for weights of few bits, and an Add."""

    def __init__(self) -> None:
        super().__init__(products)
