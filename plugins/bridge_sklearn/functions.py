"""Functions of single numbers: NumPy's that the hub has, and power transformations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import PartBuilder, Unwritten

Function = Callable[[hub.Builder, ir.Value], ir.Value]


def one(op: hub.Builder) -> ir.Value:
    return op.const(np.array([1.0]))


def log1p(op: hub.Builder, x: ir.Value) -> ir.Value:
    """log(1 + x), to its last places next to zero too: log(u) · x / (u - 1) of u = 1 + x."""
    raised = op.Add(x, one(op))
    gap = op.Sub(raised, one(op))
    none = op.Equal(gap, op.const(np.array([0.0])))
    ratio = op.Div(x, op.Where(none, one(op), gap))
    fine = op.Where(none, x, op.Mul(op.Log(raised), ratio))
    return op.Where(op.Less(op.Abs(x), op.const(np.array([0.5]))), fine, op.Log(raised))


def expm1(op: hub.Builder, x: ir.Value) -> ir.Value:
    """exp(x) - 1, next to zero by 2 tanh(x / 2) / (1 - tanh(x / 2))."""
    half = op.Tanh(op.Mul(x, op.const(np.array([0.5]))))
    near = op.Div(op.Mul(half, op.const(np.array([2.0]))), op.Sub(one(op), half))
    small = op.Less(op.Abs(x), op.const(np.array([0.5])))
    return op.Where(small, near, op.Sub(op.Exp(x), one(op)))


def scaled_log(factor: float) -> Function:
    return lambda op, x: op.Mul(op.Log(x), op.const(np.array([factor])))


def powered(base: float) -> Function:
    return lambda op, x: op.Pow(op.const(np.array([base])), x)


def multiplied(factor: float) -> Function:
    return lambda op, x: op.Mul(x, op.const(np.array([factor])))


def direct(name: str) -> Function:
    return lambda op, x: op.node(name, x)


FUNCTIONS: dict[Any, Function] = {
    None: lambda op, x: x,
    np.abs: direct("Abs"),
    np.arccos: direct("Acos"),
    np.arcsin: direct("Asin"),
    np.arctan: direct("Atan"),
    np.cbrt: lambda op, x: op.Mul(op.Sign(x), op.Pow(op.Abs(x), op.const(np.array([1 / 3])))),
    np.ceil: direct("Ceil"),
    np.cos: direct("Cos"),
    np.cosh: direct("Cosh"),
    np.deg2rad: multiplied(np.pi / 180),
    np.degrees: multiplied(180 / np.pi),
    np.exp: direct("Exp"),
    np.exp2: powered(2.0),
    np.expm1: expm1,
    np.fabs: direct("Abs"),
    np.floor: direct("Floor"),
    np.isnan: lambda op, x: op.Cast(op.IsNaN(x), to=int(ir.DataType.DOUBLE)),
    np.log: direct("Log"),
    np.log10: scaled_log(1 / np.log(10)),
    np.log1p: log1p,
    np.log2: scaled_log(1 / np.log(2)),
    np.negative: direct("Neg"),
    np.positive: lambda op, x: x,
    np.rad2deg: multiplied(180 / np.pi),
    np.radians: multiplied(np.pi / 180),
    np.reciprocal: lambda op, x: op.Div(one(op), x),
    np.rint: direct("Round"),
    np.sign: direct("Sign"),
    np.sin: direct("Sin"),
    np.sinh: direct("Sinh"),
    np.sqrt: direct("Sqrt"),
    np.square: lambda op, x: op.Mul(x, x),
    np.tan: direct("Tan"),
    np.tanh: direct("Tanh"),
    np.trunc: lambda op, x: op.Where(op.Less(x, op.const(np.array([0.0]))), op.Ceil(x), op.Floor(x)),
}
"""Functions of NumPy by the function itself, None for that which changes nothing."""


def function_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """One function of every number. Raises Unwritten for one that is not known."""
    if src.func is None:
        return frame
    if src.func not in FUNCTIONS or src.kw_args:
        name = getattr(src.func, "__name__", type(src.func).__name__)
        raise Unwritten(f"its function {name} is Python, which no model holds")
    return Frame(op, [FUNCTIONS[src.func](op, frame.matrix())])


def power_transformer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """Box-Cox or Yeo-Johnson with the power of each column, then standardized where that is asked for."""
    form = box_cox if src.method == "box-cox" else yeo_johnson
    parts = [form(op, frame.column(i), float(power)) for i, power in enumerate(src.lambdas_)]
    x = op.Concat(*parts, axis=1) if len(parts) > 1 else parts[0]
    if src.standardize:
        scaler = src._scaler
        x = op.Sub(x, op.const(np.asarray(scaler.mean_, np.float64).reshape(1, -1)))
        x = op.Div(x, op.const(np.asarray(scaler.scale_, np.float64).reshape(1, -1)))
    return Frame(op, [x])


def box_cox(op: PartBuilder, x: ir.Value, power: float) -> ir.Value:
    """(x^p - 1) / p, or the logarithm for p = 0."""
    if np.isnan(power):
        return x
    if power == 0:
        return op.Log(x)
    return op.Div(expm1(op, op.Mul(op.Log(x), op.const(np.array([power])))), op.const(np.array([power])))


def yeo_johnson(op: PartBuilder, x: ir.Value, power: float) -> ir.Value:
    """Box-Cox of x + 1 where x is not negative; below, that of 1 - x with the power 2 - p, negated."""
    if np.isnan(power):
        return x
    zero = op.const(np.array([0.0]))
    above, below = op.Max(x, zero), op.Neg(op.Min(x, zero))
    small = np.spacing(1.0)
    high = raised(op, above, power if abs(power) >= small else 0.0)
    low = op.Neg(raised(op, below, 2 - power if abs(power - 2) > small else 0.0))
    chosen = op.Where(op.GreaterOrEqual(x, zero), high, low)
    return op.Where(op.IsNaN(x), x, chosen)


def raised(op: PartBuilder, x: ir.Value, power: float) -> ir.Value:
    """((x + 1)^p - 1) / p, or log(x + 1) for p = 0."""
    logged = log1p(op, x)
    if power == 0:
        return logged
    factor = op.const(np.array([power]))
    return op.Div(expm1(op, op.Mul(logged, factor)), factor)
