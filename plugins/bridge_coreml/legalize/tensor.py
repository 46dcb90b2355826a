"""Rewrites into forms Core ML has: what it wants constant, made of what it takes at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, vector
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.pads import cuts_all
from bridge_coreml.export_ops.common import FLOATS, MIL, TENSOR

ops = OpTable()


def dynamic_zeros(node: ir.Node) -> bool:
    """A constant shape that copies lengths of the input, not all of them static."""
    array = const(node.inputs[1])
    return array is not None and (array == 0).any() and shape_of(node.inputs[0]) is None


@ops.op("Reshape", needs=(condition("zeros in a constant shape", dynamic_zeros), TENSOR))
def reshape_with_zeros(op, node, x, shape):
    sizes = lengths(op, x)
    return op.Reshape(x, vector(op, [sizes[i] if n == 0 else int(n) for i, n in enumerate(const(shape))]))


def running(index: int) -> Any:
    """An input that is known at run time alone."""
    return condition(
        f"input {index} at run time",
        lambda n: index < len(n.inputs) and n.inputs[index] is not None and const(n.inputs[index]) is None,
    )


def length_of(value: ir.Value | None) -> int | None:
    shape = shape_of(value)
    return shape[0] if shape is not None and len(shape) == 1 else None


def spread(op: Any, values: ir.Value, axes: ir.Value | None, rank: int, default: Any) -> Any:
    """A vector of one number per axis of the input: `values` at `axes`, `default` elsewhere."""
    values = op.Cast(values, to=int(ir.DataType.INT64))
    if axes is None:
        return (
            values
            if length_of(values) == rank
            else op.ScatterElements(default, vector(op, list(range(length_of(values)))), values)
        )
    places = op.Cast(axes, to=int(ir.DataType.INT64))
    places = op.Where(op.Less(places, 0), op.Add(places, rank), places)
    return op.ScatterElements(default, places, values)


def sliceable(node: ir.Node) -> bool:
    inputs = list(node.inputs)
    known = [length_of(v) for v in inputs[1:] if v is not None]
    return None not in known and any(v is not None and const(v) is None for v in inputs[1:])


@ops.op(
    "Slice",
    needs=(TENSOR, condition("bounds at run time, of known number", sliceable)),
)
def slice_by_gather(op, node, x, starts, ends, axes=None, steps=None):
    """Places from start to end by steps, of every axis that may be sliced, are gathered."""
    rank = rank_of(x) or 0
    sizes = vector(op, lengths(op, x))
    zeros, ones = (op.const(np.full(rank, v, np.int64)) for v in (0, 1))
    first = spread(op, starts, axes, rank, zeros)
    last = spread(op, ends, axes, rank, sizes)
    by = ones if steps is None else spread(op, steps, axes, rank, ones)
    back = op.Less(by, 0)
    low = op.Where(back, op.const(np.int64(-1)), op.const(np.int64(0)))
    high = op.Where(back, op.Sub(sizes, 1), sizes)
    bounds = [_held(op, v, sizes, *limits) for v, limits in ((first, (zeros, high)), (last, (low, high)))]
    known = None if axes is None else const(axes)
    where = range(rank) if known is None else sorted(int(a) % rank for a in known)
    for axis in where:
        if axes is None and axis >= (length_of(starts) or 0):
            continue
        parts = [op.Reshape(op.Slice(v, [axis], [axis + 1], [0]), op.const([])) for v in (*bounds, by)]
        x = op.Gather(x, op.Range(*parts), axis=axis)
    return x


def _held(op: Any, bound: Any, sizes: Any, low: Any, high: Any) -> Any:
    turned = op.Where(op.Less(bound, 0), op.Add(bound, sizes), bound)
    return op.Min(op.Max(turned, low), high)


def paddable(node: ir.Node) -> bool:
    inputs = list(node.inputs)
    axes = inputs[3] if len(inputs) > 3 else None
    count = length_of(inputs[1])
    if attr(node, "mode") != "constant" or count is None or shape_of(inputs[0]) is None:
        return False
    known = const(inputs[1])
    if known is None or (axes is not None and const(axes) is None):
        return True
    return bool((known < 0).any()) and not cuts_all(node)


@ops.op("Pad", needs=(TENSOR, condition("pads at run time, or negative ones that leave something", paddable)))
def pad_at_run_time(op, node, x, pads, value=None, axes=None):
    """What a negative pad takes away is sliced off first; other dtypes than floats are padded as floats,
    where that is exact."""
    rank, count = rank_of(x) or 0, (length_of(pads) or 0) // 2
    zeros = op.const(np.zeros(rank, np.int64))
    begin, end = (
        spread(op, op.Slice(pads, [i * count], [(i + 1) * count], [0]), axes, rank, zeros) for i in (0, 1)
    )
    sizes = vector(op, lengths(op, x))
    known = const(pads)
    if known is None or (known < 0).any():
        x = op.Slice(x, op.Max(op.Neg(begin), 0), op.Add(sizes, op.Min(end, 0)), list(range(rank)))
    pairs = op.Reshape(op.Concat(*(op.Unsqueeze(op.Max(v, 0), [1]) for v in (begin, end)), axis=1), [-1])
    number = None if value is None else op.Reshape(value, op.const([]))
    if x.dtype.name.lower() not in (*FLOATS, "double"):
        return NotImplemented
    shifted = x
    running_value = number is not None and const(number) is None
    if running_value:
        shifted = op.Sub(x, number)
    made = op.Pad(
        shifted, pairs, None if running_value else number, _domain=MIL, _dtype=x.dtype, _shape=[None] * rank
    )
    return op.Add(made, number) if running_value else made


@ops.op(
    "TopK",
    needs=(TENSOR, running(1), condition("a known length", lambda n: isinstance(_along(n), int))),
)
def top_k(op, node, x, k):
    """All of them in order, of which the first k are taken."""
    axis = attr(node, "axis") % (rank_of(x) or 1)
    kept = {"axis": axis, "largest": attr(node, "largest"), "sorted": 1}
    values, places = op.TopK(x, op.const(np.array([_along(node)], np.int64)), **kept, _outputs=2)
    return tuple(op.Slice(v, [0], k, [axis]) for v in (values, places))


def _along(node: ir.Node) -> Any:
    x = node.inputs[0]
    return x.shape[attr(node, "axis") % len(x.shape)] if x.shape else None


@ops.op("CumSum", "CumProd", needs=(TENSOR, running(1)))
def cumulative(op, node, x, axis):
    """Along every axis, of which one is chosen."""
    rank = rank_of(x) or 1
    place = op.Reshape(op.Cast(axis, to=int(ir.DataType.INT64)), op.const([]))
    place = op.Where(op.Less(place, 0), op.Add(place, rank), place)
    kept = {n: attr(node, n) for n in ("exclusive", "reverse")}
    made = None
    for i in range(rank):
        found = op.node(node.op_type, x, op.const(np.int64(i)), **kept)
        made = found if made is None else op.Where(op.Equal(place, i), found, made)
    return made
