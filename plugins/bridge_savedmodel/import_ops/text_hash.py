"""Hashes of strings from their character codes: FarmHash Fingerprint64 and SipHash-2-4, one word at a
time."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.text_farmhash import K2, Fingerprint, rotated, word
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.text_chars import LIMIT, SHORT, char_codes, string_lengths
from bridge_savedmodel.values import decode_strings

ops = OpTable()

HALF = 4
"""The number of characters summed at once: ONNX Runtime sums integers in double precision."""


class Characters(Fingerprint):
    """Character codes of strings as a hash reads them: words at a position, as columns [strings, 1]."""

    def __init__(self, op: Any, node: Any) -> None:
        self.codes = char_codes(op, node)
        self.limit = int(self.codes.shape[1])
        super().__init__(op, string_lengths(op, self.codes))

    def word(self, at: int, size: int = 8) -> Any:
        return self.at(self.op.Add(self.length, ints(at)) if at < 0 else ints(at), size)

    def at(self, position: Any, count: int) -> Any:
        """The little-endian number of `count` characters from a position [1] or [strings, 1]."""
        op = self.op
        position = op.Add(op.Sub(self.length, self.length), position)
        indices = op.Min(op.Max(op.Add(position, op.const(np.arange(count))), ints(0)), ints(self.limit - 1))
        codes = op.GatherElements(self.codes, indices, axis=1)
        is_past_end = op.GreaterOrEqual(op.Add(position, op.const(np.arange(count))), ints(self.limit))
        codes = op.Where(is_past_end, ints(0), codes)
        scaled = op.Mul(codes, op.const(2 ** (8 * (np.arange(count) % HALF))))
        if count <= HALF:
            return op.ReduceSum(scaled, ints(1))
        low, high = (
            op.ReduceSum(op.Slice(scaled, ints(n), ints(n + HALF), ints(1)), ints(1)) for n in (0, HALF)
        )
        return op.Add(low, op.Mul(high, word(2**32)))


def fingerprint(op: Any, letters: Characters) -> Any:
    """FarmHash Fingerprint64 of at most 64 characters, by length: [strings, 1]."""
    length = letters.length
    up_to_3 = letters.upto3(letters.at(op.Div(length, ints(2)), 1))
    hashed = op.Where(op.Equal(length, ints(0)), op.const(word(K2)), up_to_3)
    hashed = op.Where(op.Less(length, ints(4)), hashed, letters.upto7())
    for length_limit, long_hash in ((7, letters.upto16), (16, letters.upto32), (32, letters.upto64)):
        if letters.limit > length_limit:
            hashed = op.Where(op.LessOrEqual(length, ints(length_limit)), hashed, long_hash())
    return hashed


START = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def _sip_round(op: Any, v: list[Any]) -> list[Any]:
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


def sip_hash(op: Any, letters: Characters, key: list[int]) -> Any:
    """SipHash-2-4 of the characters under a key of two 64-bit words: [strings, 1]."""
    state = [op.const(word(s ^ (key[n % 2] % 2**64))) for n, s in enumerate(START)]
    blocks = op.Div(letters.length, ints(8))
    for block in range(letters.limit // 8 + 1):
        is_last = op.Equal(blocks, ints(block))
        message = op.Add(
            letters.word(8 * block), op.Where(is_last, op.Mul(letters.length, op.const(word(2**56))), ints(0))
        )
        updated = [*state[:3], op.BitwiseXor(state[3], message)]
        for _ in range(2):
            updated = _sip_round(op, updated)
        updated[0] = op.BitwiseXor(updated[0], message)
        is_used = op.GreaterOrEqual(blocks, ints(block))
        state = [op.Where(is_used, new, old) for new, old in zip(updated, state, strict=True)]
    state[2] = op.BitwiseXor(state[2], ints(0xFF))
    for _ in range(4):
        state = _sip_round(op, state)
    return op.BitwiseXor(op.BitwiseXor(state[0], state[1]), op.BitwiseXor(state[2], state[3]))


@ops.op("StringToHashBucketFast", "StringToHashBucketStrong", needs=(SHORT, LIMIT))
def hash_bucket(op, node, x):
    """The hash as an unsigned number, modulo the number of buckets."""
    letters = Characters(op, node)
    is_strong = node.op.endswith("Strong")
    hashed = sip_hash(op, letters, node.get("key")) if is_strong else fingerprint(op, letters)
    bucket = op.Mod(
        op.BitCast(hashed, to=int(T.UINT64)), op.const(np.array([node.get("num_buckets")], np.uint64))
    )
    return op.Reshape(op.Cast(bucket, to=int(T.INT64)), op.Shape(x))


def _is_farmhash(node: Any) -> bool:
    method = const(node.inputs[1])
    return method is not None and str(decode_strings(method).reshape(-1)[0]) == "farmhash64"


@ops.op(
    "Fingerprint", needs=(SHORT, LIMIT, condition("method=farmhash64 of a vector of strings", _is_farmhash))
)
def fingerprint_bytes(op, node, x, method):
    """The eight bytes of the fingerprint, little-endian."""
    if x.dtype != T.STRING:
        return NotImplemented
    hashed = op.BitCast(fingerprint(op, Characters(op, node)), to=int(T.UINT64))
    shifted = op.BitShift(hashed, op.const(8 * np.arange(8, dtype=np.uint64)), direction="RIGHT")
    return op.Cast(op.BitwiseAnd(shifted, op.const(np.array([255], np.uint64))), to=int(T.UINT8))
