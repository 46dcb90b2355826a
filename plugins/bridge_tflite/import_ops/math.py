"""Elementwise operators."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops import math_bitcast
from bridge_tflite.import_ops.common import FUSED, INT32, UINT32, activate, clip, mark_approximated

ops = OpTable(attribute=lambda node, name: float(node.get(name, 0.0)))

FLOAT = condition("a float input", lambda n: n.type(0).startswith("FLOAT") or n.tensor(0).quantized)

ops.same(
    ABS="Abs",
    BITWISE_XOR="BitwiseXor",
    CEIL="Ceil",
    COS="Cos",
    ELU="Elu",
    EQUAL="Equal",
    EXP="Exp",
    FLOOR="Floor",
    GREATER="Greater",
    GREATER_EQUAL="GreaterOrEqual",
    HARD_SWISH="HardSwish",
    LESS="Less",
    LESS_EQUAL="LessOrEqual",
    LOG="Log",
    LOGICAL_AND="And",
    LOGICAL_NOT="Not",
    LOGICAL_OR="Or",
    MAXIMUM="Max",
    MINIMUM="Min",
    NEG="Neg",
    POW="Pow",
    RELU="Relu",
    ROUND="Round",
    SELECT_V2="Where",
    SIGN="Sign",
    SIN="Sin",
    SQRT="Sqrt",
)
ops.same(attributes={"alpha": "alpha"}, LEAKY_RELU="LeakyRelu")


INT16 = condition("an input of int16", lambda n: n.type(0) == "INT16")


@ops.op("LOGISTIC", "TANH", needs=(INT16,))
def sigmoid_int16(op, node, x):
    """LiteRT's int16 kernels are polynomials, up to 12 steps of 2**-15 off."""
    y = op.Sigmoid(x) if node.op == "LOGISTIC" else op.Tanh(x)
    return mark_approximated(y, "LiteRT's int16 kernel differs by up to 12 steps of 2**-15")


ops.same(LOGISTIC="Sigmoid", TANH="Tanh")


ARITHMETIC = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div"}


@ops.op(*ARITHMETIC, needs=(FUSED,))
def arithmetic(op, node, x, y):
    return activate(op, node, op.node(ARITHMETIC[node.op], x, y))


@ops.op("ADD_N")
def add_n(op, node, *inputs):
    total = inputs[0]
    for value in inputs[1:]:
        total = op.Add(total, value)
    return total


@ops.op("NOT_EQUAL")
def not_equal(op, node, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("RELU6")
def relu6(op, node, x):
    return clip(op, x, 0, 6)


@ops.op("RELU_N1_TO_1")
def relu_n1_to_1(op, node, x):
    return clip(op, x, -1, 1)


@ops.op("RELU_0_TO_1")
def relu_0_to_1(op, node, x):
    return clip(op, x, 0, 1)


@ops.op("RSQRT")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@ops.op("SQUARE")
def square(op, node, x):
    return op.Mul(x, x)


@ops.op("SQUARED_DIFFERENCE")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@ops.op("FLOOR_DIV")
def floor_div(op, node, x, y):
    """Integer quotient rounded down; ONNX rounds towards zero."""
    if x.dtype.is_floating_point():
        return op.Floor(op.Div(x, y))
    zero = np.zeros((), x.dtype.numpy())
    differ = op.Xor(op.Less(x, zero), op.Less(y, zero))
    below = op.And(differ, op.Not(op.Equal(op.Mod(x, y), zero)))
    return op.Sub(op.Div(x, y), op.Cast(below, to=int(x.dtype)))


@ops.op("FLOOR_MOD")
def floor_mod(op, node, x, y):
    """Remainder with the sign of the divisor. ONNX's Mod of floats has that of the dividend."""
    if not x.dtype.is_floating_point():
        return op.Mod(x, y)
    zero = np.zeros((), x.dtype.numpy())
    remainder = op.Mod(x, y, fmod=1)
    differ = op.And(op.Not(op.Equal(remainder, zero)), op.Xor(op.Less(remainder, zero), op.Less(y, zero)))
    return op.Where(differ, op.Add(remainder, y), remainder)


@ops.op("ATAN2", needs=(FLOAT,))
def atan2(op, node, y, x):
    """Angle of the point (x, y): atan |y| / |x|, mirrored into the point's quadrant."""
    dtype = x.dtype.numpy()
    zero = np.zeros((), dtype)
    at_origin = op.And(op.Equal(x, zero), op.Equal(y, zero))
    both_infinite = op.And(op.IsInf(x), op.IsInf(y))
    slope = op.Div(op.Abs(y), op.Where(at_origin, np.ones((), dtype), op.Abs(x)))
    angle = op.Atan(op.Where(both_infinite, np.ones((), dtype), slope))
    left = op.Less(_replace_negative_zero(op, x), zero)
    angle = op.Where(left, op.Sub(np.array(np.pi, dtype), angle), angle)
    return op.Where(op.Less(_replace_negative_zero(op, y), zero), op.Neg(angle), angle)


def _replace_negative_zero(op: Any, x: Any) -> Any:
    """`x` with -1 in place of negative zero."""
    dtype = x.dtype.numpy()
    zero = np.zeros((), dtype)
    return op.Where(
        op.Equal(x, zero), op.Where(op.Less(op.Reciprocal(x), zero), np.array(-1, dtype), zero), x
    )


@ops.op("RIGHT_SHIFT")
def right_shift(op, node, x, y):
    """Arithmetic shift; the amount is clamped to the bit width less one."""
    dtype = x.dtype.numpy()
    zero, last = (np.array(n, dtype) for n in (0, dtype.itemsize * 8 - 1))
    amount = op.Cast(op.Max(op.Min(y, last), zero), to=UINT32)
    negative = op.Less(x, zero)
    positive = op.Cast(op.Where(negative, op.BitwiseNot(x), x), to=UINT32)
    shifted = op.Cast(op.BitShift(positive, amount, direction="RIGHT"), to=int(x.dtype))
    return op.Where(negative, op.BitwiseNot(shifted), shifted)


@ops.op("FAKE_QUANT")
def fake_quant(op, node, x):
    """Round to the steps between min and max, shifted so that one step is zero."""
    low, high = float(node.get("min", 0.0)), float(node.get("max", 0.0))
    first, last = int(node.get("narrowRange", False)), 2 ** node.get("numBits", 8) - 1
    if low == high:
        return op.Sub(x, x)
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(last - first))
    start = np.float32(first) - np.float32(low) / scale
    zero = np.float32(np.clip(np.floor(start + np.float32(0.5)), first, last))
    down, up = np.float32((first - zero) * scale), np.float32((last - zero) * scale)
    steps = op.Mul(op.Sub(op.Clip(x, down, up), down), np.float32(1) / scale)
    return op.Add(op.Mul(op.Floor(op.Add(steps, np.float32(0.5))), scale), down)


