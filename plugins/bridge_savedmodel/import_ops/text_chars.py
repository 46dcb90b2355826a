"""Operators on the characters of strings, for which ONNX has no operator: regular expressions test each bit
of each character.

This is done for integers that were written as text and, with characters=N, for strings of at most N ASCII
characters. A run with any other string fails: it reads an element at an index out of range.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.sparse_ragged import row_splits
from bridge_savedmodel.values import tensor_of

ops = OpTable()

DIGITS = 20
BITS = 7
CHARACTERS = np.array([chr(n) if n else "" for n in range(2**BITS)], object)


def _are_integers(value: Any) -> bool:
    """True if strings are integers written as text."""
    producer = value.producer()
    while producer is not None and producer.op_type in ("Identity", "Reshape", "Squeeze", "Unsqueeze"):
        producer = producer.inputs[0].producer()
    return producer is not None and producer.op_type == "Cast" and producer.inputs[0].dtype.is_integer()


def _max_length(node: Any) -> int:
    """The largest number of characters of a string; 0 if it is unknown."""
    return DIGITS if _are_integers(node.inputs[0]) else int(node.frame.context.characters)


SHORT = condition(
    "the characters of strings, which ONNX has no operator for: say with characters=N (-O "
    "characters=32) that none has more than N, all of ASCII, or do this before the model",
    lambda n: _max_length(n) > 0,
)
LIMIT = condition("characters=64 or less", lambda n: _max_length(n) <= 64)


def _fail_if(op: Any, wrong: Any) -> Any:
    """Zero, [1]; a run in which any element of `wrong` is true fails."""
    flags = op.Concat(op.Reshape(op.Cast(wrong, to=int(T.INT64)), ints(-1)), ints(0), axis=0)
    return op.Gather(ints(0), op.ReduceMax(flags, keepdims=1), axis=0)


def char_codes(op: Any, node: Any) -> Any:
    """Character codes of a vector of strings, 0 after the last character: [strings, max length]."""
    x, length = op.Reshape(node.inputs[0], ints(-1)), _max_length(node)
    codes_with_bit = [[n for n in range(2**BITS) if n >> bit & 1] for bit in range(BITS)]
    classes = ["".join(f"\\x{n:02X}" for n in members) for members in codes_with_bit]
    bits = [
        op.Unsqueeze(op.RegexFullMatch(x, pattern=f"(?s).{{{position}}}[{members}].*"), ints(1))
        for position in range(length)
        for members in classes
    ]
    flags = op.Reshape(op.Cast(op.Concat(*bits, axis=1), to=int(T.INT64)), ints(-1, length, BITS))
    codes = op.ReduceSum(op.Mul(flags, op.const(2 ** np.arange(BITS))), ints(2), keepdims=0)
    if _are_integers(node.inputs[0]):
        return codes
    is_ascii = op.RegexFullMatch(x, pattern=f"[\\x01-\\x7F]{{0,{length}}}")
    return op.Add(codes, _fail_if(op, op.Not(is_ascii)))


def string_lengths(op: Any, codes: Any) -> Any:
    """Number of characters of each string, [strings, 1]."""
    return op.ReduceSum(op.Cast(op.Greater(codes, op.const(np.array(0))), to=int(T.INT64)), ints(1))


def join_chars(op: Any, codes: Any, length: int) -> Any:
    """Strings of character codes [strings, length]; code 0 is no character."""
    table = op.const(tensor_of(CHARACTERS))
    letters = op.Gather(table, codes, axis=0)
    joined: Any = None
    for position in range(length):
        letter = op.Gather(letters, op.const(np.array(position)), axis=1)
        joined = letter if joined is None else op.StringConcat(joined, letter)
    return joined


def _reshape_like(op: Any, value: Any, x: Any) -> Any:
    """A vector in the shape of `x`."""
    return value if rank_of(x) == 1 else op.Reshape(value, op.Shape(x))


@ops.op("StringLength", needs=(SHORT,))
def string_length(op, node, x):
    lengths = op.Squeeze(string_lengths(op, char_codes(op, node)), ints(1))
    return as_dtype(op, _reshape_like(op, lengths, x), T.INT32)


def _has_scalar_arguments(node: Any) -> bool:
    return all(const(v) is not None and const(v).size == 1 for v in node.inputs[1:3])


@ops.op("Substr", needs=(SHORT, condition("one place and one length, both constants", _has_scalar_arguments)))
def substr(op, node, x, position, length):
    """A slice of each string; a position outside of the string fails, as in TensorFlow."""
    codes, limit = char_codes(op, node), _max_length(node)
    begin, count = (int(const(v).reshape(())) for v in (position, length))
    total = string_lengths(op, codes)
    start = op.Add(total, ints(begin)) if begin < 0 else op.Add(op.Sub(total, total), ints(begin))
    outside = op.Or(op.Less(start, ints(0)), op.Greater(start, total))
    width = max(min(count, limit), 1)
    indices = op.Add(op.Add(start, op.const(np.arange(width))), _fail_if(op, outside))
    is_inside = op.And(op.Less(indices, total), op.const(np.arange(width) < count))
    letters = op.GatherElements(codes, op.Min(indices, ints(limit - 1)), axis=1)
    return _reshape_like(op, join_chars(op, op.Where(is_inside, letters, ints(0)), width), x)


SPACES = ints(*b" \t\n\v\f\r")


@ops.op("StringStrip", needs=(SHORT,))
def strip(op, node, x):
    codes, length = char_codes(op, node), _max_length(node)
    is_space = op.Cast(op.Equal(op.Unsqueeze(codes, ints(2)), op.const(SPACES)), to=int(T.INT64))
    is_empty = op.Or(
        op.Equal(codes, ints(0)), op.Greater(op.ReduceSum(is_space, ints(2), keepdims=0), ints(0))
    )
    is_filled, axis = op.Cast(op.Not(is_empty), to=int(T.INT64)), op.const(np.array(1))
    filled_before = op.CumSum(is_filled, axis)
    filled_after = op.CumSum(is_filled, axis, reverse=1)
    is_inside = op.And(op.Greater(filled_before, ints(0)), op.Greater(filled_after, ints(0)))
    return _reshape_like(op, join_chars(op, op.Where(is_inside, codes, ints(0)), length), x)


ENCODED = condition(
    "input_encoding of UTF-8 or ASCII",
    lambda n: str(n.get("input_encoding")).upper() in ("UTF-8", "UTF8", "US-ASCII", "ASCII"),
)


@ops.op("UnicodeDecode", "UnicodeDecodeWithOffsets", needs=(SHORT, ENCODED))
def unicode_decode(op, node, x):
    """Characters of all strings in a row, the row splits, and the offset of each character in its string."""
    codes = char_codes(op, node)
    splits = row_splits(op, op.Squeeze(string_lengths(op, codes), ints(1)))
    indices = op.NonZero(codes)
    values = op.Cast(op.GatherND(codes, op.Transpose(indices, perm=[1, 0])), to=int(T.INT32))
    splits = as_dtype(op, splits, node.get("Tsplits"))
    if node.op == "UnicodeDecode":
        return splits, values
    return splits, values, op.Squeeze(op.Slice(indices, ints(1), ints(2), ints(0)), ints(0))


@ops.op(
    "UnicodeEncode",
    needs=(
        condition(
            "characters=N, and output_encoding=UTF-8",
            lambda n: n.frame.context.characters > 0 and n.get("output_encoding") == "UTF-8",
        ),
    ),
)
def unicode_encode(op, node, values, splits):
    length, bounds = int(node.frame.context.characters), as_int64(op, splits)
    begin, end = (
        op.Unsqueeze(op.Slice(bounds, ints(a), ints(b), ints(0)), ints(1))
        for a, b in ((0, -1), (1, 2**31 - 1))
    )
    codes = op.Concat(as_int64(op, values), ints(0), axis=0)
    is_not_ascii = op.Or(op.Less(codes, ints(0)), op.GreaterOrEqual(codes, ints(2**BITS)))
    is_too_long = op.Greater(op.Sub(end, begin), ints(length))
    zero = op.Add(_fail_if(op, is_not_ascii), _fail_if(op, is_too_long))
    indices = op.Add(begin, op.const(np.arange(length)))
    padding = op.Sub(op.Shape(codes), ints(1))
    safe_indices = op.Where(op.Less(indices, end), indices, padding)
    return join_chars(op, op.Add(op.Gather(codes, safe_indices, axis=0), zero), length)
