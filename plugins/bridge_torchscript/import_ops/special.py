"""Special functions by the approximations of Abramowitz and Stegun (chapters 6, 7 and 9), in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, as_floating, cast, number
from bridge_torchscript.values import Unsupported

ops = OpTable()

# 9.4.1 to 9.4.6: J0, Y0, J1, Y1 in (x/3)² below 3, amplitude and phase in 3/x above
J0 = (1, -2.2499997, 1.2656208, -0.3163866, 0.0444479, -0.0039444, 0.00021)
Y0 = (0.36746691, 0.60559366, -0.74350384, 0.25300117, -0.04261214, 0.00427916, -0.00024846)
J1 = (0.5, -0.56249985, 0.21093573, -0.03954289, 0.00443319, -0.00031761, 0.00001109)
Y1 = (-0.6366198, 0.2212091, 2.1682709, -1.3164827, 0.3123951, -0.0400976, 0.0027873)
F0 = (0.79788456, -0.00000077, -0.0055274, -0.00009512, 0.00137237, -0.00072805, 0.00014476)
F1 = (0.79788456, 0.00000156, 0.01659667, 0.00017105, -0.00249511, 0.00113653, -0.00020033)
THETA0 = (-0.78539816, -0.04166397, -0.00003954, 0.00262573, -0.00054125, -0.00029333, 0.00013558)
THETA1 = (-2.35619449, 0.12499612, 0.0000565, -0.00637879, 0.00074348, 0.00079824, -0.00029166)
# 9.8.1 to 9.8.8: I0 and I1 in (x/3.75)² below 3.75 and in 3.75/x above,
# K0 and K1 in (x/2)² below 2 and in 2/x above
I0 = (1, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
I1 = (0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411)
I0_FAR = (
    0.39894228,
    0.01328592,
    0.00225319,
    -0.00157565,
    0.00916281,
    -0.02057706,
    0.02635537,
    -0.01647633,
    0.00392377,
)
I1_FAR = (
    0.39894228,
    -0.03988024,
    -0.00362018,
    0.00163801,
    -0.01031555,
    0.02282967,
    -0.02895312,
    0.01787654,
    -0.00420059,
)
K0 = (-0.57721566, 0.4227842, 0.23069756, 0.0348859, 0.00262698, 0.0001075, 0.0000074)
K1 = (1, 0.15443144, -0.67278579, -0.18156897, -0.01919402, -0.00110404, -0.00004686)
K0_FAR = (1.25331414, -0.07832358, 0.02189568, -0.01062446, 0.00587872, -0.0025154, 0.00053208)
K1_FAR = (1.25331414, 0.23498619, -0.0365562, 0.01504268, -0.00780353, 0.00325614, -0.00068245)
# Press et al., Numerical Recipes, erfc; Giles, Approximating the erfinv function
ERFC = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)
ERFINV_NEAR = (
    1.50140941,
    0.246640727,
    -0.00417768164,
    -0.00125372503,
    0.00021858087,
    -4.39150654e-06,
    -3.5233877e-06,
    3.43273939e-07,
    2.81022636e-08,
)
ERFINV_FAR = (
    2.83297682,
    1.00167406,
    0.00943887047,
    -0.0076224613,
    0.00573950773,
    -0.00367342844,
    0.00134934322,
    0.000100950558,
    -0.000200214257,
)


class Float64:
    """Float64 value with Python's arithmetic operators."""

    def __init__(self, op: Any, value: ir.Value) -> None:
        self.op, self.value = op, value

    def _other(self, other: Any) -> ir.Value:
        return other.value if isinstance(other, Float64) else number(self.op, float(other), self.value)

    def _node(self, name: str, *values: ir.Value) -> Float64:
        return Float64(self.op, self.op.node(name, *values))

    def __add__(self, other: Any) -> Float64:
        return self._node("Add", self.value, self._other(other))

    def __radd__(self, other: Any) -> Float64:
        return self + other

    def __sub__(self, other: Any) -> Float64:
        return self._node("Sub", self.value, self._other(other))

    def __rsub__(self, other: Any) -> Float64:
        return self._node("Sub", self._other(other), self.value)

    def __mul__(self, other: Any) -> Float64:
        return self._node("Mul", self.value, self._other(other))

    def __rmul__(self, other: Any) -> Float64:
        return self * other

    def __truediv__(self, other: Any) -> Float64:
        return self._node("Div", self.value, self._other(other))

    def __rtruediv__(self, other: Any) -> Float64:
        return self._node("Div", self._other(other), self.value)

    def __neg__(self) -> Float64:
        return self._node("Neg", self.value)

    def apply(self, name: str) -> Float64:
        """Result of a unary ONNX operator: `Exp`, `Log`, …"""
        return self._node(name, self.value)

    def below(self, limit: Any, one: Float64, two: Float64) -> Float64:
        """`one` where this is less than `limit`, `two` elsewhere."""
        hit = self.op.Less(self.value, self._other(limit))
        return Float64(self.op, self.op.Where(hit, one.value, two.value))

    def equal(self, other: Any, one: Float64, two: Float64) -> Float64:
        """`one` where this equals `other`, `two` elsewhere."""
        hit = self.op.Equal(self.value, self._other(other))
        return Float64(self.op, self.op.Where(hit, one.value, two.value))

    def full(self, value: float) -> Float64:
        """Scalar constant."""
        return Float64(self.op, number(self.op, value, self.value))


