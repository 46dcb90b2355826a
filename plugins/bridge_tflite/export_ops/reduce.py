"""Reductions, CumSum, ArgMax and ArgMin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, max_rank
from bridge.ops import Need, OpTable
from bridge_tflite.export_ops.common import (
    ARITHMETIC_DTYPES,
    INDEX_DTYPES,
    INT64_TYPE,
    NOT_EMPTY,
    TFLITE,
    axis_of,
    i32,
)

ops = OpTable()


def reduced_axes(node: ir.Node) -> np.ndarray:
    axes = const(input_at(node, 1))
    rank = rank_of(node.inputs[0]) or 0
    return i32(range(rank) if axes is None or axes.size == 0 else sorted(int(a) % rank for a in axes))


def reduces_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return not attr(node, "noop_with_empty_axes") or (shape_of(axes) or [0])[0] > 0


def has_int32_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    return axes is not None and axes.dtype == ir.DataType.INT32 and (shape_of(axes) or [0])[0] > 0


INTEGER_DTYPES = ("int8", "int16", "uint8")


@dataclass(frozen=True)
class Reduction:
    """A reducing kernel: its operator and the dtypes it takes."""

    operator: str
    dtypes: tuple[str, ...]

    @property
    def needs(self) -> tuple[Need, ...]:
        return (
            condition("axes", reduces_axes),
            NOT_EMPTY,
            max_rank(6),
            condition("a rank of 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0),
            dtype(*self.dtypes),
        )


REDUCTIONS = {
    "ReduceMean": Reduction("MEAN", ("float",)),
    "ReduceSum": Reduction("SUM", ARITHMETIC_DTYPES),
    "ReduceProd": Reduction("REDUCE_PROD", (*ARITHMETIC_DTYPES, *INTEGER_DTYPES)),
    "ReduceMax": Reduction("REDUCE_MAX", (*ARITHMETIC_DTYPES, *INTEGER_DTYPES)),
    "ReduceMin": Reduction("REDUCE_MIN", (*ARITHMETIC_DTYPES, *INTEGER_DTYPES)),
}
LOGICAL = {
    "ReduceAny": Reduction("REDUCE_ANY", ("bool",)),
    "ReduceAll": Reduction("REDUCE_ALL", ("bool",)),
}
"""Reductions that only TFLite's own domain has."""


def reduce(tfl: Any, node: ir.Node, x: ir.Value, axes: ir.Value | None = None) -> None:
    """Reduce over constant axes."""
    write_reduction(tfl, node, x, reduced_axes(node))


def write_reduction(tfl: Any, node: ir.Node, x: ir.Value, axes: Any) -> None:
    """Reduce over constant axes, or int32 axes known at run time."""
    operator = {**REDUCTIONS, **LOGICAL}[node.op_type].operator
    tfl.add(operator, x, axes, keep_dims=bool(attr(node, "keepdims")))


for _name, _reduction in {**REDUCTIONS, **LOGICAL}.items():
    _own = f"{TFLITE}::{_name}"
    _constant = (*_reduction.needs, constant(1, "axes"))
    ops.op(_own if _name in LOGICAL else _name, needs=_constant)(reduce)
    ops.op(_own, needs=(*_reduction.needs, condition("int32 axes, not empty", has_int32_axes)))(
        write_reduction
    )


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
    tfl.add(
        "ARG_MAX" if node.op_type == "ArgMax" else "ARG_MIN", x, i32(axis_of(node)), output_type=INT64_TYPE
    )


def has_int32_axis(node: ir.Node) -> bool:
    axis = node.inputs[1]
    return held(axis) is not None or (axis.dtype == ir.DataType.INT32 and rank_of(axis) == 0)


@ops.op(
    "CumSum",
    needs=(dtype("float", *INDEX_DTYPES), condition("a constant axis, or an int32 scalar", has_int32_axis)),
)
def cum_sum(tfl, node, x, axis):
    constant_axis = const(axis)
    tfl.CUMSUM(
        x,
        axis if constant_axis is None else i32(constant_axis).reshape(()),
        exclusive=bool(attr(node, "exclusive")),
        reverse=bool(attr(node, "reverse")),
    )
