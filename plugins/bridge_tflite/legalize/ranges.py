"""Ranges of run-time values, derived from the operators that produce them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, input_at
from bridge.traits import MOVES_DATA, NON_NEGATIVE, is_a
from bridge_tflite.export_ops.common import TFLITE

DEEPEST = 8


def never_negative(value: ir.Value | None, depth: int = DEEPEST) -> bool:
    """True if the operators that produce `value` leave no element below zero."""
    node = value.producer() if value is not None else None
    if node is None or depth == 0:
        return False
    name = hub.qualified(node)
    if name == "Clip":
        lowest = const(input_at(node, 1))
        return lowest is not None and bool((lowest >= 0).all())
    if name == "DequantizeLinear":
        return _is_unsigned_range(node)
    if is_a(node, MOVES_DATA, {"AveragePool", "MaxPool"}):
        count = len(node.inputs) if name == "Concat" else 1
        return all(never_negative(v, depth - 1) for v in node.inputs[:count])
    return is_a(node, NON_NEGATIVE) or name == f"{TFLITE}::Relu6"


def _is_unsigned_range(node: ir.Node) -> bool:
    """True if the lowest integer dequantizes to zero."""
    integers = node.inputs[0]
    if integers is None or integers.dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        return False
    zero = const(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), integers.dtype.numpy())
    return zero is not None and bool((zero == np.iinfo(integers.dtype.numpy()).min).all())
