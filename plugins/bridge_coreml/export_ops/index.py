"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    FLOATS,
    IN_RANGE,
    INTS,
    MOVED,
    SMALL,
    TENSOR,
    axis_of,
    clamped,
    ints,
)

ops = OpTable()


def known_slice(node: ir.Node) -> bool:
    """Constant axes and steps; starts and ends may be known at run time alone."""
    inputs = list(node.inputs)
    steps = const(inputs[4]) if len(inputs) > 4 and inputs[4] is not None else None
    known = all(len(inputs) <= i or inputs[i] is None or const(inputs[i]) is not None for i in (3, 4))
    return known and rank_of(inputs[0]) is not None and (steps is None or 0 not in steps)


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant bounds, axes and steps", known_slice),
        constant(1, "starts"),
        constant(2, "ends"),
    ),
)
def slice_(mil, node, x, starts, ends, axes=None, steps=None):
    """Bounds beyond an end are masks."""
    rank = rank_of(x)
    first, last = clamped(const(starts)), clamped(const(ends))
    where = range(len(first)) if axes is None else [int(a) % rank for a in const(axes)]
    by = [1] * len(first) if steps is None else clamped(const(steps))
    begin, end, stride = [0] * rank, [0] * rank, [1] * rank
    begin_mask, end_mask = [True] * rank, [True] * rank
    for axis, low, high, step in zip(where, first, last, by, strict=True):
        size = x.shape[axis] if isinstance(x.shape[axis], int) else None
        begin[axis], begin_mask[axis] = _begin(low, step, size)
        end[axis], end_mask[axis] = _end(high, step, size)
        stride[axis] = step
    return mil.slice_by_index(
        x=x, begin=ints(begin), end=ints(end), stride=ints(stride), begin_mask=begin_mask, end_mask=end_mask
    )


def _begin(low: int, step: int, size: int | None) -> tuple[int, bool]:
    """Where a slice begins; beyond the first element (the last, going back) is a mask."""
    if size is not None:
        low = max(low + size if low < 0 else low, 0)
        low = min(low, size - 1) if step < 0 else low
        return low, low == (size - 1 if step < 0 else 0)
    return (low, low == 0) if step > 0 else (low, low == -1 or low >= 2**31 - 1)


def _end(high: int, step: int, size: int | None) -> tuple[int, bool]:
    if size is not None:
        high = high + size if high < 0 else high
        if step > 0:
            return min(high, size), high >= size
        return high, high < 0
    return high, high >= 2**31 - 1 if step > 0 else high <= -(2**31) + 1


def one_axis_running(node: ir.Node) -> bool:
    steps = const(node.inputs[4]) if len(node.inputs) > 4 and node.inputs[4] is not None else None
    return steps is None or set(steps.ravel().tolist()) == {1}


@ops.op(
    "Slice",
    needs=(
        MOVED,
        TENSOR,
        condition("constant axes and steps", known_slice),
        condition("steps of 1 where bounds are known at run time alone", one_axis_running),
        condition("bounds of known number", lambda n: shape_of(n.inputs[1]) is not None),
    ),
)
def slice_at_run_time(mil, node, x, starts, ends, axes=None, steps=None):
    """Bounds held to the shape, as the hub does; what is not sliced keeps its whole length."""
    rank, count = rank_of(x), shape_of(starts)[0]
    where = list(range(count)) if axes is None else [int(a) % rank for a in const(axes)]
    sizes = mil.shape(x=x)
    held = []
    for bounds, whole in ((starts, False), (ends, True)):
        given = _clamped(mil, bounds)
        parts = []
        for axis in range(rank):
            size = mil.slice_by_index(x=sizes, begin=ints([axis]), end=ints([axis + 1]))
            if axis not in where:
                parts.append(size if whole else ints([0]))
                continue
            i = where.index(axis)
            bound = mil.slice_by_index(x=given, begin=ints([i]), end=ints([i + 1])) if count > 1 else given
            turned = mil.select(cond=mil.less(x=bound, y=0), a=mil.add(x=bound, y=size), b=bound)
            parts.append(mil.maximum(x=mil.minimum(x=turned, y=size), y=0))
        held.append(mil.concat(values=parts, axis=0) if rank > 1 else parts[0])
    return mil.slice_by_index(x=x, begin=held[0], end=held[1])


