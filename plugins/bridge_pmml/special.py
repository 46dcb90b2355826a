"""Functions of doubles that runtimes lack in double precision, from those they have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

NEAR = (
    [3209.3775891384694, 377.485237685302, 113.86415415105016, 3.1611237438705655, 0.18577770618460315],
    [2844.236833439171, 1282.6165260773723, 244.02463793444417, 23.601290952344122, 1.0],
)
FAR = (
    [
        1230.3393547979972,
        2051.0783778260716,
        1712.0476126340707,
        881.952221241769,
        298.6351381974001,
        66.11919063714163,
        8.883149794388377,
        0.5641884969886701,
        2.1531153547440383e-08,
    ],
    [
        1230.3393548037495,
        3439.3676741437216,
        4362.619090143247,
        3290.7992357334597,
        1621.3895745666903,
        537.1811018620099,
        117.6939508913125,
        15.744926110709835,
        1.0,
    ],
)


def double(op: Any, value: float) -> Any:
    return op.const(np.array([[value]]))


def exp(op: Any, x: Any) -> Any:
    """e^x; missing where x is, which not every runtime's own exponential is."""
    return op.Where(op.IsNaN(x), x, op.Exp(x))


def clamped(op: Any, x: Any, low: float, high: float) -> Any:
    """Clamp to [low, high]; NaN stays."""
    x = op.Where(op.Less(x, double(op, low)), double(op, low), x)
    return op.Where(op.Greater(x, double(op, high)), double(op, high), x)


def series(op: Any, square: Any, coefficients: list[float]) -> Any:
    """Σ c_k · square^k of a column."""
    powers = op.Pow(square, op.const(np.arange(len(coefficients), dtype=np.float64)[None]))
    return op.MatMul(powers, op.const(np.array(coefficients)[:, None]))


def atan(op: Any, x: Any) -> Any:
    """Three times halved, tan(a/2) = t / (1 + √(1 + t²)), then its series."""
    one = double(op, 1.0)
    large = op.Greater(op.Abs(x), one)
    t = op.Where(large, op.Reciprocal(op.Where(large, x, one)), x)
    for _ in range(3):
        t = op.Div(t, op.Add(one, op.Sqrt(op.Add(one, op.Mul(t, t)))))
    angle = op.Mul(
        op.Mul(t, double(op, 8.0)), series(op, op.Mul(t, t), [(-1) ** k / (2 * k + 1) for k in range(9)])
    )
    return op.Where(large, op.Sub(op.Mul(op.Sign(x), double(op, math.pi / 2)), angle), angle)


def asin(op: Any, x: Any) -> Any:
    one = double(op, 1.0)
    return atan(op, op.Div(x, op.Sqrt(op.Mul(op.Sub(one, x), op.Add(one, x)))))


def acos(op: Any, x: Any) -> Any:
    one = double(op, 1.0)
    return op.Mul(double(op, 2.0), atan(op, op.Sqrt(op.Div(op.Sub(one, x), op.Add(one, x)))))


def tan(op: Any, x: Any) -> Any:
    return op.Div(op.Sin(x), op.Cos(x))


def small(op: Any, x: Any, bound: float, near: Any, far: Any) -> Any:
    return op.Where(op.Less(op.Abs(x), double(op, bound)), near, far)


def sinh(op: Any, x: Any) -> Any:
    far = op.Mul(op.Sub(exp(op, x), exp(op, op.Neg(x))), double(op, 0.5))
    near = op.Mul(x, series(op, op.Mul(x, x), [1 / math.factorial(2 * k + 1) for k in range(10)]))
    return small(op, x, 1.0, near, far)


def cosh(op: Any, x: Any) -> Any:
    return op.Mul(op.Add(exp(op, x), exp(op, op.Neg(x))), double(op, 0.5))


def expm1(op: Any, x: Any) -> Any:
    near = op.Mul(x, series(op, x, [1 / math.factorial(k + 1) for k in range(18)]))
    return small(op, x, 0.7, near, op.Sub(exp(op, x), double(op, 1.0)))


def log1p(op: Any, x: Any) -> Any:
    """2·artanh(x / (2 + x)) near zero."""
    t = op.Div(x, op.Add(double(op, 2.0), x))
    near = op.Mul(op.Mul(double(op, 2.0), t), series(op, op.Mul(t, t), [1 / (2 * k + 1) for k in range(20)]))
    return small(op, x, 0.5, near, op.Log(op.Add(double(op, 1.0), x)))


def ratio(op: Any, x: Any, above: list[float], below: list[float]) -> Any:
    return op.Div(series(op, x, above), series(op, x, below))


def erfc(op: Any, x: Any) -> Any:
    """The complement of the error function for x of 15/32 and more: exp(-x²) · P(x) / Q(x)."""
    return op.Mul(exp(op, op.Neg(op.Mul(x, x))), ratio(op, x, *FAR))


def erf(op: Any, x: Any) -> Any:
    """Cody's rational approximations (Math. Comp. 23, 1969), within 4e-16; ±1 beyond 6. No power overflows a
    float32."""
    x = clamped(op, x, -6.0, 6.0)
    near = op.Mul(x, ratio(op, op.Mul(x, x), *NEAR))
    far = op.Mul(op.Sign(x), op.Sub(double(op, 1.0), erfc(op, op.Abs(x))))
    return small(op, x, 15 / 32, near, far)


def normal_cdf(op: Any, x: Any) -> Any:
    """Half of erfc(-x / √2), so that small ones keep their digits."""
    half, one, x = double(op, 0.5), double(op, 1.0), op.Mul(x, double(op, math.sqrt(0.5)))
    low = op.Less(x, double(op, -15 / 32))
    tail = erfc(op, op.Neg(op.Where(low, x, double(op, -1.0))))
    return op.Mul(half, op.Where(low, tail, op.Add(one, erf(op, x))))


def normal_pdf(op: Any, x: Any) -> Any:
    bell = exp(op, op.Mul(op.Mul(x, x), double(op, -0.5)))
    return op.Mul(bell, double(op, 1 / math.sqrt(2 * math.pi)))


def normal_idf(op: Any, p: Any) -> Any:
    """Winitzki's approximation, then Newton steps; within (0, 1)."""
    one, two, a = double(op, 1.0), double(op, 2.0), 0.147
    y = op.Sub(op.Mul(two, p), one)
    logged = op.Log(op.Mul(op.Sub(one, y), op.Add(one, y)))
    first = op.Add(double(op, 2 / (math.pi * a)), op.Mul(logged, double(op, 0.5)))
    root = op.Sqrt(op.Sub(op.Mul(first, first), op.Mul(logged, double(op, 1 / a))))
    x = op.Mul(op.Mul(op.Sign(y), op.Sqrt(op.Sub(root, first))), double(op, math.sqrt(2)))
    for _ in range(4):
        x = op.Sub(x, op.Div(op.Sub(normal_cdf(op, x), p), normal_pdf(op, x)))
    return x
