"""Reductions, extremes, unique elements and counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_int64, int64_vector, ints, like
from bridge.needs import constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_scalar, known_rank

ops = OpTable()

SAME_KIND = {
    "Sum": "ReduceSum",
    "Mean": "ReduceMean",
    "Prod": "ReduceProd",
    "Max": "ReduceMax",
    "Min": "ReduceMin",
    "EuclideanNorm": "ReduceL2",
}


def _reduce_by_axes(op: Any, native: str, node: Any, x: Any, axes: Any) -> Any:
    """Without axes every element is by itself, at run time too."""
    x = op.Abs(x) if native == "ReduceL2" else x
    if shape_of(axes) == [0]:
        return op.Identity(x)
    keep = int(node.get("keep_dims"))
    surely = shape_of(axes) is not None
    return op.node(
        native, x, int64_vector(op, axes), keepdims=keep, noop_with_empty_axes=None if surely else 1
    )


@ops.op(*SAME_KIND, needs=(known_rank(),))
def reduce(op, node, x, axes):
    return _reduce_by_axes(op, SAME_KIND[node.op], node, x, axes)


@ops.op("All", "Any", needs=(known_rank(),))
def all_or_any(op, node, x, axes):
    return _reduce_by_axes(op, "ReduceMin" if node.op == "All" else "ReduceMax", node, x, axes)


@ops.op("L2Loss")
def l2_loss(op, node, x):
    return op.Mul(op.ReduceSum(op.Mul(x, x), keepdims=0), like(op, x, 0.5))


@ops.op("ArgMax", "ArgMin", needs=(constant(1, "axis"),))
def arg_max(op, node, x, axis):
    source = op.Cast(x, to=int(T.INT32)) if x.dtype == T.BOOL else x
    indices = op.node(node.op, source, axis=int(const(axis).reshape(())), keepdims=0)
    dtype = node.get("output_type")
    return indices if dtype == T.INT64 else op.Cast(indices, to=int(dtype))


@ops.op("TopK", "TopKV2", needs=(known_rank(),))
def top_k(op, node, x, k=None):
    count = op.const(ints(node.get("k"))) if k is None else int64_vector(op, k)
    values, indices = op.TopK(x, count, axis=-1, sorted=1, _outputs=2)
    dtype = node.get("index_type", T.INT32)
    return values, indices if dtype == T.INT64 else op.Cast(indices, to=int(dtype))


@ops.op("NthElement", needs=(known_rank(), constant(1, "n")))
def nth_element(op, node, x, n):
    index = int(const(n).reshape(()))
    values, _ = op.TopK(x, ints(index + 1), axis=-1, largest=int(node.get("reverse")), _outputs=2)
    return op.Squeeze(op.Slice(values, ints(index), ints(index + 1), ints(-1)), ints(-1))


@ops.op("InTopKV2", "InTopK", needs=(known_rank(),))
def in_top_k(op, node, predictions, targets, k=None):
    """True where fewer than k scores exceed the target's."""
    target_score = op.GatherElements(predictions, op.Unsqueeze(as_int64(op, targets), ints(1)), axis=1)
    above = op.ReduceSum(op.Cast(op.Greater(predictions, target_score), to=int(T.INT64)), ints(1), keepdims=0)
    count = op.const(np.array(node.get("k"), np.int64)) if k is None else as_scalar(op, as_int64(op, k))
    finite = op.Not(
        op.Or(op.IsNaN(op.Squeeze(target_score, ints(1))), op.IsInf(op.Squeeze(target_score, ints(1))))
    )
    return op.And(op.Less(above, count), finite)


UNIQUE_DTYPES = (T.INT8, T.INT64, T.UINT64)
"""Integers that ONNX Runtime finds the distinct ones of, and what int64 cannot hold."""


@ops.op("Unique", "UniqueV2", "UniqueWithCounts", "UniqueWithCountsV2")
def unique(op, node, x, axis=None):
    """Unique elements in the order of first appearance."""
    known = None if axis is None else const(axis)
    if axis is not None and (known is None or known.size > 1):
        return NotImplemented
    dim = None if known is None or known.size == 0 or rank_of(x) == 1 else int(known.reshape(()))
    is_narrow = x.dtype.is_integer() and x.dtype not in UNIQUE_DTYPES
    source = op.Cast(x, to=int(T.INT64)) if is_narrow else x
    values, _, inverse, counts = op.Unique(source, axis=dim, sorted=0, _outputs=4)
    values = op.Cast(values, to=int(x.dtype)) if is_narrow else values
    dtype = node.get("out_idx")
    inverse, counts = (v if dtype == T.INT64 else op.Cast(v, to=int(dtype)) for v in (inverse, counts))
    return (values, inverse, counts) if "Counts" in node.op else (values, inverse)


@ops.op("Bincount", "DenseBincount")
def bincount(op, node, x, size, weights):
    """Count of each number below `size`, or the sum of its weights."""
    if rank_of(x) not in (1, None) and node.op == "DenseBincount":
        return _row_counts(op, node, x, size, weights)
    indices = op.Reshape(as_int64(op, x), ints(-1, 1))
    length = int64_vector(op, size)
    dtype = node.get("T")
    weighted = shape_of(weights) != [0]
    values = (
        op.Reshape(weights, ints(-1))
        if weighted
        else op.Expand(op.const(np.ones((), dtype.numpy())), int64_vector(op, op.Size(x)))
    )
    is_inside = op.Less(op.Reshape(indices, ints(-1)), length)
    amounts = op.Where(is_inside, values, op.const(np.zeros((), dtype.numpy())))
    clamped = op.Min(indices, op.Sub(length, ints(1)))
    if node.get("binary_output"):
        return NotImplemented
    return op.ScatterND(
        op.Expand(op.const(np.zeros((), dtype.numpy())), length), clamped, amounts, reduction="add"
    )


def _row_counts(op: Any, node: Any, x: Any, size: Any, weights: Any) -> Any:
    dtype, count = node.get("T"), const(size)
    if count is None or shape_of(weights) != [0]:
        return NotImplemented
    numbers = op.const(np.arange(int(count.reshape(())), dtype=np.int64))
    matches = op.Cast(op.Equal(op.Unsqueeze(as_int64(op, x), ints(2)), numbers), to=int(dtype))
    reduction = "ReduceMax" if node.get("binary_output") else "ReduceSum"
    return op.node(reduction, matches, ints(1), keepdims=0)


@ops.op("ApproxTopK", needs=(known_rank(),))
def approximate_top_k(op, node, x):
    """Exact maxima or minima."""
    axis = node.get("reduction_dimension")
    largest = int(node.get("is_max_k"))
    values, indices = op.TopK(x, ints(node.get("k")), axis=axis, largest=largest, _outputs=2)
    return values, op.Cast(indices, to=int(T.INT32))
