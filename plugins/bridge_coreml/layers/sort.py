"""Sorting."""

from __future__ import annotations

from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import FLOAT

ops = OpTable()


@ops.op("topK")
def top_k(op, layer, x, k=None):
    p = layer.params
    count = ints(int(p.K)) if k is None else op.Reshape(as_int64(op, k), ints(1))
    values, indices = op.TopK(x, count, axis=int(p.axis), largest=int(not p.useBottomK), _outputs=2)
    return values, op.Cast(indices, to=FLOAT)


@ops.op("argSort")
def arg_sort(op, layer, x):
    p = layer.params
    axis = int(p.axis)
    _, indices = op.TopK(
        x, op.Shape(x, start=axis, end=axis + 1), axis=axis, largest=int(p.descending), _outputs=2
    )
    return op.Cast(indices, to=FLOAT)
