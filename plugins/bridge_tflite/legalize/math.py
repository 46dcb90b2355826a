"""Element by element."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, const
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE

native = OpTable("TFLite operators: math")

BITS = ("int8", "int16", "int32", "uint8", "uint16", "uint32")


@native.op("Clip", needs=(dtype("float", "int8", "int16", "int32", "int64", "uint8"),))
def clip(op, node, x, low=None, high=None):
    bounds = tuple(None if const(v) is None else const(v).item() for v in (low, high))
    if bounds == (0.0, 6.0) and x.dtype == ir.DataType.FLOAT:
        return op.Relu6(x, _domain=TFLITE)
    if low is not None:
        x = op.Max(x, low)
    if high is not None:
        x = op.Min(x, high)
    return x


@native.op(
    "Mod",
    needs=(
        condition("fmod=0", lambda n: not attr(n, "fmod", 0)),
        dtype("float", "int8", "int16", "int32", "int64"),
    ),
)
def floor_mod(op, node, x, y):
    return op.FloorMod(x, y, _domain=TFLITE)


@native.op("Atan", needs=(dtype("float", "double"),))
def atan(op, node, x):
    return op.Atan2(x, op.Expand(op.const(1, x.dtype), op.Shape(x)), _domain=TFLITE)


@native.op("Asin", needs=(dtype("float"),))
def asin(op, node, x):
    return op.Atan2(x, op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), _domain=TFLITE)


@native.op("Acos", needs=(dtype("float"),))
def acos(op, node, x):
    return op.Atan2(op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), x, _domain=TFLITE)


@native.op(
    "BitShift", needs=(dtype(*BITS), condition("direction=RIGHT", lambda n: attr(n, "direction") == "RIGHT"))
)
def right_shift(op, node, x, y):
    """The kernel shifts by less than the width; a shift by more leaves the sign."""
    width = x.dtype.bitwidth
    return op.RightShift(x, y, _domain=TFLITE) if width else NotImplemented
