"""Special functions of one number: polynomials fitted, piece by piece, to what TensorFlow computes for them
in double precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_dtype, attribute
from bridge_savedmodel.tensorflow import tensorflow

ops = OpTable()

DEGREE, PIECES = 12, 256
ENDS = (-87.5, 88.5)
"""The logarithms of the smallest and the largest single-precision numbers."""
Function = Callable[[np.ndarray], np.ndarray]


def tensorflow_function(operator: str) -> Function:
    made = getattr(tensorflow().raw_ops, operator)
    return lambda x: np.asarray(made(x=tensorflow().constant(x, "float64")))


@functools.cache
def fit_coefficients(name: str) -> tuple[float, float, np.ndarray]:
    """Where pieces of equal width begin and end, and the coefficients of each in Chebyshev's polynomials,
    [pieces, degree + 1]."""
    low, high, function = FITS[name]
    ends = np.linspace(low, high, PIECES + 1)
    half = (ends[1] - ends[0]) / 2
    fit: Any = np.polynomial.chebyshev.chebinterpolate

    def coefficients(centre: float) -> np.ndarray:
        return fit(lambda t: function(centre + half * t), DEGREE)

    return low, high, np.array([coefficients(centre) for centre in ends[:-1] + half])


def evaluate_fit(op: Any, name: str, at: Any) -> Any:
    """The function of a tensor of doubles."""
    low, high, coefficients = fit_coefficients(name)
    scaled = op.Div(op.Sub(at, op.const(np.array(low))), op.const(np.array((high - low) / PIECES)))
    scaled = op.Min(op.Max(scaled, op.const(np.array(0.0))), op.const(np.array(float(PIECES))))
    piece = op.Min(op.Floor(scaled), op.const(np.array(float(PIECES - 1))))
    inner = op.Sub(op.Mul(op.Sub(scaled, piece), op.const(np.array(2.0))), op.const(np.array(1.0)))
    last = np.array([-1])
    angle = op.Unsqueeze(inner, last)
    before, now = op.Sub(op.Add(angle, op.const(np.array(1.0))), angle), angle
    terms = [before, now]
    for _ in range(DEGREE - 1):
        before, now = now, op.Sub(op.Mul(op.Mul(angle, op.const(np.array(2.0))), now), before)
        terms.append(now)
    own = op.Gather(op.const(coefficients), op.Cast(piece, to=int(T.INT64)), axis=0)
    return op.ReduceSum(op.Mul(op.Concat(*terms, axis=-1), own), last, keepdims=0)


def _log_scaled(name: str, scale: Function) -> tuple[float, float, Function]:
    """log(f(x) · scale(x)) over log(x)."""
    function = tensorflow_function
    return (*ENDS, lambda u: np.log(function(name)(np.exp(u)) * scale(np.exp(u))))


def _modulus(order: int) -> Function:
    """log((J² + Y²) · x) / 2."""

    def value(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        return 0.5 * np.log(
            (tensorflow_function(f"BesselJ{order}")(x) ** 2 + tensorflow_function(f"BesselY{order}")(x) ** 2)
            * x
        )

    return value


def _phase(order: int) -> Function:
    """How far the angle of J + iY is from x."""

    def value(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        angle = (
            np.arctan2(tensorflow_function(f"BesselY{order}")(x), tensorflow_function(f"BesselJ{order}")(x))
            - x
        )
        limit = -np.pi / 4 - order * np.pi / 2
        return angle - 2 * np.pi * np.round((angle - limit) / (2 * np.pi))

    return value


def ones(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def _spiral(u: np.ndarray) -> np.ndarray:
    """What the integrals of Fresnel lack to a half, as complex numbers."""
    x = np.exp(u)
    return tensorflow_function("FresnelCos")(x) - 0.5 + 1j * (tensorflow_function("FresnelSin")(x) - 0.5)


def _spiral_phase(u: np.ndarray) -> np.ndarray:
    angle = np.angle(_spiral(u)) - np.pi / 2 * np.exp(2 * u)
    return angle - 2 * np.pi * np.round((angle + np.pi / 2) / (2 * np.pi))


SMALL = 1.0
FITS: dict[str, tuple[float, float, Function]] = {
    **{n: _log_scaled(n, ones) for n in ("BesselI0e", "BesselI1e", "BesselK0e", "BesselK1e", "Dawsn")},
    "BesselJ1": (ENDS[0], SMALL, lambda u: np.log(tensorflow_function("BesselJ1")(np.exp(u)))),
    "Expint": (ENDS[0], 4.5, lambda u: tensorflow_function("Expint")(np.exp(u)) * np.exp(-np.exp(u))),
    "Spence": (*ENDS, lambda u: tensorflow_function("Spence")(np.exp(u))),
    "Spiral": (ENDS[0], 5.0, lambda u: np.log(np.abs(_spiral(u)) * (1 + np.pi * np.exp(u)))),
    "SpiralPhase": (ENDS[0], 5.0, _spiral_phase),
    **{f"Modulus{n}": (ENDS[0], 12.0, _modulus(n)) for n in (0, 1)},
    **{f"Phase{n}": (ENDS[0], 12.0, _phase(n)) for n in (0, 1)},
}
KIND = attribute("T", T.FLOAT, T.FLOAT16, T.BFLOAT16)


def double(op: Any, value: float) -> Any:
    return op.const(np.array(float(value)))


def _with_edge_values(
    op: Any, x: Any, made: Any, below: float | None = None, zero: float | None = None
) -> Any:
    """What is not a number stays so; and the value at zero, and below it."""
    none = double(op, 0)
    made = made if zero is None else op.Where(op.Equal(x, none), double(op, zero), made)
    made = made if below is None else op.Where(op.Less(x, none), double(op, below), made)
    return op.Where(op.IsNaN(x), double(op, np.nan), made)


def _magnitude_and_log(op: Any, x: Any) -> tuple[Any, Any, Any]:
    """A number in double precision, its size, and the size's logarithm, in bounds."""
    wide = as_dtype(op, x, T.DOUBLE)
    size = op.Abs(op.Where(op.IsNaN(wide), double(op, 1), wide))
    return wide, size, op.Min(op.Max(op.Log(size), double(op, ENDS[0])), double(op, ENDS[1]))


