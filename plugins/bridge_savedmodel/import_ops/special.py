"""Special functions of one number: polynomials fitted, piece by piece, to what TensorFlow computes for them
in double precision."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.importing import as_dtype, attribute
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.tensorflow import tensorflow

ops = OpTable()

DEGREE, PIECES = 12, 256
ENDS = (-87.5, 88.5)
"""The logarithms of the smallest and the largest single-precision numbers."""
Function = Callable[[np.ndarray], np.ndarray]


def of_tensorflow(operator: str) -> Function:
    made = getattr(tensorflow().raw_ops, operator)
    return lambda x: np.asarray(made(x=tensorflow().constant(x, "float64")))


@functools.cache
def table(name: str) -> tuple[float, float, np.ndarray]:
    """Where pieces of equal width begin and end, and the coefficients of each in Chebyshev's polynomials,
    [pieces, degree + 1]."""
    low, high, function = FITS[name]
    ends = np.linspace(low, high, PIECES + 1)
    half = (ends[1] - ends[0]) / 2
    fit: Any = np.polynomial.chebyshev.chebinterpolate

    def coefficients(centre: float) -> np.ndarray:
        return fit(lambda t: function(centre + half * t), DEGREE)

    return low, high, np.array([coefficients(centre) for centre in ends[:-1] + half])


def fitted(op: Any, name: str, at: Any) -> Any:
    """The function of a tensor of doubles."""
    low, high, coefficients = table(name)
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


def _over(name: str, scale: Function) -> tuple[float, float, Function]:
    """log(f(x) · scale(x)) over log(x)."""
    function = of_tensorflow
    return (*ENDS, lambda u: np.log(function(name)(np.exp(u)) * scale(np.exp(u))))


def _modulus(order: int) -> Function:
    """log((J² + Y²) · x) / 2."""

    def value(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        return 0.5 * np.log(
            (of_tensorflow(f"BesselJ{order}")(x) ** 2 + of_tensorflow(f"BesselY{order}")(x) ** 2) * x
        )

    return value


def _phase(order: int) -> Function:
    """How far the angle of J + iY is from x."""

    def value(u: np.ndarray) -> np.ndarray:
        x = np.exp(u)
        angle = np.arctan2(of_tensorflow(f"BesselY{order}")(x), of_tensorflow(f"BesselJ{order}")(x)) - x
        limit = -np.pi / 4 - order * np.pi / 2
        return angle - 2 * np.pi * np.round((angle - limit) / (2 * np.pi))

    return value


def one(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def _spiral(u: np.ndarray) -> np.ndarray:
    """What the integrals of Fresnel lack to a half, as complex numbers."""
    x = np.exp(u)
    return of_tensorflow("FresnelCos")(x) - 0.5 + 1j * (of_tensorflow("FresnelSin")(x) - 0.5)


def _spiral_phase(u: np.ndarray) -> np.ndarray:
    angle = np.angle(_spiral(u)) - np.pi / 2 * np.exp(2 * u)
    return angle - 2 * np.pi * np.round((angle + np.pi / 2) / (2 * np.pi))


SMALL = 1.0
FITS: dict[str, tuple[float, float, Function]] = {
    **{n: _over(n, one) for n in ("BesselI0e", "BesselI1e", "BesselK0e", "BesselK1e", "Dawsn")},
    "BesselJ1": (ENDS[0], SMALL, lambda u: np.log(of_tensorflow("BesselJ1")(np.exp(u)))),
    "Expint": (ENDS[0], 4.5, lambda u: of_tensorflow("Expint")(np.exp(u)) * np.exp(-np.exp(u))),
    "Spence": (*ENDS, lambda u: of_tensorflow("Spence")(np.exp(u))),
    "Spiral": (ENDS[0], 5.0, lambda u: np.log(np.abs(_spiral(u)) * (1 + np.pi * np.exp(u)))),
    "SpiralPhase": (ENDS[0], 5.0, _spiral_phase),
    **{f"Modulus{n}": (ENDS[0], 12.0, _modulus(n)) for n in (0, 1)},
    **{f"Phase{n}": (ENDS[0], 12.0, _phase(n)) for n in (0, 1)},
}
KIND = attribute("T", T.FLOAT, T.FLOAT16, T.BFLOAT16)


def number(op: Any, value: float) -> Any:
    return op.const(np.array(float(value)))


def _finished(op: Any, x: Any, made: Any, below: float | None = None, zero: float | None = None) -> Any:
    """What is not a number stays so; and the value at zero, and below it."""
    none = number(op, 0)
    made = made if zero is None else op.Where(op.Equal(x, none), number(op, zero), made)
    made = made if below is None else op.Where(op.Less(x, none), number(op, below), made)
    return op.Where(op.IsNaN(x), number(op, np.nan), made)


def _parts(op: Any, x: Any) -> tuple[Any, Any, Any]:
    """A number in double precision, its size, and the size's logarithm, in bounds."""
    wide = as_dtype(op, x, T.DOUBLE)
    size = op.Abs(op.Where(op.IsNaN(wide), number(op, 1), wide))
    return wide, size, op.Min(op.Max(op.Log(size), number(op, ENDS[0])), number(op, ENDS[1]))


