"""Element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import lengths, product, reshape, vector

ops = OpTable("decomposition: math")

REAL = dtype("float", "double", "float16", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
LN2 = math.log(2)


def log1p(op: Any, x: Any) -> Any:
    """log(1 + x) without losing small x: x · log(w) / (w - 1) for w = 1 + x, and x itself where w is 1."""
    w = op.Add(x, 1.0)
    lost = op.Equal(w, 1.0)
    excess = op.Where(lost, like(op, x, 1.0), op.Sub(w, 1.0))
    return op.Where(op.Or(lost, op.IsInf(w)), x, op.Div(op.Mul(x, op.Log(w)), excess))


def expm1(op: Any, x: Any) -> Any:
    """exp(x) - 1 without losing small x: (u - 1) · x / log(u) for u = exp(x), and x itself where u is 1."""
    u = op.Exp(x)
    lost, gone = op.Equal(u, 1.0), op.Or(op.LessOrEqual(op.Sub(u, 1.0), -1.0), op.Greater(x, 15.0))
    safe = op.Where(op.Or(lost, gone), like(op, x, 1.0), op.Log(u))
    near = op.Div(op.Mul(op.Sub(u, 1.0), x), safe)
    return op.Where(lost, x, op.Where(gone, op.Sub(u, 1.0), near))


def like(op: Any, x: ir.Value, number: float) -> ir.Value:
    """A scalar of the dtype of `x`."""
    return op.const(number, x.dtype)


@ops.op("HardSigmoid")
def hard_sigmoid(op, node, x):
    line = op.Add(op.Mul(x, attr(node, "alpha", 0.2)), attr(node, "beta", 0.5))
    return op.Min(op.Max(line, 0.0), 1.0)


@ops.op("Reciprocal")
def reciprocal(op, node, x):
    return op.Div(1.0, x)


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
    """(e + e / (e + 1)) / 2 for e = expm1(|x|), with the sign of x; halves of exp(|x|) where that is large."""
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
    found = [op.Equal(x, like(op, x, sign * math.inf)) for sign in signs]
    return found[0] if len(found) == 1 else op.Or(*found)


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


@ops.op("Mod")
def mod(op, node, x, y):
    """fmod: x - trunc(x / y) · y has the sign of x; the integer form has the sign of y."""
    if not attr(node, "fmod", 0):
        return NotImplemented
    rest = op.Mod(op.Abs(x), op.Abs(y), fmod=0) if x.dtype.is_integer() else None
    return NotImplemented if rest is None else op.Where(op.Less(x, like(op, x, 0)), op.Neg(rest), rest)


@ops.op("BitwiseNot")
def bitwise_not(op, node, x):
    return op.BitwiseXor(x, op.const(np.array(-1).astype(x.dtype.numpy())))


@ops.op("Pow")
def power(op, node, x, y):
    """Exponents of another dtype take part in that of the base; small constant whole exponents are products."""
    number = const(y)
    if number is not None and number.size == 1 and float(number.reshape(())) in (0.0, 1.0, 2.0, 3.0):
        return _product(op, node, x, int(number.reshape(())))
    if x.dtype == y.dtype:
        return NotImplemented
    if x.dtype.is_floating_point():
        return op.Pow(x, op.Cast(y, to=int(x.dtype)))
    if y.dtype.is_floating_point():
        return op.Cast(op.Pow(op.Cast(x, to=int(y.dtype)), y), to=int(x.dtype))
    return op.Pow(x, op.Cast(y, to=int(x.dtype)))


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
    """Within 1.2e-7 of erf: 1 - t · exp(-x² + polynomial of t), t = 1 / (1 + |x| / 2) (Numerical Recipes, erfc Chebyshev fit)."""
    size = op.Abs(x)
    t = op.Div(1.0, op.Add(op.Mul(size, 0.5), 1.0))
    terms = (
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
    total = like(op, x, terms[0])
    for term in terms[1:]:
        total = op.Add(op.Mul(total, t), term)
    tail = op.Mul(t, op.Exp(op.Sub(total, op.Mul(size, size))))
    return op.Mul(op.Sign(x), op.Sub(1.0, tail))


@ops.op("Softmax", "LogSoftmax")
def softmax(op, node, x):
    """Over another axis than the last: that axis is brought last and back. Over the last: by its formula."""
    rank = rank_of(x)
    if not rank:
        return NotImplemented
    axis = attr(node, "axis", -1) % rank
    if axis != rank - 1:
        order = [*range(axis), *range(axis + 1, rank), axis]
        inverse = [order.index(i) for i in range(rank)]
        return op.Transpose(op.node(node.op_type, op.Transpose(x, perm=order), axis=-1), perm=inverse)
    if rank <= 2:
        return NotImplemented
    flat = op.Reshape(x, vector(op, [product(op, lengths(op, x)[:-1]), *lengths(op, x)[-1:]]))
    return reshape(op, op.node(node.op_type, flat, axis=-1), lengths(op, x))
