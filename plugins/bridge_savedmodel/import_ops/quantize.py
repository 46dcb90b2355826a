"""Rounding to a quantization grid and back, as QuantizeLinear and DequantizeLinear where ONNX has the
grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import attribute, like
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge.quant import QuantParams, limits
from bridge_savedmodel.import_ops.common import T

ops = OpTable()


@ops.op("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
def fake_quant(op, node, x, low=None, high=None):
    """Quantize and dequantize, between bounds nudged so that zero is on the grid."""
    bounds = [node.get("min"), node.get("max")] if low is None else [const(low), const(high)]
    if any(b is None for b in bounds):
        return NotImplemented
    low, high = (np.asarray(b, np.float32) for b in bounds)
    bottom, top = float(node.get("narrow_range")), float(2 ** node.get("num_bits") - 1)
    scale = ((high - low) / np.float32(top - bottom)).astype(np.float32)
    zero = np.clip(np.floor(bottom - low / scale + 0.5), bottom, top).astype(np.float32)
    if top == 255 and bottom == 0:
        axis = rank_of(x) - 1 if scale.ndim else None
        params = QuantParams.of(scale, zero, T.UINT8, axis)
        return params.dequantize_linear(op, params.quantize_linear(op, x))
    lowest, highest = (bottom - zero) * scale, (top - zero) * scale
    clamped = op.Min(op.Max(x, op.const(lowest)), op.const(highest))
    steps = op.Floor(op.Add(op.Div(op.Sub(clamped, op.const(lowest)), op.const(scale)), 0.5))
    return op.Add(op.Mul(steps, op.const(scale)), op.const(lowest))


BOUNDS = condition(
    "bounds of the whole tensor, known before run time",
    lambda n: (
        n.get("range_given") and all(const(v) is not None for v in n.inputs[1:3]) and n.get("axis") == -1
    ),
)
BITS = condition(
    "8 bits", lambda n: n.get("num_bits", 8) == 8 and (len(n.inputs) < 4 or (const(n.inputs[3]) == 8).all())
)


@ops.op(
    "QuantizeAndDequantizeV2",
    "QuantizeAndDequantizeV3",
    "QuantizeAndDequantizeV4",
    needs=(attribute("T", T.FLOAT), BOUNDS, BITS),
)
def quantize_and_dequantize(op, node, x, low, high, *bits):
    """A symmetric grid that reaches both bounds; values beyond it are clipped first."""
    signed = node.get("signed_input")
    bottom = (-127 if node.get("narrow_range") else -128) if signed else 0
    step = _grid_step(const(low), const(high), bottom, 127 if signed else 255)
    if node.get("round_mode", "HALF_TO_EVEN") == "HALF_TO_EVEN":
        clipped = op.Max(x, op.const(np.float32(bottom) * step)) if bottom == -127 else x
        params = QuantParams.of(step, None, T.INT8 if signed else T.UINT8)
        return params.dequantize_linear(op, params.quantize_linear(op, clipped))
    lowest, highest = (op.const(np.float32(end) * step) for end in (bottom, 127 if signed else 255))
    scaled = op.Div(op.Min(op.Max(x, lowest), highest), op.const(step))
    return op.Mul(op.Floor(op.Add(scaled, 0.5)), op.const(step))


def _grid_step(low: Any, high: Any, bottom: int, top: int) -> np.ndarray:
    """Step of the grid whose ends reach both bounds."""
    ends = ((bottom, np.float32(low).reshape(())), (top, np.float32(high).reshape(())))
    factors = [np.float32(end) / bound for end, bound in ends if end * bound > 0]
    factor = min(factors, default=np.finfo(np.float32).max)
    return np.asarray(np.float32(1) / np.float32(factor))


INTEGERS = (T.UINT8, T.INT8, T.UINT16, T.INT16)
RANGE = (constant(1, "lower bound"), constant(2, "upper bound"))
SCALAR = condition("bounds of the whole tensor", lambda n: n.get("axis") == -1)


@ops.op(
    "Dequantize",
    needs=(
        *RANGE,
        SCALAR,
        condition("mode=MIN_COMBINED or MIN_FIRST", lambda n: n.get("mode") != "SCALED"),
    ),
)
def dequantize(op, node, x, low, high):
    """The bounds are the values of the smallest and the largest integer."""
    minimum, maximum = (float(const(v).reshape(())) for v in (low, high))
    if x.dtype not in INTEGERS:
        return NotImplemented
    bottom, top = limits(x.dtype)
    step = np.float32((maximum - minimum) / (top - bottom))
    return op.Add(op.Mul(op.Sub(op.Cast(x, to=int(T.FLOAT)), bottom), op.const(step)), float(minimum))


@ops.op(
    "QuantizeV2",
    needs=(
        *RANGE,
        SCALAR,
        condition(
            "mode=MIN_FIRST or MIN_COMBINED of unsigned numbers",
            lambda n: n.get("mode") == "MIN_COMBINED" and n.get("T") == T.UINT8,
        ),
    ),
)
def quantize(op, node, x, low, high):
    """Quantize between bounds that include zero and differ by at least ensure_minimum_range."""
    minimum, maximum = (np.float32(const(v).reshape(())) for v in (low, high))
    maximum = max(
        np.float32(0), max(maximum, np.float32(minimum + max(node.get("ensure_minimum_range"), 1e-6)))
    )
    minimum = min(np.float32(0), minimum)
    factor = np.float32(255 / (maximum - minimum))
    clamped = op.Min(op.Max(x, like(op, x, minimum)), like(op, x, maximum))
    scaled = op.Mul(op.Sub(clamped, like(op, x, minimum)), op.const(factor))
    rounded = (
        op.Floor(op.Add(scaled, 0.5)) if node.get("round_mode") == "HALF_AWAY_FROM_ZERO" else op.Round(scaled)
    )
    return op.Cast(rounded, to=int(T.UINT8)), op.const(np.asarray(minimum)), op.const(np.asarray(maximum))