@ops.op("BITCAST")
def bitcast(op, node, x):
    """Wider elements are split along a new last axis; narrower ones are joined along the last axis."""
    dtype = node.out_dtype()
    if x.dtype.bitwidth == dtype.bitwidth:
        return op.BitCast(x, to=int(dtype))
    if x.dtype.bitwidth > dtype.bitwidth:
        bits = math_bitcast.split_bits(op, x, dtype.bitwidth)
    else:
        narrow = x.dtype.bitwidth
        bits = math_bitcast.join_bits(op, math_bitcast.as_unsigned(op, x), dtype.bitwidth // narrow, narrow)
    unsigned = ir.DataType[f"UINT{dtype.bitwidth}"]
    return op.BitCast(op.Cast(bits, to=int(unsigned)), to=int(dtype))


@ops.op("PRELU")
def prelu(op, node, x, alpha):
    wide, narrow = node.shape(0), node.shape(1)
    fits = len(narrow) <= len(wide) and all(
        b == 1 or (a == b and a is not None)
        for a, b in zip(wide[len(wide) - len(narrow) :], narrow, strict=True)
    )
    zero = np.zeros((), x.dtype.numpy())
    return op.PRelu(x, alpha) if fits else op.Where(op.Less(x, zero), op.Mul(x, alpha), x)


@ops.op("GELU")
def gelu(op, node, x):
    return op.Gelu(x, approximate="tanh" if node.get("approximate", False) else "none")


@ops.op(
    "CAST",
    needs=(condition("a cast without complex numbers", lambda n: "COMPLEX" not in n.type(0) + n.out_type()),),
)
def cast(op, node, x):
    """A float cast to a dtype of less than 8 bits is truncated and saturated."""
    dtype = node.out_dtype()
    if dtype.bitwidth < 8 and x.dtype == ir.DataType.FLOAT:
        limits = ml_dtypes.iinfo(dtype.numpy())
        x = op.Cast(op.Clip(x, np.float32(limits.min), np.float32(limits.max)), to=INT32)
    return op.Cast(x, to=int(dtype))


@ops.op("ZEROS_LIKE")
def zeros_like(op, node, x):
    return op.Expand(np.zeros((), x.dtype.numpy()), op.Shape(x))


@ops.op("SELECT")
def select(op, node, condition, x, y):
    """A condition of rank 1 selects rows."""
    rank = len(node.shape(1))
    if len(node.shape(0)) == 1 and rank > 1:
        condition = op.Unsqueeze(condition, list(range(1, rank)))
    return op.Where(condition, x, y)
