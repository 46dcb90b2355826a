"""Arithmetic, reductions and slices of sparse tensors; set operations."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import rank_of, shape_of
from bridge.importing import as_int64, attribute, constant_ints, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import FAR, T, known_rank
from bridge_savedmodel.import_ops.sparse import COORDINATES, flat_indices, strides

ops = OpTable()


def unravel(op: Any, flat: Any, shape: Any) -> Any:
    """Indices [n, rank] of flat indices [n]."""
    return op.Mod(op.Div(op.Unsqueeze(flat, ints(1)), strides(op, shape)), shape)


@ops.op("SparseAdd", needs=(COORDINATES,))
def sparse_add(op, node, *inputs):
    """The sum of two sparse tensors, sorted by index."""
    return _combine(op, inputs[:6], "add")


@ops.op("SparseSparseMaximum", "SparseSparseMinimum", needs=(COORDINATES,))
def sparse_extreme(op, node, *inputs):
    """Elementwise maximum or minimum; a missing element counts as zero."""
    return _combine(op, inputs[:6], "max" if node.op.endswith("Maximum") else "min")[:2]


def _combine(op: Any, inputs: Any, reduction: str) -> tuple[Any, Any, Any]:
    """Indices, values and shape of two sparse tensors combined by addition, maximum or minimum."""
    indices, values, shape, other_indices, other_values, _ = inputs
    left, right = flat_indices(op, indices, shape), flat_indices(op, other_indices, shape)
    positions = op.Concat(left, right, axis=0)
    unique, _, inverse, _ = op.Unique(positions, sorted=1, _outputs=4)
    zeros = op.Expand(like(op, values, 0), op.Shape(unique))
    if reduction == "add":
        total = op.ScatterND(
            zeros, op.Unsqueeze(inverse, ints(1)), op.Concat(values, other_values, axis=0), reduction="add"
        )
        return unravel(op, unique, shape), total, shape
    count = op.Shape(left)
    halves = op.Slice(inverse, ints(0), count, ints(0)), op.Slice(inverse, count, ints(FAR), ints(0))
    operands = [
        op.ScatterND(zeros, op.Unsqueeze(h, ints(1)), v)
        for h, v in zip(halves, (values, other_values), strict=True)
    ]
    return unravel(op, unique, shape), op.Max(*operands) if reduction == "max" else op.Min(*operands), shape


@ops.op("SparseConcat", needs=(COORDINATES,))
def sparse_concat(op, node, *inputs):
    """Concatenation by offsets along one dimension, sorted by index."""
    count = node.get("N")
    indices, values, shapes = inputs[:count], inputs[count : 2 * count], inputs[2 * count :]
    axis, depth = node.get("concat_dim"), list(indices[0].shape)[1]
    direction = np.eye(depth, dtype=np.int64)[axis % depth]
    shifted, offset = [], op.const(np.zeros(depth, np.int64))
    for index, shape in zip(indices, shapes, strict=True):
        shifted.append(op.Add(index, offset))
        offset = op.Add(offset, op.Mul(shape, op.const(direction)))
    size = op.Add(op.Mul(shapes[0], op.const(1 - direction)), offset)
    all_indices, all_values = op.Concat(*shifted, axis=0), op.Concat(*values, axis=0)
    number = op.Shape(all_values)
    order = op.TopK(flat_indices(op, all_indices, size), number, largest=0, _outputs=2)[1]
    return op.Gather(all_indices, order, axis=0), op.Gather(all_values, order, axis=0), size


@ops.op("SparseSlice", needs=(COORDINATES,))
def sparse_slice(op, node, indices, values, shape, start, size):
    ends = op.Min(op.Add(start, size), shape)
    is_inside = op.And(op.GreaterOrEqual(indices, start), op.Less(indices, ends))
    is_row_inside = op.ReduceMin(op.Cast(is_inside, to=int(T.INT32)), ints(1), keepdims=0)
    positions = op.Reshape(op.NonZero(is_row_inside), ints(-1))
    shifted = op.Sub(op.Gather(indices, positions, axis=0), start)
    return shifted, op.Gather(values, positions, axis=0), op.Max(op.Sub(ends, start), ints(0))


def to_dense(op: Any, indices: Any, values: Any, shape: Any, default: Any) -> Any:
    """A sparse tensor as dense, with `default` where it has no element."""
    return op.ScatterND(op.Expand(default, shape), indices, values)


@ops.op("SparseReduceSum", needs=(COORDINATES,))
def sparse_reduce_sum(op, node, indices, values, shape, axes):
    dense = to_dense(op, indices, values, shape, like(op, values, 0))
    return op.ReduceSum(dense, int64_vector(op, axes), keepdims=int(node.get("keep_dims")))


@ops.op("SparseReduceMax", needs=(COORDINATES, attribute("T", T.FLOAT, T.INT32, T.INT64, T.DOUBLE)))
def sparse_reduce_max(op, node, indices, values, shape, axes):
    """Maximum of the stored elements; zero where there are none."""
    dtype = values.dtype.numpy()
    lowest = np.array(-np.inf if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
    dense = to_dense(op, indices, values, shape, op.const(lowest))
    is_stored = to_dense(
        op,
        indices,
        op.Expand(op.const(np.array(1, np.int32)), op.Shape(values)),
        shape,
        op.const(np.array(0, np.int32)),
    )
    reduced_axes, keepdims = int64_vector(op, axes), int(node.get("keep_dims"))
    has_element = op.Greater(
        op.ReduceMax(is_stored, reduced_axes, keepdims=keepdims), op.const(np.array(0, np.int32))
    )
    return op.Where(has_element, op.ReduceMax(dense, reduced_axes, keepdims=keepdims), like(op, values, 0))


@ops.op("SparseDenseCwiseMul", "SparseDenseCwiseDiv", "SparseDenseCwiseAdd", needs=(COORDINATES,))
def sparse_dense(op, node, indices, values, shape, other):
    at_indices = op.GatherND(op.Expand(other, shape), indices)
    return op.node(node.op.removeprefix("SparseDenseCwise"), values, at_indices)


@ops.op("SparseSoftmax", needs=(COORDINATES,))
def sparse_softmax(op, node, indices, values, shape):
    """Softmax over the stored elements of each row."""
    lowest = op.const(np.array(-np.inf, values.dtype.numpy()))
    dense = to_dense(op, indices, values, shape, lowest)
    row_max = op.ReduceMax(dense, ints(-1))
    exponentials = op.Exp(op.Sub(dense, op.Where(op.IsInf(row_max), like(op, values, 0), row_max)))
    total = op.ReduceSum(exponentials, ints(-1))
    return op.Div(op.GatherND(exponentials, indices), op.GatherND(op.Expand(total, shape), indices))


@ops.op("SparseMatMul", needs=(known_rank(), known_rank(1)))
def sparse_matmul(op, node, a, b):
    """Matrix product of dense operands; TensorFlow's name tells that they contain many zeros."""
    operands = [
        op.Transpose(v, perm=[1, 0]) if node.get(n) else v
        for v, n in ((a, "transpose_a"), (b, "transpose_b"))
    ]
    floats = [v if v.dtype == T.FLOAT else op.Cast(v, to=int(T.FLOAT)) for v in operands]
    return op.MatMul(*floats)


