"""Embeddings, and lookups in sorted keys."""

from __future__ import annotations

import numpy as np

from bridge.hub import rank_of
from bridge_tflite.import_ops.common import FLOAT, INT64, ints, need, ops

SUM, MEAN, SQRTN = range(3)
UINT8 = 2


@ops.op("EMBEDDING_LOOKUP")
def embedding_lookup(op, node, ids, table):
    return op.Gather(table, ids, axis=0)


@ops.op(
    "EMBEDDING_LOOKUP_SPARSE",
    needs=(need("indices of known rank", lambda n: n.shape(1)[1] is not None),),
)
def embedding_lookup_sparse(op, node, ids, indices, shape, weights, table):
    """Rows of the table, weighted, are combined where all but the last of their indices are the same."""
    combiner, outer = node.get("combiner", SUM), node.shape(1)[1] - 1
    places = op.Slice(op.Cast(indices, to=INT64), ints(0), ints(outer), ints(1))
    bounds = op.Slice(op.Cast(shape, to=INT64), ints(0), ints(outer), ints(0))
    inner = op.Shape(table, start=1)
    depth = rank_of(table) - 1
    tall = op.Reshape(weights, ints(-1, *[1] * depth))
    rows = op.Mul(op.Gather(table, ids, axis=0), tall)
    whole = op.Expand(np.float32(0), op.Concat(bounds, inner, axis=0))
    total = op.ScatterND(whole, places, rows, reduction="add")
    if combiner == SUM:
        return total
    share = weights if combiner == MEAN else op.Mul(weights, weights)
    over = op.ScatterND(op.Expand(np.float32(0), bounds), places, share, reduction="add")
    over = op.Sqrt(over) if combiner == SQRTN else over
    hit = op.ScatterND(
        op.Expand(np.float32(0), bounds), places, op.Add(op.Mul(weights, np.float32(0)), np.float32(1))
    )
    over = op.Where(op.Greater(hit, np.float32(0)), over, np.float32(1))
    return op.Div(total, op.Unsqueeze(over, list(range(outer, outer + depth))) if depth else over)


@ops.op("HASHTABLE_LOOKUP", needs=(need("values of numbers", lambda n: n.kind(2) != "STRING"),))
def hashtable_lookup(op, node, lookup, keys, values):
    """Rows of the values whose key is looked up, zeros where there is none; and where there is one."""
    same = op.Equal(op.Unsqueeze(lookup, ints(1)), op.Unsqueeze(keys, ints(0)))
    marks = op.Cast(same, to=FLOAT)
    hits = op.ReduceMax(marks, ints(1), keepdims=0)
    rows = op.Gather(values, op.ArgMax(marks, axis=1, keepdims=0), axis=0)
    found = op.Reshape(op.Cast(hits, to=9), ints(-1, *[1] * (rank_of(values) - 1)))
    zero = np.zeros((), values.dtype.numpy())
    return op.Where(found, rows, zero), op.Cast(hits, to=UINT8)
