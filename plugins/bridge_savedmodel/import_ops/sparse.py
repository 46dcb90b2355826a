"""Sparse tensors as indices [n, rank], values [n] and shape [rank]; string splitting; CTC decoding."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_dtype, as_int64, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_scalar, known_rank
from bridge_savedmodel.import_ops.text_regex import compact_rows
from bridge_savedmodel.values import decode_strings, tensor_of

ops = OpTable()

COORDINATES = condition(
    "indices of known rank",
    lambda n: isinstance(list(n.inputs[0].shape or [None])[-1], int) and rank_of(n.inputs[0]) == 2,
)


def strides(op: Any, shape: Any) -> Any:
    """Distance in the flattened tensor between neighbours along each dimension."""
    return op.CumProd(shape, op.const(np.array(0, np.int64)), exclusive=1, reverse=1)


def flat_indices(op: Any, indices: Any, shape: Any) -> Any:
    """Index in the flattened tensor of each row of indices."""
    return op.ReduceSum(op.Mul(indices, strides(op, shape)), ints(1), keepdims=0)


@ops.op(
    "SparseReshape",
    needs=(COORDINATES, condition("a new shape of known rank", lambda n: shape_of(n.inputs[2]) is not None)),
)
def sparse_reshape(op, node, indices, shape, new_shape):
    total = op.ReduceProd(shape, keepdims=1)
    is_inferred = op.Equal(new_shape, ints(-1))
    known = op.ReduceProd(op.Where(is_inferred, ints(1), new_shape), keepdims=1)
    target = op.Where(is_inferred, op.Div(total, op.Max(known, ints(1))), new_shape)
    flat = op.Unsqueeze(flat_indices(op, indices, shape), ints(1))
    return op.Mod(op.Div(flat, strides(op, target)), op.Max(target, ints(1))), target


@ops.op("SparseFillEmptyRows", needs=(COORDINATES,))
def sparse_fill_empty_rows(op, node, indices, values, shape, default):
    """Add an entry at column 0 of every empty row; entries are sorted by row."""
    zero, one = op.const(np.array(0, np.int64)), op.const(np.array(1, np.int64))
    count, width = op.Slice(shape, ints(0), ints(1), ints(0)), shape_of(shape)[0]
    rows = op.Squeeze(op.Slice(indices, ints(0), ints(1), ints(1)), ints(1))
    counts = op.ScatterND(
        op.Expand(zero, count), op.Unsqueeze(rows, ints(1)), op.Expand(one, op.Shape(rows)), reduction="add"
    )
    empty = op.Equal(counts, zero)
    empty_rows = op.Transpose(op.NonZero(empty), perm=[1, 0])
    new_indices = op.Pad(empty_rows, ints(0, 0, 0, width - 1))
    all_indices = op.Concat(indices, new_indices, axis=0)
    all_values = op.Concat(
        values, op.Expand(as_scalar(op, default), op.Shape(empty_rows, start=0, end=1)), axis=0
    )
    total = op.Shape(all_indices, start=0, end=1)
    positions = arange(op, total)
    row_of_entry = op.Squeeze(op.Slice(all_indices, ints(0), ints(1), ints(1)), ints(1))
    order = op.TopK(op.Add(op.Mul(row_of_entry, total), positions), total, largest=0, _outputs=2)[1]
    inverse = op.TopK(order, total, largest=0, _outputs=2)[1]
    reverse_index_map = op.Slice(inverse, ints(0), op.Shape(rows), ints(0))
    return (
        op.Gather(all_indices, order, axis=0),
        op.Gather(all_values, order, axis=0),
        empty,
        reverse_index_map,
    )


@ops.op("SparseTensorDenseMatMul", needs=(COORDINATES,))
def sparse_matmul(op, node, indices, values, shape, dense):
    if node.get("adjoint_a") or node.get("adjoint_b"):
        return NotImplemented
    empty = op.Expand(like(op, values, 0), as_int64(op, shape))
    return op.MatMul(op.ScatterND(empty, as_int64(op, indices), values, reduction="add"), dense)


@ops.op("SparseTensorDenseAdd", needs=(COORDINATES,))
def sparse_add(op, node, indices, values, shape, dense):
    return op.ScatterND(dense, as_int64(op, indices), values, reduction="add")


@ops.op("SparseReorder", needs=(COORDINATES,))
def sparse_reorder(op, node, indices, values, shape):
    position = flat_indices(op, indices, shape)
    order = op.TopK(position, op.Shape(position), largest=0, _outputs=2)[1]
    return op.Gather(indices, order, axis=0), op.Gather(values, order, axis=0)


@ops.op("ListDiff")
def list_diff(op, node, x, y):
    """Elements of `x` that are not in `y`, and their indices."""
    same = op.Cast(op.Equal(op.Unsqueeze(x, ints(1)), op.Unsqueeze(y, ints(0))), to=int(T.INT64))
    is_missing = op.Equal(op.ReduceSum(same, ints(1), keepdims=0), op.const(np.array(0, np.int64)))
    indices = op.Reshape(op.NonZero(is_missing), ints(-1))
    return op.Gather(x, indices, axis=0), as_dtype(op, indices, node.get("out_idx"))


@ops.op("UnravelIndex")
def unravel_index(op, node, indices, dims):
    shape = as_int64(op, dims)
    coordinates = op.Mod(
        op.Div(op.Reshape(as_int64(op, indices), ints(1, -1)), op.Unsqueeze(strides(op, shape), ints(1))),
        op.Unsqueeze(shape, ints(1)),
    )
    return as_dtype(
        op, op.Squeeze(coordinates, ints(1)) if rank_of(indices) == 0 else coordinates, indices.dtype
    )


@ops.op(
    "StringSplitV2",
    needs=(
        condition(
            "a vector and a constant separator",
            lambda n: rank_of(n.inputs[0]) == 1 and const(n.inputs[1]) is not None,
        ),
    ),
)
def string_split(op, node, x, separator):
    """Indices, values and shape of the parts. With a separator an empty string has one empty part, where ONNX
    Runtime returns none."""
    delimiter = str(decode_strings(const(separator)).reshape(()))
    maxsplit = node.get("maxsplit")
    if maxsplit >= 0 and not delimiter:
        return NotImplemented
    table, counts = op.StringSplit(
        x, delimiter=delimiter or None, maxsplit=maxsplit if maxsplit >= 0 else None, _outputs=2
    )
    if delimiter:
        one = op.const(np.array(1, np.int64))
        column = op.Expand(op.const(tensor_of(np.array("", object))), op.Concat(op.Shape(x), ints(1), axis=0))
        table, counts = op.Concat(table, column, axis=1), op.Max(counts, one)
    width = op.ReduceMax(op.Concat(counts, ints(0), axis=0), keepdims=1)
    positions = arange(op, width)
    is_part = op.Less(op.Unsqueeze(positions, ints(0)), op.Unsqueeze(counts, ints(1)))
    indices = op.Transpose(op.NonZero(is_part), perm=[1, 0])
    return indices, op.GatherND(table, indices), op.Concat(op.Shape(x), width, axis=0)


@ops.op(
    "CTCGreedyDecoder",
    needs=(
        known_rank(),
        condition("a known number of classes", lambda n: isinstance(list(n.inputs[0].shape)[2], int)),
    ),
)
def ctc_greedy_decoder(op, node, logits, lengths):
    """The best class of every step, without repetitions and blanks."""
    classes = list(logits.shape)[2]
    blank = node.get("blank_index") % classes
    best = op.Transpose(op.ArgMax(logits, axis=2, keepdims=0), perm=[1, 0])
    steps = arange(op, op.Shape(best, start=1))
    is_valid = op.Less(op.Unsqueeze(steps, ints(0)), op.Unsqueeze(as_int64(op, lengths), ints(1)))
    mask = op.And(is_valid, op.Not(op.Equal(best, op.const(np.array(blank, np.int64)))))
    if node.get("merge_repeated"):
        previous = op.Slice(
            op.Pad(best, ints(0, 1, 0, 0), op.const(np.array(-1, np.int64))), ints(0), ints(-1), ints(1)
        )
        mask = op.And(mask, op.Not(op.Equal(best, previous)))
    indices, values, shape = compact_rows(op, best, mask)
    scores = op.Transpose(op.ReduceMax(logits, ints(2), keepdims=0), perm=[1, 0])
    total = op.Neg(op.ReduceSum(op.Where(is_valid, scores, like(op, logits, 0)), ints(1)))
    return indices, values, shape, total
