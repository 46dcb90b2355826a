"""Slices, gathers, scatters and indices of elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, product
from bridge.importing import as_int64, attribute, constant, ints, permuted
from bridge.needs import condition
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
    index,
    lengths,
    rank_of,
    ranked,
    reshape,
)

ops = OpTable()


def slice_bounds(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> tuple[Any, Any, np.ndarray, list[int]]:
    """Starts, ends, steps and squeezed axes of slice_by_index; starts and ends are int64 [rank] arrays or
    values."""
    rank = rank_of(x) or 0
    steps = node.get("stride", [1] * rank)
    begin_mask, end_mask, squeezed = (
        node.get(n, [False] * rank) for n in ("begin_mask", "end_mask", "squeeze_mask")
    )
    starts, ends = const(begin), const(end)
    if starts is not None:
        begin_list = [
            (0 if steps[i] > 0 else I64_MAX) if begin_mask[i] else int(starts[i]) for i in range(rank)
        ]
    if starts is None or (ends is None and any(not m for m in end_mask)):
        return runtime_slice_bounds(op, node, begin, end, steps, begin_mask, end_mask, squeezed)
    end_list = []
    for i in range(rank):
        if squeezed[i]:
            end_list.append(begin_list[i] + 1 if begin_list[i] != -1 else I64_MAX)
        elif end_mask[i] or ends is None:
            end_list.append(I64_MAX if steps[i] > 0 else I64_MIN)
        else:
            end_list.append(int(ends[i]))
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return (
        np.asarray(begin_list, np.int64),
        np.asarray(end_list, np.int64),
        np.asarray(steps, np.int64),
        [i for i in range(rank) if squeezed[i]],
    )


def runtime_slice_bounds(
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
    starts, ends = as_int64(op, begin), as_int64(op, end)
    default_begin = np.asarray([0 if s > 0 else I64_MAX for s in steps], np.int64)
    default_end = np.asarray([I64_MAX if s > 0 else I64_MIN for s in steps], np.int64)
    if any(begin_mask):
        starts = op.Where(op.const(np.array(begin_mask)), op.const(default_begin), starts)
    if any(end_mask):
        ends = op.Where(op.const(np.array(end_mask)), op.const(default_end), ends)
    if any(squeezed):
        next_index = op.Add(starts, op.const(ints(*[1] * rank)))
        next_index = op.Where(
            op.Equal(starts, op.const(np.array(-1, np.int64))),
            op.const(np.array(I64_MAX, np.int64)),
            next_index,
        )
        ends = op.Where(op.const(np.array(squeezed)), next_index, ends)
    steps = [1 if squeezed[i] else steps[i] for i in range(rank)]
    return starts, ends, np.asarray(steps, np.int64), [i for i in range(rank) if squeezed[i]]


def slice_with_masks(
    op: hub.Builder, node: Any, x: ir.Value, begin: ir.Value, end: ir.Value, stride: ir.Value | None
) -> Any:
    starts, ends, steps, squeezed = slice_bounds(op, node, x, begin, end, stride)
    result = python_slice(op, x, starts, ends, range(rank_of(x) or 0), steps)
    return op.Squeeze(result, np.asarray(squeezed, np.int64)) if squeezed else result


SLICE_NEEDS = (
    RANKED,
    constant("stride"),
    constant("begin_mask"),
    constant("end_mask"),
    constant("squeeze_mask"),
)


@ops.op("slice_by_index", needs=SLICE_NEEDS)
def slice_by_index(op, node, x, begin, end, stride=None):
    return slice_with_masks(op, node, x, begin, end, stride)


@ops.op("slice_by_size", needs=(RANKED,))
def slice_by_size(op, node, x, begin, size):
    """Slice by begin and size; a size of -1 means up to the end of the dimension."""
    starts, sizes, rank = const(begin), const(size), rank_of(x) or 0
    axes = ints(*range(rank))
    if starts is not None and sizes is not None:
        starts, sizes = starts.astype(np.int64), sizes.astype(np.int64)
        ends = np.where(sizes == -1, I64_MAX, starts + sizes)
        ends = np.where((ends == 0) & (starts < 0), I64_MAX, ends)
        return op.Slice(x, starts, ends, axes)
    starts, sizes = as_int64(op, begin), as_int64(op, size)
    ends = op.Where(
        op.Equal(sizes, op.const(np.array(-1, np.int64))),
        op.const(np.array(I64_MAX, np.int64)),
        op.Add(starts, sizes),
    )
    return op.Slice(x, starts, ends, axes)


@ops.op("slice_update", since=IOS18, needs=SLICE_NEEDS)
def slice_update(op, node, x, update, begin, end, stride=None):
    """ScatterElements into the flattened tensor, at the positions that the same slice of its indices has."""
    sizes = lengths(op, x)
    positions = reshape(op, arange(op, product(op, sizes)), sizes)
    slice_positions = op.Reshape(slice_with_masks(op, node, positions, begin, end, stride), ints(-1))
    updated = op.ScatterElements(
        op.Reshape(x, ints(-1)), slice_positions, op.Reshape(update, ints(-1)), axis=0
    )
    return reshape(op, updated, sizes)


@ops.op("gather", needs=(RANKED,))
def gather(op, node, x, indices):
    axis, batch, rank = node.get("axis", 0), node.get("batch_dims", 0), rank_of(x) or 1
    int_indices = index(op, indices)
    if not batch:
        return op.Gather(x, int_indices, axis=axis)
    axis %= rank
    order = [*range(batch), axis, *(i for i in range(batch, rank) if i != axis)]
    gathered = op.GatherND(
        permuted(op, x, order), op.Unsqueeze(as_int64(op, indices), ints(-1)), batch_dims=batch
    )
    indices_rank, axis_offset = (rank_of(indices) or batch) - batch, axis - batch
    first, out_rank = batch + indices_rank, batch + indices_rank + rank - batch - 1
    perm = [
        *range(batch),
        *range(first, first + axis_offset),
        *range(batch, first),
        *range(first + axis_offset, out_rank),
    ]
    return permuted(op, gathered, perm)


@ops.op("gather_along_axis")
def gather_along_axis(op, node, x, indices):
    return op.GatherElements(x, index(op, indices), axis=node.get("axis", 0))


@ops.op("gather_nd")
def gather_nd(op, node, x, indices):
    return op.GatherND(x, as_int64(op, indices), batch_dims=node.get("batch_dims", 0))


REDUCTIONS = {
    "add": "add",
    "sub": "add",
    "mul": "mul",
    "div": "mul",
    "max": "max",
    "min": "min",
    "update": None,
}


def is_integer_division(node: Any) -> bool:
    return node.get("mode", "add") == "div" and node.dtype_name("data") not in ("fp16", "fp32")


SCATTER_NEEDS = (
    attribute("mode", "add", *REDUCTIONS),
    condition("floats where mode=div", lambda n: not is_integer_division(n)),
    ranked("data"),
)


def scatter_reduction(
    op: hub.Builder, node: Any, data: ir.Value, updates: ir.Value
) -> tuple[Any, str | None]:
    """Updates and ScatterND's `reduction` for a MIL mode: sub adds negated updates, div multiplies by
    reciprocals."""
    mode, updates = node.get("mode", "add"), as_type(op, updates, data)
    if mode == "sub":
        updates = op.Neg(updates)
    if mode == "div":
        updates = op.Reciprocal(updates)
    return updates, REDUCTIONS[mode]


@ops.op("scatter", needs=SCATTER_NEEDS)
def scatter(op, node, data, indices, updates):
    rank = rank_of(data) or 1
    axis = node.get("axis", 0) % rank
    indices_rank = rank_of(indices) or 0
    updates, reduction = scatter_reduction(op, node, data, updates)
    perm = [axis, *(i for i in range(rank) if i != axis)]
    updates_perm = [
        *range(axis, axis + indices_rank),
        *range(axis),
        *range(axis + indices_rank, indices_rank + rank - 1),
    ]
    scatter_indices = op.Unsqueeze(as_int64(op, indices), ints(-1))
    result = op.ScatterND(
        permuted(op, data, perm), scatter_indices, permuted(op, updates, updates_perm), reduction=reduction
    )
    return permuted(op, result, [perm.index(i) for i in range(rank)])


@ops.op("scatter_along_axis", needs=SCATTER_NEEDS)
def scatter_along_axis(op, node, data, indices, updates):
    updates, reduction = scatter_reduction(op, node, data, updates)
    return op.ScatterElements(
        data, index(op, indices), updates, axis=node.get("axis", 0), reduction=reduction
    )


@ops.op("scatter_nd", needs=SCATTER_NEEDS)
def scatter_nd(op, node, data, indices, updates):
    updates, reduction = scatter_reduction(op, node, data, updates)
    return op.ScatterND(data, as_int64(op, indices), updates, reduction=reduction)


@ops.op("one_hot", needs=(ranked("indices"),))
def one_hot(op, node, indices, one_hot_vector_size):
    """One-hot vectors; an index outside of [0, one_hot_vector_size) gives off_value everywhere."""
    rank = (rank_of(indices) or 0) + 1
    axis = node.get("axis", -1) % rank
    depth = const(one_hot_vector_size)
    length = int(depth) if depth is not None else op.Reshape(as_int64(op, one_hot_vector_size), [1])
    on, off = (
        op.const(np.asarray(node.get(n, d)).astype(node.out_dtype().numpy()))
        for n, d in (("on_value", 1), ("off_value", 0))
    )
    expanded = op.Unsqueeze(as_int64(op, indices), ints(axis))
    return op.Where(op.Equal(expanded, along(op, arange(op, length), axis, rank)), on, off)


@ops.op("non_zero", needs=(RANKED,))
def non_zero(op, node, x):
    indices = op.Transpose(op.NonZero(x), perm=[1, 0])
    return op.Cast(indices, to=INT32)
