"""Segment reductions; stitching and partitioning by index."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.hub import rank_of
from bridge.importing import as_int64, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import known_rank

ops = OpTable()

REDUCTIONS = {"Sum": "add", "Max": "max", "Min": "min", "Prod": "mul"}


def _identity_element(x: Any, reduction: str) -> float:
    """The initial value of a segment reduction."""
    if reduction in ("Sum", "Mean"):
        return 0
    if reduction == "Prod":
        return 1
    info: Any = ml_dtypes.finfo if x.dtype.is_floating_point() else np.iinfo
    limits = info(x.dtype.numpy())
    return limits.min if reduction == "Max" else limits.max


def _segment_reduce(op: Any, x: Any, ids: Any, count: Any, reduction: str) -> Any:
    """Rows of `x` reduced by segment: [count, ...]. Rows with a negative segment id are dropped."""
    rank, ids_rank = rank_of(x), rank_of(ids)
    if rank is None or ids_rank is None:
        return NotImplemented
    row_ids = op.Reshape(as_int64(op, ids), ints(-1))
    inner_shape = op.Shape(x, start=ids_rank)
    rows = op.Reshape(x, op.Concat(ints(-1), inner_shape, axis=0)) if ids_rank > 1 else x
    valid = op.Reshape(op.NonZero(op.GreaterOrEqual(row_ids, ints(0))), ints(-1))
    rows, row_ids = op.Gather(rows, valid, axis=0), op.Gather(row_ids, valid, axis=0)
    initial = op.Expand(like(op, x, _identity_element(x, reduction)), op.Concat(count, inner_shape, axis=0))
    reduced = op.ScatterND(initial, op.Unsqueeze(row_ids, ints(1)), rows, reduction=REDUCTIONS[reduction])
    reduced.shape = ir.Shape([None] * (rank - ids_rank + 1)) if reduced.shape is None else reduced.shape
    return reduced


@ops.op("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd")
def unsorted_segment(op, node, x, ids, count):
    return _segment_reduce(op, x, ids, int64_vector(op, count), node.op.removeprefix("UnsortedSegment"))


@ops.op(
    "SegmentSum",
    "SegmentProd",
    "SegmentMean",
    "SegmentMax",
    "SegmentMin",
    "SegmentMaxV2",
    "SegmentMinV2",
    "SegmentSumV2",
    "SegmentProdV2",
)
def segment(op, node, x, ids, count=None):
    """Reduce sorted segments; empty ones are zero, or one for products."""
    reduction = node.op.removeprefix("Segment").removesuffix("V2")
    size = (
        op.Add(op.ReduceMax(as_int64(op, ids), keepdims=1), ints(1))
        if count is None
        else int64_vector(op, count)
    )
    if reduction == "Mean":
        return _segment_mean(op, x, ids, size)
    reduced = _segment_reduce(op, x, ids, size, reduction)
    if reduced is NotImplemented or reduction in ("Sum", "Prod") or count is not None:
        return reduced
    ones = op.Expand(op.const(np.ones((), np.int64)), op.Shape(as_int64(op, ids)))
    is_filled = op.Greater(_segment_reduce(op, ones, ids, size, "Sum"), ints(0))
    return op.Where(_unsqueeze_like(op, is_filled, x), reduced, like(op, x, 0))


def _unsqueeze_like(op: Any, flags: Any, x: Any) -> Any:
    rank = len(x.shape)
    return op.Unsqueeze(flags, np.arange(1, rank, dtype=np.int64)) if rank > 1 else flags


def _segment_mean(op: Any, x: Any, ids: Any, size: Any) -> Any:
    total = _segment_reduce(op, x, ids, size, "Sum")
    ones = op.Expand(like(op, x, 1), op.Shape(as_int64(op, ids)))
    number = op.Max(_segment_reduce(op, ones, ids, size, "Sum"), like(op, x, 1))
    return op.Div(total, _unsqueeze_like(op, number, x))


SPARSE = ("SparseSegmentSum", "SparseSegmentMean", "SparseSegmentSqrtN")


@ops.op(*SPARSE, *(f"{n}WithNumSegments" for n in SPARSE), needs=(known_rank(),))
def sparse_segment(op, node, x, indices, ids, count=None):
    rows = op.Gather(x, as_int64(op, indices), axis=0)
    rows.shape = ir.Shape([None, *list(x.shape)[1:]])
    size = (
        op.Add(op.ReduceMax(as_int64(op, ids), keepdims=1), ints(1))
        if count is None
        else int64_vector(op, count)
    )
    reduction = node.op.removeprefix("SparseSegment").removesuffix("WithNumSegments")
    if reduction == "Sum":
        return _segment_reduce(op, rows, ids, size, "Sum")
    if reduction == "Mean":
        return _segment_mean(op, rows, ids, size)
    ones = op.Expand(like(op, x, 1), op.Shape(as_int64(op, ids)))
    number = op.Max(_segment_reduce(op, ones, ids, size, "Sum"), like(op, x, 1))
    return op.Div(_segment_reduce(op, rows, ids, size, "Sum"), op.Sqrt(_unsqueeze_like(op, number, x)))


@ops.op("DynamicStitch", "ParallelDynamicStitch")
def dynamic_stitch(op, node, *inputs):
    """Rows scattered to their indices; later rows win."""
    count = len(inputs) // 2
    indices = [int64_vector(op, i) for i in inputs[:count]]
    rank = (
        None
        if rank_of(inputs[0]) is None or rank_of(inputs[count]) is None
        else rank_of(inputs[count]) - rank_of(inputs[0])
    )
    if rank is None:
        return NotImplemented
    inner_shape = op.Shape(inputs[count], start=rank_of(inputs[0])) if rank else None
    target = ints(-1) if inner_shape is None else op.Concat(ints(-1), inner_shape, axis=0)
    rows = [op.Reshape(v, target) for v in inputs[count:]]
    size = None
    for index in indices:
        largest = op.ReduceMax(index, keepdims=1)
        size = largest if size is None else op.Max(size, largest)
    size = op.Add(size, ints(1))
    stitched = op.Expand(
        like(op, rows[0], 0), size if inner_shape is None else op.Concat(size, inner_shape, axis=0)
    )
    for index, value in zip(indices, rows, strict=True):
        stitched = op.ScatterND(stitched, op.Unsqueeze(index, ints(1)), value)
    return stitched


@ops.op(
    "DynamicPartition", needs=(condition("partitions of one dimension", lambda n: rank_of(n.inputs[1]) == 1),)
)
def dynamic_partition(op, node, x, partitions):
    row_ids = as_int64(op, partitions)
    outputs = []
    for number in range(node.get("num_partitions")):
        indices = op.Reshape(op.NonZero(op.Equal(row_ids, ints(number))), ints(-1))
        outputs.append(op.Gather(x, indices, axis=0))
    return outputs