def _clamped(mil: Any, bounds: ir.Value) -> Any:
    array = const(bounds)
    return ints(clamped(array)) if array is not None else mil.var(bounds)


def positive(mil: Any, x: ir.Value, indices: ir.Value, axis: int) -> Any:
    """Indices counted from the start; from iOS 17 Core ML takes no others."""
    array, size = const(indices), x.shape[axis] if x.shape is not None else None
    if array is not None and (isinstance(size, int) or (array >= 0).all()):
        made = np.where(array < 0, array + (size or 0), array).astype(np.int32)
        return made if made.ndim else made[()]
    found = mil.var(indices)
    length = (
        np.int32(size)
        if isinstance(size, int)
        else mil.squeeze(x=mil.slice_by_index(x=mil.shape(x=x), begin=ints([axis]), end=ints([axis + 1])))
    )
    return mil.select(cond=mil.less(x=found, y=0), a=mil.add(x=found, y=length), b=found)


INDEX = dtype(*INTS, index=1)


@ops.op("Gather", needs=(MOVED, TENSOR, INDEX, IN_RANGE))
def gather(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(x, lambda v: mil.gather(x=v, indices=positive(mil, x, indices, axis), axis=axis))


@ops.op("GatherElements", needs=(MOVED, TENSOR, INDEX, IN_RANGE))
def gather_elements(mil, node, x, indices):
    axis = axis_of(node)
    return mil.as_numbers(
        x, lambda v: mil.gather_along_axis(x=v, indices=positive(mil, x, indices, axis), axis=axis)
    )


def sized(node: ir.Node) -> bool:
    dims = (node.inputs[1].shape or [None])[-1]
    data = node.inputs[0].shape
    return isinstance(dims, int) and data is not None and all(isinstance(d, int) for d in list(data)[:dims])


def wrapped_rows(mil: Any, x: ir.Value, indices: ir.Value) -> Any:
    """The last axis of `indices` counts the dimensions of `x`."""
    array = const(indices)
    count: Any = (indices.shape or [0])[-1]
    sizes = ints(list(x.shape or ())[:count])
    if array is not None:
        return np.where(array < 0, array + sizes, array).astype(np.int32)
    found = mil.var(indices)
    return mil.select(cond=mil.less(x=found, y=0), a=mil.add(x=found, y=sizes), b=found)


ROWS = condition("dimensions of known length where they are indexed", sized)


@ops.op("GatherND", needs=(MOVED, TENSOR, INDEX, attribute("batch_dims", 0), ROWS, IN_RANGE))
def gather_nd(mil, node, x, indices):
    return mil.as_numbers(x, lambda v: mil.gather_nd(x=v, indices=wrapped_rows(mil, x, indices)))


MODES = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}
SCATTERED = (dtype(*FLOATS, *INTS, *SMALL, "bool", "double"), TENSOR, INDEX, IN_RANGE)


def scattered(mil: Any, data: ir.Value, updates: ir.Value, operate: Callable[[Any, Any], Any]) -> Any:
    if data.dtype != ir.DataType.BOOL:
        return operate(mil.var(data), mil.var(updates))
    return mil.cast_to(operate(mil.cast_to(data, "int32"), mil.cast_to(updates, "int32")), "bool")


@ops.op("ScatterND", needs=(*SCATTERED, ROWS))
def scatter_nd(mil, node, data, indices, updates):
    mode, places = MODES[attr(node, "reduction")], wrapped_rows(mil, data, indices)
    return scattered(
        mil, data, updates, lambda d, u: mil.scatter_nd(data=d, indices=places, updates=u, mode=mode)
    )


@ops.op("ScatterElements", needs=SCATTERED)
def scatter_elements(mil, node, data, indices, updates):
    axis, mode = axis_of(node), MODES[attr(node, "reduction")]
    places = positive(mil, data, indices, axis)
    return scattered(
        mil,
        data,
        updates,
        lambda d, u: mil.scatter_along_axis(data=d, indices=places, updates=u, axis=axis, mode=mode),
    )


@ops.op("NonZero", needs=(dtype(*FLOATS, *INTS, *SMALL, "bool"), TENSOR))
def non_zero(mil, node, x):
    return mil.transpose(x=mil.non_zero(x=x), perm=ints([1, 0]))
