"""Gathers, slices and scatters."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape, vector
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import wrap_indices
from bridge_tflite.export_ops.common import GATHER_DTYPES, RESHAPE_DTYPES, TEXT_DTYPES, TFLITE
from bridge_tflite.legalize.common import I32_MAX, RANKED, as_int32, clamp_to_int32, value_per_axis

ops = OpTable()


def is_multidimensional_text(node: ir.Node) -> bool:
    return node.inputs[0].dtype == ir.DataType.STRING and rank_of(node.inputs[0]) != 1


@ops.op(
    "Gather",
    needs=(
        dtype(*TEXT_DTYPES, *GATHER_DTYPES),
        condition(
            "a known rank, not 0, for text 1",
            lambda n: bool(rank_of(n.inputs[0])) and not is_multidimensional_text(n),
        ),
    ),
)
def gather(op, node, x, indices):
    """Negative indices are wrapped: LiteRT takes none."""
    axis = attr(node, "axis") % rank_of(x)
    array, length = const(indices), x.shape[axis]
    if array is None or ((array < 0).any() and not isinstance(length, int)):
        wrapped_indices = wrap_indices(op, indices, lengths(op, x)[axis])
    else:
        wrapped_indices = op.const(
            np.where(array < 0, array + (length if isinstance(length, int) else 0), array).astype(np.int32)
        )
    return op.Gather(x, wrapped_indices, _domain=TFLITE, axis=axis)


@ops.op(
    "GatherND",
    needs=(
        dtype(*TEXT_DTYPES, *GATHER_DTYPES),
        RANKED,
        condition("batch_dims=0", lambda n: not attr(n, "batch_dims")),
        condition("indices of known depth", lambda n: isinstance(list(n.inputs[1].shape or [None])[-1], int)),
    ),
)
def gather_nd(op, node, x, indices):
    """Negative indices are wrapped: LiteRT takes none."""
    sizes = vector(op, lengths(op, x)[: indices.shape[-1]])
    wrapped_indices = op.Where(op.Less(indices, 0), op.Add(indices, sizes), indices)
    return op.GatherND(x, wrapped_indices, _domain=TFLITE)


@ops.op(
    "Slice",
    needs=(
        dtype(*TEXT_DTYPES, *RESHAPE_DTYPES),
        condition(
            "a known rank and number of axes",
            lambda n: rank_of(n.inputs[0]) is not None and shape_of(n.inputs[1]) is not None,
        ),
    ),
)
def strided_slice(op, node, x, starts, ends, axes=None, steps=None):
    rank, count = rank_of(x), shape_of(starts)[0]
    constants = [None if v is None else const(v) for v in (starts, ends, axes, steps)]
    is_dynamic = [
        v is not None and k is None for v, k in zip((starts, ends, axes, steps), constants, strict=True)
    ]
    if not any(is_dynamic):
        named = range(count) if constants[2] is None else [int(a) % rank for a in constants[2]]
        bounds = _constant_bounds(
            x,
            named,
            constants[0],
            constants[1],
            np.ones(count, int) if constants[3] is None else constants[3],
        )
        if bounds is not None:
            return _slice_static(op, x, *bounds)
    bounds_per_axis = [
        value_per_axis(op, axes, rank, count, clamp_to_int32(op, v), default)
        for v, default in ((starts, 0), (ends, I32_MAX))
    ]
    stride = (
        op.const(np.ones(rank, np.int32))
        if steps is None
        else value_per_axis(op, axes, rank, count, clamp_to_int32(op, steps), 1)
    )
    return op.StridedSlice(x, bounds_per_axis[0], bounds_per_axis[1], stride, _domain=TFLITE)


def _slice_static(op: Any, x: ir.Value, begin: Any, end: Any, stride: Any, masks: dict[str, int]) -> ir.Value:
    """STRIDED_SLICE with constant bounds. An empty axis is gathered with no indices: XNNPACK takes the whole
    axis for it."""
    empty_axes = [a for a in range(len(begin)) if begin[a] == end[a] == 0 and not masks["end_mask"] >> a & 1]
    for axis in empty_axes:
        masks = {name: mask | 1 << axis for name, mask in masks.items()}
        x = op.Gather(x, op.const(np.zeros(0, np.int32)), axis=axis)
    return op.StridedSlice(
        x, *(op.const(v.astype(np.int32)) for v in (begin, end, stride)), _domain=TFLITE, **masks
    )


def _constant_bounds(x: ir.Value, named: Any, firsts: Any, lasts: Any, steps: Any) -> Any:
    rank = rank_of(x) or 0
    begin, end, stride = np.zeros(rank, np.int64), np.zeros(rank, np.int64), np.ones(rank, np.int64)
    begin_mask = end_mask = (1 << rank) - 1
    for axis, first, last, step in zip(named, firsts, lasts, steps, strict=True):
        bounds = _clamped_bounds(x.shape[axis], int(first), int(last), int(step))  # type: ignore[index]
        if bounds is None:
            return None
        begin_mask &= ~(1 << axis)
        begin[axis], stride[axis] = bounds[0], step
        if bounds[1] is not None:
            end[axis] = bounds[1]
            end_mask &= ~(1 << axis)
    return begin, end, stride, {"begin_mask": begin_mask, "end_mask": end_mask}


def _clamped_bounds(length: Any, first: int, last: int, step: int) -> tuple[int, int | None] | None:
    """First index and end (None for the end of the axis) as LiteRT clamps them; None for bounds known at run
    time only."""
    if isinstance(length, int):
        span = range(*slice(first, last, step).indices(length))
        if not span:
            return 0, 0
        return span.start, (None if span.stop < 0 or span.stop >= length else span.stop)
    if step < 0 or abs(first) >= 2**31:
        return None
    if last == 0 or (first >= last and (first < 0) == (last < 0)):
        return 0, 0
    return first, (None if last >= I32_MAX else max(last, -I32_MAX))


@ops.op("NonZero", needs=(dtype("bool"),))
def non_zero(op, node, x):
    indices = op.Where(x, _domain=TFLITE, _dtype=ir.DataType.INT64, _shape=[None, rank_of(x)])
    return op.Transpose(indices, perm=[1, 0])


def is_supported_scatter(node: ir.Node) -> bool:
    """True for static shapes, or for indices of known depth: of depth 1, or without mul, max and min."""
    static = all(shape_of(v) is not None for v in node.inputs)
    depth = node.inputs[1].shape[-1] if rank_of(node.inputs[1]) else None  # type: ignore[index]
    ranked = all(rank_of(v) is not None for v in node.inputs) and isinstance(depth, int)
    return static or (ranked and (depth == 1 or attr(node, "reduction") in ("none", "add")))


@ops.op("ScatterND", needs=(condition("static shapes, or places of a known depth", is_supported_scatter),))
def scatter_nd(op, node, x, indices, updates):
    """Scatter into zeros, then combine with the data.

    SCATTER_ND adds updates of equal indices. To replace elements, a count is scattered too: it selects them,
    and divides the sums of repeated indices. Products, maxima and minima are computed by segments.
    """
    shape, depth = list(x.shape), indices.shape[-1]
    reduction = attr(node, "reduction")
    sizes = lengths(op, x)
    rows = -1 if shape_of(indices) is None else int(np.prod(shape_of(indices)[:-1]))
    wrapped_indices = as_int32(
        op, op.Reshape(_wrap_negative(op, indices, vector(op, sizes[:depth])), [rows, depth])
    )
    rows_of_updates = reshape(op, updates, [rows, *sizes[depth:]])
    if reduction not in ("none", "add"):
        return _scatter_by_segments(op, reduction, x, wrapped_indices, rows_of_updates, sizes, depth)
    output_shape = as_int32(op, vector(op, sizes))
    scattered = op.ScatterND(
        rows_of_updates, wrapped_indices, output_shape, _domain=TFLITE, _dtype=x.dtype, _shape=shape
    )
    if reduction == "add":
        return op.Add(x, scattered)
    ones = [1] * (len(shape) - depth)
    count = op.ScatterND(
        op.Expand(
            op.const(np.ones([1, *ones], np.int32)), vector(op, [lengths(op, wrapped_indices)[0], *ones])
        ),
        wrapped_indices,
        as_int32(op, vector(op, [*sizes[:depth], *ones])),
        _domain=TFLITE,
        _dtype=ir.DataType.INT32,
        _shape=[*shape[:depth], *ones],
    )
    if x.dtype in (ir.DataType.FLOAT, ir.DataType.INT32) and not _has_unique_indices(indices):
        scattered = op.Div(scattered, op.Cast(op.Max(count, np.int32(1)), to=int(x.dtype)))
    return op.Where(op.Greater(count, op.const(np.array(0, np.int32))), scattered, x)


def _has_unique_indices(indices: ir.Value) -> bool:
    """True if the indices are constant and without duplicates."""
    constant_indices = const(indices)
    if constant_indices is None:
        return False
    rows = constant_indices.reshape(-1, constant_indices.shape[-1])
    return len(np.unique(rows, axis=0)) == len(rows)


def _wrap_negative(op: Any, indices: ir.Value, sizes: ir.Value) -> ir.Value:
    wrapped_indices = op.Add(indices, sizes)
    return op.Where(op.Less(indices, op.const(np.array(0, np.int64))), wrapped_indices, indices)


SEGMENTS = {"mul": ("SegmentProd", "Mul"), "max": ("SegmentMax", "Max"), "min": ("SegmentMin", "Min")}


def _scatter_by_segments(
    op: Any, reduction: str, x: ir.Value, indices: ir.Value, rows: ir.Value, sizes: list, depth: int
) -> Any:
    """Combine by UNSORTED_SEGMENT kernels. `sizes` of `x` are ints, or int64 values where `depth` is 1."""
    if x.dtype not in (ir.DataType.FLOAT, ir.DataType.INT32):
        return NotImplemented
    if depth == 1:
        segment, total = op.Reshape(indices, [-1]), sizes[0]
    else:
        steps = np.cumprod([1, *sizes[1:depth][::-1]])[::-1].astype(np.int32)
        segment = op.ReduceSum(op.Mul(indices, op.const(steps)), [1], keepdims=0)
        total = int(np.prod(sizes[:depth]))
    operator, combine = SEGMENTS[reduction]
    count = op.Reshape(as_int32(op, vector(op, [total])), [])
    inner_dims = [d if isinstance(d, int) else None for d in sizes[depth:]]
    first = total if isinstance(total, int) else None
    reduced = op.node(
        operator, rows, segment, count, _domain=TFLITE, _dtype=x.dtype, _shape=[first, *inner_dims]
    )
    return op.node(combine, x, reshape(op, reduced, sizes))
