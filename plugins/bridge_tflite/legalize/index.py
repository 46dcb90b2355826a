"""Gathers, slices and scatters."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, lengths, product, reshape, scalar, vector
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


def has_known_depth(node: ir.Node) -> bool:
    """True if all ranks, and how many axes the indices are of, are known."""
    ranked = all(rank_of(v) is not None for v in node.inputs)
    return bool(ranked and rank_of(node.inputs[1]) and isinstance(node.inputs[1].shape[-1], int))  # type: ignore[index]


@ops.op("ScatterND", needs=(dtype(*GATHER_DTYPES), condition("indices of a known depth", has_known_depth)))
def scatter_nd(op, node, x, indices, updates):
    """SCATTER_ND adds updates of equal indices to zeros. Updates that replace elements are gathered, the last
    of equal indices; products, maxima and minima are computed by segments."""
    shape, depth, sizes = list(x.shape), indices.shape[-1], lengths(op, x)
    reduction = attr(node, "reduction")
    rows = -1 if shape_of(indices) is None else int(np.prod(shape_of(indices)[:-1]))
    places = op.Reshape(_wrap_negative(op, indices, vector(op, sizes[:depth])), [rows, depth])
    updates = reshape(op, updates, [rows, *sizes[depth:]])
    if reduction == "add":
        return op.Add(
            x,
            op.ScatterND(
                updates,
                as_int32(op, places),
                as_int32(op, vector(op, sizes)),
                _domain=TFLITE,
                _dtype=x.dtype,
                _shape=shape,
            ),
        )
    steps = vector(op, [product(op, sizes[axis + 1 : depth]) for axis in range(depth)])
    segment = op.ReduceSum(op.Mul(places, steps), [1], keepdims=0)
    if reduction == "none":
        return _replace(op, x, segment, updates, sizes, product(op, sizes[:depth]), depth)
    return _scatter_by_segments(op, reduction, x, segment, updates, sizes, product(op, sizes[:depth]), depth)


def _replace(
    op: Any, x: ir.Value, segment: ir.Value, updates: ir.Value, sizes: list, total: Any, depth: int
) -> ir.Value:
    """Each of `total` slices, or the last of the updates of its segment."""
    slices = reshape(op, x, [total, *sizes[depth:]])
    count = lengths(op, updates)[0]
    order = as_int32(op, op.Add(arange(op, count), scalar(op, total)))
    latest = _segments(op, "SegmentMax", order, segment, total, [])
    chosen = op.Max(latest, as_int32(op, arange(op, total)))
    return reshape(op, op.Gather(op.Concat(slices, updates, axis=0), chosen, axis=0), sizes)


def _wrap_negative(op: Any, indices: ir.Value, sizes: ir.Value) -> ir.Value:
    wrapped_indices = op.Add(indices, sizes)
    return op.Where(op.Less(indices, op.const(np.array(0, np.int64))), wrapped_indices, indices)


SEGMENTS = {"mul": ("SegmentProd", "Mul"), "max": ("SegmentMax", "Max"), "min": ("SegmentMin", "Min")}


def _scatter_by_segments(
    op: Any,
    reduction: str,
    x: ir.Value,
    segment: ir.Value,
    updates: ir.Value,
    sizes: list,
    total: Any,
    depth: int,
) -> Any:
    if x.dtype not in (ir.DataType.FLOAT, ir.DataType.INT32):
        return NotImplemented
    kernel, combine = SEGMENTS[reduction]
    reduced = _segments(op, kernel, updates, segment, total, sizes[depth:])
    return op.node(combine, x, reshape(op, reduced, sizes))


def _segments(op: Any, kernel: str, x: ir.Value, segment: ir.Value, total: Any, inner: list) -> ir.Value:
    """Slices of `x`, of the lengths `inner`, combined by their segment into `total`."""
    shape = [d if isinstance(d, int) else None for d in (total, *inner)]
    count = as_int32(op, scalar(op, total))
    return op.node(kernel, x, as_int32(op, segment), count, _domain=TFLITE, _dtype=x.dtype, _shape=shape)
