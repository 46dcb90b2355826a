"""Raise the formulas of normalizations to the operators they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import Builder, attr, const, input_at, rank_of
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["RaiseNorms"]

NORMS = ("RMSNormalization", "LayerNormalization")

ops = OpTable()


class RaiseNorms(Rewrite):
    """1. x / √(mean(x²) + ε), or x times the reciprocal of the root, the mean being that over the last
       dimensions, becomes RMSNormalization, in float32.

    2. Where x is what another tensor is more than its own mean, it becomes LayerNormalization of that.
    3. A constant factor of the shape of those dimensions becomes the scale, a constant added to that the
       bias.
    """

    precedes = ("ChannelsLast", "ComputeWider", "Decompose")

    def __init__(self) -> None:
        super().__init__(ops)


@ops.op("Div")
def divide(op, node, x, root):
    return _normalized(op, x, root)


@ops.op("Mul")
def multiply(op, node, a, b):
    for x, factor in ((a, b), (b, a)):
        if (norm := _made_by(x, *NORMS)) is not None and _is_blank(norm, factor, x):
            scale = _trailing(op, factor, norm.inputs[1])
            return op.node(norm.op_type, norm.inputs[0], scale, **_kept(norm))
        root = _root_of_reciprocal(factor)
        if root is not None and (raised := _normalized(op, x, root)) is not NotImplemented:
            return raised
    return NotImplemented


@ops.op("Add")
def add(op, node, a, b):
    for x, bias in ((a, b), (b, a)):
        norm = _made_by(x, "LayerNormalization")
        if norm is not None and input_at(norm, 2) is None and _fits(norm, bias, x):
            bias = _trailing(op, bias, norm.inputs[1])
            return op.LayerNormalization(norm.inputs[0], norm.inputs[1], bias, **_kept(norm))
    return NotImplemented


def _kept(norm: ir.Node) -> dict[str, Any]:
    return {name: attr(norm, name) for name in ("axis", "epsilon", "stash_type")}


def _is_blank(norm: ir.Node, factor: ir.Value | None, result: ir.Value) -> bool:
    """True for a normalization whose scale is one, where `factor` may stand for it."""
    scale = const(norm.inputs[1])
    blank = scale is not None and bool((scale == 1).all()) and input_at(norm, 2) is None
    return blank and _fits(norm, factor, result)


def _fits(norm: ir.Node, value: ir.Value | None, result: ir.Value) -> bool:
    """True for a constant of the shape of the scale of a normalization that nothing else reads."""
    array, scale = const(value), norm.inputs[1]
    if array is None or scale is None or scale.shape is None or array.dtype != np.float32:
        return False
    rank = len(scale.shape)
    trailing = list(array.shape[max(0, array.ndim - rank) :]) == [int(d) for d in scale.shape]  # type: ignore[call-overload]
    leading = array.ndim <= (rank_of(result) or 0) and array.size == int(np.prod(scale.shape.numpy()))
    return trailing and leading and len(result.uses()) == 1 and not result.is_graph_output()


def _trailing(op: Builder, value: ir.Value, scale: ir.Value) -> ir.Value:
    """A constant without the leading dimensions that are one."""
    shape = scale.shape.numpy()  # type: ignore[union-attr]
    return value if rank_of(value) == len(shape) else op.const(const(value).reshape(shape))  # type: ignore[union-attr]


def _normalized(op: Builder, x: ir.Value, root: ir.Value) -> ir.Value:
    """x over the root of the mean of its squares, as a normalization; NotImplemented for anything else."""
    found = next((each for each in _roots(root) if each[0] is x), None)
    if found is None or x.dtype != ir.DataType.FLOAT or x.shape is None:
        return NotImplemented
    _, count, epsilon = found
    lengths = list(x.shape)[-count:]
    if not all(isinstance(n, int) for n in lengths):
        return NotImplemented
    ones = op.const(np.ones(lengths, np.float32))
    whole = _centred(x, count)
    if whole is not None:
        return op.LayerNormalization(whole, ones, axis=-count, epsilon=epsilon)
    return op.RMSNormalization(x, ones, axis=-count, epsilon=epsilon)


def _roots(value: ir.Value | None) -> Iterator[tuple[ir.Value, int, float]]:
    """x of √(mean(x²) + ε), the number of last dimensions, and ε."""
    root = _made_by(value, "Sqrt")
    total = None if root is None else _made_by(root.inputs[0], "Add")
    for mean, number in () if total is None else (total.inputs, total.inputs[::-1]):
        epsilon, square = const(number), _mean(mean)
        node = None if square is None else _made_by(square[0], "Mul", "Pow")
        if square is None or node is None or epsilon is None or epsilon.size != 1 or epsilon.item() < 0:
            continue
        x, other = node.inputs
        exponent = const(other) if node.op_type == "Pow" else None
        if x is not None and (other is x or (exponent is not None and (exponent == 2).all())):
            yield x, square[1], float(epsilon.item())


def _root_of_reciprocal(value: ir.Value | None) -> ir.Value | None:
    """r of 1 / r."""
    node = _made_by(value, "Reciprocal", "Div")
    if node is None or node.op_type == "Reciprocal":
        return None if node is None else node.inputs[0]
    one = const(node.inputs[0])
    return node.inputs[1] if one is not None and one.size == 1 and one.item() == 1 else None


def _mean(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """The value that a mean over the last dimensions, which stay, is of, and their number."""
    node = _made_by(value, "ReduceMean")
    axes, rank = (None, None) if node is None else (const(input_at(node, 1)), rank_of(node.inputs[0]))
    if node is None or axes is None or not rank or not attr(node, "keepdims"):
        return None
    last = sorted(int(a) % rank for a in axes.ravel())
    x = node.inputs[0]
    return (x, len(last)) if x is not None and last and last == list(range(rank - len(last), rank)) else None


def _centred(value: ir.Value, count: int) -> ir.Value | None:
    """x of x - mean(x)."""
    node = _made_by(value, "Sub")
    mean = None if node is None else _mean(node.inputs[1])
    return mean[0] if node is not None and mean == (node.inputs[0], count) else None


def _made_by(value: ir.Value | None, *types: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and not node.domain and node.op_type in types else None
