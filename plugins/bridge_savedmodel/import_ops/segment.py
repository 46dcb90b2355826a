"""Sums and extremes of segments, and parts put together by index."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.hub import rank_of
from bridge.importing import as_int64, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import ranked

ops = OpTable()

KINDS = {"Sum": "add", "Max": "max", "Min": "min", "Prod": "mul"}


def _lowest(x: Any, kind: str) -> float:
    if kind in ("Sum", "Mean"):
        return 0
    if kind == "Prod":
        return 1
    info: Any = ml_dtypes.finfo if x.dtype.is_floating_point() else np.iinfo
    found = info(x.dtype.numpy())
    return found.min if kind == "Max" else found.max


def _segments(op: Any, x: Any, ids: Any, count: Any, kind: str) -> Any:
    """Rows of `x` reduced by segment, `count` of them; rows of a negative segment are left out."""
    rank, own = rank_of(x), rank_of(ids)
    if rank is None or own is None:
        return NotImplemented
    at = op.Reshape(as_int64(op, ids), ints(-1))
    rest = op.Shape(x, start=own)
    rows = op.Reshape(x, op.Concat(ints(-1), rest, axis=0)) if own > 1 else x
    kept = op.Reshape(op.NonZero(op.GreaterOrEqual(at, ints(0))), ints(-1))
    rows, at = op.Gather(rows, kept, axis=0), op.Gather(at, kept, axis=0)
    empty = op.Expand(like(op, x, _lowest(x, kind)), op.Concat(count, rest, axis=0))
    made = op.ScatterND(empty, op.Unsqueeze(at, ints(1)), rows, reduction=KINDS[kind])
    made.shape = ir.Shape([None] * (rank - own + 1)) if made.shape is None else made.shape
    return made


@ops.op("UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd")
def unsorted_segment(op, node, x, ids, count):
    return _segments(op, x, ids, int64_vector(op, count), node.op.removeprefix("UnsortedSegment"))


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
    """Segments without a row are zero, or one for products."""
    kind = node.op.removeprefix("Segment").removesuffix("V2")
    size = (
        op.Add(op.ReduceMax(as_int64(op, ids), keepdims=1), ints(1))
        if count is None
        else int64_vector(op, count)
    )
    if kind == "Mean":
        return _means(op, x, ids, size)
    made = _segments(op, x, ids, size, kind)
    if made is NotImplemented or kind in ("Sum", "Prod") or count is not None:
        return made
    ones = op.Expand(op.const(np.ones((), np.int64)), op.Shape(as_int64(op, ids)))
    filled = op.Greater(_segments(op, ones, ids, size, "Sum"), ints(0))
    return op.Where(_unsqueeze_like(op, filled, x), made, like(op, x, 0))


def _unsqueeze_like(op: Any, flags: Any, x: Any) -> Any:
    rank = len(x.shape)
    return op.Unsqueeze(flags, np.arange(1, rank, dtype=np.int64)) if rank > 1 else flags


def _means(op: Any, x: Any, ids: Any, size: Any) -> Any:
    total = _segments(op, x, ids, size, "Sum")
    ones = op.Expand(like(op, x, 1), op.Shape(as_int64(op, ids)))
    number = op.Max(_segments(op, ones, ids, size, "Sum"), like(op, x, 1))
    return op.Div(total, _unsqueeze_like(op, number, x))


SPARSE = ("SparseSegmentSum", "SparseSegmentMean", "SparseSegmentSqrtN")


@ops.op(*SPARSE, *(f"{n}WithNumSegments" for n in SPARSE), needs=(ranked(),))
def sparse_segment(op, node, x, indices, ids, count=None):
    rows = op.Gather(x, as_int64(op, indices), axis=0)
    rows.shape = ir.Shape([None, *list(x.shape)[1:]])
    size = (
        op.Add(op.ReduceMax(as_int64(op, ids), keepdims=1), ints(1))
        if count is None
        else int64_vector(op, count)
    )
    kind = node.op.removeprefix("SparseSegment").removesuffix("WithNumSegments")
    if kind == "Sum":
        return _segments(op, rows, ids, size, "Sum")
    if kind == "Mean":
        return _means(op, rows, ids, size)
    ones = op.Expand(like(op, x, 1), op.Shape(as_int64(op, ids)))
    number = op.Max(_segments(op, ones, ids, size, "Sum"), like(op, x, 1))
    return op.Div(_segments(op, rows, ids, size, "Sum"), op.Sqrt(_unsqueeze_like(op, number, x)))


@ops.op("DynamicStitch", "ParallelDynamicStitch")
def dynamic_stitch(op, node, *inputs):
    """Rows put where their indices say; later ones win."""
    count = len(inputs) // 2
    indices = [int64_vector(op, i) for i in inputs[:count]]
    rank = (
        None
        if rank_of(inputs[0]) is None or rank_of(inputs[count]) is None
        else rank_of(inputs[count]) - rank_of(inputs[0])
    )
    if rank is None:
        return NotImplemented
    rest = op.Shape(inputs[count], start=rank_of(inputs[0])) if rank else None
    target = ints(-1) if rest is None else op.Concat(ints(-1), rest, axis=0)
    rows = [op.Reshape(v, target) for v in inputs[count:]]
    size = None
    for index in indices:
        largest = op.ReduceMax(index, keepdims=1)
        size = largest if size is None else op.Max(size, largest)
    size = op.Add(size, ints(1))
    made = op.Expand(like(op, rows[0], 0), size if rest is None else op.Concat(size, rest, axis=0))
    for index, value in zip(indices, rows, strict=True):
        made = op.ScatterND(made, op.Unsqueeze(index, ints(1)), value)
    return made


@ops.op(
    "DynamicPartition", needs=(condition("partitions of one dimension", lambda n: rank_of(n.inputs[1]) == 1),)
)
def dynamic_partition(op, node, x, partitions):
    places = as_int64(op, partitions)
    made = []
    for number in range(node.get("num_partitions")):
        kept = op.Reshape(op.NonZero(op.Equal(places, ints(number))), ints(-1))
        made.append(op.Gather(x, kept, axis=0))
    return made
