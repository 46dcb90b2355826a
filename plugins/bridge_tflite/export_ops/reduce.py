"""Reductions, running sums, and the place of an extreme."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, max_rank
from bridge.ops import Need, OpTable
from bridge_tflite.export_ops.common import INDEX, NOT_EMPTY, NUMBERS, TFLITE, axis_of, i32

ops = OpTable()


def reduced_axes(node: ir.Node) -> np.ndarray:
    axes = const(input_at(node, 1))
    rank = rank_of(node.inputs[0]) or 0
    return i32(range(rank) if axes is None or axes.size == 0 else sorted(int(a) % rank for a in axes))


def really_reduces(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return not attr(node, "noop_with_empty_axes") or (shape_of(axes) or [0])[0] > 0


def int32_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return axes is not None and axes.dtype == ir.DataType.INT32 and (shape_of(axes) or [0])[0] > 0


REDUCED: dict[str, tuple[Need, ...]] = {}
"""What the kernels ask of a reduction, by its operator in TFLite's own domain."""


def reduction(hub_name: str, native: str, *dtypes: str) -> None:
    """Register a reduction over constant axes, and TFLite's own form of it over run-time int32 axes."""
    own = f"{TFLITE}::{hub_name.removeprefix(f'{TFLITE}::')}"
    needs = REDUCED[own] = (
        condition("axes", really_reduces),
        NOT_EMPTY,
        max_rank(6),
        condition("a rank of 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0),
        dtype(*dtypes),
    )

    @ops.op(hub_name, needs=(*needs, constant(1, "axes")))
    def reduce(tfl, node, x, axes=None):
        tfl.add(native, x, reduced_axes(node), keep_dims=bool(attr(node, "keepdims")))

    @ops.op(own, needs=(*needs, condition("int32 axes, not empty", int32_axes)))
    def reduce_over_runtime_axes(tfl, node, x, axes):
        tfl.add(native, x, axes, keep_dims=bool(attr(node, "keepdims")))


reduction("ReduceMean", "MEAN", "float")
reduction("ReduceSum", "SUM", *NUMBERS)
reduction("ReduceProd", "REDUCE_PROD", *NUMBERS, "int8", "int16", "uint8")
reduction("ReduceMax", "REDUCE_MAX", *NUMBERS, "int8", "int16", "uint8")
reduction("ReduceMin", "REDUCE_MIN", *NUMBERS, "int8", "int16", "uint8")
reduction(f"{TFLITE}::ReduceAny", "REDUCE_ANY", "bool")
reduction(f"{TFLITE}::ReduceAll", "REDUCE_ALL", "bool")


@ops.op(
    "ArgMax",
    "ArgMin",
    needs=(
        dtype("float", "int32", "int8", "uint8", "bool"),
        attribute("select_last_index", 0),
        attribute("keepdims", 0),
        max_rank(8),
    ),
)
def arg_max(tfl, node, x):
    tfl.add("ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN", x, i32(axis_of(node)), output_type=4)


def int32_scalar(node: ir.Node) -> bool:
    axis = node.inputs[1]
    return const(axis) is not None or (axis.dtype == ir.DataType.INT32 and rank_of(axis) == 0)


@ops.op(
    "CumSum", needs=(dtype("float", *INDEX), condition("a constant axis, or an int32 scalar", int32_scalar))
)
def cum_sum(tfl, node, x, axis):
    known = const(axis)
    tfl.CUMSUM(
        x,
        axis if known is None else i32(known).reshape(()),
        exclusive=bool(attr(node, "exclusive")),
        reverse=bool(attr(node, "reverse")),
    )