OPERATIONS = condition(
    "one of four operations", lambda n: n.get("set_operation") in ("a-b", "b-a", "intersection", "union")
)
DENSE = condition("sets that are rows of a known number of dimensions", lambda n: bool(rank_of(n.inputs[0])))
SHAPED = condition("a known number of dimensions", lambda n: shape_of(n.inputs[-1]) is not None)


@ops.op("DenseToDenseSetOperation", needs=(OPERATIONS, DENSE))
def dense_sets(op, node, a, b):
    return _set_operation(op, node, _rows_of_dense(op, a), _rows_of_dense(op, b), op.Shape(a), rank_of(a))


@ops.op("DenseToSparseSetOperation", needs=(OPERATIONS, DENSE, SHAPED))
def dense_and_sparse_sets(op, node, a, *sparse):
    return _set_operation(
        op, node, _rows_of_dense(op, a), _rows_of_sparse(op, *sparse), op.Shape(a), rank_of(a)
    )


@ops.op("SparseToSparseSetOperation", needs=(OPERATIONS, SHAPED))
def sparse_sets(op, node, *inputs):
    first, second = (_rows_of_sparse(op, *inputs[n : n + 3]) for n in (0, 3))
    return _set_operation(op, node, first, second, inputs[2], shape_of(inputs[5])[0])


def _as_unique_dtype(op: Any, values: Any) -> Any:
    """Values in a dtype whose unique elements ONNX Runtime finds: string or int64."""
    return values if values.dtype == T.STRING else as_int64(op, values)


def _rows_of_dense(op: Any, x: Any) -> tuple[Any, Any]:
    """Row of every element, counted through all dimensions but the last; and the elements."""
    flat = op.Reshape(x, ints(-1))
    return op.Div(arange(op, op.Shape(flat)), op.Max(op.Shape(x, start=-1), ints(1))), _as_unique_dtype(
        op, flat
    )


