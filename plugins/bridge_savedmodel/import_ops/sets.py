"""Sparse tensors put together, and sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import rank_of, shape_of
from bridge.importing import as_int64, attribute, constant_ints, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T, ranked
from bridge_savedmodel.import_ops.sparse import COORDINATES, place, strides

ops = OpTable()


def apart(op: Any, places: Any, shape: Any) -> Any:
    """Indices of places in a flattened tensor."""
    return op.Mod(op.Div(op.Unsqueeze(places, ints(1)), strides(op, shape)), shape)


@ops.op("SparseAdd", needs=(COORDINATES,))
def sparse_add(op, node, *inputs):
    """The sum wherever either has an element, in the order of places."""
    return _joined(op, inputs[:6], "add")


@ops.op("SparseSparseMaximum", "SparseSparseMinimum", needs=(COORDINATES,))
def sparse_extreme(op, node, *inputs):
    """Where one has no element, it counts as zero."""
    return _joined(op, inputs[:6], "max" if node.op.endswith("Maximum") else "min")[:2]


def _joined(op: Any, inputs: Any, how: str) -> tuple[Any, Any, Any]:
    indices, values, shape, more, others, _ = inputs
    first, second = place(op, indices, shape), place(op, more, shape)
    whole = op.Concat(first, second, axis=0)
    places, _, back, _ = op.Unique(whole, sorted=1, _outputs=4)
    zeros = op.Expand(like(op, values, 0), op.Shape(places))
    if how == "add":
        made = op.ScatterND(
            zeros, op.Unsqueeze(back, ints(1)), op.Concat(values, others, axis=0), reduction="add"
        )
        return apart(op, places, shape), made, shape
    count = op.Shape(first)
    halves = op.Slice(back, ints(0), count, ints(0)), op.Slice(back, count, ints(FAR), ints(0))
    pair = [
        op.ScatterND(zeros, op.Unsqueeze(h, ints(1)), v)
        for h, v in zip(halves, (values, others), strict=True)
    ]
    return apart(op, places, shape), op.Max(*pair) if how == "max" else op.Min(*pair), shape


@ops.op("SparseConcat", needs=(COORDINATES,))
def sparse_concat(op, node, *inputs):
    """Indices moved along one dimension, in the order of places."""
    count = node.get("N")
    indices, values, shapes = inputs[:count], inputs[count : 2 * count], inputs[2 * count :]
    axis, depth = node.get("concat_dim"), list(indices[0].shape)[1]
    along = np.eye(depth, dtype=np.int64)[axis % depth]
    moved, offset = [], op.const(np.zeros(depth, np.int64))
    for own, shape in zip(indices, shapes, strict=True):
        moved.append(op.Add(own, offset))
        offset = op.Add(offset, op.Mul(shape, op.const(along)))
    size = op.Add(op.Mul(shapes[0], op.const(1 - along)), offset)
    whole, items = op.Concat(*moved, axis=0), op.Concat(*values, axis=0)
    number = op.Shape(items)
    order = op.TopK(place(op, whole, size), number, largest=0, _outputs=2)[1]
    return op.Gather(whole, order, axis=0), op.Gather(items, order, axis=0), size


@ops.op("SparseSlice", needs=(COORDINATES,))
def sparse_slice(op, node, indices, values, shape, start, size):
    ends = op.Min(op.Add(start, size), shape)
    inside = op.And(op.GreaterOrEqual(indices, start), op.Less(indices, ends))
    every = op.ReduceMin(op.Cast(inside, to=int(T.INT32)), ints(1), keepdims=0)
    kept = op.Reshape(op.NonZero(every), ints(-1))
    moved = op.Sub(op.Gather(indices, kept, axis=0), start)
    return moved, op.Gather(values, kept, axis=0), op.Max(op.Sub(ends, start), ints(0))


def dense(op: Any, indices: Any, values: Any, shape: Any, rest: Any) -> Any:
    """A sparse tensor written out, `rest` where it has no element."""
    return op.ScatterND(op.Expand(rest, shape), indices, values)


@ops.op("SparseReduceSum", needs=(COORDINATES,))
def sparse_reduce_sum(op, node, indices, values, shape, axes):
    whole = dense(op, indices, values, shape, like(op, values, 0))
    return op.ReduceSum(whole, int64_vector(op, axes), keepdims=int(node.get("keep_dims")))


@ops.op("SparseReduceMax", needs=(COORDINATES, attribute("T", T.FLOAT, T.INT32, T.INT64, T.DOUBLE)))
def sparse_reduce_max(op, node, indices, values, shape, axes):
    """Of the elements there are; zero where there are none."""
    kind = values.dtype.numpy()
    lowest = np.array(-np.inf if kind.kind == "f" else np.iinfo(kind).min, kind)
    whole = dense(op, indices, values, shape, op.const(lowest))
    here = dense(
        op,
        indices,
        op.Expand(op.const(np.array(1, np.int32)), op.Shape(values)),
        shape,
        op.const(np.array(0, np.int32)),
    )
    at, keep = int64_vector(op, axes), int(node.get("keep_dims"))
    any_ = op.Greater(op.ReduceMax(here, at, keepdims=keep), op.const(np.array(0, np.int32)))
    return op.Where(any_, op.ReduceMax(whole, at, keepdims=keep), like(op, values, 0))


@ops.op("SparseDenseCwiseMul", "SparseDenseCwiseDiv", "SparseDenseCwiseAdd", needs=(COORDINATES,))
def sparse_dense(op, node, indices, values, shape, other):
    own = op.GatherND(op.Expand(other, shape), indices)
    return op.node(node.op.removeprefix("SparseDenseCwise"), values, own)


@ops.op("SparseSoftmax", needs=(COORDINATES,))
def sparse_softmax(op, node, indices, values, shape):
    """Over the elements each row has."""
    lowest = op.const(np.array(-np.inf, values.dtype.numpy()))
    whole = dense(op, indices, values, shape, lowest)
    most = op.ReduceMax(whole, ints(-1))
    centred = op.Exp(op.Sub(whole, op.Where(op.IsInf(most), like(op, values, 0), most)))
    total = op.ReduceSum(centred, ints(-1))
    return op.Div(op.GatherND(centred, indices), op.GatherND(op.Expand(total, shape), indices))


@ops.op("SparseMatMul", needs=(ranked(), ranked(1)))
def sparse_matmul(op, node, a, b):
    """Of dense matrices that hold many zeros."""
    turned = [
        op.Transpose(v, perm=[1, 0]) if node.get(n) else v
        for v, n in ((a, "transpose_a"), (b, "transpose_b"))
    ]
    floats = [v if v.dtype == T.FLOAT else op.Cast(v, to=int(T.FLOAT)) for v in turned]
    return op.MatMul(*floats)


OPERATIONS = condition(
    "one of four operations", lambda n: n.get("set_operation") in ("a-b", "b-a", "intersection", "union")
)
DENSE = condition("sets that are rows of a known number of dimensions", lambda n: bool(rank_of(n.inputs[0])))
SHAPED = condition("a known number of dimensions", lambda n: shape_of(n.inputs[-1]) is not None)


@ops.op("DenseToDenseSetOperation", needs=(OPERATIONS, DENSE))
def dense_sets(op, node, a, b):
    return _operated(op, node, _of_dense(op, a), _of_dense(op, b), op.Shape(a), rank_of(a))


@ops.op("DenseToSparseSetOperation", needs=(OPERATIONS, DENSE, SHAPED))
def dense_and_sparse_sets(op, node, a, *sparse):
    return _operated(op, node, _of_dense(op, a), _of_sparse(op, *sparse), op.Shape(a), rank_of(a))


@ops.op("SparseToSparseSetOperation", needs=(OPERATIONS, SHAPED))
def sparse_sets(op, node, *inputs):
    first, second = (_of_sparse(op, *inputs[n : n + 3]) for n in (0, 3))
    return _operated(op, node, first, second, inputs[2], shape_of(inputs[5])[0])


def _plain(op: Any, values: Any) -> Any:
    """Elements as ONNX Runtime finds the distinct ones of: strings, or int64."""
    return values if values.dtype == T.STRING else as_int64(op, values)


def _of_dense(op: Any, x: Any) -> tuple[Any, Any]:
    """The row of every element, counted through all dimensions but the last; and the elements."""
    flat = op.Reshape(x, ints(-1))
    return op.Div(arange(op, op.Shape(flat)), op.Max(op.Shape(x, start=-1), ints(1))), _plain(op, flat)


def _of_sparse(op: Any, indices: Any, values: Any, shape: Any) -> tuple[Any, Any]:
    if shape_of(shape) == [1]:
        return op.Squeeze(op.Sub(indices, indices), ints(1)), _plain(op, values)
    outer = op.Slice(indices, ints(0), ints(-1), ints(1))
    return place(op, outer, op.Slice(shape, ints(0), ints(-1), ints(0))), _plain(op, values)


def _operated(op: Any, node: Any, first: Any, second: Any, shape: Any, rank: int) -> tuple[Any, Any, Any]:
    """Of every row, the elements of the result once each, from small to large, as a sparse tensor."""
    kind = node.get("set_operation")
    first, second = (second, first) if kind == "b-a" else (first, second)
    known, _, back, _ = op.Unique(op.Concat(first[1], second[1], axis=0), sorted=1, _outputs=4)
    total, count = op.Max(op.Shape(known), ints(1)), op.Shape(first[1])
    keys = op.Add(op.Mul(op.Concat(first[0], second[0], axis=0), total), back)
    own, other = op.Slice(keys, ints(0), count, ints(0)), op.Slice(keys, count, ints(FAR), ints(0))
    found = op.Unique(keys if kind == "union" else own, sorted=1, _outputs=4)[0]
    if kind != "union":
        there = _some(op, op.Equal(op.Unsqueeze(found, ints(1)), op.Unsqueeze(other, ints(0))))
        kept = op.NonZero(there if kind == "intersection" else op.Not(there))
        found = op.Gather(found, op.Reshape(kept, ints(-1)), axis=0)
    values = op.Gather(known, op.Mod(found, total), axis=0)
    values = values if values.dtype == node.get("T") else op.Cast(values, to=int(node.get("T")))
    return _in_rows(op, op.Div(found, total), values, op.Slice(shape, ints(0), ints(-1), ints(0)), rank)


def _some(op: Any, flags: Any) -> Any:
    """Whether any of each row is true; none is, where there is none."""
    return op.Greater(op.ReduceSum(op.Cast(flags, to=int(T.INT64)), ints(1), keepdims=0), ints(0))


def _in_rows(op: Any, rows: Any, values: Any, outer: Any, rank: int) -> tuple[Any, Any, Any]:
    """Elements in the order of their rows, as indices, values and shape."""
    own = op.Unsqueeze(rows, ints(1))
    before = op.Cast(op.Less(op.Unsqueeze(rows, ints(0)), own), to=int(T.INT64))
    places = op.Sub(op.CumSum(op.Add(op.Sub(rows, rows), ints(1)), op.const(np.array(0, np.int64))), ints(1))
    columns = op.Sub(places, op.ReduceSum(before, ints(1), keepdims=0))
    most = op.ReduceMax(op.Concat(op.Add(columns, ints(1)), ints(0), axis=0), keepdims=1)
    column = op.Unsqueeze(columns, ints(1))
    if rank == 1:
        return column, values, most
    return op.Concat(apart(op, rows, outer), column, axis=1), values, op.Concat(outer, most, axis=0)


def _kept_axes(node: Any) -> list[int] | None:
    axes, depth = constant_ints(node.inputs[3]), shape_of(node.inputs[2])
    if axes is None or depth is None:
        return None
    return [n for n in range(depth[0]) if n not in {a % depth[0] for a in axes}]


PARTLY = condition("constant axes, and one at least that stays", lambda n: bool(_kept_axes(n)))


@ops.op(
    "SparseReduceSumSparse",
    "SparseReduceMaxSparse",
    needs=(PARTLY, attribute("T", T.FLOAT, T.DOUBLE, T.INT32, T.INT64)),
)
def sparse_reduce_sparse(op, node, indices, values, shape, axes):
    """The elements there are, put together where they share what stays of their indices."""
    kept = ints(*(_kept_axes(node) or []))
    own, outer = op.Gather(indices, kept, axis=1), op.Gather(shape, kept, axis=0)
    places, _, back, _ = op.Unique(place(op, own, outer), sorted=1, _outputs=4)
    how = "add" if "Sum" in node.op else "max"
    kind = values.dtype.numpy()
    least = 0 if how == "add" else -np.inf if kind.kind == "f" else np.iinfo(kind).min
    start = op.Expand(op.const(np.array(least, kind)), op.Shape(places))
    made = op.ScatterND(start, op.Unsqueeze(back, ints(1)), values, reduction=how)
    found = apart(op, places, outer)
    if not node.get("keep_dims"):
        return found, made, outer
    depth = shape_of(shape)[0]
    order = [kept.tolist().index(n) if n in kept else len(kept) for n in range(depth)]
    wide = op.Concat(
        found,
        op.Sub(op.Slice(found, ints(0), ints(1), ints(1)), op.Slice(found, ints(0), ints(1), ints(1))),
        axis=1,
    )
    return (
        op.Gather(wide, ints(*order), axis=1),
        made,
        op.Gather(op.Concat(outer, ints(1), axis=0), ints(*order), axis=0),
    )


@ops.op("SetSize", needs=(condition("indices of rows", lambda n: (shape_of(n.inputs[2]) or [0])[0] == 2),))
def set_size(op, node, indices, values, shape):
    """How many elements that differ each row holds."""
    rows, own = op.Slice(indices, ints(0), ints(1), ints(1)), op.Unsqueeze(numbered(op, values), ints(1))
    pairs = op.Unique(op.Concat(rows, own, axis=1), axis=0, sorted=1, _outputs=4)[0]
    zeros = op.Expand(op.const(np.array(0, np.int32)), op.Slice(shape, ints(0), ints(1), ints(0)))
    ones = op.Expand(op.const(np.array(1, np.int32)), op.Shape(pairs, end=1))
    return op.ScatterND(zeros, op.Slice(pairs, ints(0), ints(1), ints(1)), ones, reduction="add")


def numbered(op: Any, values: Any) -> Any:
    """Whole numbers that differ where the values do, and are in their order."""
    if values.dtype == T.STRING:
        return op.Unique(values, sorted=1, _outputs=4)[2]
    return as_int64(op, values)


@ops.op(
    "SparseBincount",
    needs=(condition("a vector or rows", lambda n: (shape_of(n.inputs[2]) or [9])[0] in (1, 2)),),
)
def sparse_bincount(op, node, indices, values, shape, size, weights):
    """How often each number under `size` occurs in a row, or the sum of its weights."""
    kind, rank = node.get("T"), shape_of(shape)[0]
    at = as_int64(op, values)
    kept = op.Reshape(op.NonZero(op.Less(at, int64_vector(op, size))), ints(-1))
    own, rows = op.Unsqueeze(at, ints(1)), op.Slice(indices, ints(0), ints(1), ints(1))
    places = op.Concat(rows, own, axis=1) if rank == 2 else own
    whole = (
        op.Concat(op.Slice(shape, ints(0), ints(1), ints(0)), int64_vector(op, size), axis=0)
        if rank == 2
        else int64_vector(op, size)
    )
    binary = node.get("binary_output")
    plain = binary or list(weights.shape or [None]) == [0]
    number = op.Expand(op.const(np.ones((), kind.numpy())), op.Shape(at)) if plain else weights
    zeros = op.Expand(op.const(np.zeros((), kind.numpy())), whole)
    chosen = op.Gather(places, kept, axis=0), op.Gather(number, kept, axis=0)
    return op.ScatterND(zeros, *chosen, reduction="none" if binary else "add")


@ops.op(
    "SparseSplit", needs=(condition("constant axis and shape", lambda n: shape_of(n.inputs[3]) is not None),)
)
def sparse_split(op, node, axis, indices, values, shape):
    """Parts of nearly one length, the first ones longer."""
    count, at, size = node.get("num_split"), constant_ints(axis), constant_ints(shape)
    if at is None or size is None:
        return NotImplemented
    along = at[0] % len(size)
    short, more = divmod(size[along], count)
    lengths = [short + (n < more) for n in range(count)]
    starts = np.cumsum([0, *lengths[:-1]])
    parts = []
    for start, length in zip(starts.tolist(), lengths, strict=True):
        begin, extent = np.zeros(len(size), np.int64), np.array(size, np.int64)
        begin[along], extent[along] = start, length
        parts.append(sparse_slice(op, node, indices, values, shape, op.const(begin), op.const(extent)))
    return [v for role in zip(*parts, strict=True) for v in role]