def polynomial(x: Float64, terms: tuple[float, ...]) -> Float64:
    """Σ terms[i] · xⁱ by Horner's rule."""
    result = x.full(terms[-1])
    for term in reversed(terms[:-1]):
        result = result * x + term
    return result


def register_formula(*names: str) -> Callable:
    """Register a unary formula, computed in float64 and rounded to the dtype of the input."""

    def register(formula: Callable[[Float64], Float64]) -> Callable:
        @ops.op(*(f"aten::{n}" for n in names))
        def compute(op, x):
            x = as_floating(op, x)
            return cast(op, formula(Float64(op, cast(op, x, T.DOUBLE))).value, x.dtype)

        return formula

    return register


def at_least(x: Float64, limit: float) -> Float64:
    """`x`, raised to at least `limit`."""
    return x.below(limit, x.full(limit), x)


@register_formula("lgamma", "special_gammaln")
def lgamma(x: Float64) -> Float64:
    """Stirling's series of x + 7; reflected below 0.5; infinite at non-positive integers."""
    reflected = x.below(0.5, 1 - x, x)
    product = reflected
    for step in range(1, 7):
        product = product * (reflected + step)
    z = reflected + 7
    tail = 1 / (12 * z) - 1 / (360 * z * z * z) + 1 / (1260 * z * z * z * z * z)
    value = (z - 0.5) * z.apply("Log") - z + 0.5 * math.log(2 * math.pi) + tail - product.apply("Log")
    sine = (x.apply("Floor") - x).apply("Abs") * math.pi
    mirrored = math.log(math.pi) - sine.apply("Sin").apply("Abs").apply("Log") - value
    at_integers = x.equal(x.apply("Floor"), x.full(math.inf), mirrored)
    return x.below(0.5, x.below(1e-300, at_integers, mirrored), value)


@register_formula("digamma", "special_digamma", "special_psi")
def digamma(x: Float64) -> Float64:
    """Asymptotic series of x + 8; reflected below zero; NaN at negative integers."""
    reflected = x.below(0.0, 1 - x, x)
    total = 1 / reflected
    for step in range(1, 8):
        total = total + 1 / (reflected + step)
    z = reflected + 8
    square = z * z
    series = 1 / (12 * square) - 1 / (120 * square * square) + 1 / (252 * square * square * square)
    value = z.apply("Log") - 0.5 / z - series - total
    angle = (x - x.apply("Floor")) * math.pi
    mirrored = value - math.pi * angle.apply("Cos") / angle.apply("Sin")
    negative = x.equal(x.apply("Floor"), x.full(math.nan), mirrored)
    return x.equal(0.0, x.full(-math.inf), x.below(0.0, negative, value))


@ops.op("aten::polygamma", "aten::special_polygamma")
def polygamma(op, n, x=None):
    if n != 0 or x is None:
        raise Unsupported("is read for n=0 alone")
    return ops.find("aten::digamma", {}).handler(op, x)


@register_formula("erfinv", "special_erfinv")
def erfinv(x: Float64) -> Float64:
    w = -((1 - x) * (1 + x)).apply("Log")
    near = polynomial(w - 2.5, ERFINV_NEAR)
    far = polynomial(w.below(0.0, w.full(0.0), w).apply("Sqrt") - 3, ERFINV_FAR)
    value = w.below(5.0, near, far) * x
    return x.equal(1.0, x.full(math.inf), x.equal(-1.0, x.full(-math.inf), value))


@register_formula("special_ndtri")
def ndtri(x: Float64) -> Float64:
    return erfinv(2 * x - 1) * math.sqrt(2)


@register_formula("special_erfcx")
def erfcx(x: Float64) -> Float64:
    size = x.apply("Abs")
    t = 1 / (1 + size / 2)
    value = t * polynomial(t, ERFC).apply("Exp")
    return x.below(0.0, 2 * (x * x).apply("Exp") - value, value)


@register_formula("special_log_ndtr")
def log_ndtr(x: Float64) -> Float64:
    far = (erfcx(-x / math.sqrt(2)) / 2).apply("Log") - x * x / 2
    near = 1 - erfcx(x / math.sqrt(2)) * (-x * x / 2).apply("Exp") / 2
    return x.below(-1.0, far, near.apply("Log"))


def _bessel_i(
    x: Float64, near: tuple[float, ...], far: tuple[float, ...], odd: bool, scaled: bool
) -> Float64:
    """Modified Bessel function of the first kind; `scaled` by exp(-|x|)."""
    size = x.apply("Abs")
    t = size / 3.75
    low = polynomial(t * t, near) * (size if odd else 1)
    low = low * (-size).apply("Exp") if scaled else low
    wide = at_least(size, 1.0)
    high = polynomial(3.75 / wide, far) / wide.apply("Sqrt")
    high = high if scaled else high * size.apply("Exp")
    result = size.below(3.75, low, high)
    return x.below(0.0, -result, result) if odd else result