def _rows_of_sparse(op: Any, indices: Any, values: Any, shape: Any) -> tuple[Any, Any]:
    """Row of every element, counted through all dimensions but the last; and the elements."""
    if shape_of(shape) == [1]:
        return op.Squeeze(op.Sub(indices, indices), ints(1)), _as_unique_dtype(op, values)
    outer = op.Slice(indices, ints(0), ints(-1), ints(1))
    return flat_indices(op, outer, op.Slice(shape, ints(0), ints(-1), ints(0))), _as_unique_dtype(op, values)


def _set_operation(
    op: Any, node: Any, first: Any, second: Any, shape: Any, rank: int
) -> tuple[Any, Any, Any]:
    """Sorted unique elements of the result in every row, as a sparse tensor."""
    operation = node.get("set_operation")
    first, second = (second, first) if operation == "b-a" else (first, second)
    elements, _, inverse, _ = op.Unique(op.Concat(first[1], second[1], axis=0), sorted=1, _outputs=4)
    total, count = op.Max(op.Shape(elements), ints(1)), op.Shape(first[1])
    keys = op.Add(op.Mul(op.Concat(first[0], second[0], axis=0), total), inverse)
    first_keys, second_keys = (
        op.Slice(keys, ints(0), count, ints(0)),
        op.Slice(keys, count, ints(FAR), ints(0)),
    )
    result_keys = op.Unique(keys if operation == "union" else first_keys, sorted=1, _outputs=4)[0]
    if operation != "union":
        is_in_other = _any_in_row(
            op, op.Equal(op.Unsqueeze(result_keys, ints(1)), op.Unsqueeze(second_keys, ints(0)))
        )
        positions = op.NonZero(is_in_other if operation == "intersection" else op.Not(is_in_other))
        result_keys = op.Gather(result_keys, op.Reshape(positions, ints(-1)), axis=0)
    values = op.Gather(elements, op.Mod(result_keys, total), axis=0)
    values = values if values.dtype == node.get("T") else op.Cast(values, to=int(node.get("T")))
    return _sparse_rows(
        op, op.Div(result_keys, total), values, op.Slice(shape, ints(0), ints(-1), ints(0)), rank
    )


def _any_in_row(op: Any, flags: Any) -> Any:
    """True for rows with any true element."""
    return op.Greater(op.ReduceSum(op.Cast(flags, to=int(T.INT64)), ints(1), keepdims=0), ints(0))


def _sparse_rows(op: Any, rows: Any, values: Any, outer: Any, rank: int) -> tuple[Any, Any, Any]:
    """Elements sorted by row, as indices, values and shape."""
    row = op.Unsqueeze(rows, ints(1))
    is_earlier = op.Cast(op.Less(op.Unsqueeze(rows, ints(0)), row), to=int(T.INT64))
    positions = op.Sub(
        op.CumSum(op.Add(op.Sub(rows, rows), ints(1)), op.const(np.array(0, np.int64))), ints(1)
    )
    columns = op.Sub(positions, op.ReduceSum(is_earlier, ints(1), keepdims=0))
    row_limit = op.ReduceMax(op.Concat(op.Add(columns, ints(1)), ints(0), axis=0), keepdims=1)
    column = op.Unsqueeze(columns, ints(1))
    if rank == 1:
        return column, values, row_limit
    return op.Concat(unravel(op, rows, outer), column, axis=1), values, op.Concat(outer, row_limit, axis=0)


def _remaining_axes(node: Any) -> list[int] | None:
    """The axes that a reduction keeps; None unless the reduced axes and the rank are known."""
    axes, depth = constant_ints(node.inputs[3]), shape_of(node.inputs[2])
    if axes is None or depth is None:
        return None
    return [n for n in range(depth[0]) if n not in {a % depth[0] for a in axes}]


PARTLY = condition("constant axes, and one at least that stays", lambda n: bool(_remaining_axes(n)))