@ops.op("BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "Dawsn", needs=(KIND,))
def bessel_i_and_dawsn(op, node, x):
    wide, size, at = _magnitude_and_log(op, x)
    name = node.op if node.op == "Dawsn" or node.op.endswith("e") else f"{node.op}e"
    made = evaluate_fit(op, name, at)
    made = op.Exp(made if name == node.op else op.Add(made, size))
    made = made if "I0" in name else op.Mul(op.Sign(wide), made)
    return as_dtype(op, _with_edge_values(op, wide, made), x.dtype)


@ops.op("BesselK0", "BesselK0e", "BesselK1", "BesselK1e", needs=(KIND,))
def bessel_k(op, node, x):
    wide, size, at = _magnitude_and_log(op, x)
    name = node.op if node.op.endswith("e") else f"{node.op}e"
    made = evaluate_fit(op, name, at)
    made = op.Exp(made if name == node.op else op.Sub(made, size))
    return as_dtype(op, _with_edge_values(op, wide, made, np.inf, np.inf), x.dtype)


@ops.op("BesselJ0", "BesselJ1", "BesselY0", "BesselY1", needs=(KIND,))
def bessel_j_and_y(op, node, x):
    """A modulus and a phase, which both kinds share; near zero the first kind of order one by itself, which
    is small there."""
    wide, size, at = _magnitude_and_log(op, x)
    size = op.Min(size, double(op, np.exp(ENDS[1])))
    order, first = node.op[-1], node.op.startswith("BesselJ")
    angle = op.Add(size, evaluate_fit(op, f"Phase{order}", at))
    length = op.Exp(op.Sub(evaluate_fit(op, f"Modulus{order}", at), op.Mul(at, double(op, 0.5))))
    made = op.Mul(length, op.Cos(angle) if first else op.Sin(angle))
    if node.op == "BesselJ1":
        near = op.Less(at, double(op, SMALL))
        made = op.Mul(op.Where(near, op.Exp(evaluate_fit(op, "BesselJ1", at)), made), op.Sign(wide))
    limits = (None, None) if first else (-np.inf, -np.inf)
    return as_dtype(op, _with_edge_values(op, wide, made, *limits), x.dtype)


@ops.op("Expint", "Spence", needs=(KIND,))
def expint_and_spence(op, node, x):
    wide, size, at = _magnitude_and_log(op, x)
    made = evaluate_fit(op, node.op, at)
    if node.op == "Spence":
        return as_dtype(op, _with_edge_values(op, wide, made, np.nan), x.dtype)
    made = op.Mul(made, op.Exp(op.Min(size, double(op, 700))))
    return as_dtype(op, _with_edge_values(op, wide, made, np.nan, -np.inf), x.dtype)


@ops.op("FresnelCos", "FresnelSin", needs=(KIND,))
def fresnel(op, node, x):
    """The spiral of Cornu, from its end."""
    wide, size, at = _magnitude_and_log(op, x)
    size = op.Min(size, double(op, 1e9))
    turn = op.Add(op.Mul(op.Mul(size, size), double(op, np.pi / 2)), evaluate_fit(op, "SpiralPhase", at))
    far = op.Div(
        op.Exp(evaluate_fit(op, "Spiral", at)), op.Add(op.Mul(size, double(op, np.pi)), double(op, 1))
    )
    made = op.Mul(far, op.Cos(turn) if node.op.endswith("Cos") else op.Sin(turn))
    made = op.Mul(op.Sign(wide), op.Add(made, double(op, 0.5)))
    return as_dtype(op, _with_edge_values(op, wide, made), x.dtype)
