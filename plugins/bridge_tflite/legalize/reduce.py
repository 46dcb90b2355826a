"""Reductions, running sums, and the place of an extreme."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import NOT_EMPTY, TFLITE
from bridge_tflite.export_ops.reduce import REDUCED

ops = OpTable()

INT32 = int(ir.DataType.INT32)


def runtime_int64(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return (
        axes is not None
        and const(axes) is None
        and axes.dtype == ir.DataType.INT64
        and (shape_of(axes) or [0]) != [0]
    )


def runtime_reduction(name: str) -> None:
    """Register a reduction over int64 axes known at run time, which LiteRT takes as int32."""

    @ops.op(name, needs=(condition("axes of int64", runtime_int64), *REDUCED[f"{TFLITE}::{name}"]))
    def reduce(op, node, x, axes):
        return _own(op, node, name, x, axes)


for _name in ("Mean", "Sum", "Prod", "Max", "Min"):
    runtime_reduction(f"Reduce{_name}")


def _own(op: Any, node: ir.Node, word: str, x: ir.Value, axes: ir.Value | None) -> Any:
    """The reduction in TFLite's own domain."""
    if axes is not None:
        axes = op.Cast(axes, to=INT32) if const(axes) is None else axes
    kept = {name: attr(node, name) for name in ("keepdims", "noop_with_empty_axes")}
    shape = node.outputs[0].shape
    return op.node(word, x, axes, _domain=TFLITE, _dtype=x.dtype, _shape=shape, **kept)


@ops.op("ReduceMax", "ReduceMin", needs=(dtype("bool"), NOT_EMPTY))
def logical(op, node, x, axes=None):
    return _own(op, node, "ReduceAny" if node.op_type == "ReduceMax" else "ReduceAll", x, axes)


@ops.op(
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
