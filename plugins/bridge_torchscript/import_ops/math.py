"""Elementwise arithmetic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import held
from bridge.importing import like
from bridge.ops import OpTable
from bridge.passes.decompose.common import in_float32, wide
from bridge_torchscript.import_ops import index, signal_fft
from bridge_torchscript.import_ops.common import (
    T,
    as_bool,
    as_floating,
    cast,
    dtype_of,
    is_float,
    number,
    promote,
    rank,
    result_type,
    static_value,
    tensor,
)
from bridge_torchscript.values import Complex, Sym

ops = OpTable()


def register_unary(**names: str) -> None:
    """Register float functions with other names in the hub; integers become float32."""
    for name, hub_name in names.items():

        @ops.op(f"aten::{name}")
        def call(op, x, hub_name=hub_name):
            return op.node(hub_name, as_floating(op, x))


register_unary(
    exp="Exp", log="Log", sqrt="Sqrt", sin="Sin", cos="Cos", tan="Tan", asin="Asin", acos="Acos", atan="Atan"
)
register_unary(
    sinh="Sinh",
    cosh="Cosh",
    tanh="Tanh",
    asinh="Asinh",
    acosh="Acosh",
    atanh="Atanh",
    sigmoid="Sigmoid",
    erf="Erf",
)
register_unary(
    reciprocal="Reciprocal", arcsin="Asin", arccos="Acos", arctan="Atan", arcsinh="Asinh", arccosh="Acosh"
)
register_unary(
    arctanh="Atanh", hardswish="HardSwish", mish="Mish", special_expit="Sigmoid", special_erf="Erf"
)


def register_elementwise(**names: str) -> None:
    """Register functions with other names in the hub, in the dtype of the input."""
    for name, hub_name in names.items():

        @ops.op(f"aten::{name}")
        def call(op, x, hub_name=hub_name):
            return op.node(hub_name, x)


register_elementwise(neg="Neg", negative="Neg", relu="Relu")


@ops.op("aten::abs", "aten::absolute")
def absolute(op, x):
    return signal_fft.magnitude(op, x) if isinstance(x, Complex) else op.Abs(x)


@ops.op("aten::sign", "aten::sgn")
def sign(op, x):
    """Sign; 0 for NaN, as in torch."""
    if x.dtype == T.BOOL:
        return op.Identity(x)
    if not is_float(x):
        return op.Sign(x)
    up, down = (cast(op, c, x.dtype) for c in (op.Greater(x, like(op, x)), op.Less(x, like(op, x))))
    return op.Sub(up, down)


def register_rounding(**names: str) -> None:
    for name, hub_name in names.items():

        @ops.op(f"aten::{name}")
        def call(op, x, hub_name=hub_name):
            return op.node(hub_name, x) if is_float(x) else op.Identity(x)


register_rounding(floor="Floor", ceil="Ceil")


@ops.op("aten::round", "aten::special_round")
def round_(op, x, decimals=0):
    if not decimals:
        return op.Round(x) if is_float(x) else op.Identity(x)
    factor = number(op, 10.0 ** abs(decimals), x)
    if decimals > 0:
        return op.Div(op.Round(op.Mul(x, factor)), factor)
    return op.Mul(op.Round(op.Div(x, factor)), factor)


@ops.op("aten::trunc", "aten::fix")
def trunc(op, x):
    if not is_float(x):
        return op.Identity(x)
    return op.Where(op.Less(x, like(op, x)), op.Ceil(x), op.Floor(x))


@ops.op("aten::frac")
def frac(op, x):
    return op.Sub(x, trunc(op, x))


def _complex_terms(op: Any, x: Any, other: Any, alpha: Any) -> tuple[ir.Value, ir.Value]:
    """Pairs of both, the second times `alpha`."""
    both = (signal_fft.as_complex(op, v if isinstance(v, Complex) else tensor(op, v)) for v in (x, other))
    one, two = (v.value for v in signal_fft.alike(op, *both))
    return one, two if alpha == 1 else op.Mul(two, number(op, float(alpha), two))


@ops.op("aten::add")
def add(op, x, other, alpha=1):
    if signal_fft.complex_among(x, other):
        x, other = signal_fft.numbers_as_pairs(op, x, other)
        return Complex(op.Add(*_complex_terms(op, x, other, alpha)))
    a, b = promote(op, x, other)
    if alpha != 1:
        b = op.Mul(b, tensor(op, alpha, b.dtype))
    return op.Or(a, b) if a.dtype == T.BOOL else op.Add(a, b)


@ops.op("aten::sub", "aten::subtract")
def sub(op, x, other, alpha=1):
    if signal_fft.complex_among(x, other):
        x, other = signal_fft.numbers_as_pairs(op, x, other)
        return Complex(op.Sub(*_complex_terms(op, x, other, alpha)))
    a, b = promote(op, x, other)
    return op.Sub(a, b if alpha == 1 else op.Mul(b, tensor(op, alpha, b.dtype)))


@ops.op("aten::rsub")
def rsub(op, x, other, alpha=1):
    return sub(op, other, x, alpha)


@ops.op("aten::mul", "aten::multiply")
def mul(op, x, other):
    if signal_fft.complex_among(x, other):
        x, other = signal_fft.numbers_as_pairs(op, x, other)
        return signal_fft.multiply_complex(op, x, other)
    a, b = promote(op, x, other)
    return op.And(a, b) if a.dtype == T.BOOL else op.Mul(a, b)


@ops.op("aten::div", "aten::divide", "aten::true_divide")
def div(op, x, other, rounding_mode=None):
    if signal_fft.complex_among(x, other):
        x, other = signal_fft.numbers_as_pairs(op, x, other)
        return signal_fft.divide_complex(op, x, other)
    a, b = promote(op, x, other)
    if rounding_mode == "floor":
        return floor_divide(op, a, b)
    if rounding_mode == "trunc":
        return trunc(op, op.Div(a, b))
    return op.Div(as_floating(op, a), as_floating(op, b))


@ops.op("aten::floor_divide")
def floor_divide(op, x, other):
    """Floor division. The exact remainder decides how the quotient is rounded."""
    a, b = promote(op, x, other)
    if not is_float(a):
        return op.Div(op.Sub(a, op.Mod(a, b)), b)
    modulo = op.Mod(a, b, fmod=1)
    quotient = op.Div(op.Sub(a, modulo), b)
    zeros = like(op, a)
    differs_in_sign = op.And(
        op.Not(op.Equal(modulo, zeros)), op.Xor(op.Less(b, zeros), op.Less(modulo, zeros))
    )
    rounded = op.Round(op.Sub(quotient, cast(op, differs_in_sign, a.dtype)))
    return op.Where(op.Equal(b, zeros), op.Div(a, b), rounded)


@ops.op("aten::remainder")
def remainder(op, x, other):
    a, b = promote(op, x, other)
    if not is_float(a):
        return op.Mod(a, b)
    modulo = op.Mod(a, b, fmod=1)
    zeros = like(op, a)
    differs_in_sign = op.And(
        op.Not(op.Equal(modulo, zeros)), op.Xor(op.Less(b, zeros), op.Less(modulo, zeros))
    )
    return op.Where(differs_in_sign, op.Add(modulo, b), modulo)


@ops.op("aten::fmod")
def fmod(op, x, other):
    a, b = promote(op, x, other)
    return op.Mod(a, b, fmod=1)


@ops.op("aten::float_power")
def float_power(op, x, exponent):
    return op.Pow(tensor(op, x, T.DOUBLE), tensor(op, exponent, T.DOUBLE))


@ops.op("aten::pow")
def power(op, x, exponent):
    a, b = promote(op, x, exponent)
    if not isinstance(exponent, (ir.Value, Sym)) and exponent == 2:
        return op.Mul(a, a)
    if not isinstance(exponent, (ir.Value, Sym)) and exponent == 0.5:
        return op.Sqrt(a)
    return op.Pow(a, b)


@ops.op("aten::square")
def square(op, x):
    return op.Mul(x, x)


@ops.op("aten::rsqrt")
def rsqrt(op, x):
    return op.Reciprocal(op.Sqrt(as_floating(op, x)))


@ops.op("aten::exp2", "aten::special_exp2")
def exp2(op, x):
    x = as_floating(op, x)
    return op.Pow(number(op, 2.0, x), x)


@ops.op("aten::expm1", "aten::special_expm1")
def expm1(op, x):
    """tanh(x/2) · (exp(x) + 1) for |x| < 1, which keeps precision near zero."""
    x = as_floating(op, x)
    one = number(op, 1.0, x)
    near = op.Mul(op.Tanh(op.Mul(x, number(op, 0.5, x))), op.Add(op.Exp(x), one))
    return op.Where(op.Less(op.Abs(x), one), near, op.Sub(op.Exp(x), one))


@ops.op("aten::log1p", "aten::special_log1p")
def log1p(op, x):
    """2 · atanh(x / (2 + x)) for |x| < 0.5."""
    x = as_floating(op, x)
    two, one = number(op, 2.0, x), number(op, 1.0, x)
    small = op.Less(op.Abs(x), number(op, 0.5, x))
    inside = op.Where(small, x, like(op, x))
    return op.Where(small, op.Mul(two, op.Atanh(op.Div(inside, op.Add(inside, two)))), op.Log(op.Add(x, one)))


@ops.op("aten::log2")
def log2(op, x):
    x = as_floating(op, x)
    return op.Div(op.Log(x), number(op, math.log(2), x))


@ops.op("aten::log10")
def log10(op, x):
    x = as_floating(op, x)
    return op.Div(op.Log(x), number(op, math.log(10), x))


@ops.op("aten::erfc", "aten::special_erfc")
def erfc(op, x):
    x = as_floating(op, x)
    return op.Sub(number(op, 1.0, x), op.Erf(x))


@ops.op("aten::deg2rad")
def deg2rad(op, x):
    x = as_floating(op, x)
    return op.Mul(x, number(op, math.pi / 180, x))


@ops.op("aten::rad2deg")
def rad2deg(op, x):
    x = as_floating(op, x)
    return op.Mul(x, number(op, 180 / math.pi, x))


@ops.op("aten::sinc", "aten::special_sinc")
def sinc(op, x):
    x = as_floating(op, x)
    angle = op.Mul(x, number(op, math.pi, x))
    is_zero = op.Equal(x, like(op, x))
    return op.Where(
        is_zero, number(op, 1.0, x), op.Div(op.Sin(angle), op.Where(is_zero, number(op, 1.0, x), angle))
    )


@ops.op("aten::atan2", "aten::arctan2")
def atan2(op, x, other):
    """Arc tangent by quadrant; signed zeros as in C."""
    y, x = (as_floating(op, v) for v in promote(op, x, other))
    zeros, pi, half = like(op, x), number(op, math.pi, x), number(op, math.pi / 2, x)
    principal = op.Atan(op.Div(y, x))
    shifted = op.Where(op.Less(y, zeros), op.Sub(principal, pi), op.Add(principal, pi))
    result = op.Where(op.Less(x, zeros), shifted, principal)
    vertical = op.Where(op.Greater(y, zeros), half, op.Where(op.Less(y, zeros), op.Neg(half), zeros))
    return op.Where(op.Equal(x, zeros), vertical, result)


@ops.op("aten::hypot")
def hypot(op, x, other):
    a, b = promote(op, x, other)
    return in_float32(op, a, lambda v: op.Sqrt(op.Add(op.Mul(v, v), op.Mul(w := wide(op, b), w))))


@ops.op("aten::logaddexp")
def logaddexp(op, x, other):
    a, b = promote(op, x, other)
    high = op.Max(a, b)
    near = op.Add(high, log1p(op, op.Exp(op.Neg(op.Abs(op.Sub(a, b))))))
    return op.Where(op.Equal(a, b), op.Add(a, number(op, math.log(2), a)), near)


@ops.op("aten::logaddexp2")
def logaddexp2(op, x, other):
    a, b = promote(op, x, other)
    scale = number(op, math.log(2), a)
    return op.Div(logaddexp(op, op.Mul(a, scale), op.Mul(b, scale)), scale)


@ops.op("aten::copysign")
def copysign(op, x, other):
    """Copy the sign of `other`; the sign of a zero is that of 1 / zero."""
    a, b = (as_floating(op, v) for v in promote(op, x, other))
    negative = op.Or(op.Less(b, like(op, b)), op.Less(op.Div(number(op, 1.0, b), b), like(op, b)))
    return op.Where(negative, op.Neg(op.Abs(a)), op.Abs(a))


@ops.op("aten::signbit")
def signbit(op, x):
    if not is_float(x):
        return op.Less(x, like(op, x))
    return op.Or(op.Less(x, like(op, x)), op.Less(op.Div(number(op, 1.0, x), x), like(op, x)))


@ops.op("aten::xlogy", "aten::special_xlogy")
def xlogy(op, x, other):
    a, b = (as_floating(op, v) for v in promote(op, x, other))
    zeros = like(op, a)
    product = op.Where(op.Equal(a, zeros), zeros, op.Mul(a, op.Log(b)))
    return op.Where(op.IsNaN(b), b, product)


@ops.op("aten::special_xlog1py")
def xlog1py(op, x, other):
    a, b = (as_floating(op, v) for v in promote(op, x, other))
    zeros = like(op, a)
    return op.Where(op.IsNaN(b), b, op.Where(op.Equal(a, zeros), zeros, op.Mul(a, log1p(op, b))))


@ops.op("aten::special_entr")
def entr(op, x):
    x = as_floating(op, x)
    zeros = like(op, x)
    inside = op.Where(op.Greater(x, zeros), x, number(op, 1.0, x))
    value = op.Where(
        op.Greater(x, zeros),
        op.Neg(op.Mul(x, op.Log(inside))),
        op.Where(op.Less(x, zeros), number(op, -math.inf, x), zeros),
    )
    return op.Where(op.IsNaN(x), x, value)


@ops.op("aten::logit", "aten::special_logit")
def logit(op, x, eps=None):
    x = as_floating(op, x)
    if eps is not None:
        x = op.Clip(x, number(op, eps, x), number(op, 1 - eps, x))
    return op.Log(op.Div(x, op.Sub(number(op, 1.0, x), x)))


@ops.op("aten::nan_to_num")
def nan_to_num(op, x, nan=None, posinf=None, neginf=None):
    if not is_float(x):
        return op.Identity(x)
    info = np.finfo(x.dtype.numpy())
    high = number(op, float(info.max) if posinf is None else posinf, x)
    low = number(op, float(info.min) if neginf is None else neginf, x)
    result = op.Where(op.IsNaN(x), number(op, nan or 0.0, x), x)
    result = op.Where(op.IsInf(x, detect_negative=0), high, result)
    return op.Where(op.IsInf(x, detect_positive=0), low, result)


def extreme(op: Any, hub_name: str, x: ir.Value, other: ir.Value) -> ir.Value:
    """Elementwise maximum (Max) or minimum (Min); NaN if either operand is NaN."""
    a, b = promote(op, x, other)
    if a.dtype == T.BOOL:
        return op.node("Or" if hub_name == "Max" else "And", a, b)
    result = op.node(hub_name, a, b)
    return op.Where(op.IsNaN(a), a, op.Where(op.IsNaN(b), b, result)) if is_float(a) else result


@ops.op("aten::maximum")
def maximum(op, x, other):
    return extreme(op, "Max", x, other)


@ops.op("aten::minimum")
def minimum(op, x, other):
    return extreme(op, "Min", x, other)


def register_nan_ignoring(hub_name: str, name: str) -> None:
    @ops.op(f"aten::{name}")
    def pick(op, x, other):
        a, b = promote(op, x, other)
        if not is_float(a):
            return (
                op.node("Or" if hub_name == "Max" else "And", a, b)
                if a.dtype == T.BOOL
                else op.node(hub_name, a, b)
            )
        return op.Where(op.IsNaN(a), b, op.Where(op.IsNaN(b), a, op.node(hub_name, a, b)))


register_nan_ignoring("Max", "fmax")
register_nan_ignoring("Min", "fmin")


@ops.op("aten::clamp", "aten::clip")
def clamp(op, x, min=None, max=None):
    dtype = result_type(x, *(v for v in (min, max) if v is not None))
    x = cast(op, x, dtype)
    has_scalar_bounds = all(v is None or not isinstance(v, ir.Value) or rank(v) == 0 for v in (min, max))
    low, high = (None if v is None else tensor(op, v, dtype) for v in (min, max))
    if has_scalar_bounds and dtype not in (T.INT16, T.UINT16) and not (is_float(x) and held(x) is not None):
        return op.Clip(x, low, high)
    x = x if low is None else op.Max(x, low)
    return x if high is None else op.Min(x, high)


@ops.op("aten::clamp_min")
def clamp_min(op, x, min):
    return clamp(op, x, min=min)


@ops.op("aten::clamp_max")
def clamp_max(op, x, max):
    return clamp(op, x, max=max)


@ops.op("aten::where")
def where(op, condition, x=None, other=None):
    """Elementwise selection; of a condition alone, its true coordinates, one tensor per dimension."""
    if x is None:
        return index.nonzero_numpy(op, condition)
    a, b = promote(op, x, other)
    return op.Where(as_bool(op, condition), a, b)


@ops.op("aten::lerp")
def lerp(op, x, end, weight):
    """Interpolation from the nearer end, with torch's rounding."""
    w = tensor(op, weight, x.dtype)
    span = op.Sub(end, x)
    from_start = op.Add(x, op.Mul(w, span))
    from_end = op.Sub(end, op.Mul(span, op.Sub(number(op, 1.0, x), w)))
    return op.Where(op.Less(op.Abs(w), number(op, 0.5, x)), from_start, from_end)


