"""How often numbers occur, as sparse tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of, shape_of
from bridge.importing import as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.ragged import rows_of

ops = OpTable()


@ops.op(
    "DenseCountSparseOutput",
    needs=(condition("a vector or rows of numbers", lambda n: rank_of(n.inputs[0]) in (1, 2)),),
)
def dense_counts(op, node, values, weights):
    flat = op.Reshape(as_int64(op, values), ints(-1))
    if rank_of(values) == 1:
        return _counted(op, node, None, flat, weights, None)
    places = op.NonZero(op.Expand(op.const(np.array(True)), op.Shape(values)))
    rows = op.Squeeze(op.Slice(places, ints(0), ints(1), ints(0)), ints(0))
    return _counted(op, node, rows, flat, weights, op.Shape(values, end=1))


@ops.op(
    "SparseCountSparseOutput",
    needs=(condition("a sparse vector or matrix", lambda n: (shape_of(n.inputs[2]) or [0])[0] in (1, 2)),),
)
def sparse_counts(op, node, indices, values, shape, weights):
    rows, count = None, None
    if (shape_of(shape) or [0])[0] == 2:
        rows = op.Squeeze(op.Slice(indices, ints(0), ints(1), ints(1)), ints(1))
        count = op.Slice(shape, ints(0), ints(1), ints(0))
    return _counted(op, node, rows, as_int64(op, values), weights, count)


@ops.op("RaggedCountSparseOutput")
def ragged_counts(op, node, splits, values, weights):
    rows, _ = rows_of(op, as_int64(op, splits))
    count = op.Sub(op.Shape(splits), ints(1))
    return _counted(op, node, rows, as_int64(op, values), weights, count)


def _counted(op: Any, node: Any, rows: Any, values: Any, weights: Any, count: Any) -> tuple[Any, Any, Any]:
    """Numbers and how often each occurs, or the sum of its weights, row by row; those of `maxlength` and more
    left out."""
    plain = shape_of(weights) is not None and 0 in (shape_of(weights) or [])
    given = None if plain else op.Reshape(weights, ints(-1))
    most = node.get("maxlength")
    if most >= 0:
        kept = op.Reshape(op.NonZero(op.Less(values, ints(most))), ints(-1))
        values, rows, given = (
            None if v is None else op.Gather(v, kept, axis=0) for v in (values, rows, given)
        )
    highest = op.Add(op.ReduceMax(op.Concat(values, ints(0), axis=0), keepdims=1), ints(1))
    size = ints(most) if most > 0 else op.Max(highest, ints(max(node.get("minlength"), 0)))
    places = values if rows is None else op.Add(op.Mul(rows, size), values)
    unique, _, back, number = op.Unique(places, sorted=1, _outputs=4)
    if node.get("binary_output"):
        number = op.Sub(op.Add(number, ints(1)), number)
    elif given is not None:
        zeros = op.Expand(op.const(np.zeros((), weights.dtype.numpy())), op.Shape(unique))
        number = op.ScatterND(zeros, op.Unsqueeze(back, ints(1)), given, reduction="add")
    kind = node.get("output_type")
    number = number if number.dtype == kind else op.Cast(number, to=int(kind))
    own = op.Unsqueeze(unique, ints(1))
    if rows is None:
        return own, number, op.Identity(size) if not isinstance(size, np.ndarray) else op.const(size)
    indices = op.Concat(op.Div(own, size), op.Mod(own, size), axis=1)
    return indices, number, op.Concat(count, size, axis=0)
