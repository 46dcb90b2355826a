"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    FLOATS,
    IN_RANGE,
    INTS,
    MOVED,
    SMALL,
    STATIC,
    TENSOR,
    axis_of,
    clamped,
    ints,
)

ops = OpTable()


def has_known_axes(node: ir.Node) -> bool:
    """True for a known rank, constant axes and constant nonzero steps."""
    inputs = list(node.inputs)
    steps = const(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    known = all(len(inputs) <= i or inputs[i] is None or held(inputs[i]) is not None for i in (3, 4))
    return known and rank_of(inputs[0]) is not None and (steps is None or 0 not in steps)


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant bounds, axes and steps", has_known_axes),
        constant(1, "starts"),
        constant(2, "ends"),
    ),
)
def slice_(mil, node, x, starts, ends, axes=None, steps=None):
    """Slice by constant bounds; a bound beyond an end becomes a mask."""
    rank = rank_of(x)
    start_list, end_list = clamped(const(starts)), clamped(const(ends))
    sliced_axes = range(len(start_list)) if axes is None else [int(a) % rank for a in const(axes)]
    step_list = [1] * len(start_list) if steps is None else clamped(const(steps))
    begin, end, stride = [0] * rank, [0] * rank, [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    for axis, low, high, step in zip(sliced_axes, start_list, end_list, step_list, strict=True):
        size = x.shape[axis] if isinstance(x.shape[axis], int) else None
        begin[axis], begin_mask[axis] = begin_and_mask(low, step, size)
        end[axis], end_mask[axis] = end_and_mask(high, step, size)
        stride[axis] = step
    return mil.slice_by_index(
        x=x, begin=ints(begin), end=ints(end), stride=ints(stride), begin_mask=begin_mask, end_mask=end_mask
    )


def begin_and_mask(begin: int, step: int, size: int | None) -> tuple[int, bool]:
    """Begin and mask of one axis; a begin at or beyond the first element (the last, for a negative step) is
    masked."""
    if size is not None:
        begin = max(begin + size if begin < 0 else begin, 0)
        begin = min(begin, size - 1) if step < 0 else begin
        return begin, begin == (size - 1 if step < 0 else 0)
    return (begin, begin == 0) if step > 0 else (begin, begin == -1 or begin >= 2**31 - 1)


def end_and_mask(end: int, step: int, size: int | None) -> tuple[int, bool]:
    if size is not None:
        end = end + size if end < 0 else end
        if step > 0:
            return min(end, size), end >= size
        return end, end < 0
    return end, end >= 2**31 - 1 if step > 0 else end <= -(2**31) + 1


def has_unit_steps(node: ir.Node) -> bool:
    steps = const(input_at(node, 4))
    return steps is None or set(steps.ravel().tolist()) == {1}


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant axes and steps", has_known_axes),
        condition("steps of 1 where bounds are known at run time alone", has_unit_steps),
        condition("bounds of known number", lambda n: shape_of(n.inputs[1]) is not None),
    ),
)
def slice_at_run_time(mil, node, x, starts, ends, axes=None, steps=None):
    """Slice by run-time bounds, clamped to the shape as ONNX does; other axes keep their full length."""
    rank, count = rank_of(x), shape_of(starts)[0]
    sliced_axes = list(range(count)) if axes is None else [int(a) % rank for a in const(axes)]
    sizes = mil.shape(x=x)
    clamped = []
    for bounds, is_end in ((starts, False), (ends, True)):
        runtime_bounds = as_bounds(mil, bounds)
        axis_bounds = []
        for axis in range(rank):
            size = mil.slice_by_index(x=sizes, begin=ints([axis]), end=ints([axis + 1]))
            if axis not in sliced_axes:
                axis_bounds.append(size if is_end else ints([0]))
                continue
            i = sliced_axes.index(axis)
            bound = (
                mil.slice_by_index(x=runtime_bounds, begin=ints([i]), end=ints([i + 1]))
                if count > 1
                else runtime_bounds
            )
            non_negative = mil.select(cond=mil.less(x=bound, y=0), a=mil.add(x=bound, y=size), b=bound)
            axis_bounds.append(mil.maximum(x=mil.minimum(x=non_negative, y=size), y=0))
        clamped.append(mil.concat(values=axis_bounds, axis=0) if rank > 1 else axis_bounds[0])
    return mil.slice_by_index(x=x, begin=clamped[0], end=clamped[1])


def as_bounds(mil: Any, bounds: ir.Value) -> Any:
    array = const(bounds)
    return ints(clamped(array)) if array is not None else mil.var(bounds)


