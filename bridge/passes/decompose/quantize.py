"""Quantization as the arithmetic it stands for, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, lengths, reshape, vector

ops = OpTable("decomposition: quantize")

FLOAT, INT32 = int(ir.DataType.FLOAT), int(ir.DataType.INT32)
KINDS = ("INT8", "UINT8", "INT16", "UINT16")
EXACT = 4096
RANKED = condition("known ranks", lambda n: all(v is None or v.shape is not None for v in n.inputs))


def held(value: ir.Value | None) -> bool:
    return value is not None and value.dtype is not None and value.dtype.name in KINDS


def spread(op: Any, node: ir.Node, x: ir.Value, value: ir.Value) -> Any:
    """A scale or zero point for every element of `x`: of the whole tensor, of an axis, or of a block along it."""
    if value.shape is not None and (rank_of(value) == 0 or (shape_of(value) == [1] and rank_of(x) != 1)):
        return op.Reshape(value, [])
    rank, axis = rank_of(x) or 0, attr(node, "axis", 1)
    block = attr(node, "block_size", 0)
    if not block:
        return along(op, value, axis % rank, rank)
    axis = axis % rank
    sizes = lengths(op, value)
    wide = op.Expand(
        op.Unsqueeze(value, [axis + 1]), vector(op, [*sizes[: axis + 1], block, *sizes[axis + 1 :]])
    )
    count = sizes[axis] * block if isinstance(sizes[axis], int) else op.Mul(sizes[axis], block)
    whole = reshape(op, wide, [*sizes[:axis], count, *sizes[axis + 1 :]])
    end = lengths(op, x)[axis]
    return op.Slice(whole, [0], vector(op, [end]), [axis])


@ops.op("QuantizeLinear", needs=(RANKED, condition("a result of 8 or 16 bits", lambda n: held(n.outputs[0]))))
def quantize(op, node, x, scale, zero=None):
    """saturate(round half to even(x / scale) + zero point)."""
    kind = node.outputs[0].dtype
    found = op.Round(op.Div(op.Cast(x, to=FLOAT), spread(op, node, x, op.Cast(scale, to=FLOAT))))
    if zero is not None:
        found = op.Add(found, spread(op, node, x, op.Cast(zero, to=FLOAT)))
    info = np.iinfo(kind.numpy())
    return op.Cast(op.Min(op.Max(found, float(info.min)), float(info.max)), to=int(kind))


@ops.op(
    "DequantizeLinear",
    needs=(
        RANKED,
        condition("8, 16 or 32 bits", lambda n: held(n.inputs[0]) or n.inputs[0].dtype == ir.DataType.INT32),
    ),
)
def dequantize(op, node, x, scale, zero=None):
    """(x - zero point) · scale."""
    wide = op.Cast(x, to=INT32)
    if zero is not None:
        wide = op.Sub(wide, spread(op, node, x, op.Cast(zero, to=INT32)))
    made = op.Mul(op.Cast(wide, to=FLOAT), spread(op, node, x, op.Cast(scale, to=FLOAT)))
    return op.Cast(made, to=int(node.outputs[0].dtype or scale.dtype))


def halves(op: Any, value: ir.Value) -> list[Any]:
    """Integers below 256 in size as 16 · high + low, as float32: sums of 4096 products with either are exact."""
    high = op.Floor(op.Mul(value, 1 / 16))
    return [high, op.Sub(value, op.Mul(high, 16.0))]


def joined(op: Any, high: Any, low: Any) -> Any:
    sixteen = op.const(np.array(16, np.int32))
    return op.Add(op.Mul(op.Cast(high, to=INT32), sixteen), op.Cast(low, to=INT32))


@ops.op("MatMulInteger", needs=(RANKED,))
def matmul_integer(op, node, a, b, a_zero=None, b_zero=None):
    """Exact sums of products: in float32 halves up to 4096 of them, as int32 beyond."""
    depth = (a.shape or [None])[-1]
    exact = isinstance(depth, int) and depth <= EXACT
    kind = FLOAT if exact else INT32
    left, right = op.Cast(a, to=kind), op.Cast(b, to=kind)
    if a_zero is not None:
        rows = op.Cast(a_zero, to=kind)
        left = op.Sub(left, op.Unsqueeze(rows, [-1]) if rank_of(a_zero) else rows)
    if b_zero is not None:
        right = op.Sub(right, op.Cast(b_zero, to=kind))
    if not exact:
        return op.MatMul(left, right)
    return joined(op, *(op.MatMul(left, half) for half in halves(op, right)))


@ops.op(
    "ConvInteger",
    needs=(
        RANKED,
        condition(
            "4096 products a sum at most",
            lambda n: int(np.prod((shape_of(n.inputs[1]) or [1, EXACT + 1])[1:])) <= EXACT,
        ),
    ),
)
def conv_integer(op, node, x, w, x_zero=None, w_zero=None):
    """Exact sums of products, in float32 halves; the padding is the zero point."""
    left, right = op.Cast(x, to=FLOAT), op.Cast(w, to=FLOAT)
    if x_zero is not None:
        left = op.Sub(left, op.Reshape(op.Cast(x_zero, to=FLOAT), []))
    if w_zero is not None:
        zero = op.Cast(w_zero, to=FLOAT)
        right = op.Sub(right, along(op, zero, 0, rank_of(w)) if rank_of(w_zero) else zero)
    kept = {name: attr(node, name) for name in node.attributes}
    return joined(op, *(op.Conv(left, half, **kept) for half in halves(op, right)))