@ops.op("aten::addcmul")
def addcmul(op, x, tensor1, tensor2, value=1):
    a, b, c = promote(op, x, tensor1, tensor2)
    product = op.Mul(b, c)
    return op.Add(a, product if value == 1 else op.Mul(product, number(op, value, a)))


@ops.op("aten::addcdiv")
def addcdiv(op, x, tensor1, tensor2, value=1):
    a, b, c = promote(op, x, tensor1, tensor2)
    product = op.Div(b, c)
    return op.Add(a, product if value == 1 else op.Mul(product, number(op, value, a)))


@ops.op("aten::heaviside")
def heaviside(op, x, values):
    zeros = like(op, x)
    step = cast(op, op.Greater(x, zeros), x.dtype)
    return op.Where(op.Equal(x, zeros), values, step)


@ops.op("aten::real")
def real(op, x):
    return signal_fft.component(op, x, 0) if isinstance(x, Complex) else op.Identity(x)


@ops.op("aten::conj", "aten::conj_physical", "aten::resolve_conj", "aten::_conj")
def conj(op, x):
    return signal_fft.conjugate(op, x) if isinstance(x, Complex) else op.Identity(x)


@ops.op("aten::resolve_neg", "aten::positive")
def unchanged(op, x):
    return op.Identity(x)


