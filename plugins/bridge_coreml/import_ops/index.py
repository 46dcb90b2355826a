"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, product
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge.passes.slices import python_slice
from bridge_coreml.import_ops.common import (
    I64_MAX,
    I64_MIN,
    INT32,
    IOS18,
    RANKED,
    as_type,
    const,
    constant,
    index,
    int64,
    ints,
    lengths,
    need,
    one_of,
    rank_of,
    ranked,
    reshape,
    transpose,
)

ops = OpTable()


def bounds(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> tuple[Any, Any, np.ndarray, list[int]]:
    """Starts, ends, steps and squeezed axes of slice_by_index, each an array or a value of int64."""
    rank = rank_of(x) or 0
    steps = node.get("stride", [1] * rank)
    begin_mask, end_mask, squeezed = (
        node.get(n, [False] * rank) for n in ("begin_mask", "end_mask", "squeeze_mask")
    )
    starts, ends = const(begin), const(end)
    if starts is not None:
        first = [(0 if steps[i] > 0 else I64_MAX) if begin_mask[i] else int(starts[i]) for i in range(rank)]
    if starts is None or (ends is None and any(not m for m in end_mask)):
        return _running_bounds(op, node, begin, end, steps, begin_mask, end_mask, squeezed)
    last = []
    for i in range(rank):
        if squeezed[i]:
            last.append(first[i] + 1 if first[i] != -1 else I64_MAX)
        elif end_mask[i] or ends is None:
            last.append(I64_MAX if steps[i] > 0 else I64_MIN)
        else:
            last.append(int(ends[i]))
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return ints(first), ints(last), ints(steps), [i for i in range(rank) if squeezed[i]]


def _running_bounds(
    op: hub.Builder,
    node: Any,
    begin: ir.Value,
    end: ir.Value,
    steps: list[int],
    begin_mask: list[bool],
    end_mask: list[bool],
    squeezed: list[bool],
) -> tuple[Any, Any, np.ndarray, list[int]]:
    rank = len(steps)
    starts, ends = int64(op, begin), int64(op, end)
    begin_for = ints([0 if s > 0 else I64_MAX for s in steps])
    end_for = ints([I64_MAX if s > 0 else I64_MIN for s in steps])
    if any(begin_mask):
        starts = op.Where(op.const(np.array(begin_mask)), op.const(begin_for), starts)
    if any(end_mask):
        ends = op.Where(op.const(np.array(end_mask)), op.const(end_for), ends)
    if any(squeezed):
        after = op.Add(starts, op.const(ints([1] * rank)))
        after = op.Where(op.Equal(starts, op.const(ints(-1))), op.const(ints(I64_MAX)), after)
        ends = op.Where(op.const(np.array(squeezed)), after, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return starts, ends, ints(steps), [i for i in range(rank) if squeezed[i]]


def sliced(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> Any:
    starts, ends, steps, squeezed = bounds(op, node, x, begin, end, stride)
    made = python_slice(op, x, starts, ends, range(rank_of(x) or 0), steps)
    return op.Squeeze(made, ints(squeezed)) if squeezed else made


SLICED = (
    RANKED,
    constant("stride"),
    constant("begin_mask"),
    constant("end_mask"),
    constant("squeeze_mask"),
)


@ops.op("slice_by_index", needs=SLICED)
def slice_by_index(op, node, x, begin, end, stride=None):
    return sliced(op, node, x, begin, end, stride)


@ops.op("slice_by_size", needs=(RANKED,))
def slice_by_size(op, node, x, begin, size):
    """A size of -1 takes all that is left."""
    starts, sizes, rank = const(begin), const(size), rank_of(x) or 0
    axes = ints(range(rank))
    if starts is not None and sizes is not None:
        starts, sizes = starts.astype(np.int64), sizes.astype(np.int64)
        ends = np.where(sizes == -1, I64_MAX, starts + sizes)
        ends = np.where((ends == 0) & (starts < 0), I64_MAX, ends)
        return op.Slice(x, starts, ends, axes)
    starts, sizes = int64(op, begin), int64(op, size)
    ends = op.Where(op.Equal(sizes, op.const(ints(-1))), op.const(ints(I64_MAX)), op.Add(starts, sizes))
    return op.Slice(x, starts, ends, axes)


@ops.op("slice_update", since=IOS18, needs=SLICED)
def slice_update(op, node, x, update, begin, end, stride=None):
    """The places of the slice in the flattened tensor are sliced alike, and written."""
    sizes = lengths(op, x)
    places = reshape(op, arange(op, product(op, sizes)), sizes)
    chosen = op.Reshape(sliced(op, node, places, begin, end, stride), ints([-1]))
    flat = op.ScatterElements(op.Reshape(x, ints([-1])), chosen, op.Reshape(update, ints([-1])), axis=0)
    return reshape(op, flat, sizes)


@ops.op("gather", needs=(RANKED,))
def gather(op, node, x, indices):
    axis, batch, rank = node.get("axis", 0), node.get("batch_dims", 0), rank_of(x) or 1
    places = index(op, indices)
    if not batch:
        return op.Gather(x, places, axis=axis)
    axis %= rank
    order = [*range(batch), axis, *(i for i in range(batch, rank) if i != axis)]
    made = op.GatherND(
        transpose(op, x, order), op.Unsqueeze(int64(op, indices), ints([-1])), batch_dims=batch
    )
    own, between = (rank_of(indices) or batch) - batch, axis - batch
    first, total = batch + own, batch + own + rank - batch - 1
    back = [
        *range(batch),
        *range(first, first + between),
        *range(batch, first),
        *range(first + between, total),
    ]
    return transpose(op, made, back)


@ops.op("gather_along_axis")
def gather_along_axis(op, node, x, indices):
    return op.GatherElements(x, index(op, indices), axis=node.get("axis", 0))


@ops.op("gather_nd")
def gather_nd(op, node, x, indices):
    return op.GatherND(x, int64(op, indices), batch_dims=node.get("batch_dims", 0))


REDUCED = {"add": "add", "sub": "add", "mul": "mul", "div": "mul", "max": "max", "min": "min", "update": None}


def whole_division(node: Any) -> bool:
    return node.get("mode", "add") == "div" and node.kind("data") not in ("fp16", "fp32")


SCATTERED = (
    one_of("mode", "add", *REDUCED),
    need("floats where mode=div", lambda n: not whole_division(n)),
    ranked("data"),
)


def _mode(op: hub.Builder, node: Any, data: ir.Value, updates: ir.Value) -> tuple[Any, str | None]:
    """The reduction the hub knows, and updates that make it mean the mode."""
    mode, updates = node.get("mode", "add"), as_type(op, updates, data)
    if mode == "sub":
        updates = op.Neg(updates)
    if mode == "div":
        updates = op.Reciprocal(updates)
    return updates, REDUCED[mode]


@ops.op("scatter", needs=SCATTERED)
def scatter(op, node, data, indices, updates):
    rank = rank_of(data) or 1
    axis = node.get("axis", 0) % rank
    own = rank_of(indices) or 0
    updates, reduction = _mode(op, node, data, updates)
    order = [axis, *(i for i in range(rank) if i != axis)]
    shift = [*range(axis, axis + own), *range(axis), *range(axis + own, own + rank - 1)]
    places = op.Unsqueeze(int64(op, indices), ints([-1]))
    made = op.ScatterND(
        transpose(op, data, order), places, transpose(op, updates, shift), reduction=reduction
    )
    return transpose(op, made, [order.index(i) for i in range(rank)])


@ops.op("scatter_along_axis", needs=SCATTERED)
def scatter_along_axis(op, node, data, indices, updates):
    updates, reduction = _mode(op, node, data, updates)
    return op.ScatterElements(
        data, index(op, indices), updates, axis=node.get("axis", 0), reduction=reduction
    )


@ops.op("scatter_nd", needs=SCATTERED)
def scatter_nd(op, node, data, indices, updates):
    updates, reduction = _mode(op, node, data, updates)
    return op.ScatterND(data, int64(op, indices), updates, reduction=reduction)


@ops.op("one_hot", needs=(ranked("indices"),))
def one_hot(op, node, indices, one_hot_vector_size):
    """A place outside the vector leaves it all off."""
    rank = (rank_of(indices) or 0) + 1
    axis = node.get("axis", -1) % rank
    depth = const(one_hot_vector_size)
    count = int(depth) if depth is not None else op.Reshape(int64(op, one_hot_vector_size), [1])
    on, off = (
        op.const(np.asarray(node.get(n, d)).astype(node.out_dtype().numpy()))
        for n, d in (("on_value", 1), ("off_value", 0))
    )
    places = op.Unsqueeze(int64(op, indices), ints([axis]))
    return op.Where(op.Equal(places, along(op, arange(op, count), axis, rank)), on, off)


@ops.op("non_zero", needs=(RANKED,))
def non_zero(op, node, x):
    found = op.Transpose(op.NonZero(x), perm=[1, 0])
    return op.Cast(found, to=INT32)
