"""What is known of the numbers a value may hold."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, input_at
from bridge_tflite.export_ops.common import TFLITE

POSITIVE = frozenset(["Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Sqrt", f"{TFLITE}::Relu6"])
KEEPING = frozenset(
    [
        "Concat",
        "Flatten",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "AveragePool",
        "MaxPool",
        f"{hub.NHWC}::AveragePool",
        f"{hub.NHWC}::MaxPool",
    ]
)
DEEPEST = 8


def never_negative(value: ir.Value | None, depth: int = DEEPEST) -> bool:
    """Whether no element of `value` is below zero, by the operators that made it."""
    node = value.producer() if value is not None else None
    if node is None or depth == 0:
        return False
    name = hub.qualified(node)
    if name == "Clip":
        lowest = const(input_at(node, 1))
        return lowest is not None and bool((lowest >= 0).all())
    if name == "DequantizeLinear":
        return _starts_at_zero(node)
    if name in KEEPING:
        count = len(node.inputs) if name == "Concat" else 1
        return all(never_negative(v, depth - 1) for v in node.inputs[:count])
    return name in POSITIVE


def _starts_at_zero(node: ir.Node) -> bool:
    """Whether the smallest integer stands for zero."""
    integers = node.inputs[0]
    if integers is None or integers.dtype not in (ir.DataType.INT8, ir.DataType.UINT8):
        return False
    zero = const(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), integers.dtype.numpy())
    return zero is not None and bool((zero == np.iinfo(integers.dtype.numpy()).min).all())