@register_formula("i0", "special_i0", "special_modified_bessel_i0")
def i0(x: Float64) -> Float64:
    return _bessel_i(x, I0, I0_FAR, False, False)


@register_formula("special_i0e")
def i0e(x: Float64) -> Float64:
    return _bessel_i(x, I0, I0_FAR, False, True)


@register_formula("special_i1", "special_modified_bessel_i1")
def i1(x: Float64) -> Float64:
    return _bessel_i(x, I1, I1_FAR, True, False)


@register_formula("special_i1e")
def i1e(x: Float64) -> Float64:
    return _bessel_i(x, I1, I1_FAR, True, True)


def _bessel_k(x: Float64, first: bool, scaled: bool) -> Float64:
    """Modified Bessel function of the second kind: infinite at zero, NaN below; `scaled` by exp(x)."""
    t = x / 2
    inside = t.below(1.0, t, t.full(1.0))
    log = inside.apply("Log")
    if first:
        low = log * i1(2 * inside) + polynomial(inside * inside, K1) / (2 * inside)
    else:
        low = polynomial(inside * inside, K0) - log * i0(2 * inside)
    wide = at_least(x, 1.0)
    high = polynomial(2 / wide, K1_FAR if first else K0_FAR) / wide.apply("Sqrt")
    low = low * x.apply("Exp") if scaled else low
    high = high if scaled else high * (-x).apply("Exp")
    result = x.below(2.0, low, high)
    return x.below(0.0, x.full(math.nan), x.equal(0.0, x.full(math.inf), result))


for first in (False, True):
    order = int(first)

    @register_formula(f"special_modified_bessel_k{order}")
    def k(x: Float64, first: bool = first) -> Float64:
        return _bessel_k(x, first, False)

    @register_formula(f"special_scaled_modified_bessel_k{order}")
    def scaled_k(x: Float64, first: bool = first) -> Float64:
        return _bessel_k(x, first, True)


def _bessel_wave(size: Float64, first: bool, sine: bool) -> Float64:
    """Amplitude times the cosine, or sine, of the phase."""
    wide = at_least(size, 1.0)
    u = 3 / wide
    phase = wide + polynomial(u, THETA1 if first else THETA0)
    return polynomial(u, F1 if first else F0) * phase.apply("Sin" if sine else "Cos") / wide.apply("Sqrt")


@register_formula("special_bessel_j0")
def j0(x: Float64) -> Float64:
    size = x.apply("Abs")
    t = size / 3
    return size.below(3.0, polynomial(t * t, J0), _bessel_wave(size, False, False))


@register_formula("special_bessel_j1")
def j1(x: Float64) -> Float64:
    size = x.apply("Abs")
    t = size / 3
    result = size.below(3.0, polynomial(t * t, J1) * size, _bessel_wave(size, True, False))
    return x.below(0.0, -result, result)


def _bessel_y(x: Float64, first: bool) -> Float64:
    """Bessel function of the second kind: -inf at zero, NaN below."""
    t = x / 3
    inside = at_least(x, 1e-30)
    log = (inside / 2).apply("Log") * (2 / math.pi)
    low = (
        log * j1(inside) + polynomial(t * t, Y1) / inside
        if first
        else log * j0(inside) + polynomial(t * t, Y0)
    )
    result = x.below(3.0, low, _bessel_wave(x, first, True))
    return x.below(0.0, x.full(math.nan), x.equal(0.0, x.full(-math.inf), result))


@register_formula("special_bessel_y0")
def y0(x: Float64) -> Float64:
    return _bessel_y(x, False)


@register_formula("special_bessel_y1")
def y1(x: Float64) -> Float64:
    return _bessel_y(x, True)


@register_formula("special_spherical_bessel_j0")
def spherical_j0(x: Float64) -> Float64:
    return x.equal(0.0, x.full(1.0), x.apply("Sin") / x.equal(0.0, x.full(1.0), x))


@ops.op("aten::mvlgamma", "aten::special_multigammaln")
def mvlgamma(op, x, p):
    """p (p - 1) / 4 · ln π + Σ lgamma(x + (1 - j) / 2), j from 1 to p."""
    x = as_floating(op, x)
    wide = Float64(op, cast(op, x, T.DOUBLE))
    total = sum((lgamma(wide - j / 2) for j in range(1, p)), lgamma(wide))
    return cast(op, (total + p * (p - 1) / 4 * math.log(math.pi)).value, x.dtype)


@ops.op("aten::special_ndtr")
def ndtr(op, x):
    """The part of a normal distribution below `x`: (1 + erf(x / √2)) / 2."""
    x = as_floating(op, x)
    error = op.Erf(op.Mul(x, number(op, math.sqrt(0.5), x)))
    return op.Mul(op.Add(error, number(op, 1.0, x)), number(op, 0.5, x))
