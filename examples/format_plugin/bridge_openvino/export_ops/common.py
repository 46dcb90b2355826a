"""Needs several families share."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, constant, dtype

FLOAT = dtype("float")
INTEGER = dtype("int32", "int64")
NUMBER = dtype("float", "int32", "int64")
MOVED = ("float", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool")
ANY = dtype(*MOVED)
RANKED = condition("a known rank", lambda node: rank_of(node.inputs[0]) is not None)
LIMITS = np.iinfo(np.int32)


def _in_range(node: ir.Node) -> bool:
    for value in node.inputs:
        if value is None or value.dtype != ir.DataType.INT64:
            continue
        array = const(value)
        if array is not None and array.size and (array.min() < LIMITS.min or array.max() > LIMITS.max):
            return False
    return True


IN_RANGE = condition("integer constants within 32 bits, in which OpenVINO's CPU computes", _in_range)


def axis_of(node: ir.Node) -> int:
    """The axis counted from the start."""
    axis, rank = attr(node, "axis"), rank_of(node.inputs[0])
    return axis if rank is None or axis >= 0 else axis + rank


def static(node: ir.Node, index: int = 0) -> bool:
    return index < len(node.inputs) and shape_of(node.inputs[index]) is not None


AXES = constant(1, "axes")
