"""Integer LSTM: gates and states of int16, sigmoid and tanh as LiteRT's fixed-point series.

Numbers are int16 in fixed point with `bits` integer bits: the scale is 2**(bits - 15). The series are those
of "Gemmlowp: a small self-contained low-precision GEMM library", fixedpoint: exp by a Taylor polynomial
around -1/8 and a barrel shifter, 1 / (1 + x) by three Newton-Raphson steps. They are computed once for all
65,536 arguments.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

LOW, HIGH = -(2**15), 2**15 - 1
INT8, INT16, INT32, INT64 = 3, 5, 6, 7


def _saturate(x: np.ndarray) -> np.ndarray:
    return np.clip(x, LOW, HIGH)


def _multiply(a: Any, b: Any) -> np.ndarray:
    """Rounded product of two fixed-point numbers without integer bits."""
    product = np.asarray(a, np.int64) * b
    nudge = np.where(product >= 0, 2**14, 1 - 2**14)
    return _saturate(np.trunc((product + nudge) / 2**15).astype(np.int64))


def _divide_by_power(x: np.ndarray, bits: int) -> np.ndarray:
    """Divide by 2**bits, rounding halves away from zero."""
    return np.trunc((x + np.where(x >= 0, 2 ** (bits - 1), -(2 ** (bits - 1)))) / 2**bits).astype(np.int64)


def _to_fixed_point(value: float, bits: int = 0) -> int:
    return int(np.floor(value * 2 ** (15 - bits) + 0.5))


def _exp_near_zero(a: np.ndarray) -> np.ndarray:
    """exp of numbers between -1/4 and 0."""
    constant, x = _to_fixed_point(np.exp(-1 / 8)), a + 2**12
    square = _multiply(x, x)
    cube, fourth = _multiply(square, x), _multiply(square, square)
    terms = _divide_by_power(
        _multiply(_divide_by_power(fourth, 2) + cube, _to_fixed_point(1 / 3)) + square, 1
    )
    return _saturate(constant + _multiply(x + terms, constant))


def _exp(a: np.ndarray, bits: int) -> np.ndarray:
    """exp of negative numbers with `bits` integer bits."""
    fraction_bits = 15 - bits
    quarter = 1 << (fraction_bits - 2)
    inside = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(_saturate(inside << bits))
    remainder = inside - a
    for power in range(-2, bits):
        if power <= 4:
            factor = _to_fixed_point(np.exp(-(2.0**power)))
            result = np.where(remainder & (1 << (fraction_bits + power)), _multiply(result, factor), result)
    return np.where(a == 0, HIGH, result)


def _newton(a: np.ndarray) -> np.ndarray:
    """2 / (1 + a) with two integer bits, for a between 0 and 1."""
    total = a + HIGH
    half_total = np.trunc((total + np.where(total >= 0, 1, -1)) / 2).astype(np.int64)
    x = _to_fixed_point(48 / 17, 2) + _multiply(half_total, _to_fixed_point(-32 / 17, 2))
    for _ in range(3):
        x = x + _saturate(_multiply(x, 2**13 - _multiply(half_total, x)) << 2)
    return x


ARGUMENTS = np.arange(LOW, HIGH + 1, dtype=np.int64)


@functools.cache
def sigmoid_table() -> np.ndarray:
    """Sigmoid, int16 [65536], of arguments with three integer bits; results have none."""
    size = np.minimum(np.abs(ARGUMENTS), HIGH)
    above = _saturate(_newton(_exp(-size, 3)) << 1)
    positive_or_mirrored = np.where(ARGUMENTS > 0, above, HIGH - above)
    return np.where(ARGUMENTS == 0, 2**14, positive_or_mirrored).astype(np.int16)


@functools.cache
def tanh_table(bits: int) -> np.ndarray:
    """Tanh, int16 [65536], of arguments with `bits` integer bits; results have none."""
    size = np.minimum(np.abs(ARGUMENTS), HIGH)
    above = _saturate((_newton(_exp(-size, bits + 1)) - 2**13) << 2)
    return np.where(ARGUMENTS == 0, 0, np.where(ARGUMENTS < 0, -above, above)).astype(np.int16)


class Int8Lstm:
    """One integer LSTM: int8 weights by gate, states of int8 and int16 (int32 between the steps)."""

    def __init__(self, op: Any, node: Any) -> None:
        self.op, self.node = op, node
        self.input, self.hidden, self.memory = (node.tensor(i) for i in (0, 18, 19))
        self.bits = 15 + round(np.log2(float(self.memory.scale[0])))
        self.sigmoid = op.const(sigmoid_table())
        self.tanh = op.const(tanh_table(3))
        self.out = op.const(tanh_table(self.bits))

    def stored(self, index: int) -> Any:
        return self.node.scope.value(self.op, self.node.operator.inputs[index])

    def weights(self, index: int) -> Any:
        return self.op.Transpose(self.stored(index), perm=[1, 0])

    def scale(self, *indices: int) -> float:
        return float(np.prod([float(self.node.tensor(i).scale[0]) for i in indices]))

    def input_products(self, x: Any) -> list:
        """Products of the input with the weights of each gate, int32 with scale 2**-12; None for a gate
        without weights."""
        products: list[Any] = []
        zero = np.array(self.input.zero_point[0], np.int8)
        for gate in range(4):
            if not self.node.has(1 + gate):
                products.append(None)
                continue
            total = self.op.MatMulInteger(x, self.weights(1 + gate), zero)
            if self.node.has(12 + gate):
                total = self.op.Add(total, self.stored(12 + gate))
            products.append(_rescale(self.op, total, self.scale(0, 1 + gate) * 2**12))
        return products

    def recurrent_weights(self) -> list:
        """Recurrent weights of each gate, with the scale of their products."""
        return [
            (self.weights(5 + g), self.scale(18, 5 + g) * 2**12) if self.node.has(5 + g) else None
            for g in range(4)
        ]

    def step(self, op: Any, products: list, weights: list, h: Any, c: Any) -> tuple:
        """States h and c, as int32, after one step."""
        zero = np.array(self.hidden.zero_point[0], np.int8)
        low = op.Cast(h, to=INT8)

        def gate(index: int, table: Any) -> Any:
            recurrent_weights, scale = weights[index]
            total = op.Add(
                products[index], _rescale(op, op.MatMulInteger(low, recurrent_weights, zero), scale)
            )
            return _look_up(op, table, total)

        forget = gate(1, self.sigmoid)
        input_gate = op.Sub(np.int32(HIGH), forget) if products[0] is None else gate(0, self.sigmoid)
        update = gate(2, self.tanh)
        retained = _shift_right(op, op.Mul(forget, c), 15)
        gain = _shift_right(op, op.Mul(input_gate, update), 15 + self.bits)
        c = op.Clip(op.Add(retained, gain), np.int32(LOW), np.int32(HIGH))
        clip = self.node.get("cellClip", 0.0)
        if clip > 0:
            bound = np.int32(min(clip / float(self.memory.scale[0]), HIGH))
            c = op.Clip(c, np.int32(-bound), bound)
        output = op.Mul(gate(3, self.sigmoid), _look_up(op, self.out, c))
        rescaled = _rescale(op, output, 2.0**-30 / float(self.hidden.scale[0]), False)
        shifted = op.Add(rescaled, np.int32(self.hidden.zero_point[0]))
        return op.Clip(shifted, np.int32(-128), np.int32(127)), c


def _rescale(op: Any, total: Any, scale: float, bounded: bool = True) -> Any:
    """Multiply int32 by a scale, as a 31-bit multiplier and a shift, each rounded; saturated to int16 if
    `bounded`."""
    mantissa, exponent = np.frexp(scale)
    wide = op.Mul(op.Cast(total, to=INT64), np.int64(2 ** max(exponent, 0)))
    product = op.Mul(wide, np.int64(round(mantissa * 2**31)))
    nudge = op.Where(op.Less(product, np.int64(0)), np.int64(1 - 2**30), np.int64(2**30))
    result = _shift_right(op, op.Div(op.Add(product, nudge), np.int64(2**31)), max(-int(exponent), 0))
    result = op.Clip(result, np.int64(LOW), np.int64(HIGH)) if bounded else result
    return op.Cast(result, to=INT32)


def _shift_right(op: Any, product: Any, bits: int) -> Any:
    """Divide by 2**bits, rounding halves away from zero."""
    if bits == 0:
        return product
    dtype = product.dtype.numpy().type
    half = dtype(2 ** (bits - 1))
    nudge = op.Where(op.Less(product, dtype(0)), -half, half)
    return op.Div(op.Add(product, nudge), dtype(2**bits))


def _look_up(op: Any, table: Any, x: Any) -> Any:
    index = op.Add(op.Clip(x, np.int32(LOW), np.int32(HIGH)), np.int32(2**15))
    return op.Cast(op.Gather(table, index), to=INT32)


def run_sequence(op: Any, node: Any, x: Any, loop: Any) -> Any:
    """Results (int8) over the first axis of `x`; assigns the last states."""
    cell = Int8Lstm(op, node)
    products, weights = cell.input_products(x), cell.recurrent_weights()
    scanned = [v for v in products if v is not None]
    start = [op.Cast(cell.stored(i), to=INT32) for i in (18, 19)]

    def body(inner: Any, states: list, slices: list) -> tuple:
        remaining = iter(slices)
        after = cell.step(inner, [None if v is None else next(remaining) for v in products], weights, *states)
        return list(after), inner.Cast(after[0], to=INT8)

    (h, c), results = loop(op, start, scanned, body)
    node.assign(op, 18, op.Cast(h, to=INT8))
    node.assign(op, 19, op.Cast(c, to=INT16))
    return results
