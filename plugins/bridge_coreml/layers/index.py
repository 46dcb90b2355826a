"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge_coreml.import_ops.index import REDUCTIONS
from bridge_coreml.layers.common import FLOAT, I64_MAX, I64_MIN, const, rank_of

ops = OpTable()


@ops.op("slice")
def slice_blob(op, layer, x):
    p = layer.params
    end = int(p.endIndex)
    return op.Slice(
        x,
        ints(int(p.startIndex)),
        ints(I64_MAX if end == 0 else end),
        ints({0: -3, 1: -2, 2: -1}[p.axis]),
        ints(int(p.stride) or 1),
    )


def masks_of_rank(masks: Iterable[Any], rank: int) -> list[bool]:
    """One mask per dimension; Apple's converter writes five, whatever the rank."""
    return [bool(v) for v in masks][:rank] or [False] * rank


def slice_with_masks(
    op: hub.Builder,
    x: ir.Value,
    begin: list[int],
    end: list[int],
    strides: list[int],
    begin_masks: list[bool],
    end_masks: list[bool],
    squeezed: list[bool],
) -> Any:
    rank = rank_of(x) or 0
    starts, ends = [], []
    for i in range(rank):
        is_backward = strides[i] < 0
        starts.append((I64_MAX if is_backward else 0) if begin_masks[i] else begin[i])
        ends.append((I64_MIN if is_backward else I64_MAX) if end_masks[i] else end[i])
        if squeezed[i]:
            ends[i] = starts[i] + 1 if starts[i] != -1 else I64_MAX
    steps = [1 if squeezed[i] else strides[i] for i in range(rank)]
    result = op.Slice(
        x,
        np.asarray(starts, np.int64),
        np.asarray(ends, np.int64),
        ints(*range(rank)),
        np.asarray(steps, np.int64),
    )
    squeezed_axes = [i for i in range(rank) if squeezed[i]]
    return (
        op.Squeeze(result, np.asarray(squeezed_axes, np.int64))
        if squeezed_axes and len(squeezed_axes) < rank
        else result
    )


@ops.op("sliceStatic")
def slice_static(op, layer, x):
    p, rank = layer.params, rank_of(x) or 0
    lists = [[int(v) for v in values] for values in (p.beginIds, p.endIds)]
    strides = [int(v) for v in p.strides] or [1] * rank
    return slice_with_masks(
        op, x, *lists, strides, *(masks_of_rank(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks))
    )


@ops.op("sliceDynamic")
def slice_dynamic(op, layer, x, begin, end=None, strides=None, *masks):
    """Slice whose bounds may be blobs; masks are parameters, and steps must be constant."""
    p, rank = layer.params, rank_of(x) or 0
    steps = [int(v) for v in p.strides][:rank] or [1] * rank
    if strides is not None:
        constant_strides = const(strides)
        if constant_strides is None:
            return NotImplemented
        steps = [int(v) for v in constant_strides]
    begin_masks, end_masks, squeezed = (
        masks_of_rank(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks)
    )
    begin_list = as_int64(op, begin)
    end_list = op.const(np.asarray(p.endIds[:rank], np.int64)) if end is None else as_int64(op, end)
    starts = op.Where(
        op.const(np.array(begin_masks)),
        op.const(np.asarray([I64_MAX if s < 0 else 0 for s in steps], np.int64)),
        begin_list,
    )
    ends = op.Where(
        op.const(np.array(end_masks)),
        op.const(np.asarray([I64_MIN if s < 0 else I64_MAX for s in steps], np.int64)),
        end_list,
    )
    next_index = op.Where(
        op.Equal(begin_list, op.const(np.array(-1, np.int64))),
        op.const(np.array(I64_MAX, np.int64)),
        op.Add(begin_list, op.const(np.array(1, np.int64))),
    )
    ends = op.Where(op.const(np.array(squeezed)), next_index, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    result = op.Slice(x, starts, ends, ints(*range(rank)), np.asarray(steps, np.int64))
    squeezed_axes = [i for i in range(rank) if squeezed[i]]
    return (
        op.Squeeze(result, np.asarray(squeezed_axes, np.int64))
        if squeezed_axes and len(squeezed_axes) < rank
        else result
    )


@ops.op("sliceBySize")
def slice_by_size(op, layer, x, begin):
    p = layer.params
    start = op.Reshape(as_int64(op, begin), ints(1))
    return op.Slice(x, start, op.Add(start, ints(int(p.size))), ints(int(p.axis)))


@ops.op("gather")
def gather(op, layer, x, indices):
    return op.Gather(x, as_int64(op, indices), axis=int(layer.params.axis))


@ops.op("gatherND")
def gather_nd(op, layer, x, indices):
    gathered = op.GatherND(x, as_int64(op, indices))
    is_scalar = rank_of(indices) == 1 and indices.shape[0] == rank_of(x)
    return op.Reshape(gathered, ints(1)) if is_scalar else gathered


@ops.op("gatherAlongAxis")
def gather_along_axis(op, layer, x, indices):
    return op.GatherElements(x, as_int64(op, indices), axis=int(layer.params.axis))


SCATTER_MODES = ("update", "add", "sub", "mul", "div", "max", "min")


def scatter_reduction(op: hub.Builder, layer: Any, updates: ir.Value) -> tuple[Any, str | None]:
    mode = SCATTER_MODES[layer.params.mode]
    updates = op.Neg(updates) if mode == "sub" else op.Reciprocal(updates) if mode == "div" else updates
    return updates, REDUCTIONS[mode]


@ops.op("scatter")
def scatter(op, layer, data, indices, updates):
    rank, indices_rank = rank_of(data) or 1, rank_of(indices) or 1
    axis = int(layer.params.axis) % rank
    updates, reduction = scatter_reduction(op, layer, updates)
    perm = [axis, *(i for i in range(rank) if i != axis)]
    updates_perm = [
        *range(axis, axis + indices_rank),
        *range(axis),
        *range(axis + indices_rank, indices_rank + rank - 1),
    ]
    scatter_indices = op.Unsqueeze(as_int64(op, indices), ints(-1))
    result = op.ScatterND(
        op.Transpose(data, perm=perm),
        scatter_indices,
        op.Transpose(updates, perm=updates_perm),
        reduction=reduction,
    )
    return op.Transpose(result, perm=[perm.index(i) for i in range(rank)])


@ops.op("scatterND")
def scatter_nd(op, layer, data, indices, updates):
    updates, reduction = scatter_reduction(op, layer, updates)
    return op.ScatterND(data, as_int64(op, indices), updates, reduction=reduction)


@ops.op("scatterAlongAxis")
def scatter_along_axis(op, layer, data, indices, updates):
    updates, reduction = scatter_reduction(op, layer, updates)
    return op.ScatterElements(
        data, as_int64(op, indices), updates, axis=int(layer.params.axis), reduction=reduction
    )


@ops.op("oneHot")
def one_hot(op, layer, indices, size=None):
    p, rank = layer.params, (rank_of(indices) or 0) + 1
    axis = int(p.axis) % rank
    depth = int(p.oneHotVectorSize) if size is None else op.Reshape(as_int64(op, size), ints(1))
    matches = op.Equal(
        op.Unsqueeze(as_int64(op, indices), ints(axis)), along(op, arange(op, depth), axis, rank)
    )
    return op.Where(matches, op.const(np.float32(p.onValue)), op.const(np.float32(p.offValue)))


@ops.op("whereNonZero")
def where_non_zero(op, layer, x):
    return op.Cast(op.Transpose(op.NonZero(x), perm=[1, 0]), to=FLOAT)
