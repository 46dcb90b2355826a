"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge_coreml.import_ops.index import REDUCED
from bridge_coreml.layers.common import FLOAT, I64_MAX, I64_MIN, as_int, const, ints, rank_of

ops = OpTable()


@ops.op("slice")
def slice_blob(op, layer, x):
    p = layer.params
    end = int(p.endIndex)
    return op.Slice(
        x,
        ints([int(p.startIndex)]),
        ints([I64_MAX if end == 0 else end]),
        ints([{0: -3, 1: -2, 2: -1}[p.axis]]),
        ints([int(p.stride) or 1]),
    )


def _masks(given: Iterable[Any], rank: int) -> list[bool]:
    """One for each dimension; Apple's converter writes five of them, whatever the rank."""
    return [bool(v) for v in given][:rank] or [False] * rank


def _sliced(
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
        back = strides[i] < 0
        starts.append((I64_MAX if back else 0) if begin_masks[i] else begin[i])
        ends.append((I64_MIN if back else I64_MAX) if end_masks[i] else end[i])
        if squeezed[i]:
            ends[i] = starts[i] + 1 if starts[i] != -1 else I64_MAX
    steps = [1 if squeezed[i] else strides[i] for i in range(rank)]
    made = op.Slice(x, ints(starts), ints(ends), ints(range(rank)), ints(steps))
    gone = [i for i in range(rank) if squeezed[i]]
    return op.Squeeze(made, ints(gone)) if gone and len(gone) < rank else made


@ops.op("sliceStatic")
def slice_static(op, layer, x):
    p, rank = layer.params, rank_of(x) or 0
    lists = [[int(v) for v in values] for values in (p.beginIds, p.endIds)]
    strides = [int(v) for v in p.strides] or [1] * rank
    return _sliced(
        op, x, *lists, strides, *(_masks(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks))
    )


@ops.op("sliceDynamic")
def slice_dynamic(op, layer, x, begin, end=None, strides=None, *masks):
    """Masks are parameters; bounds and steps may be blobs."""
    p, rank = layer.params, rank_of(x) or 0
    steps = [int(v) for v in p.strides][:rank] or [1] * rank
    if strides is not None:
        known = const(strides)
        if known is None:
            return NotImplemented
        steps = [int(v) for v in known]
    begin_masks, end_masks, squeezed = (_masks(m, rank) for m in (p.beginMasks, p.endMasks, p.squeezeMasks))
    first = as_int(op, begin)
    last = op.const(ints(p.endIds[:rank])) if end is None else as_int(op, end)
    starts = op.Where(
        op.const(np.array(begin_masks)), op.const(ints([I64_MAX if s < 0 else 0 for s in steps])), first
    )
    ends = op.Where(
        op.const(np.array(end_masks)), op.const(ints([I64_MIN if s < 0 else I64_MAX for s in steps])), last
    )
    after = op.Where(
        op.Equal(first, op.const(ints(-1))), op.const(ints(I64_MAX)), op.Add(first, op.const(ints(1)))
    )
    ends = op.Where(op.const(np.array(squeezed)), after, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    made = op.Slice(x, starts, ends, ints(range(rank)), ints(steps))
    gone = [i for i in range(rank) if squeezed[i]]
    return op.Squeeze(made, ints(gone)) if gone and len(gone) < rank else made


@ops.op("sliceBySize")
def slice_by_size(op, layer, x, begin):
    p = layer.params
    first = op.Reshape(as_int(op, begin), ints([1]))
    return op.Slice(x, first, op.Add(first, ints([int(p.size)])), ints([int(p.axis)]))


@ops.op("gather")
def gather(op, layer, x, indices):
    return op.Gather(x, as_int(op, indices), axis=int(layer.params.axis))


@ops.op("gatherND")
def gather_nd(op, layer, x, indices):
    made = op.GatherND(x, as_int(op, indices))
    single = rank_of(indices) == 1 and indices.shape[0] == rank_of(x)
    return op.Reshape(made, ints([1])) if single else made


@ops.op("gatherAlongAxis")
def gather_along_axis(op, layer, x, indices):
    return op.GatherElements(x, as_int(op, indices), axis=int(layer.params.axis))


MODES = ("update", "add", "sub", "mul", "div", "max", "min")


def _mode(op: hub.Builder, layer: Any, updates: ir.Value) -> tuple[Any, str | None]:
    mode = MODES[layer.params.mode]
    updates = op.Neg(updates) if mode == "sub" else op.Reciprocal(updates) if mode == "div" else updates
    return updates, REDUCED[mode]


@ops.op("scatter")
def scatter(op, layer, data, indices, updates):
    rank, own = rank_of(data) or 1, rank_of(indices) or 1
    axis = int(layer.params.axis) % rank
    updates, reduction = _mode(op, layer, updates)
    order = [axis, *(i for i in range(rank) if i != axis)]
    shift = [*range(axis, axis + own), *range(axis), *range(axis + own, own + rank - 1)]
    places = op.Unsqueeze(as_int(op, indices), ints([-1]))
    made = op.ScatterND(
        op.Transpose(data, perm=order), places, op.Transpose(updates, perm=shift), reduction=reduction
    )
    return op.Transpose(made, perm=[order.index(i) for i in range(rank)])


@ops.op("scatterND")
def scatter_nd(op, layer, data, indices, updates):
    updates, reduction = _mode(op, layer, updates)
    return op.ScatterND(data, as_int(op, indices), updates, reduction=reduction)


@ops.op("scatterAlongAxis")
def scatter_along_axis(op, layer, data, indices, updates):
    updates, reduction = _mode(op, layer, updates)
    return op.ScatterElements(
        data, as_int(op, indices), updates, axis=int(layer.params.axis), reduction=reduction
    )


@ops.op("oneHot")
def one_hot(op, layer, indices, size=None):
    p, rank = layer.params, (rank_of(indices) or 0) + 1
    axis = int(p.axis) % rank
    depth = int(p.oneHotVectorSize) if size is None else op.Reshape(as_int(op, size), ints([1]))
    hit = op.Equal(op.Unsqueeze(as_int(op, indices), ints([axis])), along(op, arange(op, depth), axis, rank))
    return op.Where(hit, op.const(np.float32(p.onValue)), op.const(np.float32(p.offValue)))


@ops.op("whereNonZero")
def where_non_zero(op, layer, x):
    return op.Cast(op.Transpose(op.NonZero(x), perm=[1, 0]), to=FLOAT)
