"""Functions that objectives apply to sums of trees, [N, K]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

Link = Callable[[Any, ir.Value], ir.Value]


def identity(op: Any, x: ir.Value) -> ir.Value:
    return x


def exponential(op: Any, x: ir.Value) -> ir.Value:
    return op.Exp(x)


def logistic(steepness: float = 1.0, lowest: float | None = None) -> Link:
    """1 / (1 + exp(-steepness · x)); of exponents the largest is `lowest` where that is given. Small
    probabilities keep their digits, which runtimes' own Sigmoid does not promise."""

    def link(op: Any, x: ir.Value) -> ir.Value:
        exponent = op.Neg(x) if steepness == 1 else op.Mul(x, -steepness)
        exponent = exponent if lowest is None else op.Min(exponent, lowest)
        return op.Reciprocal(op.Add(op.Exp(exponent), 1.0))

    return link


def softmax(op: Any, x: ir.Value) -> ir.Value:
    return op.Softmax(x, axis=-1)


def index_of_largest(op: Any, x: ir.Value) -> ir.Value:
    """The index of the first largest sum as a number, [N, 1]."""
    return op.Cast(op.ArgMax(x, axis=1, keepdims=1), to=int(x.dtype or ir.DataType.FLOAT))


def step(op: Any, x: ir.Value) -> ir.Value:
    """1 where the sum is positive, else 0."""
    return op.Cast(op.Greater(x, 0.0), to=int(x.dtype or ir.DataType.FLOAT))


def signed_square(op: Any, x: ir.Value) -> ir.Value:
    return op.Mul(x, op.Abs(x))


def softplus(op: Any, x: ir.Value) -> ir.Value:
    """log(1 + exp(x)), which is exp(x) where that is so small that 1 loses its digits."""
    raised = op.Exp(x)
    return op.Where(op.Less(x, np.log(1e-8)), raised, op.Log(op.Add(raised, 1.0)))