@ops.op(
    "SparseReduceSumSparse",
    "SparseReduceMaxSparse",
    needs=(PARTLY, attribute("T", T.FLOAT, T.DOUBLE, T.INT32, T.INT64)),
)
def sparse_reduce_sparse(op, node, indices, values, shape, axes):
    """Reduce the stored elements that share the remaining indices; sparse result."""
    axes_kept = ints(*(_remaining_axes(node) or []))
    remaining, remaining_shape = op.Gather(indices, axes_kept, axis=1), op.Gather(shape, axes_kept, axis=0)
    unique, _, inverse, _ = op.Unique(flat_indices(op, remaining, remaining_shape), sorted=1, _outputs=4)
    reduction = "add" if "Sum" in node.op else "max"
    dtype = values.dtype.numpy()
    initial = 0 if reduction == "add" else -np.inf if dtype.kind == "f" else np.iinfo(dtype).min
    initial_values = op.Expand(op.const(np.array(initial, dtype)), op.Shape(unique))
    reduced = op.ScatterND(initial_values, op.Unsqueeze(inverse, ints(1)), values, reduction=reduction)
    new_indices = unravel(op, unique, remaining_shape)
    if not node.get("keep_dims"):
        return new_indices, reduced, remaining_shape
    depth = shape_of(shape)[0]
    order = [axes_kept.tolist().index(n) if n in axes_kept else len(axes_kept) for n in range(depth)]
    padded = op.Concat(
        new_indices,
        op.Sub(
            op.Slice(new_indices, ints(0), ints(1), ints(1)), op.Slice(new_indices, ints(0), ints(1), ints(1))
        ),
        axis=1,
    )
    return (
        op.Gather(padded, ints(*order), axis=1),
        reduced,
        op.Gather(op.Concat(remaining_shape, ints(1), axis=0), ints(*order), axis=0),
    )


@ops.op("SetSize", needs=(condition("indices of rows", lambda n: (shape_of(n.inputs[2]) or [0])[0] == 2),))
def set_size(op, node, indices, values, shape):
    """Number of distinct elements in each row."""
    rows, element = op.Slice(indices, ints(0), ints(1), ints(1)), op.Unsqueeze(ordinals(op, values), ints(1))
    pairs = op.Unique(op.Concat(rows, element, axis=1), axis=0, sorted=1, _outputs=4)[0]
    zeros = op.Expand(op.const(np.array(0, np.int32)), op.Slice(shape, ints(0), ints(1), ints(0)))
    ones = op.Expand(op.const(np.array(1, np.int32)), op.Shape(pairs, end=1))
    return op.ScatterND(zeros, op.Slice(pairs, ints(0), ints(1), ints(1)), ones, reduction="add")


def ordinals(op: Any, values: Any) -> Any:
    """int64 numbers that compare as the values do."""
    if values.dtype == T.STRING:
        return op.Unique(values, sorted=1, _outputs=4)[2]
    return as_int64(op, values)


@ops.op(
    "SparseBincount",
    needs=(condition("a vector or rows", lambda n: (shape_of(n.inputs[2]) or [9])[0] in (1, 2)),),
)
def sparse_bincount(op, node, indices, values, shape, size, weights):
    """Per row, the count of each number below `size`, or the sum of its weights."""
    dtype, rank = node.get("T"), shape_of(shape)[0]
    numbers = as_int64(op, values)
    positions = op.Reshape(op.NonZero(op.Less(numbers, int64_vector(op, size))), ints(-1))
    column, rows = op.Unsqueeze(numbers, ints(1)), op.Slice(indices, ints(0), ints(1), ints(1))
    keys = op.Concat(rows, column, axis=1) if rank == 2 else column
    full_shape = (
        op.Concat(op.Slice(shape, ints(0), ints(1), ints(0)), int64_vector(op, size), axis=0)
        if rank == 2
        else int64_vector(op, size)
    )
    binary = node.get("binary_output")
    unweighted = binary or list(weights.shape or [None]) == [0]
    amounts = op.Expand(op.const(np.ones((), dtype.numpy())), op.Shape(numbers)) if unweighted else weights
    zeros = op.Expand(op.const(np.zeros((), dtype.numpy())), full_shape)
    selected = op.Gather(keys, positions, axis=0), op.Gather(amounts, positions, axis=0)
    return op.ScatterND(zeros, *selected, reduction="none" if binary else "add")


@ops.op(
    "SparseSplit", needs=(condition("constant axis and shape", lambda n: shape_of(n.inputs[3]) is not None),)
)
def sparse_split(op, node, axis, indices, values, shape):
    """Slices of nearly one length; the first ones are longer."""
    count, known_axis, size = node.get("num_split"), constant_ints(axis), constant_ints(shape)
    if known_axis is None or size is None:
        return NotImplemented
    dim = known_axis[0] % len(size)
    short, remainder = divmod(size[dim], count)
    lengths = [short + (n < remainder) for n in range(count)]
    starts = np.cumsum([0, *lengths[:-1]])
    slices = []
    for start, length in zip(starts.tolist(), lengths, strict=True):
        begin, extent = np.zeros(len(size), np.int64), np.array(size, np.int64)
        begin[dim], extent[dim] = start, length
        slices.append(sparse_slice(op, node, indices, values, shape, op.const(begin), op.const(extent)))
    return [v for role in zip(*slices, strict=True) for v in role]
