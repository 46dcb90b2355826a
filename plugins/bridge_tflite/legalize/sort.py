"""TopK and Unique."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import on_last_axis
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
    rank, shape = rank_of(x), node.outputs[0].shape
    axis, largest = attr(node, "axis") % rank, attr(node, "largest")
    dims = [None] * rank if shape is None else [*shape[:axis], *shape[axis + 1 :], shape[axis]]

    def of_last_axis(last: ir.Value) -> tuple[ir.Value, ir.Value]:
        last = last if largest else _negate(op, last)
        count = as_int32(op, op.Reshape(k, op.const(np.zeros(0, np.int64))))
        values, indices = op.TopK(last, count, _domain=TFLITE, _outputs=2)
        indices.type, values.type = ir.TensorType(ir.DataType.INT32), x.type
        values.shape = indices.shape = ir.Shape(dims)
        values = values if largest else _negate(op, values)
        return values, op.Cast(indices, to=INT64)

    return on_last_axis(op, x, axis, of_last_axis)


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
