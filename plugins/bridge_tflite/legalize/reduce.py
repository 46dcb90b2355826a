"""Reductions over run-time axes or of bool, and CumSum over a run-time axis."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr, held, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import NOT_EMPTY, TFLITE
from bridge_tflite.export_ops.reduce import REDUCTIONS
from bridge_tflite.legalize.common import INT32

ops = OpTable()


def has_runtime_int64_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return (
        axes is not None
        and held(axes) is None
        and axes.dtype == ir.DataType.INT64
        and (shape_of(axes) or [0]) != [0]
    )


def reduce(op: Any, node: ir.Node, x: ir.Value, axes: ir.Value) -> Any:
    """Reduce over int64 axes known at run time, which LiteRT takes as int32."""
    return _native_reduction(op, node, node.op_type, x, axes)


for _name, _reduction in REDUCTIONS.items():
    ops.op(_name, needs=(condition("axes of int64", has_runtime_int64_axes), *_reduction.needs))(reduce)


def _native_reduction(op: Any, node: ir.Node, operator: str, x: ir.Value, axes: ir.Value | None) -> Any:
    """Reduction in TFLite's own domain, over int32 axes."""
    if axes is not None:
        axes = op.Cast(axes, to=INT32) if held(axes) is None else axes
    attributes = {name: attr(node, name) for name in ("keepdims", "noop_with_empty_axes")}
    shape = node.outputs[0].shape
    return op.node(operator, x, axes, _domain=TFLITE, _dtype=x.dtype, _shape=shape, **attributes)


@ops.op("ReduceMax", "ReduceMin", needs=(dtype("bool"), NOT_EMPTY))
def logical(op, node, x, axes=None):
    return _native_reduction(op, node, "ReduceAny" if node.op_type == "ReduceMax" else "ReduceAll", x, axes)


WIDE = ("int16", "int64", "uint16", "uint32", "uint64")


@ops.op("ArgMax", "ArgMin", needs=(dtype(*WIDE),))
def arg_extreme(op, node, x):
    """The place where the greatest or least is found."""
    reduction = "ReduceMax" if node.op_type == "ArgMax" else "ReduceMin"
    axis = attr(node, "axis")
    found = op.Equal(x, op.node(reduction, x, [axis], keepdims=1))
    attributes = {name: attr(node, name) for name in ("axis", "keepdims", "select_last_index")}
    return op.ArgMax(op.Cast(found, to=int(ir.DataType.FLOAT)), **attributes)


@ops.op(
    "CumSum",
    needs=(
        condition(
            "a run-time int64 axis",
            lambda n: (
                (held(n.inputs[1]) is None and n.inputs[1].dtype == ir.DataType.INT64)
                or (rank_of(n.inputs[1]) != 0 and held(n.inputs[1]) is None)
            ),
        ),
    ),
)
def cum_sum(op, node, x, axis):
    attributes = {name: attr(node, name) for name in node.attributes}
    return op.CumSum(x, op.Cast(op.Reshape(axis, op.const([])), to=INT32), **attributes)