@ops.op("BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "Dawsn", needs=(KIND,))
def even_or_odd(op, node, x):
    wide, size, at = _parts(op, x)
    name = node.op if node.op == "Dawsn" or node.op.endswith("e") else f"{node.op}e"
    made = fitted(op, name, at)
    made = op.Exp(made if name == node.op else op.Add(made, size))
    made = made if "I0" in name else op.Mul(op.Sign(wide), made)
    return as_dtype(op, _finished(op, wide, made), x.dtype)


@ops.op("BesselK0", "BesselK0e", "BesselK1", "BesselK1e", needs=(KIND,))
def decaying(op, node, x):
    wide, size, at = _parts(op, x)
    name = node.op if node.op.endswith("e") else f"{node.op}e"
    made = fitted(op, name, at)
    made = op.Exp(made if name == node.op else op.Sub(made, size))
    return as_dtype(op, _finished(op, wide, made, np.inf, np.inf), x.dtype)


@ops.op("BesselJ0", "BesselJ1", "BesselY0", "BesselY1", needs=(KIND,))
def waves(op, node, x):
    """A modulus and a phase, which both kinds share; near zero the first kind of order one by itself, which
    is small there."""
    wide, size, at = _parts(op, x)
    size = op.Min(size, number(op, np.exp(ENDS[1])))
    order, first = node.op[-1], node.op.startswith("BesselJ")
    angle = op.Add(size, fitted(op, f"Phase{order}", at))
    length = op.Exp(op.Sub(fitted(op, f"Modulus{order}", at), op.Mul(at, number(op, 0.5))))
    made = op.Mul(length, op.Cos(angle) if first else op.Sin(angle))
    if node.op == "BesselJ1":
        near = op.Less(at, number(op, SMALL))
        made = op.Mul(op.Where(near, op.Exp(fitted(op, "BesselJ1", at)), made), op.Sign(wide))
    limits = (None, None) if first else (-np.inf, -np.inf)
    return as_dtype(op, _finished(op, wide, made, *limits), x.dtype)


@ops.op("Expint", "Spence", needs=(KIND,))
def integrals(op, node, x):
    wide, size, at = _parts(op, x)
    made = fitted(op, node.op, at)
    if node.op == "Spence":
        return as_dtype(op, _finished(op, wide, made, np.nan), x.dtype)
    made = op.Mul(made, op.Exp(op.Min(size, number(op, 700))))
    return as_dtype(op, _finished(op, wide, made, np.nan, -np.inf), x.dtype)


@ops.op("FresnelCos", "FresnelSin", needs=(KIND,))
def fresnel(op, node, x):
    """The spiral of Cornu, from its end."""
    wide, size, at = _parts(op, x)
    size = op.Min(size, number(op, 1e9))
    turn = op.Add(op.Mul(op.Mul(size, size), number(op, np.pi / 2)), fitted(op, "SpiralPhase", at))
    far = op.Div(op.Exp(fitted(op, "Spiral", at)), op.Add(op.Mul(size, number(op, np.pi)), number(op, 1)))
    made = op.Mul(far, op.Cos(turn) if node.op.endswith("Cos") else op.Sin(turn))
    made = op.Mul(op.Sign(wide), op.Add(made, number(op, 0.5)))
    return as_dtype(op, _finished(op, wide, made), x.dtype)
