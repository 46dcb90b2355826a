"""The integer LSTM: gates and states in 16 bits, sigmoid and tanh as the fixed-point series LiteRT computes.

Numbers are int16 with some integer bits before the point (QuantizeLinear's steps are 2**(bits - 15)). The series are those of
"Gemmlowp: a small self-contained low-precision GEMM library", fixedpoint: exp by a Taylor polynomial around -1/8 and a
barrel shifter, 1 / (1 + x) by three steps of Newton and Raphson. Every one of the 65,536 arguments is computed once, here.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

LOW, HIGH = -(2**15), 2**15 - 1
INT8, INT16, INT32, INT64 = 3, 5, 6, 7


def _saturated(x: np.ndarray) -> np.ndarray:
    return np.clip(x, LOW, HIGH)


def _times(a: Any, b: Any) -> np.ndarray:
    """The product of two fractions, rounded."""
    product = np.asarray(a, np.int64) * b
    nudge = np.where(product >= 0, 2**14, 1 - 2**14)
    return _saturated(np.trunc((product + nudge) / 2**15).astype(np.int64))


def _halved(x: np.ndarray, places: int) -> np.ndarray:
    """Divided by 2**places, halves away from zero."""
    return np.trunc((x + np.where(x >= 0, 2 ** (places - 1), -(2 ** (places - 1)))) / 2**places).astype(
        np.int64
    )


def _fraction(value: float, bits: int = 0) -> int:
    return int(np.floor(value * 2 ** (15 - bits) + 0.5))


def _exp_near_zero(a: np.ndarray) -> np.ndarray:
    """exp between -1/4 and 0."""
    constant, x = _fraction(np.exp(-1 / 8)), a + 2**12
    square = _times(x, x)
    cube, fourth = _times(square, x), _times(square, square)
    rest = _halved(_times(_halved(fourth, 2) + cube, _fraction(1 / 3)) + square, 1)
    return _saturated(constant + _times(x + rest, constant))


def _exp(a: np.ndarray, bits: int) -> np.ndarray:
    """exp of numbers below zero with `bits` integer bits."""
    places = 15 - bits
    quarter = 1 << (places - 2)
    inside = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(_saturated(inside << bits))
    rest = inside - a
    for power in range(-2, bits):
        if power <= 4:
            factor = _fraction(np.exp(-(2.0**power)))
            result = np.where(rest & (1 << (places + power)), _times(result, factor), result)
    return np.where(a == 0, HIGH, result)


def _newton(a: np.ndarray) -> np.ndarray:
    """2 / (1 + a) with two integer bits, for a between 0 and 1."""
    total = a + HIGH
    half = np.trunc((total + np.where(total >= 0, 1, -1)) / 2).astype(np.int64)
    x = _fraction(48 / 17, 2) + _times(half, _fraction(-32 / 17, 2))
    for _ in range(3):
        x = x + _saturated(_times(x, 2**13 - _times(half, x)) << 2)
    return x


ARGUMENTS = np.arange(LOW, HIGH + 1, dtype=np.int64)


@functools.cache
def sigmoid() -> np.ndarray:
    """For three integer bits, to none: int16 [65536]."""
    size = np.minimum(np.abs(ARGUMENTS), HIGH)
    above = _saturated(_newton(_exp(-size, 3)) << 1)
    found = np.where(ARGUMENTS > 0, above, HIGH - above)
    return np.where(ARGUMENTS == 0, 2**14, found).astype(np.int16)


@functools.cache
def tanh(bits: int) -> np.ndarray:
    """For `bits` integer bits, to none: int16 [65536]."""
    size = np.minimum(np.abs(ARGUMENTS), HIGH)
    above = _saturated((_newton(_exp(-size, bits + 1)) - 2**13) << 2)
    return np.where(ARGUMENTS == 0, 0, np.where(ARGUMENTS < 0, -above, above)).astype(np.int16)


class Integers:
    """One integer LSTM: its gates by name of weights as stored, its states int8 and int16 (as int32 between the steps)."""

    def __init__(self, op: Any, node: Any) -> None:
        self.op, self.node = op, node
        self.input, self.hidden, self.memory = (node.tensor(i) for i in (0, 18, 19))
        self.bits = 15 + round(np.log2(float(self.memory.scale[0])))
        self.sigmoid = op.const(sigmoid())
        self.tanh = op.const(tanh(3))
        self.out = op.const(tanh(self.bits))

    def stored(self, index: int) -> Any:
        return self.node.scope.value(self.op, self.node.operator.inputs[index])

    def weights(self, index: int) -> Any:
        return self.op.Transpose(self.stored(index), perm=[1, 0])

    def scale(self, *indices: int) -> float:
        return float(np.prod([float(self.node.tensor(i).scale[0]) for i in indices]))

    def ahead(self, x: Any) -> list:
        """What the input gives each gate, to steps of 2**-12."""
        made: list[Any] = []
        zero = np.array(self.input.zero_point[0], np.int8)
        for gate in range(4):
            if not self.node.has(1 + gate):
                made.append(None)
                continue
            total = self.op.MatMulInteger(x, self.weights(1 + gate), zero)
            if self.node.has(12 + gate):
                total = self.op.Add(total, self.stored(12 + gate))
            made.append(_rounded(self.op, total, self.scale(0, 1 + gate) * 2**12))
        return made

    def recurrent(self) -> list:
        """Weights and scales of what the last output gives each gate."""
        return [
            (self.weights(5 + g), self.scale(18, 5 + g) * 2**12) if self.node.has(5 + g) else None
            for g in range(4)
        ]

    def step(self, op: Any, ahead: list, weights: list, h: Any, c: Any) -> tuple:
        """h and c, as int32, after one step."""
        zero = np.array(self.hidden.zero_point[0], np.int8)
        low = op.Cast(h, to=INT8)

        def gate(index: int, table: Any) -> Any:
            turned, scale = weights[index]
            total = op.Add(ahead[index], _rounded(op, op.MatMulInteger(low, turned, zero), scale))
            return _looked_up(op, table, total)

        forget = gate(1, self.sigmoid)
        fresh = op.Sub(np.int32(HIGH), forget) if ahead[0] is None else gate(0, self.sigmoid)
        update = gate(2, self.tanh)
        kept = _shifted(op, op.Mul(forget, c), 15)
        added = _shifted(op, op.Mul(fresh, update), 15 + self.bits)
        c = op.Clip(op.Add(kept, added), np.int32(LOW), np.int32(HIGH))
        clip = self.node.get("cellClip", 0.0)
        if clip > 0:
            bound = np.int32(min(clip / float(self.memory.scale[0]), HIGH))
            c = op.Clip(c, np.int32(-bound), bound)
        seen = op.Mul(gate(3, self.sigmoid), _looked_up(op, self.out, c))
        made = _rounded(op, seen, 2.0**-30 / float(self.hidden.scale[0]), False)
        shifted = op.Add(made, np.int32(self.hidden.zero_point[0]))
        return op.Clip(shifted, np.int32(-128), np.int32(127)), c


def _rounded(op: Any, total: Any, scale: float, bounded: bool = True) -> Any:
    """int32 by a scale, as a multiplier of 31 bits and a shift, each rounded; to int16 when `bounded`."""
    part, places = np.frexp(scale)
    wide = op.Mul(op.Cast(total, to=INT64), np.int64(2 ** max(places, 0)))
    product = op.Mul(wide, np.int64(round(part * 2**31)))
    nudge = op.Where(op.Less(product, np.int64(0)), np.int64(1 - 2**30), np.int64(2**30))
    found = _shifted(op, op.Div(op.Add(product, nudge), np.int64(2**31)), max(-int(places), 0))
    found = op.Clip(found, np.int64(LOW), np.int64(HIGH)) if bounded else found
    return op.Cast(found, to=INT32)


def _shifted(op: Any, product: Any, places: int) -> Any:
    """Divided by 2**places, halves away from zero."""
    if places == 0:
        return product
    kind = product.dtype.numpy().type
    half = kind(2 ** (places - 1))
    nudge = op.Where(op.Less(product, kind(0)), -half, half)
    return op.Div(op.Add(product, nudge), kind(2**places))


def _looked_up(op: Any, table: Any, x: Any) -> Any:
    place = op.Add(op.Clip(x, np.int32(LOW), np.int32(HIGH)), np.int32(2**15))
    return op.Cast(op.Gather(table, place), to=INT32)


def sequence(op: Any, node: Any, x: Any, loop: Any) -> Any:
    """Results over the first axis of `x`, int8; the states are left as they are at its end."""
    cell = Integers(op, node)
    ahead, weights = cell.ahead(x), cell.recurrent()
    given = [v for v in ahead if v is not None]
    start = [op.Cast(cell.stored(i), to=INT32) for i in (18, 19)]

    def body(inner: Any, states: list, slices: list) -> tuple:
        parts = iter(slices)
        after = cell.step(inner, [None if v is None else next(parts) for v in ahead], weights, *states)
        return list(after), inner.Cast(after[0], to=INT8)

    (h, c), results = loop(op, start, given, body)
    node.assign(op, 18, op.Cast(h, to=INT8))
    node.assign(op, 19, op.Cast(c, to=INT16))
    return results