def as_positive(mil: Any, x: ir.Value, indices: ir.Value, axis: int) -> Any:
    """Replace negative indices by those counted from the start, which Core ML requires from iOS 17 on."""
    array, size = const(indices), x.shape[axis] if x.shape is not None else None
    if array is not None and (isinstance(size, int) or (array >= 0).all()):
        constant = np.where(array < 0, array + (size or 0), array).astype(np.int32)
        return constant if constant.ndim else constant[()]
    variable = mil.var(indices)
    length = (
        np.int32(size)
        if isinstance(size, int)
        else mil.squeeze(x=mil.slice_by_index(x=mil.shape(x=x), begin=ints([axis]), end=ints([axis + 1])))
    )
    return mil.select(cond=mil.less(x=variable, y=0), a=mil.add(x=variable, y=length), b=variable)


INDEX = dtype(*INTS, index=1)


@ops.op("Gather", needs=(MOVED, TENSOR, INDEX, IN_RANGE))
def gather(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(x, lambda v: mil.gather(x=v, indices=as_positive(mil, x, indices, axis), axis=axis))


def has_dims_of_data(node: ir.Node) -> bool:
    """True if the indices are as long as the data along every axis but that of the operator."""
    data, indices = node.inputs[0].shape, node.inputs[1].shape
    if data is None or indices is None or len(data) != len(indices):
        return False
    axis = axis_of(node)
    pairs = [(d, i) for a, (d, i) in enumerate(zip(data, indices, strict=True)) if a != axis]
    return all(d == i and d != ir.SymbolicDim(None) for d, i in pairs)


DIMS_OF_DATA = condition("indices as long as the data along all other axes", has_dims_of_data)


@ops.op("GatherElements", needs=(MOVED, TENSOR, INDEX, IN_RANGE, DIMS_OF_DATA))
def gather_elements(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(
        x, lambda v: mil.gather_along_axis(x=v, indices=as_positive(mil, x, indices, axis), axis=axis)
    )


def has_known_row_length(node: ir.Node) -> bool:
    """True if the length of an index, the last dimension of the indices, is known."""
    shape = node.inputs[1].shape
    return shape is not None and len(shape) > 0 and isinstance(shape[-1], int)


def as_positive_rows(mil: Any, x: ir.Value, indices: ir.Value) -> Any:
    """Replace negative indices of GatherND and ScatterND, whose last axis indexes the dimensions of `x`."""
    array = const(indices)
    count: Any = (indices.shape or [0])[-1]
    dims: list[Any] = list(x.shape or ())[:count]
    is_static = all(isinstance(d, int) for d in dims)
    if array is not None and (is_static or (array >= 0).all()):
        return np.where(array < 0, array + np.array(dims if is_static else 0), array).astype(np.int32)
    sizes = (
        ints(dims)
        if is_static
        else mil.slice_by_size(x=mil.shape(x=x), begin=ints([0]), size=ints([len(dims)]))
    )
    return mil.select(cond=mil.less(x=indices, y=0), a=mil.add(x=indices, y=sizes), b=indices)


ROWS = condition("indices of a known number of dimensions", has_known_row_length)


@ops.op("GatherND", needs=(MOVED, TENSOR, INDEX, attribute("batch_dims", 0), ROWS, IN_RANGE))
def gather_nd(mil, node, x, indices):
    return mil.as_numbers(x, lambda v: mil.gather_nd(x=v, indices=as_positive_rows(mil, x, indices)))


SCATTER_MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}
SCATTER_NEEDS = (dtype(*FLOATS, *INTS, *SMALL, "bool", "double"), TENSOR, INDEX, IN_RANGE)


def scatter_as_numbers(
    mil: Any, data: ir.Value, updates: ir.Value, operate: Callable[[Any, Any], Any]
) -> Any:
    if data.dtype != ir.DataType.BOOL:
        return operate(mil.var(data), mil.var(updates))
    return mil.cast_to(operate(mil.cast_to(data, "int32"), mil.cast_to(updates, "int32")), "bool")


@ops.op("ScatterND", needs=(*SCATTER_NEEDS, ROWS))
def scatter_nd(mil, node, data, indices, updates):
    mode, positive = SCATTER_MODES[attr(node, "reduction")], as_positive_rows(mil, data, indices)
    return scatter_as_numbers(
        mil, data, updates, lambda d, u: mil.scatter_nd(data=d, indices=positive, updates=u, mode=mode)
    )


@ops.op("ScatterElements", needs=(*SCATTER_NEEDS, DIMS_OF_DATA, STATIC))
def scatter_elements(mil, node, data, indices, updates):
    axis, mode = axis_of(node), SCATTER_MODES[attr(node, "reduction")]
    positive = as_positive(mil, data, indices, axis)
    return scatter_as_numbers(
        mil,
        data,
        updates,
        lambda d, u: mil.scatter_along_axis(data=d, indices=positive, updates=u, axis=axis, mode=mode),
    )


@ops.op("NonZero", needs=(dtype(*FLOATS, *INTS, *SMALL, "bool"), TENSOR))
def non_zero(mil, node, x):
    return mil.transpose(x=mil.non_zero(x=x), perm=ints([1, 0]))
