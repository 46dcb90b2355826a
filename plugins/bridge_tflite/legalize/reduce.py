"""Reductions, running sums, and the place of an extreme."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import NOT_EMPTY, TFLITE

native = OpTable()

INT32 = int(ir.DataType.INT32)


def runtime_int64(node: ir.Node) -> bool:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    return (
        axes is not None
        and const(axes) is None
        and axes.dtype == ir.DataType.INT64
        and (shape_of(axes) or [0]) != [0]
    )


@native.op(
    *(f"Reduce{name}" for name in ("Mean", "Sum", "Prod", "Max", "Min")),
    needs=(condition("axes of int64", runtime_int64),),
)
def runtime_axes(op, node, x, axes=None):
    """LiteRT takes axes as int32."""
    kept = {name: attr(node, name) for name in node.attributes}
    return op.node(node.op_type, x, op.Cast(axes, to=INT32), **kept)


@native.op("ReduceMax", "ReduceMin", needs=(dtype("bool"), NOT_EMPTY))
def logical(op, node, x, axes=None):
    word = "ReduceAny" if node.op_type == "ReduceMax" else "ReduceAll"
    return op.node(word, x, axes, _domain=TFLITE, keepdims=attr(node, "keepdims"))


@native.op(
    "CumSum",
    needs=(
        condition(
            "a run-time int64 axis",
            lambda n: (
                (const(n.inputs[1]) is None and n.inputs[1].dtype == ir.DataType.INT64)
                or (rank_of(n.inputs[1]) != 0 and const(n.inputs[1]) is None)
            ),
        ),
    ),
)
def cum_sum(op, node, x, axis):
    kept = {name: attr(node, name) for name in node.attributes}
    return op.CumSum(x, op.Cast(op.Reshape(axis, op.const([])), to=INT32), **kept)
