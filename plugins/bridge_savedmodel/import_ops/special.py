"""Special functions of one argument: piecewise polynomials fitted to TensorFlow's values in double
precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.importing import as_dtype, attribute
from bridge.ops import OpTable
from bridge_savedmodel.definitions import coefficients
from bridge_savedmodel.import_ops.common import T

ops = OpTable()

PIECES = 256
LOG_BOUNDS = (-87.5, 88.5)
"""The logarithms of the smallest and the largest single-precision numbers."""
SMALL = 1.0
BOUNDS = {
    **dict.fromkeys(("BesselI0e", "BesselI1e", "BesselK0e", "BesselK1e", "Dawsn", "Spence"), LOG_BOUNDS),
    "BesselJ1": (LOG_BOUNDS[0], SMALL),
    "Expint": (LOG_BOUNDS[0], 4.5),
    **dict.fromkeys(("Spiral", "SpiralPhase"), (LOG_BOUNDS[0], 5.0)),
    **dict.fromkeys(("Modulus0", "Modulus1", "Phase0", "Phase1"), (LOG_BOUNDS[0], 12.0)),
}
"""The logarithms between which each function is fitted."""
FLOATS = attribute("T", T.FLOAT, T.FLOAT16, T.BFLOAT16)


def evaluate_fit(op: Any, name: str, x: Any) -> Any:
    """The fitted function of a float64 tensor."""
    (low, high), fitted = BOUNDS[name], coefficients(name)
    scaled = op.Div(op.Sub(x, op.const(np.array(low))), op.const(np.array((high - low) / PIECES)))
    scaled = op.Min(op.Max(scaled, op.const(np.array(0.0))), op.const(np.array(float(PIECES))))
    piece = op.Min(op.Floor(scaled), op.const(np.array(float(PIECES - 1))))
    local = op.Sub(op.Mul(op.Sub(scaled, piece), op.const(np.array(2.0))), op.const(np.array(1.0)))
    last_axis = np.array([-1])
    angle = op.Unsqueeze(local, last_axis)
    previous, current = op.Sub(op.Add(angle, op.const(np.array(1.0))), angle), angle
    terms = [previous, current]
    for _ in range(fitted.shape[1] - 2):
        previous, current = current, op.Sub(op.Mul(op.Mul(angle, op.const(np.array(2.0))), current), previous)
        terms.append(current)
    piece_coefficients = op.Gather(op.const(fitted), op.Cast(piece, to=int(T.INT64)), axis=0)
    return op.ReduceSum(op.Mul(op.Concat(*terms, axis=-1), piece_coefficients), last_axis, keepdims=0)


def double(op: Any, value: float) -> Any:
    return op.const(np.array(float(value)))


def _with_edge_values(
    op: Any, x: Any, value: Any, below_zero: float | None = None, at_zero: float | None = None
) -> Any:
    """`value` with NaN where `x` is NaN, and with given values at zero and below zero."""
    origin = double(op, 0)
    value = value if at_zero is None else op.Where(op.Equal(x, origin), double(op, at_zero), value)
    value = value if below_zero is None else op.Where(op.Less(x, origin), double(op, below_zero), value)
    return op.Where(op.IsNaN(x), double(op, np.nan), value)


def _magnitude_and_log(op: Any, x: Any) -> tuple[Any, Any, Any]:
    """The argument in double precision, its magnitude, and the logarithm of that within the fitted bounds."""
    wide = as_dtype(op, x, T.DOUBLE)
    magnitude = op.Abs(op.Where(op.IsNaN(wide), double(op, 1), wide))
    return (
        wide,
        magnitude,
        op.Min(op.Max(op.Log(magnitude), double(op, LOG_BOUNDS[0])), double(op, LOG_BOUNDS[1])),
    )


@ops.op("BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "Dawsn", needs=(FLOATS,))
def bessel_i_and_dawsn(op, node, x):
    x64, magnitude, log = _magnitude_and_log(op, x)
    name = node.op if node.op == "Dawsn" or node.op.endswith("e") else f"{node.op}e"
    value = evaluate_fit(op, name, log)
    value = op.Exp(value if name == node.op else op.Add(value, magnitude))
    value = value if "I0" in name else op.Mul(op.Sign(x64), value)
    return as_dtype(op, _with_edge_values(op, x64, value), x.dtype)


@ops.op("BesselK0", "BesselK0e", "BesselK1", "BesselK1e", needs=(FLOATS,))
def bessel_k(op, node, x):
    x64, magnitude, log = _magnitude_and_log(op, x)
    name = node.op if node.op.endswith("e") else f"{node.op}e"
    value = evaluate_fit(op, name, log)
    value = op.Exp(value if name == node.op else op.Sub(value, magnitude))
    return as_dtype(op, _with_edge_values(op, x64, value, np.inf, np.inf), x.dtype)


@ops.op("BesselJ0", "BesselJ1", "BesselY0", "BesselY1", needs=(FLOATS,))
def bessel_j_and_y(op, node, x):
    """Modulus and phase, which J and Y share. J1 near zero has a fit of its own, as its values are small
    there."""
    x64, magnitude, log = _magnitude_and_log(op, x)
    magnitude = op.Min(magnitude, double(op, np.exp(LOG_BOUNDS[1])))
    order, is_first_kind = node.op[-1], node.op.startswith("BesselJ")
    angle = op.Add(magnitude, evaluate_fit(op, f"Phase{order}", log))
    modulus = op.Exp(op.Sub(evaluate_fit(op, f"Modulus{order}", log), op.Mul(log, double(op, 0.5))))
    value = op.Mul(modulus, op.Cos(angle) if is_first_kind else op.Sin(angle))
    if node.op == "BesselJ1":
        is_near_zero = op.Less(log, double(op, SMALL))
        value = op.Mul(op.Where(is_near_zero, op.Exp(evaluate_fit(op, "BesselJ1", log)), value), op.Sign(x64))
    limits = (None, None) if is_first_kind else (-np.inf, -np.inf)
    return as_dtype(op, _with_edge_values(op, x64, value, *limits), x.dtype)


@ops.op("Expint", "Spence", needs=(FLOATS,))
def expint_and_spence(op, node, x):
    x64, magnitude, log = _magnitude_and_log(op, x)
    value = evaluate_fit(op, node.op, log)
    if node.op == "Spence":
        return as_dtype(op, _with_edge_values(op, x64, value, np.nan), x.dtype)
    value = op.Mul(value, op.Exp(op.Min(magnitude, double(op, 700))))
    return as_dtype(op, _with_edge_values(op, x64, value, np.nan, -np.inf), x.dtype)


@ops.op("FresnelCos", "FresnelSin", needs=(FLOATS,))
def fresnel(op, node, x):
    """Cornu's spiral, from its limit point."""
    x64, magnitude, log = _magnitude_and_log(op, x)
    magnitude = op.Min(magnitude, double(op, 1e9))
    angle = op.Add(
        op.Mul(op.Mul(magnitude, magnitude), double(op, np.pi / 2)), evaluate_fit(op, "SpiralPhase", log)
    )
    radius = op.Div(
        op.Exp(evaluate_fit(op, "Spiral", log)), op.Add(op.Mul(magnitude, double(op, np.pi)), double(op, 1))
    )
    value = op.Mul(radius, op.Cos(angle) if node.op.endswith("Cos") else op.Sin(angle))
    value = op.Mul(op.Sign(x64), op.Add(value, double(op, 0.5)))
    return as_dtype(op, _with_edge_values(op, x64, value), x.dtype)
