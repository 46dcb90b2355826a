"""Sparse tensors as their indices, values and shape; sets; decoded sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_dtype, as_int64, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, ranked, scalar
from bridge_savedmodel.import_ops.patterns import compacted
from bridge_savedmodel.values import tensor_of, text

ops = OpTable()

COORDINATES = condition(
    "indices of known rank",
    lambda n: isinstance(list(n.inputs[0].shape or [None])[-1], int) and rank_of(n.inputs[0]) == 2,
)


def strides(op: Any, shape: Any) -> Any:
    """How far apart neighbours along each dimension lie in the flattened tensor."""
    return op.CumProd(shape, op.const(np.array(0, np.int64)), exclusive=1, reverse=1)


def place(op: Any, indices: Any, shape: Any) -> Any:
    """Where each row of indices lies in the flattened tensor."""
    return op.ReduceSum(op.Mul(indices, strides(op, shape)), ints(1), keepdims=0)


@ops.op(
    "SparseReshape",
    needs=(COORDINATES, condition("a new shape of known rank", lambda n: shape_of(n.inputs[2]) is not None)),
)
def sparse_reshape(op, node, indices, shape, wanted):
    total = op.ReduceProd(shape, keepdims=1)
    open_ = op.Equal(wanted, ints(-1))
    known = op.ReduceProd(op.Where(open_, ints(1), wanted), keepdims=1)
    target = op.Where(open_, op.Div(total, op.Max(known, ints(1))), wanted)
    at = op.Unsqueeze(place(op, indices, shape), ints(1))
    return op.Mod(op.Div(at, strides(op, target)), op.Max(target, ints(1))), target


@ops.op("SparseFillEmptyRows", needs=(COORDINATES,))
def sparse_fill_empty_rows(op, node, indices, values, shape, default):
    """An entry in the first place of every row that has none; entries in the order of rows."""
    zero, one = op.const(np.array(0, np.int64)), op.const(np.array(1, np.int64))
    count, width = op.Slice(shape, ints(0), ints(1), ints(0)), shape_of(shape)[0]
    rows = op.Squeeze(op.Slice(indices, ints(0), ints(1), ints(1)), ints(1))
    found = op.ScatterND(
        op.Expand(zero, count), op.Unsqueeze(rows, ints(1)), op.Expand(one, op.Shape(rows)), reduction="add"
    )
    empty = op.Equal(found, zero)
    blank = op.Transpose(op.NonZero(empty), perm=[1, 0])
    more = op.Pad(blank, ints(0, 0, 0, width - 1))
    whole = op.Concat(indices, more, axis=0)
    filled = op.Concat(values, op.Expand(scalar(op, default), op.Shape(blank, start=0, end=1)), axis=0)
    number = op.Shape(whole, start=0, end=1)
    places = arange(op, number)
    first = op.Squeeze(op.Slice(whole, ints(0), ints(1), ints(1)), ints(1))
    order = op.TopK(op.Add(op.Mul(first, number), places), number, largest=0, _outputs=2)[1]
    inverse = op.TopK(order, number, largest=0, _outputs=2)[1]
    back = op.Slice(inverse, ints(0), op.Shape(rows), ints(0))
    return op.Gather(whole, order, axis=0), op.Gather(filled, order, axis=0), empty, back


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
    at = place(op, indices, shape)
    order = op.TopK(at, op.Shape(at), largest=0, _outputs=2)[1]
    return op.Gather(indices, order, axis=0), op.Gather(values, order, axis=0)


@ops.op("ListDiff")
def list_diff(op, node, x, y):
    """What of `x` is not in `y`, and where."""
    same = op.Cast(op.Equal(op.Unsqueeze(x, ints(1)), op.Unsqueeze(y, ints(0))), to=int(T.INT64))
    kept = op.Equal(op.ReduceSum(same, ints(1), keepdims=0), op.const(np.array(0, np.int64)))
    places = op.Reshape(op.NonZero(kept), ints(-1))
    return op.Gather(x, places, axis=0), as_dtype(op, places, node.get("out_idx"))


@ops.op("UnravelIndex")
def unravel_index(op, node, indices, dims):
    shape = as_int64(op, dims)
    made = op.Mod(
        op.Div(op.Reshape(as_int64(op, indices), ints(1, -1)), op.Unsqueeze(strides(op, shape), ints(1))),
        op.Unsqueeze(shape, ints(1)),
    )
    return as_dtype(op, op.Squeeze(made, ints(1)) if rank_of(indices) == 0 else made, indices.dtype)


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
    """Places, parts and shape of the table of parts. A separator parts an empty string into one that is
    empty, where ONNX Runtime finds none."""
    by = str(text(const(separator)).reshape(()))
    most = node.get("maxsplit")
    if most >= 0 and not by:
        return NotImplemented
    table, counts = op.StringSplit(x, delimiter=by or None, maxsplit=most if most >= 0 else None, _outputs=2)
    if by:
        one = op.const(np.array(1, np.int64))
        column = op.Expand(op.const(tensor_of(np.array("", object))), op.Concat(op.Shape(x), ints(1), axis=0))
        table, counts = op.Concat(table, column, axis=1), op.Max(counts, one)
    width = op.ReduceMax(op.Concat(counts, ints(0), axis=0), keepdims=1)
    places = arange(op, width)
    filled = op.Less(op.Unsqueeze(places, ints(0)), op.Unsqueeze(counts, ints(1)))
    indices = op.Transpose(op.NonZero(filled), perm=[1, 0])
    return indices, op.GatherND(table, indices), op.Concat(op.Shape(x), width, axis=0)


@ops.op(
    "CTCGreedyDecoder",
    needs=(
        ranked(),
        condition("a known number of classes", lambda n: isinstance(list(n.inputs[0].shape)[2], int)),
    ),
)
def ctc_greedy_decoder(op, node, logits, lengths):
    """The best class of every step, repetitions and blanks left out."""
    classes = list(logits.shape)[2]
    blank = node.get("blank_index") % classes
    best = op.Transpose(op.ArgMax(logits, axis=2, keepdims=0), perm=[1, 0])
    steps = arange(op, op.Shape(best, start=1))
    inside = op.Less(op.Unsqueeze(steps, ints(0)), op.Unsqueeze(as_int64(op, lengths), ints(1)))
    kept = op.And(inside, op.Not(op.Equal(best, op.const(np.array(blank, np.int64)))))
    if node.get("merge_repeated"):
        before = op.Slice(
            op.Pad(best, ints(0, 1, 0, 0), op.const(np.array(-1, np.int64))), ints(0), ints(-1), ints(1)
        )
        kept = op.And(kept, op.Not(op.Equal(best, before)))
    indices, values, shape = compacted(op, best, kept)
    scores = op.Transpose(op.ReduceMax(logits, ints(2), keepdims=0), perm=[1, 0])
    total = op.Neg(op.ReduceSum(op.Where(inside, scores, like(op, logits, 0)), ints(1)))
    return indices, values, shape, total
