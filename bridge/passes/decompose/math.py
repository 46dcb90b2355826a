"""Element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, on_last_axis, product, reshape, vector
from bridge.hub import attr, const, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import zero
from bridge.traits import MOVES_DATA, is_a

ops = OpTable()

REAL = dtype("float", "double", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
LN2 = math.log(2)
ERFC = (
    0.17087277,
    -0.82215223,
    1.48851587,
    -1.13520398,
    0.27886807,
    -0.18628806,
    0.09678418,
    0.37409196,
    1.00002368,
    -1.26551223,
)
ERF = tuple(2 / math.sqrt(math.pi) * (-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(6, -1, -1))


def log1p(op: Any, x: Any) -> Any:
    """log(1 + x) without losing small x: 2 artanh(s) by its series, s = x / (2 + x), up to 0.4 on either
    side."""
    s = op.Div(x, op.Add(x, 2.0))
    square = op.Mul(s, s)
    series = like(op, x, 1 / 11)
    for power in (9, 7, 5, 3, 1):
        series = op.Add(op.Mul(series, square), 1 / power)
    near = op.Mul(op.Mul(s, 2.0), series)
    return op.Where(op.Less(op.Abs(x), 0.4), near, op.Log(op.Add(x, 1.0)))


def expm1(op: Any, x: Any) -> Any:
    """exp(x) - 1 without losing small x: by its series up to 0.5 on either side."""
    series = like(op, x, 1.0)
    for term in range(9, 1, -1):
        series = op.Add(op.Mul(op.Mul(series, x), 1 / term), 1.0)
    return op.Where(op.Less(op.Abs(x), 0.5), op.Mul(series, x), op.Sub(op.Exp(x), 1.0))


def like(op: Any, x: ir.Value, number: float) -> ir.Value:
    """A scalar of the dtype of `x`."""
    return op.const(number, x.dtype)


@ops.op("HardSigmoid")
def hard_sigmoid(op, node, x):
    line = op.Add(op.Mul(x, attr(node, "alpha")), attr(node, "beta"))
    return op.Min(op.Max(line, 0.0), 1.0)


@ops.op("Reciprocal")
def reciprocal(op, node, x):
    return op.Div(1.0, x)


@ops.op("Selu")
def selu(op, node, x):
    """gamma * x where x > 0, else gamma * alpha * (exp(x) - 1), which is what Elu is."""
    negative = op.Mul(op.Elu(x), attr(node, "alpha"))
    return op.Mul(op.Where(op.Less(x, 0.0), negative, x), attr(node, "gamma"))


@ops.op("Softplus", needs=(REAL,))
def softplus(op, node, x):
    """max(x, 0) + log1p(exp(-|x|))."""
    return op.Add(op.Max(x, 0.0), log1p(op, op.Exp(op.Neg(op.Abs(x)))))


@ops.op("Sum", "Max", "Min", "Mean")
def variadic(op, node, *inputs):
    if len(inputs) == 2 and node.op_type in ("Max", "Min"):
        return NotImplemented
    binary = node.op_type if node.op_type in ("Max", "Min") else "Add"
    result = inputs[0]
    for value in inputs[1:]:
        result = op.node(binary, result, value)
    return op.Div(result, float(len(inputs))) if node.op_type == "Mean" and len(inputs) > 1 else result


@ops.op("Tan", needs=(REAL,))
def tan(op, node, x):
    return op.Div(op.Sin(x), op.Cos(x))


@ops.op("Sinh", needs=(REAL,))
def sinh(op, node, x):
    """(e + e / (e + 1)) / 2 for e = expm1(|x|), with the sign of x; halves of exp(|x|) where that is
    large."""
    size = op.Abs(x)
    e = expm1(op, size)
    near = op.Mul(op.Add(e, op.Div(e, op.Add(e, 1.0))), 0.5)
    far = op.Exp(op.Sub(size, LN2))
    return op.Mul(op.Sign(x), op.Where(op.Greater(size, 9.0), far, near))


@ops.op("Cosh", needs=(REAL,))
def cosh(op, node, x):
    half = op.Exp(op.Sub(op.Abs(x), LN2))
    return op.Add(half, op.Div(0.25, half))


@ops.op("Asinh", needs=(REAL,))
def asinh(op, node, x):
    """log1p(|x| + x² / (1 + √(x² + 1))), with the sign of x; log(|x|) + ln 2 where x² overflows."""
    size = op.Abs(x)
    bounded = op.Min(size, 1e4)
    square = op.Mul(bounded, bounded)
    near = log1p(op, op.Add(bounded, op.Div(square, op.Add(op.Sqrt(op.Add(square, 1.0)), 1.0))))
    far = op.Add(op.Log(op.Max(size, 1.0)), LN2)
    return op.Mul(op.Sign(x), op.Where(op.Greater(size, 1e4), far, near))


@ops.op("Acosh", needs=(REAL,))
def acosh(op, node, x):
    """log1p(t + √(2t + t²)) for t = x - 1; log(x) + ln 2 where t² overflows."""
    t = op.Sub(op.Min(x, 1e4), 1.0)
    near = log1p(op, op.Add(t, op.Sqrt(op.Add(op.Mul(t, 2.0), op.Mul(t, t)))))
    return op.Where(op.Greater(x, 1e4), op.Add(op.Log(x), LN2), near)


@ops.op("Atanh", needs=(REAL,))
def atanh(op, node, x):
    """log1p(2|x| / (1 - |x|)) / 2, with the sign of x."""
    size = op.Abs(x)
    near = op.Mul(log1p(op, op.Div(op.Mul(size, 2.0), op.Sub(1.0, size))), 0.5)
    return op.Mul(op.Sign(x), near)


@ops.op("Xor")
def xor(op, node, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("IsNaN")
def is_nan(op, node, x):
    return op.Not(op.Equal(x, x))


@ops.op("IsInf")
def is_inf(op, node, x):
    signs = [s for s in (1, -1) if attr(node, "detect_positive" if s > 0 else "detect_negative", 1)]
    if not signs:
        return op.Not(op.Or(op.Equal(x, x), op.Not(op.Equal(x, x))))
    matches = [op.Equal(x, like(op, x, sign * math.inf)) for sign in signs]
    return matches[0] if len(matches) == 1 else op.Or(*matches)


@ops.op("PRelu")
def prelu(op, node, x, slope):
    zero = like(op, x, 0)
    return op.Where(op.Less(x, zero), op.Mul(x, slope), x)


@ops.op("Abs", needs=(dtype(*INTEGERS),))
def absolute(op, node, x):
    return op.Max(x, op.Neg(x)) if x.dtype.is_signed() else op.Identity(x)


@ops.op("Sign")
def sign(op, node, x):
    zero = like(op, x, 0)
    above, below = (op.Cast(test(x, zero), to=int(x.dtype)) for test in (op.Greater, op.Less))
    return op.Sub(above, below)


@ops.op("Mod", needs=(condition("fmod=1", lambda n: attr(n, "fmod") == 1),))
def fmod(op, node, x, y):
    """The remainder of the sizes, with the sign of x."""
    remainder = op.Mod(op.Abs(x), op.Abs(y), fmod=0)
    return op.Where(op.Less(x, zero(op, x)), op.Neg(remainder), remainder)


@ops.op("Div", needs=(dtype("int64"),))
def divide_int64(op, node, x, y):
    """Divide in int32 where both surely fit; else each round adds what float32 makes of the rest, and the
    last sets the sign right."""
    if fits_int32(x) and fits_int32(y):
        return op.Cast(op.Div(op.Cast(x, to=6), op.Cast(y, to=6)), to=7)
    divisor, quotient = op.Cast(y, to=1), None
    for _ in range(3):
        remainder = x if quotient is None else op.Sub(x, op.Mul(quotient, y))
        step = op.Cast(op.Div(op.Cast(remainder, to=1), divisor), to=7)
        quotient = step if quotient is None else op.Add(quotient, step)
    remainder = op.Sub(x, op.Mul(quotient, y))
    negative, one = op.Less(x, zero(op, x)), zero(op, x, 1)
    toward = op.Where(op.Xor(negative, op.Less(y, zero(op, y))), op.Neg(one), one)
    size, limit = op.Where(negative, op.Neg(remainder), remainder), op.Abs(y)
    over = op.Where(op.GreaterOrEqual(size, limit), toward, zero(op, x))
    under = op.Where(op.Less(size, zero(op, x)), toward, zero(op, x))
    return op.Sub(op.Add(quotient, over), under)


def fits_int32(value: ir.Value | None, depth: int = 12) -> bool:
    """True if a value is surely within int32: small constants, and what is computed from lengths of
    tensors."""
    if value is None or depth == 0:
        return False
    known = const(value)
    if known is not None:
        return known.size == 0 or bool(np.abs(known.astype(np.float64)).max() < 2**31)
    node = value.producer()
    if node is None or node.domain:
        return False
    if node.op_type in ("Shape", "Size"):
        return True
    if is_a(node, MOVES_DATA - {"Concat"}, {"Cast", "Neg", "Abs"}):
        source = node.inputs[0]
        whole = source is not None and source.dtype is not None and source.dtype.is_integer()
        return whole and fits_int32(source, depth - 1)
    if node.op_type in ("Concat", "Max", "Min", "Div", "Add", "Sub", "Mul", "Where"):
        sources = node.inputs[1:] if node.op_type == "Where" else node.inputs
        return all(fits_int32(v, depth - 1) for v in sources)
    return False


@ops.op("BitShift")
def bit_shift(op, node, x, y):
    """A product with, or a quotient by, a power of two. Shifts by the width or more, and negative ones, leave
    nothing but the sign."""
    width = x.dtype.bitwidth
    if width > 64 or (x.dtype.name.startswith("U") and attr(node, "direction") == "RIGHT" and width == 64):
        return NotImplemented
    gone = op.Or(op.Less(y, zero(op, y)), op.GreaterOrEqual(y, zero(op, y, width)))
    table = op.const(np.array([1 << n for n in range(width)], np.uint64).astype(x.dtype.numpy()))
    factor = op.Gather(table, op.Cast(op.Where(gone, zero(op, y), y), to=7), axis=0)
    if attr(node, "direction") == "LEFT":
        return op.Where(gone, zero(op, x), op.Mul(x, factor))
    left = (
        zero(op, x)
        if x.dtype.name.startswith("U")
        else op.Where(op.Less(x, zero(op, x)), zero(op, x, -1), zero(op, x))
    )
    return op.Where(gone, left, op.Div(op.Sub(x, op.Mod(x, factor)), factor))


@ops.op("BitwiseNot")
def bitwise_not(op, node, x):
    return op.BitwiseXor(x, op.const(np.array(-1).astype(x.dtype.numpy())))


@ops.op("Pow")
def power(op, node, x, y):
    """Exponents of another dtype take part in that of the base; small constant whole exponents are
    products."""
    number = const(y)
    if number is not None and number.size == 1 and float(number.reshape(())) in (0.0, 1.0, 2.0, 3.0):
        return _product(op, node, x, int(number.reshape(())))
    if x.dtype == y.dtype:
        return _whole_power(op, x, y) if x.dtype == ir.DataType.INT64 else NotImplemented
    if x.dtype.is_floating_point():
        return op.Pow(x, op.Cast(y, to=int(x.dtype)))
    if y.dtype.is_floating_point():
        return op.Cast(op.Pow(op.Cast(x, to=int(y.dtype)), y), to=int(x.dtype))
    return op.Pow(x, op.Cast(y, to=int(x.dtype)))


def _whole_power(op: Any, x: ir.Value, y: ir.Value) -> ir.Value:
    """Raise to a power by squaring, for each bit of an exponent of 64 at most: beyond that only 0, 1 and
    -1 have a power in 64 bits, and parity decides."""
    exponent = op.Where(op.Greater(y, 64), op.Add(op.Mod(y, 2), 62), y)
    exponent = op.Where(op.Less(y, 0), op.Mod(y, 2), exponent)
    powers = [x]
    for _ in range(6):
        powers.append(op.Mul(powers[-1], powers[-1]))
    result = None
    for bit, power in reversed(list(enumerate(powers))):
        has_bit = op.GreaterOrEqual(exponent, 2**bit)
        factor = op.Where(has_bit, power, np.int64(1))
        result = factor if result is None else op.Mul(result, factor)
        exponent = op.Sub(exponent, op.Where(has_bit, np.int64(2**bit), np.int64(0)))
    return op.Where(op.And(op.Less(y, 0), op.Greater(op.Abs(x), 1)), np.int64(0), result)


def _product(op: Any, node: ir.Node, x: ir.Value, times: int) -> Any:
    wider = (rank_of(node.inputs[1]) or 0) > (rank_of(x) or 0)
    if wider or rank_of(x) is None or times == 0:
        return NotImplemented
    result = x
    for _ in range(times - 1):
        result = op.Mul(result, x)
    return op.Identity(x) if times == 1 else result


@ops.op("Erf", needs=(REAL,))
def erf(op, node, x):
    """1 - t · exp(-x² + polynomial of t), t = 1 / (1 + |x| / 2), within 1.2e-7 (Press et al., Numerical
    Recipes, erfc); by the series of erf where |x| is under 0.5."""
    size = op.Abs(x)
    t = op.Div(1.0, op.Add(op.Mul(size, 0.5), 1.0))
    total = like(op, x, ERFC[0])
    for term in ERFC[1:]:
        total = op.Add(op.Mul(total, t), term)
    square = op.Mul(size, size)
    far = op.Mul(op.Sign(x), op.Sub(1.0, op.Mul(t, op.Exp(op.Sub(total, square)))))
    series = like(op, x, ERF[0])
    for term in ERF[1:]:
        series = op.Add(op.Mul(series, square), term)
    return op.Where(op.Less(size, 0.5), op.Mul(x, series), far)


@ops.op("Softmax", "LogSoftmax")
def softmax(op, node, x):
    """Over another axis than the last: that axis is brought last and back. Over the last: by its formula."""
    rank = rank_of(x)
    if not rank:
        return NotImplemented
    axis = attr(node, "axis") % rank
    if axis != rank - 1:
        return on_last_axis(op, x, axis, lambda v: op.node(node.op_type, v, axis=-1))
    if rank <= 2:
        return NotImplemented
    flat = op.Reshape(x, vector(op, [product(op, lengths(op, x)[:-1]), *lengths(op, x)[-1:]]))
    return reshape(op, op.node(node.op_type, flat, axis=-1), lengths(op, x))
