"""Embeddings: lookup of rows, and reductions over bags of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import ints, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, cast, dims_of, int64_scalar, number, rank, static_shape
from bridge_torchscript.values import Poison, Unsupported

ops = OpTable()

SUM, MEAN, MAX = range(3)
NEUTRAL = {"add": 0.0, "max": -np.inf}


@ops.op("aten::embedding")
def embedding(op, weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    return op.Gather(weight, indices, axis=0)


@ops.op("aten::embedding_renorm")
def embedding_renorm(op, x, indices, max_norm, norm_type):
    """Scale the rows in `indices` whose norm exceeds `max_norm` down to it."""
    if norm_type not in (1, 2):
        raise Unsupported("is read for norms of order 1 and 2 alone")
    norm = op.ReduceL1 if norm_type == 1 else op.ReduceL2
    sizes = norm(x, ints(1))
    smaller = op.Div(number(op, max_norm, x), op.Add(sizes, number(op, 1e-7, x)))
    scaled = op.Where(op.Greater(sizes, number(op, max_norm, x)), op.Mul(x, smaller), x)
    rows = op.Reshape(cast(op, indices, T.INT64), ints(-1, 1))
    return op.ScatterND(x, rows, op.GatherND(scaled, rows))


@ops.op("aten::embedding_bag")
def embedding_bag(
    op,
    weight,
    indices,
    offsets,
    scale_grad_by_freq=False,
    mode=0,
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """Sum, mean or maximum over the rows of each bag. The result of an empty bag is zeros."""
    indices = cast(op, indices, T.INT64)
    if include_last_offset:
        offsets = op.Slice(offsets, ints(0), ints(-1), ints(0))
    reduce_bags = bag_reducer(op, indices, cast(op, offsets, T.INT64))
    rows = op.Gather(weight, indices, axis=0)
    if per_sample_weights is not None:
        rows = op.Mul(rows, op.Unsqueeze(per_sample_weights, ints(1)))
    is_real = None
    if padding_idx is not None:
        padding = int64_scalar(op, padding_idx if padding_idx >= 0 else static_shape(weight)[0] + padding_idx)
        is_real = op.Unsqueeze(op.Not(op.Equal(indices, padding)), ints(1))
        rows = op.Where(is_real, rows, number(op, -np.inf if mode == MAX else 0, rows))
    ones = op.Expand(number(op, 1, rows), op.Concat(shape_tensor(op, indices), ints(1), axis=0))
    counts = reduce_bags(ones if is_real is None else cast(op, is_real, rows.dtype), "add")
    result = reduce_bags(rows, "max" if mode == MAX else "add")
    if mode == MEAN:
        result = op.Div(result, op.Max(counts, number(op, 1, result)))
    if mode == MAX:
        result = op.Where(op.Greater(counts, number(op, 0, result)), result, number(op, 0, result))
    return result, *(Poison("has results that only training reads") for _ in range(3))


def bag_reducer(op: Any, indices: ir.Value, offsets: ir.Value) -> Callable[[ir.Value, str], ir.Value]:
    """Function that reduces values [element, column] to [bag, column].

    Bags of one static length become an axis; others are scattered.
    """
    starts, count = const(offsets), dims_of(indices)[0] if rank(indices) else None
    if starts is not None and isinstance(count, int) and starts.size:
        edges = np.diff([*starts.reshape(-1), count])
        if edges.min() == edges.max() > 0:
            return lambda values, reduction: (op.ReduceMax if reduction == "max" else op.ReduceSum)(
                op.Reshape(values, ints(len(edges), int(edges[0]), -1)), ints(1), keepdims=0
            )
    size = op.Add(op.Shape(indices), ints(1))
    marks = op.ScatterElements(
        op.Expand(int64_scalar(op, 0), size),
        offsets,
        op.Expand(int64_scalar(op, 1), op.Shape(offsets)),
        axis=0,
        reduction="add",
    )
    bag = op.Sub(op.CumSum(op.Slice(marks, ints(0), ints(-1), ints(0)), np.array(0)), int64_scalar(op, 1))

    def folded(values: ir.Value, reduction: str) -> ir.Value:
        shape = op.Concat(op.Shape(offsets), op.Shape(values, start=1, end=2), axis=0)
        start = op.Expand(number(op, NEUTRAL[reduction], values), shape)
        return op.ScatterND(start, op.Unsqueeze(bag, ints(1)), values, reduction=reduction)

    return folded