@ops.op("aten::angle")
def angle(op, x):
    x = as_floating(op, x)
    return op.Where(op.Less(x, like(op, x)), number(op, math.pi, x), op.Where(op.IsNaN(x), x, like(op, x)))


@ops.op("aten::to", "aten::type_as", "aten::_to_copy")
def to(op, x, dtype=None, other=None, device=None):
    target = (
        other.dtype
        if isinstance(other, ir.Value)
        else x.dtype
        if dtype is None
        else dtype_of(static_value(dtype, "dtype"))
    )
    return convert_dtype(op, x, target)


def convert_dtype(op: Any, x: ir.Value, target: ir.DataType) -> ir.Value | Complex:
    """Cast to another dtype; complex dtypes become pairs of floats."""
    if target in (T.COMPLEX64, T.COMPLEX128):
        return signal_fft.as_complex(op, cast(op, x, T.FLOAT if target == T.COMPLEX64 else T.DOUBLE))
    return op.Identity(x) if target == x.dtype else cast(op, x, target)


def register_conversions(**names: ir.DataType) -> None:
    for name, dtype in names.items():

        @ops.op(f"aten::{name}")
        def convert(op, x, dtype=dtype):
            return convert_dtype(op, x, dtype)


register_conversions(
    float=T.FLOAT,
    double=T.DOUBLE,
    half=T.FLOAT16,
    bfloat16=T.BFLOAT16,
    int=T.INT32,
    long=T.INT64,
    bool=T.BOOL,
    cfloat=T.COMPLEX64,
    cdouble=T.COMPLEX128,
)


IDENTITY = "clone contiguous cpu detach alias requires_grad_ lift_fresh pin_memory"


@ops.op(*(f"aten::{name}" for name in IDENTITY.split()))
def copied(op, x):
    return op.Identity(x)


@ops.op("aten::ldexp")
def ldexp(op, x, other):
    """`x` times two to the power of `other`."""
    power = as_floating(op, other)
    value, power = promote(op, x, op.Pow(number(op, 2.0, power), power))
    return op.Mul(value, power)
