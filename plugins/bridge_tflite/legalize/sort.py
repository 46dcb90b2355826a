"""TopK and Unique."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.legalize.common import INT32, INT64, as_int32

ops = OpTable()


@ops.op(
    "TopK",
    needs=(condition("a known rank", lambda n: bool(rank_of(n.inputs[0]))), dtype("float", "int32", "int64")),
)
def top_k(op, node, x, k):
    """TOPK_V2 of the last axis; for the smallest elements, of the negated ones."""
    rank = rank_of(x)
    axis = attr(node, "axis") % rank
    order = [*range(axis), *range(axis + 1, rank), axis]
    inverse = [order.index(i) for i in range(rank)]
    largest = attr(node, "largest")
    last = x if axis == rank - 1 else op.Transpose(x, perm=order)
    if not largest:
        last = _negate(op, last)
    values, indices = op.TopK(
        last, as_int32(op, op.Reshape(k, op.const(np.zeros(0, np.int64)))), _domain=TFLITE, _outputs=2
    )
    indices.type, values.type = ir.TensorType(ir.DataType.INT32), x.type
    dims = [node.outputs[0].shape[i] for i in order] if node.outputs[0].shape is not None else [None] * rank
    values.shape = indices.shape = ir.Shape(dims)
    if not largest:
        values = _negate(op, values)
    results = values, op.Cast(indices, to=int(ir.DataType.INT64))
    return results if axis == rank - 1 else tuple(op.Transpose(v, perm=inverse) for v in results)


def _negate(op: Any, x: ir.Value) -> ir.Value:
    """Elements in reverse order of size: -x for float32, -1 - x for integers, where -x may overflow."""
    return op.Neg(x) if x.dtype == ir.DataType.FLOAT else op.Sub(op.const(-1, x.dtype), x)


@ops.op(
    "Unique",
    needs=(
        dtype("float", "int8", "int16", "uint8", "int32", "int64"),
        condition("elements, not slices", lambda n: attr(n, "axis") is None or rank_of(n.inputs[0]) == 1),
    ),
)
def unique(op, node, x):
    """Unique flattened elements. They are sorted, if requested, by a TopK of all of them."""
    flat = op.Reshape(x, [-1])
    values, inverse = op.Unique(flat, _domain=TFLITE, _outputs=2)
    values.type, inverse.type = x.type, ir.TensorType(ir.DataType.INT64)
    values.shape, inverse.shape = ir.Shape([None]), flat.shape
    if attr(node, "sorted"):
        sorted_values, order = op.TopK(values, op.Shape(values), _outputs=2, largest=0)
        ranks = op.Cast(op.Equal(op.Unsqueeze(order, [0]), op.Unsqueeze(inverse, [1])), to=INT32)
        values, inverse = sorted_values, op.ArgMax(ranks, axis=1, keepdims=0)
    hits = op.Equal(op.Unsqueeze(inverse, [0]), op.Unsqueeze(_range_of(op, values), [1]))
    first = op.ArgMax(op.Cast(hits, to=INT32), axis=1, keepdims=0)
    return values, first, inverse, op.Cast(op.ReduceSum(op.Cast(hits, to=INT32), [1], keepdims=0), to=INT64)


def _range_of(op: Any, x: ir.Value) -> ir.Value:
    zero, one = (op.const(np.array(n, np.int64)) for n in (0, 1))
    return op.Range(zero, op.Reshape(op.Shape(x), op.const(np.zeros(0, np.int64))), one)
