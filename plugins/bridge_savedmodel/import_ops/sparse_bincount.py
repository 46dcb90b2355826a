"""Counts of numbers, as sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of, shape_of
from bridge.importing import as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.sparse_ragged import row_coordinates

ops = OpTable()


@ops.op(
    "DenseCountSparseOutput",
    needs=(condition("a vector or rows of numbers", lambda n: rank_of(n.inputs[0]) in (1, 2)),),
)
def dense_counts(op, node, values, weights):
    flat = op.Reshape(as_int64(op, values), ints(-1))
    if rank_of(values) == 1:
        return _count_by_row(op, node, None, flat, weights, None)
    indices = op.NonZero(op.Expand(op.const(np.array(True)), op.Shape(values)))
    rows = op.Squeeze(op.Slice(indices, ints(0), ints(1), ints(0)), ints(0))
    return _count_by_row(op, node, rows, flat, weights, op.Shape(values, end=1))


@ops.op(
    "SparseCountSparseOutput",
    needs=(condition("a sparse vector or matrix", lambda n: (shape_of(n.inputs[2]) or [0])[0] in (1, 2)),),
)
def sparse_counts(op, node, indices, values, shape, weights):
    rows, count = None, None
    if (shape_of(shape) or [0])[0] == 2:
        rows = op.Squeeze(op.Slice(indices, ints(0), ints(1), ints(1)), ints(1))
        count = op.Slice(shape, ints(0), ints(1), ints(0))
    return _count_by_row(op, node, rows, as_int64(op, values), weights, count)


@ops.op("RaggedCountSparseOutput")
def ragged_counts(op, node, splits, values, weights):
    rows, _ = row_coordinates(op, as_int64(op, splits))
    count = op.Sub(op.Shape(splits), ints(1))
    return _count_by_row(op, node, rows, as_int64(op, values), weights, count)


def _count_by_row(
    op: Any, node: Any, rows: Any, values: Any, weights: Any, count: Any
) -> tuple[Any, Any, Any]:
    """Indices, counts (or sums of weights) and shape of the numbers of each row; numbers from `maxlength` on
    are dropped."""
    unweighted = shape_of(weights) is not None and 0 in (shape_of(weights) or [])
    row_weights = None if unweighted else op.Reshape(weights, ints(-1))
    maxlength = node.get("maxlength")
    if maxlength >= 0:
        positions = op.Reshape(op.NonZero(op.Less(values, ints(maxlength))), ints(-1))
        values, rows, row_weights = (
            None if v is None else op.Gather(v, positions, axis=0) for v in (values, rows, row_weights)
        )
    highest = op.Add(op.ReduceMax(op.Concat(values, ints(0), axis=0), keepdims=1), ints(1))
    size = ints(maxlength) if maxlength > 0 else op.Max(highest, ints(max(node.get("minlength"), 0)))
    keys = values if rows is None else op.Add(op.Mul(rows, size), values)
    unique, _, inverse, number = op.Unique(keys, sorted=1, _outputs=4)
    if node.get("binary_output"):
        number = op.Sub(op.Add(number, ints(1)), number)
    elif row_weights is not None:
        zeros = op.Expand(op.const(np.zeros((), weights.dtype.numpy())), op.Shape(unique))
        number = op.ScatterND(zeros, op.Unsqueeze(inverse, ints(1)), row_weights, reduction="add")
    dtype = node.get("output_type")
    number = number if number.dtype == dtype else op.Cast(number, to=int(dtype))
    key = op.Unsqueeze(unique, ints(1))
    if rows is None:
        return key, number, op.Identity(size) if not isinstance(size, np.ndarray) else op.const(size)
    indices = op.Concat(op.Div(key, size), op.Mod(key, size), axis=1)
    return indices, number, op.Concat(count, size, axis=0)
