"""Functions of doubles that runtimes lack in double precision, from those they have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

TERMS = 150


def double(op: Any, value: float) -> Any:
    return op.const(np.array([[value]]))


def clamped(op: Any, x: Any, low: float, high: float) -> Any:
    """Within limits; NaN stays."""
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
    far = op.Mul(op.Sub(op.Exp(x), op.Exp(op.Neg(x))), double(op, 0.5))
    near = op.Mul(x, series(op, op.Mul(x, x), [1 / math.factorial(2 * k + 1) for k in range(10)]))
    return small(op, x, 1.0, near, far)


def cosh(op: Any, x: Any) -> Any:
    return op.Mul(op.Add(op.Exp(x), op.Exp(op.Neg(x))), double(op, 0.5))


def expm1(op: Any, x: Any) -> Any:
    near = op.Mul(x, series(op, x, [1 / math.factorial(k + 1) for k in range(18)]))
    return small(op, x, 0.7, near, op.Sub(op.Exp(x), double(op, 1.0)))


def log1p(op: Any, x: Any) -> Any:
    """2·artanh(x / (2 + x)) near zero."""
    t = op.Div(x, op.Add(double(op, 2.0), x))
    near = op.Mul(op.Mul(double(op, 2.0), t), series(op, op.Mul(t, t), [1 / (2 * k + 1) for k in range(20)]))
    return small(op, x, 0.5, near, op.Log(op.Add(double(op, 1.0), x)))


def erf(op: Any, x: Any) -> Any:
    """2/√π · exp(-x²) · Σ 2^n x^(2n+1) / (2n+1)!!, all terms of one sign; ±1 beyond 6."""
    x = clamped(op, x, -6.0, 6.0)
    coefficients = [1.0]
    for k in range(1, TERMS):
        coefficients.append(coefficients[-1] * 2 / (2 * k + 1))
    square = op.Mul(x, x)
    total = op.Mul(x, series(op, square, coefficients))
    return op.Mul(op.Mul(double(op, 2 / math.sqrt(math.pi)), op.Exp(op.Neg(square))), total)


def normal_cdf(op: Any, x: Any) -> Any:
    half = double(op, 0.5)
    return op.Mul(half, op.Add(double(op, 1.0), erf(op, op.Mul(x, double(op, math.sqrt(0.5))))))


def normal_pdf(op: Any, x: Any) -> Any:
    bell = op.Exp(op.Mul(op.Mul(x, x), double(op, -0.5)))
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
