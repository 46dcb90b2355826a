"""Rewrites for operands that Core ML requires to be constant and the model computes at run time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, product, vector
from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.pads import cuts_all
from bridge_coreml.export_ops.common import FLOATS, MIL, TENSOR, is_empty

ops = OpTable()

HALF = 2**16


def dynamic_zeros(node: ir.Node) -> bool:
    """True if a constant shape copies lengths (0) of an input with dynamic dimensions."""
    array = const(node.inputs[1])
    return array is not None and (array == 0).any() and shape_of(node.inputs[0]) is None


@ops.op("Reshape", needs=(condition("zeros in a constant shape", dynamic_zeros), TENSOR))
def reshape_with_zeros(op, node, x, shape):
    sizes = lengths(op, x)
    return op.Reshape(x, vector(op, [sizes[i] if n == 0 else int(n) for i, n in enumerate(const(shape))]))


def has_dynamic_sides(node: ir.Node) -> bool:
    """True if both lengths of a flattened matrix are known at run time alone."""
    return rank_of(node.inputs[0]) is not None and not any(
        isinstance(d, int) for d in node.outputs[0].shape or [0]
    )


@ops.op("Flatten", needs=(TENSOR, condition("two lengths at run time", has_dynamic_sides)))
def flatten(op, node, x):
    sizes, axis = lengths(op, x), attr(node, "axis")
    return op.Reshape(x, vector(op, [product(op, sizes[:axis]), product(op, sizes[axis:])]))


def has_some_empty_input(node: ir.Node) -> bool:
    return len({is_empty(v) for v in node.inputs}) == 2


@ops.op("Concat", needs=(condition("some inputs without elements", has_some_empty_input),))
def concat_without_empty(op, node, *inputs):
    return op.Concat(*(v for v in inputs if not is_empty(v)), axis=attr(node, "axis"))


def at_run_time(index: int) -> Any:
    """Need: the input is no constant."""
    return condition(
        f"input {index} at run time",
        lambda n: index < len(n.inputs) and n.inputs[index] is not None and held(n.inputs[index]) is None,
    )


def vector_length(value: ir.Value | None) -> int | None:
    shape = shape_of(value)
    return shape[0] if shape is not None and len(shape) == 1 else None


def vector_over_axes(op: Any, values: ir.Value, axes: ir.Value | None, rank: int, default: Any) -> Any:
    """Int64 vector [rank]: `values` at `axes`, `default` elsewhere."""
    values = op.Cast(values, to=int(ir.DataType.INT64))
    if axes is None:
        return (
            values
            if vector_length(values) == rank
            else op.ScatterElements(default, vector(op, list(range(vector_length(values)))), values)
        )
    positive_axes = op.Cast(axes, to=int(ir.DataType.INT64))
    positive_axes = op.Where(op.Less(positive_axes, 0), op.Add(positive_axes, rank), positive_axes)
    return op.ScatterElements(default, positive_axes, values)


def is_runtime_slice(node: ir.Node) -> bool:
    inputs = list(node.inputs)
    vector_lengths = [vector_length(v) for v in inputs[1:] if v is not None]
    return None not in vector_lengths and any(v is not None and held(v) is None for v in inputs[1:])


@ops.op(
    "Slice",
    needs=(TENSOR, condition("bounds at run time, of known number", is_runtime_slice)),
)
def slice_by_gather(op, node, x, starts, ends, axes=None, steps=None):
    """Gather the indices Range(start, end, step) along every axis that may be sliced."""
    rank = rank_of(x) or 0
    sizes = vector(op, lengths(op, x))
    zeros, ones = (op.const(np.full(rank, v, np.int64)) for v in (0, 1))
    begin = vector_over_axes(op, starts, axes, rank, zeros)
    stop = vector_over_axes(op, ends, axes, rank, sizes)
    step = ones if steps is None else vector_over_axes(op, steps, axes, rank, ones)
    is_backward = op.Less(step, 0)
    lowest = op.Where(is_backward, op.const(np.int64(-1)), op.const(np.int64(0)))
    highest = op.Where(is_backward, op.Sub(sizes, 1), sizes)
    bounds = [
        clamp_bound(op, v, sizes, *limits)
        for v, limits in ((begin, (zeros, highest)), (stop, (lowest, highest)))
    ]
    constant_axes = None if axes is None else const(axes)
    sliced_axes = range(rank) if constant_axes is None else sorted(int(a) % rank for a in constant_axes)
    for axis in sliced_axes:
        if axes is None and axis >= (vector_length(starts) or 0):
            continue
        range_inputs = [
            op.Reshape(op.Slice(v, [axis], [axis + 1], [0]), op.const([])) for v in (*bounds, step)
        ]
        x = op.Gather(x, op.Range(*range_inputs), axis=axis)
    return x


def clamp_bound(op: Any, bound: Any, sizes: Any, low: Any, high: Any) -> Any:
    non_negative = op.Where(op.Less(bound, 0), op.Add(bound, sizes), bound)
    return op.Min(op.Max(non_negative, low), high)


def is_runtime_pad(node: ir.Node) -> bool:
    inputs = list(node.inputs)
    axes = inputs[3] if len(inputs) > 3 else None
    count = vector_length(inputs[1])
    if attr(node, "mode") != "constant" or count is None or rank_of(inputs[0]) is None:
        return False
    constant_pads, value = const(inputs[1]), input_at(node, 2)
    if constant_pads is None or (axes is not None and held(axes) is None):
        return True
    if value is not None and held(value) is None:
        return True
    is_whole = inputs[0].dtype is not None and not inputs[0].dtype.is_floating_point()
    if is_whole and shape_of(inputs[0]) is None:
        return True
    return bool((constant_pads < 0).any()) and not cuts_all(node)


@ops.op(
    "Pad",
    needs=(
        TENSOR,
        condition("pads or a value at run time, or negative pads that leave something", is_runtime_pad),
    ),
)
def pad_at_run_time(op, node, x, pads, value=None, axes=None):
    """Pad at run time. Negative pads are sliced off first; a constant_value known at run time alone is put
    wherever a padded tensor of ones is 0."""
    if x.dtype.name.lower() not in (*FLOATS, "double"):
        return pad_whole_numbers(op, x, pads, value, axes)
    rank, count = rank_of(x) or 0, (vector_length(pads) or 0) // 2
    zeros = op.const(np.zeros(rank, np.int64))
    begin, end = (
        vector_over_axes(op, op.Slice(pads, [i * count], [(i + 1) * count], [0]), axes, rank, zeros)
        for i in (0, 1)
    )
    sizes = vector(op, lengths(op, x))
    constant_pads = const(pads)
    if constant_pads is None or (constant_pads < 0).any():
        x = op.Slice(x, op.Max(op.Neg(begin), 0), op.Add(sizes, op.Min(end, 0)), list(range(rank)))
    pairs = op.Reshape(op.Concat(*(op.Unsqueeze(op.Max(v, 0), [1]) for v in (begin, end)), axis=1), [-1])

    def padded(data: Any, number: Any = None) -> Any:
        return op.Pad(data, pairs, number, _domain=MIL, _dtype=x.dtype, _shape=[None] * rank)

    if value is None or held(value) is not None:
        return padded(x, None if value is None else op.const(const(value).reshape(()), x.dtype))
    ones = op.Expand(op.const(1, x.dtype), vector(op, lengths(op, x)))
    return op.Where(op.Greater(padded(ones), 0.5), padded(x), op.Reshape(value, op.const([])))


def pad_whole_numbers(op: Any, x: ir.Value, pads: Any, value: ir.Value | None, axes: Any) -> Any:
    """Integers and booleans padded as float32, of which two hold the 32 bits of an integer."""

    def padded(numbers: Any) -> Any:
        return op.Pad(op.Cast(numbers, to=int(ir.DataType.FLOAT)), pads, None, axes)

    if x.dtype == ir.DataType.BOOL:
        result = op.Greater(padded(x), 0.5)
    else:
        low = op.Mod(x, HALF)
        parts = (op.Cast(padded(v), to=int(x.dtype)) for v in (op.Div(op.Sub(x, low), HALF), low))
        result = op.Add(op.Mul(next(parts), HALF), next(parts))
    if value is None or (held(value) is not None and not const(value).any()):
        return result
    ones = op.Expand(op.const(1, ir.DataType.FLOAT), vector(op, lengths(op, x)))
    return op.Where(op.Greater(padded(ones), 0.5), result, op.Reshape(value, op.const([])))


@ops.op("TopK", needs=(TENSOR, at_run_time(1)))
def top_k(op, node, x, k):
    """All elements in order, of which the first k are sliced."""
    axis, largest = attr(node, "axis") % (rank_of(x) or 1), attr(node, "largest")
    if isinstance(count := axis_length(node), int):
        count = op.const(np.array([count], np.int64))
        values, indices = op.TopK(x, count, axis=axis, largest=largest, sorted=1, _outputs=2)
    else:
        indices = op.ArgSort(
            x, axis=axis, ascending=1 - largest, _domain=MIL, _dtype=ir.DataType.INT64, _shape=x.shape
        )
        values = op.GatherElements(x, indices, axis=axis)
    return tuple(op.Slice(v, [0], k, [axis]) for v in (values, indices))


def axis_length(node: ir.Node) -> Any:
    x = node.inputs[0]
    return x.shape[attr(node, "axis") % len(x.shape)] if x.shape else None


@ops.op("CumSum", "CumProd", needs=(TENSOR, at_run_time(1)))
def cumulative(op, node, x, axis):
    """Along every axis, of which one is chosen."""
    rank = rank_of(x) or 1
    axis = op.Reshape(op.Cast(axis, to=int(ir.DataType.INT64)), op.const([]))
    axis = op.Where(op.Less(axis, 0), op.Add(axis, rank), axis)
    attributes = {n: attr(node, n) for n in ("exclusive", "reverse")}
    chosen = None
    for i in range(rank):
        along = op.node(node.op_type, x, op.const(np.int64(i)), **attributes)
        chosen = along if chosen is None else op.Where(op.Equal(axis, i), along, chosen)
    return chosen
