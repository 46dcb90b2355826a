"""Element by element."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_openvino.export_ops.common import FLOAT, INTEGER, NUMBER, axis_of
from bridge_openvino.layers import HELD
from bridge_openvino.names import ARITHMETIC, BITWISE, COMPARED, EXTREMES, LOGICAL, NUMERIC, UNARY

ops = OpTable()

ops.same(needs=(FLOAT,), **UNARY)
ops.same(needs=(NUMBER,), **NUMERIC)
ops.same(Not="LogicalNot", Identity="Identity")
ops.same(needs=(dtype("int32"),), BitwiseNot="BitwiseNot", **BITWISE)
ops.same(needs=(NUMBER,), **ARITHMETIC, **COMPARED)
ops.same(needs=(NUMBER, condition("two inputs", lambda node: len(node.inputs) == 2)), **EXTREMES)
ops.same(needs=(dtype("float", "int32", "int64", "bool"),), Equal="Equal")
ops.same(**LOGICAL)
ops.same(needs=(FLOAT, attribute("fmod", 1)), Mod="Mod")
ops.same(needs=(FLOAT, dtype("float", index=1)), Pow="Power")
ops.same(needs=(FLOAT,), attributes={"alpha": "alpha"}, Elu="Elu")


@ops.op("Div", needs=(FLOAT,))
def divide(ov, node, x, y):
    return ov.Divide(x, y, m_pythondiv=False)


def whole_quotient(ov, x, y):
    """x / y toward zero, exactly, and x less y times it. OpenVINO's CPU divides integers as float32, so each
    of three rounds adds what that makes of the rest, which leaves a difference of one at most."""
    quotient, rest = ov.Divide(x, y), x
    for round_ in range(3):
        rest = ov.Subtract(x, ov.Multiply(quotient, y))
        if round_ < 2:
            quotient = ov.Add(quotient, ov.Divide(rest, y))
    zero, one = ov.like(0, x), ov.like(1, x)
    negative = ov.Less(x, zero)
    toward = ov.Select(ov.LogicalXor(negative, ov.Less(y, zero)), ov.like(-1, x), one, _dtype=one.dtype)
    size = ov.Select(negative, ov.Negative(rest), rest, _dtype=one.dtype)
    over = ov.Select(ov.GreaterEqual(size, ov.Abs(y)), toward, zero, _dtype=one.dtype)
    under = ov.Select(ov.Less(size, zero), toward, zero, _dtype=one.dtype)
    quotient = ov.Subtract(ov.Add(quotient, over), under)
    return quotient, ov.Subtract(x, ov.Multiply(quotient, y))


@ops.op("Div", needs=(INTEGER,))
def divide_whole(ov, node, x, y):
    return whole_quotient(ov, x, y)[0]


@ops.op("Mod", needs=(INTEGER,))
def modulo(ov, node, x, y):
    """With the sign of x, or without fmod of y: one y more where the signs of rest and y are not the same."""
    rest = whole_quotient(ov, x, y)[1]
    if attr(node, "fmod"):
        return rest
    zero = ov.like(0, x)
    unlike = ov.LogicalXor(ov.Less(rest, zero), ov.Less(y, zero))
    moved = ov.LogicalAnd(unlike, ov.NotEqual(rest, zero))
    return ov.Select(moved, ov.Add(rest, y), rest, _dtype=rest.dtype)


@ops.op(
    "Where",
    needs=(dtype("float", "float16", "bfloat16", "int32", "int64", "uint8", "int8", "bool", index=1),),
)
def where(ov, node, condition, x, y):
    return ov.Select(condition, x, y, _dtype=x.dtype)


@ops.op("Round", needs=(FLOAT,))
def round_to_even(ov, node, x):
    return ov.Round(x, mode="half_to_even")


@ops.op("Clip", needs=(NUMBER,))
def clip(ov, node, x, low=None, high=None):
    x = x if low is None else ov.Maximum(x, low)
    return ov.Identity(x) if high is None and low is None else x if high is None else ov.Minimum(x, high)


@ops.op("IsInf", needs=(FLOAT,))
def is_infinite(ov, node, x):
    wanted = {word: bool(attr(node, word)) for word in ("detect_negative", "detect_positive")}
    return ov.IsInf(x, **wanted)


@ops.op("Selu", needs=(FLOAT,))
def selu(ov, node, x):
    return ov.Selu(
        x,
        ov.like(attr(node, "alpha"), x),
        ov.like(attr(node, "gamma"), x),
    )


@ops.op("HardSigmoid", needs=(FLOAT,))
def hard_sigmoid(ov, node, x):
    return ov.HardSigmoid(x, ov.like(attr(node, "alpha"), x), ov.like(attr(node, "beta"), x))


@ops.op("LeakyRelu", needs=(FLOAT,))
def leaky_relu(ov, node, x):
    return ov.PReLU(x, ov.const(np.array([attr(node, "alpha")], np.float32)))


@ops.op("Gelu", needs=(FLOAT,))
def gelu(ov, node, x):
    return ov.Gelu(x, approximation_mode="TANH" if attr(node, "approximate") == "tanh" else "ERF")


@ops.op("Softmax", needs=(FLOAT,))
def softmax(ov, node, x):
    return ov.SoftMax(x, axis=axis_of(node))


@ops.op("LogSoftmax", needs=(FLOAT,))
def log_softmax(ov, node, x):
    return ov.LogSoftmax(x, axis=axis_of(node))


@ops.op("CumSum", needs=(NUMBER,))
def cumulative(ov, node, x, axis):
    return ov.CumSum(
        x, ov.scalar(axis), exclusive=bool(attr(node, "exclusive")), reverse=bool(attr(node, "reverse"))
    )


KEPT = condition("a target dtype OpenVINO's CPU computes", lambda n: ir.DataType(attr(n, "to")) in HELD)


@ops.op("Cast", needs=(dtype("float", "float16", "bfloat16"), KEPT))
def cast_float(ov, node, x):
    return _converted(ov, node, x)


@ops.op("Cast", needs=(dtype("int8", "int16", "int32", "int64", "uint8", "uint16", "bool"), KEPT))
def cast(ov, node, x):
    return _converted(ov, node, x)


def _converted(ov, node, x):
    to = ir.DataType(attr(node, "to"))
    if to == ir.DataType.BOOL:
        return ov.NotEqual(x, ov.like(0, x))
    return ov.Convert(x, destination_type=to, _dtype=to)
