"""Ragged tensors as their flat values and, of each dimension, where its rows begin and end."""

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
from bridge_savedmodel.import_ops.common import FAR, T, scalar

ops = OpTable()

ZERO, ONE = np.array(0, np.int64), np.array(1, np.int64)


@dataclass(frozen=True)
class Ragged:
    """A ragged tensor in one piece: what a variant of one holds."""

    splits: tuple[Any, ...]
    values: Any


def ends_of(op: Any, lengths: Any) -> Any:
    """Where rows of the given lengths end, after where the first begins."""
    sums = op.CumSum(lengths, op.const(ZERO))
    return op.Concat(ints(0), sums, axis=0)


def _last(op: Any, x: Any) -> Any:
    return op.Slice(x, ints(-1), ints(FAR), ints(0))


def lengths_of(op: Any, splits: Any) -> Any:
    return op.Sub(op.Slice(splits, ints(1), ints(FAR), ints(0)), op.Slice(splits, ints(0), ints(-1), ints(0)))


def rows_of(op: Any, splits: Any) -> tuple[Any, Any]:
    """The row of every element, and its place in that row."""
    places = arange(op, _last(op, splits))
    ends = op.Slice(splits, ints(1), ints(FAR), ints(0))
    passed = op.LessOrEqual(op.Unsqueeze(ends, ints(0)), op.Unsqueeze(places, ints(1)))
    rows = op.ReduceSum(op.Cast(passed, to=int(T.INT64)), ints(1), keepdims=0)
    return rows, op.Sub(places, op.Gather(splits, rows, axis=0))


@ops.op("RaggedRange")
def ragged_range(op, node, starts, limits, deltas):
    kind = node.get("T")
    starts, limits, deltas = (op.Reshape(v, ints(-1)) for v in (starts, limits, deltas))
    span = op.Sub(limits, starts)
    if kind.is_floating_point():
        number = op.Cast(op.Ceil(op.Div(span, deltas)), to=int(T.INT64))
    else:
        steps = as_int64(op, deltas)
        number = op.Div(op.Add(as_int64(op, span), op.Sub(steps, op.Sign(steps))), steps)
    splits = ends_of(op, op.Max(number, ints(0)))
    rows, places = rows_of(op, splits)
    first, step = (op.Gather(op.Expand(v, op.Shape(number)), rows, axis=0) for v in (starts, deltas))
    values = op.Add(first, op.Mul(as_dtype(op, places, kind), step))
    return as_dtype(op, splits, node.get("Tsplits")), values


@ops.op("RaggedGather", needs=(condition("a vector of indices", lambda n: rank_of(n.inputs[-1]) == 1),))
def ragged_gather(op, node, *inputs):
    splits, values, at = [as_int64(op, v) for v in inputs[:-2]], inputs[-2], as_int64(op, inputs[-1])
    made = []
    for own in splits:
        first = op.Gather(own, at, axis=0)
        ends = ends_of(op, op.Sub(op.Gather(own, op.Add(at, op.const(ONE)), axis=0), first))
        rows, places = rows_of(op, ends)
        made.append(as_dtype(op, ends, node.get("Tsplits")))
        at = op.Add(op.Gather(first, rows, axis=0), places)
    return [*made, op.Gather(values, at, axis=0)]


def coordinates(op: Any, splits: list[Any]) -> Any:
    """Of every flat value, the place in each dimension that is ragged or outside of those: [values,
    dimensions]."""
    rows, places = rows_of(op, splits[-1])
    found = [places]
    for own in reversed(splits[:-1]):
        outer, inner = rows_of(op, own)
        found.insert(0, op.Gather(inner, rows, axis=0))
        rows = op.Gather(outer, rows, axis=0)
    return op.Concat(*(op.Unsqueeze(v, ints(1)) for v in (rows, *found)), axis=1)


def bounds(op: Any, splits: list[Any]) -> Any:
    """The number of rows, and the most elements of a row in every ragged dimension."""
    rows = op.Sub(op.Shape(splits[0]), ints(1))
    most = [op.ReduceMax(op.Concat(ints(0), lengths_of(op, s), axis=0), keepdims=1) for s in splits]
    return op.Concat(rows, *most, axis=0)


PARTITIONS = condition(
    "rows given by splits, or by a number and the row of each value",
    lambda n: _kind(n.get("row_partition_types")) is not None,
)


def _kind(types: Any) -> str | None:
    own = list(types or [])
    if own and set(own) == {"ROW_SPLITS"}:
        return "splits"
    return "rows" if own[:1] == ["FIRST_DIM_SIZE"] and own[1:] == ["VALUE_ROWIDS"] else None


