"""Hashes of strings, of the numbers of their characters: FarmHash's Fingerprint64 and SipHash-2-4, word by
word."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.text_farmhash import K2, Fingerprint, rotated, word
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.letters import LIMIT, SHORT, codes, lengths
from bridge_savedmodel.values import text

ops = OpTable()

HALF = 4
"""As many characters are summed at once: ONNX Runtime sums whole numbers as doubles."""


class Letters(Fingerprint):
    """The characters of strings, as a hash reads them: words at a place, as columns [strings, 1]."""

    def __init__(self, op: Any, node: Any) -> None:
        self.found = codes(op, node)
        self.most = int(self.found.shape[1])
        super().__init__(op, lengths(op, self.found))

    def word(self, at: int, size: int = 8) -> Any:
        return self.at(self.op.Add(self.length, ints(at)) if at < 0 else ints(at), size)

    def at(self, place: Any, count: int) -> Any:
        """The number of `count` characters that begin at a place [1] or [strings, 1]."""
        op = self.op
        place = op.Add(op.Sub(self.length, self.length), place)
        every = op.Min(op.Max(op.Add(place, op.const(np.arange(count))), ints(0)), ints(self.most - 1))
        letters = op.GatherElements(self.found, every, axis=1)
        past = op.GreaterOrEqual(op.Add(place, op.const(np.arange(count))), ints(self.most))
        letters = op.Where(past, ints(0), letters)
        scaled = op.Mul(letters, op.const(2 ** (8 * (np.arange(count) % HALF))))
        if count <= HALF:
            return op.ReduceSum(scaled, ints(1))
        low, high = (
            op.ReduceSum(op.Slice(scaled, ints(n), ints(n + HALF), ints(1)), ints(1)) for n in (0, HALF)
        )
        return op.Add(low, op.Mul(high, word(2**32)))


def fingerprint(op: Any, letters: Letters) -> Any:
    """FarmHash's Fingerprint64 of at most 64 characters, by length, [strings, 1]."""
    length = letters.length
    few = letters.upto3(letters.at(op.Div(length, ints(2)), 1))
    made = op.Where(op.Equal(length, ints(0)), op.const(word(K2)), few)
    made = op.Where(op.Less(length, ints(4)), made, letters.upto7())
    for most, step in ((7, letters.upto16), (16, letters.upto32), (32, letters.upto64)):
        if letters.most > most:
            made = op.Where(op.LessOrEqual(length, ints(most)), made, step())
    return made


START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def _round(op: Any, v: list[Any]) -> list[Any]:
    a, b, c, d = v
    a, c = op.Add(a, b), op.Add(c, d)
    b, d = op.BitwiseXor(rotated(op, b, 51), a), op.BitwiseXor(rotated(op, d, 48), c)
    a, c = op.Add(rotated(op, a, 32), d), op.Add(c, b)
    return [
        a,
        op.BitwiseXor(rotated(op, b, 47), c),
        rotated(op, c, 32),
        op.BitwiseXor(rotated(op, d, 43), a),
    ]


def sip_hash(op: Any, letters: Letters, key: list[int]) -> Any:
    """SipHash-2-4 of the characters under a key of two words, [strings, 1]."""
    state = [op.const(word(s ^ (key[n % 2] % 2**64))) for n, s in enumerate(START)]
    whole = op.Div(letters.length, ints(8))
    for block in range(letters.most // 8 + 1):
        last = op.Equal(whole, ints(block))
        own = op.Add(
            letters.word(8 * block), op.Where(last, op.Mul(letters.length, op.const(word(2**56))), ints(0))
        )
        turn = [*state[:3], op.BitwiseXor(state[3], own)]
        for _ in range(2):
            turn = _round(op, turn)
        turn[0] = op.BitwiseXor(turn[0], own)
        here = op.GreaterOrEqual(whole, ints(block))
        state = [op.Where(here, new, old) for new, old in zip(turn, state, strict=True)]
    state[2] = op.BitwiseXor(state[2], ints(0xFF))
    for _ in range(4):
        state = _round(op, state)
    return op.BitwiseXor(op.BitwiseXor(state[0], state[1]), op.BitwiseXor(state[2], state[3]))


@ops.op("StringToHashBucketFast", "StringToHashBucketStrong", needs=(SHORT, LIMIT))
def bucket(op, node, x):
    """The rest of the hash, taken as an unsigned number."""
    letters = Letters(op, node)
    strong = node.op.endswith("Strong")
    made = sip_hash(op, letters, node.get("key")) if strong else fingerprint(op, letters)
    rest = op.Mod(
        op.BitCast(made, to=int(T.UINT64)), op.const(np.array([node.get("num_buckets")], np.uint64))
    )
    return op.Reshape(op.Cast(rest, to=int(T.INT64)), op.Shape(x))


def _named(node: Any) -> bool:
    method = const(node.inputs[1])
    return method is not None and str(text(method).reshape(-1)[0]) == "farmhash64"


@ops.op("Fingerprint", needs=(SHORT, LIMIT, condition("method=farmhash64 of a vector of strings", _named)))
def fingerprint_of(op, node, x, method):
    """Its eight bytes, the lowest first."""
    if x.dtype != T.STRING:
        return NotImplemented
    made = op.BitCast(fingerprint(op, Letters(op, node)), to=int(T.UINT64))
    bytes_ = op.BitShift(made, op.const(8 * np.arange(8, dtype=np.uint64)), direction="RIGHT")
    return op.Cast(op.BitwiseAnd(bytes_, op.const(np.array([255], np.uint64))), to=int(T.UINT8))
