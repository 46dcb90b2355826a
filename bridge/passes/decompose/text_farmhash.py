"""FarmHash's Fingerprint64 in hub operators, from `farmhashna::Hash64` of https://github.com/google/farmhash.

Words of 64 bits are int64, whose sums and products are those of uint64 but for their sign.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
SEED = 81
BLOCK = 64


def word(number: int) -> np.ndarray:
    """An unsigned number of 64 bits as int64 [1]."""
    return np.array([number % 2**64], np.uint64).view(np.int64)


def shifted(op: Any, x: Any, by: int, direction: str) -> Any:
    """Bits moved LEFT or RIGHT, zeros after them."""
    unsigned = op.BitCast(x, to=int(ir.DataType.UINT64))
    moved = op.BitShift(unsigned, np.array([by], np.uint64), direction=direction)
    return op.BitCast(moved, to=int(ir.DataType.INT64))


def rotated(op: Any, x: Any, by: int) -> Any:
    """Bits moved to the right, and from there to the left end."""
    return op.BitwiseOr(shifted(op, x, by, "RIGHT"), shifted(op, x, 64 - by, "LEFT"))


class Fingerprint(ABC):
    """Fingerprint of many keys at once, whose `length` in bytes is an int, or int64 that broadcasts with
    their words."""

    def __init__(self, op: Any, length: Any) -> None:
        self.op, self.length = op, length
        self.mul = self.add(self.times(length, 2), K2)

    @abstractmethod
    def word(self, at: int, size: int = 8) -> Any:
        """`size` bytes from `at`, or from the end where that is negative, as a number, the lowest first."""

    def add(self, *terms: Any) -> Any:
        whole = sum(t for t in terms if isinstance(t, int)) % 2**64
        values = [t for t in terms if not isinstance(t, int)]
        if not values:
            return whole
        return functools.reduce(self.op.Add, [*values, word(whole)] if whole else values)

    def times(self, x: Any, factor: Any) -> Any:
        if isinstance(x, int) and isinstance(factor, int):
            return x * factor % 2**64
        return self.op.Mul(self._as_word(x), self._as_word(factor))

    def either(self, x: Any, y: Any) -> Any:
        return self.op.BitwiseXor(self._as_word(x), self._as_word(y))

    def folded(self, x: Any) -> Any:
        return self.either(x, shifted(self.op, x, 47, "RIGHT"))

    def rotated(self, x: Any, by: int) -> Any:
        return rotated(self.op, x, by)

    def _as_word(self, x: Any) -> Any:
        return word(x) if isinstance(x, int) else x

    def _pair(self, u: Any, v: Any, mul: Any) -> Any:
        first = self.folded(self.times(self.either(u, v), mul))
        return self.times(self.folded(self.times(self.either(v, first), mul)), mul)

    def upto3(self, middle: Any) -> Any:
        """`middle` is the byte at half the length."""
        y = self.times(self.add(self.word(0, 1), self.times(middle, 256)), K2)
        z = self.times(self.add(self.length, self.times(self.word(-1, 1), 4)), K0)
        return self.times(self.folded(self.either(y, z)), K2)

    def upto7(self) -> Any:
        head = self.add(self.times(self.word(0, 4), 8), self.length)
        return self._pair(head, self.word(-4, 4), self.mul)

    def upto16(self) -> Any:
        a, b = self.add(self.word(0), K2), self.word(-8)
        c = self.add(self.times(self.rotated(b, 37), self.mul), a)
        return self._pair(c, self.times(self.add(self.rotated(a, 25), b), self.mul), self.mul)

    def _halves(self, factor: int) -> tuple[Any, Any]:
        a, b = self.times(self.word(0), factor), self.word(8)
        c, d = self.times(self.word(-8), self.mul), self.times(self.word(-16), K2)
        left = self.add(self.rotated(self.add(a, b), 43), self.rotated(c, 30), d)
        return left, self.add(a, self.rotated(self.add(b, K2), 18), c)

    def upto32(self) -> Any:
        return self._pair(*self._halves(K1), self.mul)

    def upto64(self) -> Any:
        mul, a = self.mul, self.times(self.word(0), K2)
        y, low = self._halves(K2)
        z = self._pair(y, low, mul)
        e, f = self.times(self.word(16), mul), self.word(24)
        g = self.times(self.add(y, self.word(-32)), mul)
        h = self.times(self.add(z, self.word(-24)), mul)
        left = self.add(self.rotated(self.add(e, f), 43), self.rotated(g, 30), h)
        return self._pair(left, self.add(e, self.rotated(self.add(f, a), 18), g), mul)

    def beyond(self) -> Any:
        """Fingerprint of keys whose length is an int, block by block."""
        none = self.either(self.word(0), self.word(0))
        y = (SEED * K1 + 113) % 2**64
        z = (y * K2 + 113) % 2**64
        z = ((z ^ z >> 47) * K2) % 2**64
        state = [self.add(self.word(0), SEED * K2), self.add(none, y), self.add(none, z), *[none] * 4]
        for at in range(0, (self.length - 1) // BLOCK * BLOCK, BLOCK):
            state = self._round(state, at, K1, 1)
        low = self.op.BitwiseAnd(state[2], word(255))
        mul = self.add(self.times(low, 2), K1)
        x, y, z, v0, v1, w0, w1 = state
        w0 = self.add(w0, (self.length - 1) % BLOCK)
        v0 = self.add(v0, w0)
        w0 = self.add(w0, v0)
        x, y, z, v0, v1, w0, w1 = self._round([x, y, z, v0, v1, w0, w1], self.length - BLOCK, mul, 9)
        left = self.add(self._pair(v0, w0, mul), self.times(self.folded(y), K0), z)
        return self._pair(left, self.add(self._pair(v1, w1, mul), x), mul)

    def _round(self, state: Sequence[Any], at: int, mul: Any, weight: int) -> list[Any]:
        """64 bytes from `at` into the state x, y, z, v, w."""
        x, y, z, v0, v1, w0, w1 = state
        words = [self.word(at + 8 * i) for i in range(8)]
        x = self.times(self.rotated(self.add(x, y, v0, words[1]), 37), mul)
        y = self.times(self.rotated(self.add(y, v1, words[6]), 42), mul)
        x = self.either(x, self.times(w1, weight))
        y = self.add(y, self.times(v0, weight), words[5])
        z = self.times(self.rotated(self.add(z, w0), 33), mul)
        v = self._weak(words[:4], self.times(v1, mul), self.add(x, w0))
        w = self._weak(words[4:], self.add(z, w1), self.add(y, words[2]))
        return [z, y, x, *v, *w]

    def _weak(self, words: Sequence[Any], a: Any, b: Any) -> tuple[Any, Any]:
        start = self.add(a, words[0])
        last = self.add(start, *words[1:3])
        b = self.add(self.rotated(self.add(b, start, words[3]), 21), self.rotated(last, 44))
        return self.add(last, words[3]), self.add(b, start)
