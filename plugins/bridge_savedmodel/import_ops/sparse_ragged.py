"""Ragged tensors as flat values and row splits of each ragged dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange
from bridge.hub import rank_of
from bridge.importing import as_dtype, as_int64, constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T, as_scalar

ops = OpTable()

ZERO, ONE = np.array(0, np.int64), np.array(1, np.int64)


@dataclass(frozen=True)
class Ragged:
    """A ragged tensor in one value: the content of its variant."""

    splits: tuple[Any, ...]
    values: Any


def row_splits(op: Any, lengths: Any) -> Any:
    """Row splits [rows + 1] of the given row lengths."""
    sums = op.CumSum(lengths, op.const(ZERO))
    return op.Concat(ints(0), sums, axis=0)


def _last_element(op: Any, x: Any) -> Any:
    """The last element, as a vector of length 1."""
    return op.Slice(x, ints(-1), ints(FAR), ints(0))


def row_lengths(op: Any, splits: Any) -> Any:
    """Lengths of rows [rows] from their splits [rows + 1]."""
    return op.Sub(op.Slice(splits, ints(1), ints(FAR), ints(0)), op.Slice(splits, ints(0), ints(-1), ints(0)))


def row_coordinates(op: Any, splits: Any) -> tuple[Any, Any]:
    """Row of every value, and its position in that row."""
    positions = arange(op, _last_element(op, splits))
    row_ends = op.Slice(splits, ints(1), ints(FAR), ints(0))
    is_after = op.LessOrEqual(op.Unsqueeze(row_ends, ints(0)), op.Unsqueeze(positions, ints(1)))
    row_ids = op.ReduceSum(op.Cast(is_after, to=int(T.INT64)), ints(1), keepdims=0)
    return row_ids, op.Sub(positions, op.Gather(splits, row_ids, axis=0))


@ops.op("RaggedRange")
def ragged_range(op, node, starts, limits, deltas):
    dtype = node.get("T")
    starts, limits, deltas = (op.Reshape(v, ints(-1)) for v in (starts, limits, deltas))
    span = op.Sub(limits, starts)
    if dtype.is_floating_point():
        lengths = op.Cast(op.Ceil(op.Div(span, deltas)), to=int(T.INT64))
    else:
        steps = as_int64(op, deltas)
        lengths = op.Div(op.Add(as_int64(op, span), op.Sub(steps, op.Sign(steps))), steps)
    splits = row_splits(op, op.Max(lengths, ints(0)))
    row_ids, positions = row_coordinates(op, splits)
    start, step = (op.Gather(op.Expand(v, op.Shape(lengths)), row_ids, axis=0) for v in (starts, deltas))
    values = op.Add(start, op.Mul(as_dtype(op, positions, dtype), step))
    return as_dtype(op, splits, node.get("Tsplits")), values


@ops.op("RaggedGather", needs=(condition("a vector of indices", lambda n: rank_of(n.inputs[-1]) == 1),))
def ragged_gather(op, node, *inputs):
    splits, values, indices = [as_int64(op, v) for v in inputs[:-2]], inputs[-2], as_int64(op, inputs[-1])
    new_splits = []
    for level in splits:
        starts = op.Gather(level, indices, axis=0)
        level_splits = row_splits(
            op, op.Sub(op.Gather(level, op.Add(indices, op.const(ONE)), axis=0), starts)
        )
        row_ids, positions = row_coordinates(op, level_splits)
        new_splits.append(as_dtype(op, level_splits, node.get("Tsplits")))
        indices = op.Add(op.Gather(starts, row_ids, axis=0), positions)
    return [*new_splits, op.Gather(values, indices, axis=0)]


def coordinates(op: Any, splits: list[Any]) -> Any:
    """Indices [values, dimensions] of every flat value in the ragged dimensions and the rows around them."""
    rows, positions = row_coordinates(op, splits[-1])
    columns = [positions]
    for level in reversed(splits[:-1]):
        outer, column = row_coordinates(op, level)
        columns.insert(0, op.Gather(column, rows, axis=0))
        rows = op.Gather(outer, rows, axis=0)
    return op.Concat(*(op.Unsqueeze(v, ints(1)) for v in (rows, *columns)), axis=1)


def bounding_shape(op: Any, splits: list[Any]) -> Any:
    """Number of rows, and the largest row length of every ragged dimension."""
    rows = op.Sub(op.Shape(splits[0]), ints(1))
    row_limits = [op.ReduceMax(op.Concat(ints(0), row_lengths(op, s), axis=0), keepdims=1) for s in splits]
    return op.Concat(rows, *row_limits, axis=0)


PARTITIONS = condition(
    "rows given by splits, or by a number and the row of each value",
    lambda n: _partition_encoding(n.get("row_partition_types")) is not None,
)


def _partition_encoding(types: Any) -> str | None:
    """`splits` or `rows`: the encoding of rows; None for any other."""
    types_of_levels = list(types or [])
    if types_of_levels and set(types_of_levels) == {"ROW_SPLITS"}:
        return "splits"
    return (
        "rows"
        if types_of_levels[:1] == ["FIRST_DIM_SIZE"] and types_of_levels[1:] == ["VALUE_ROWIDS"]
        else None
    )


@ops.op("RaggedTensorToTensor", needs=(PARTITIONS,))
def to_tensor(op, node, shape, values, default, *partitions):
    if _partition_encoding(node.get("row_partition_types")) == "splits":
        splits = [as_int64(op, p) for p in partitions]
    else:
        splits = [_splits_from_row_ids(op, as_int64(op, partitions[1]), int64_vector(op, partitions[0]))]
    depth = len(splits) + 1
    indices, size = coordinates(op, splits), bounding_shape(op, splits)
    static_shape = constant_ints(shape) if rank_of(shape) else [-1]
    if static_shape is None or len(static_shape) not in (1, depth + rank_of(values) - 1):
        return NotImplemented
    if any(w >= 0 for w in static_shape[:depth]):
        limits = op.const(np.array(static_shape[:depth], np.int64))
        size = op.Where(op.Less(limits, ints(0)), size, limits)
        is_inside = op.ReduceMin(op.Cast(op.Less(indices, size), to=int(T.INT32)), ints(1), keepdims=0)
        positions = op.Reshape(op.NonZero(is_inside), ints(-1))
        indices, values = op.Gather(indices, positions, axis=0), op.Gather(values, positions, axis=0)
    inner_shape = op.Shape(values, start=1) if rank_of(values) > 1 else None
    full_shape = size if inner_shape is None else op.Concat(size, inner_shape, axis=0)
    dense = op.ScatterND(op.Expand(default, full_shape), indices, values)
    dense.shape = ir.Shape(
        [w if w >= 0 else None for w in static_shape]
        if len(static_shape) > 1
        else [None] * (depth + rank_of(values) - 1)
    )
    return dense


def _splits_from_row_ids(op: Any, rows: Any, count: Any) -> Any:
    """Row splits from the row of every value."""
    row_numbers = arange(op, count)
    is_member = op.Equal(op.Unsqueeze(row_numbers, ints(1)), op.Unsqueeze(rows, ints(0)))
    return row_splits(op, op.ReduceSum(op.Cast(is_member, to=int(T.INT64)), ints(1), keepdims=0))


@ops.op(
    "RaggedTensorToSparse",
    needs=(condition("values of one dimension", lambda n: rank_of(n.inputs[-1]) == 1),),
)
def to_sparse(op, node, *inputs):
    splits = [as_int64(op, v) for v in inputs[:-1]]
    return coordinates(op, splits), op.Identity(inputs[-1]), bounding_shape(op, splits)


@ops.op(
    "RaggedTensorToVariant", needs=(condition("batched_input=False", lambda n: not n.get("batched_input")),)
)
def to_variant(op, node, *inputs):
    return Ragged(tuple(inputs[:-1]), inputs[-1])


@ops.op(
    "RaggedTensorFromVariant",
    needs=(
        condition("a variant that was made of one ragged tensor", lambda n: isinstance(n.inputs[0], Ragged)),
    ),
)
def from_variant(op, node, x):
    return [*x.splits, x.values] if len(x.splits) == node.get("output_ragged_rank") else NotImplemented


@ops.op("RaggedBincount")
def ragged_bincount(op, node, splits, values, size, weights):
    """Per row, the count of each number below `size`, or the sum of its weights."""
    dtype, partition = node.get("T"), as_int64(op, splits)
    rows, _ = row_coordinates(op, partition)
    numbers = as_int64(op, values)
    positions = op.Reshape(op.NonZero(op.Less(numbers, int64_vector(op, size))), ints(-1))
    indices = op.Concat(op.Unsqueeze(rows, ints(1)), op.Unsqueeze(numbers, ints(1)), axis=1)
    shape = op.Concat(op.Sub(op.Shape(partition), ints(1)), int64_vector(op, size), axis=0)
    zeros = op.Expand(op.const(np.zeros((), dtype.numpy())), shape)
    unweighted = list(weights.shape or [None]) == [0] or node.get("binary_output")
    amounts = op.Expand(op.const(np.ones((), dtype.numpy())), op.Shape(numbers)) if unweighted else weights
    reduction = "none" if node.get("binary_output") else "add"
    return op.ScatterND(
        zeros,
        op.Gather(indices, positions, axis=0),
        op.Gather(amounts, positions, axis=0),
        reduction=reduction,
    )


@ops.op("RaggedFillEmptyRows")
def fill_empty_rows(op, node, rows, values, count, default):
    """Add a value to every empty row; values are sorted by row."""
    row_count = int64_vector(op, count)
    zeros = op.Expand(op.const(ZERO), row_count)
    counts = op.ScatterND(
        zeros, op.Unsqueeze(rows, ints(1)), op.Expand(op.const(ONE), op.Shape(rows)), reduction="add"
    )
    empty = op.Equal(counts, op.const(ZERO))
    empty_rows = op.Reshape(op.NonZero(empty), ints(-1))
    all_rows = op.Concat(rows, empty_rows, axis=0)
    all_values = op.Concat(values, op.Expand(as_scalar(op, default), op.Shape(empty_rows)), axis=0)
    size = op.Shape(all_rows)
    keys = op.Add(op.Mul(all_rows, size), arange(op, size))
    order = op.TopK(keys, size, largest=0, _outputs=2)[1]
    reverse_index_map = op.Slice(
        op.TopK(order, size, largest=0, _outputs=2)[1], ints(0), op.Shape(rows), ints(0)
    )
    return op.Gather(all_rows, order, axis=0), op.Gather(all_values, order, axis=0), empty, reverse_index_map