@ops.op("RaggedTensorToTensor", needs=(PARTITIONS,))
def to_tensor(op, node, shape, values, default, *partitions):
    if _kind(node.get("row_partition_types")) == "splits":
        splits = [as_int64(op, p) for p in partitions]
    else:
        splits = [_splits_of(op, as_int64(op, partitions[1]), int64_vector(op, partitions[0]))]
    depth = len(splits) + 1
    found, size = coordinates(op, splits), bounds(op, splits)
    wanted = constant_ints(shape) if rank_of(shape) else [-1]
    if wanted is None or len(wanted) not in (1, depth + rank_of(values) - 1):
        return NotImplemented
    if any(w >= 0 for w in wanted[:depth]):
        given = op.const(np.array(wanted[:depth], np.int64))
        size = op.Where(op.Less(given, ints(0)), size, given)
        inside = op.ReduceMin(op.Cast(op.Less(found, size), to=int(T.INT32)), ints(1), keepdims=0)
        kept = op.Reshape(op.NonZero(inside), ints(-1))
        found, values = op.Gather(found, kept, axis=0), op.Gather(values, kept, axis=0)
    rest = op.Shape(values, start=1) if rank_of(values) > 1 else None
    whole = size if rest is None else op.Concat(size, rest, axis=0)
    made = op.ScatterND(op.Expand(default, whole), found, values)
    made.shape = ir.Shape(
        [w if w >= 0 else None for w in wanted] if len(wanted) > 1 else [None] * (depth + rank_of(values) - 1)
    )
    return made


def _splits_of(op: Any, rows: Any, count: Any) -> Any:
    """Where rows begin and end, from the row of every value."""
    places = arange(op, count)
    same = op.Equal(op.Unsqueeze(places, ints(1)), op.Unsqueeze(rows, ints(0)))
    return ends_of(op, op.ReduceSum(op.Cast(same, to=int(T.INT64)), ints(1), keepdims=0))


@ops.op(
    "RaggedTensorToSparse",
    needs=(condition("values of one dimension", lambda n: rank_of(n.inputs[-1]) == 1),),
)
def to_sparse(op, node, *inputs):
    splits = [as_int64(op, v) for v in inputs[:-1]]
    return coordinates(op, splits), op.Identity(inputs[-1]), bounds(op, splits)


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
    """How often each number under `size` occurs in a row, or the sum of its weights."""
    kind, own = node.get("T"), as_int64(op, splits)
    rows, _ = rows_of(op, own)
    at = as_int64(op, values)
    kept = op.Reshape(op.NonZero(op.Less(at, int64_vector(op, size))), ints(-1))
    places = op.Concat(op.Unsqueeze(rows, ints(1)), op.Unsqueeze(at, ints(1)), axis=1)
    shape = op.Concat(op.Sub(op.Shape(own), ints(1)), int64_vector(op, size), axis=0)
    zeros = op.Expand(op.const(np.zeros((), kind.numpy())), shape)
    plain = list(weights.shape or [None]) == [0] or node.get("binary_output")
    number = op.Expand(op.const(np.ones((), kind.numpy())), op.Shape(at)) if plain else weights
    how = "none" if node.get("binary_output") else "add"
    return op.ScatterND(
        zeros, op.Gather(places, kept, axis=0), op.Gather(number, kept, axis=0), reduction=how
    )


@ops.op("RaggedFillEmptyRows")
def fill_empty_rows(op, node, rows, values, count, default):
    """A value in every row that has none; values in the order of rows."""
    number = int64_vector(op, count)
    zeros = op.Expand(op.const(ZERO), number)
    found = op.ScatterND(
        zeros, op.Unsqueeze(rows, ints(1)), op.Expand(op.const(ONE), op.Shape(rows)), reduction="add"
    )
    empty = op.Equal(found, op.const(ZERO))
    blank = op.Reshape(op.NonZero(empty), ints(-1))
    whole = op.Concat(rows, blank, axis=0)
    filled = op.Concat(values, op.Expand(scalar(op, default), op.Shape(blank)), axis=0)
    size = op.Shape(whole)
    keys = op.Add(op.Mul(whole, size), arange(op, size))
    order = op.TopK(keys, size, largest=0, _outputs=2)[1]
    back = op.Slice(op.TopK(order, size, largest=0, _outputs=2)[1], ints(0), op.Shape(rows), ints(0))
    return op.Gather(whole, order, axis=0), op.Gather(filled, order, axis=0), empty, back
