"""The characters of strings, which ONNX has no operator for: each bit of each is asked of a regular
expression.

So it goes for whole numbers that were written as text, and with characters=N for strings of at most N
characters of ASCII. The run of a model that meets another string fails: it takes an element from a place that
there is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T
from bridge_savedmodel.import_ops.ragged import ends_of
from bridge_savedmodel.values import tensor_of

ops = OpTable()

DIGITS = 20
BITS = 7
CHARACTERS = np.array([chr(n) if n else "" for n in range(2**BITS)], object)


def _digits(value: Any) -> bool:
    """Whether strings are whole numbers."""
    maker = value.producer()
    while maker is not None and maker.op_type in ("Identity", "Reshape", "Squeeze", "Unsqueeze"):
        maker = maker.inputs[0].producer()
    return maker is not None and maker.op_type == "Cast" and maker.inputs[0].dtype.is_integer()


def _most(node: Any) -> int:
    """How many characters a string is taken to have; 0 where nobody has said."""
    return DIGITS if _digits(node.inputs[0]) else int(node.frame.context.characters)


SHORT = condition(
    "the characters of strings, which ONNX has no operator for: say with characters=N (-O "
    "characters=32) that none has more than N, all of ASCII, or do this before the model",
    lambda n: _most(n) > 0,
)
LIMIT = condition("characters=64 or less", lambda n: _most(n) <= 64)


def _guard(op: Any, wrong: Any) -> Any:
    """Zero, [1]; a run that finds anything wrong fails."""
    flags = op.Concat(op.Reshape(op.Cast(wrong, to=int(T.INT64)), ints(-1)), ints(0), axis=0)
    return op.Gather(ints(0), op.ReduceMax(flags, keepdims=1), axis=0)


def codes(op: Any, node: Any) -> Any:
    """Of a vector of strings, [strings, most]: the number of every character, and 0 after the last."""
    x, most = op.Reshape(node.inputs[0], ints(-1)), _most(node)
    sets = [[n for n in range(2**BITS) if n >> bit & 1] for bit in range(BITS)]
    classes = ["".join(f"\\x{n:02X}" for n in each) for each in sets]
    asked = [
        op.Unsqueeze(op.RegexFullMatch(x, pattern=f"(?s).{{{place}}}[{each}].*"), ints(1))
        for place in range(most)
        for each in classes
    ]
    flags = op.Reshape(op.Cast(op.Concat(*asked, axis=1), to=int(T.INT64)), ints(-1, most, BITS))
    found = op.ReduceSum(op.Mul(flags, op.const(2 ** np.arange(BITS))), ints(2), keepdims=0)
    if _digits(node.inputs[0]):
        return found
    fits = op.RegexFullMatch(x, pattern=f"[\\x01-\\x7F]{{0,{most}}}")
    return op.Add(found, _guard(op, op.Not(fits)))


def lengths(op: Any, found: Any) -> Any:
    """How many characters each string has, [strings, 1]."""
    return op.ReduceSum(op.Cast(op.Greater(found, op.const(np.array(0))), to=int(T.INT64)), ints(1))


def assembled(op: Any, found: Any, most: int) -> Any:
    """Strings of [strings, most] characters, those numbered 0 left out."""
    table = op.const(tensor_of(CHARACTERS))
    letters = op.Gather(table, found, axis=0)
    made: Any = None
    for place in range(most):
        letter = op.Gather(letters, op.const(np.array(place)), axis=1)
        made = letter if made is None else op.StringConcat(made, letter)
    return made


def _like(op: Any, value: Any, x: Any) -> Any:
    """A vector in the shape of `x`."""
    return value if rank_of(x) == 1 else op.Reshape(value, op.Shape(x))


@ops.op("StringLength", needs=(SHORT,))
def string_length(op, node, x):
    made = op.Squeeze(lengths(op, codes(op, node)), ints(1))
    return as_dtype(op, _like(op, made, x), T.INT32)


def _scalars(node: Any) -> bool:
    return all(const(v) is not None and const(v).size == 1 for v in node.inputs[1:3])


@ops.op("Substr", needs=(SHORT, condition("one place and one length, both constants", _scalars)))
def substr(op, node, x, place, length):
    """A place past either end fails, as it does in TensorFlow."""
    found, most = codes(op, node), _most(node)
    begin, count = (int(const(v).reshape(())) for v in (place, length))
    total = lengths(op, found)
    first = op.Add(total, ints(begin)) if begin < 0 else op.Add(op.Sub(total, total), ints(begin))
    outside = op.Or(op.Less(first, ints(0)), op.Greater(first, total))
    kept = max(min(count, most), 1)
    at = op.Add(op.Add(first, op.const(np.arange(kept))), _guard(op, outside))
    inside = op.And(op.Less(at, total), op.const(np.arange(kept) < count))
    letters = op.GatherElements(found, op.Min(at, ints(most - 1)), axis=1)
    return _like(op, assembled(op, op.Where(inside, letters, ints(0)), kept), x)


SPACES = ints(*b" \t\n\v\f\r")


@ops.op("StringStrip", needs=(SHORT,))
def strip(op, node, x):
    found, most = codes(op, node), _most(node)
    space = op.Cast(op.Equal(op.Unsqueeze(found, ints(2)), op.const(SPACES)), to=int(T.INT64))
    empty = op.Or(op.Equal(found, ints(0)), op.Greater(op.ReduceSum(space, ints(2), keepdims=0), ints(0)))
    filled, axis = op.Cast(op.Not(empty), to=int(T.INT64)), op.const(np.array(1))
    begun = op.CumSum(filled, axis)
    ending = op.CumSum(filled, axis, reverse=1)
    inside = op.And(op.Greater(begun, ints(0)), op.Greater(ending, ints(0)))
    return _like(op, assembled(op, op.Where(inside, found, ints(0)), most), x)


ENCODED = condition(
    "input_encoding of UTF-8 or ASCII",
    lambda n: str(n.get("input_encoding")).upper() in ("UTF-8", "UTF8", "US-ASCII", "ASCII"),
)


@ops.op("UnicodeDecode", "UnicodeDecodeWithOffsets", needs=(SHORT, ENCODED))
def unicode_decode(op, node, x):
    """Of all strings the characters in a row, where those of each begin, and where each is in its string."""
    found = codes(op, node)
    splits = ends_of(op, op.Squeeze(lengths(op, found), ints(1)))
    places = op.NonZero(found)
    values = op.Cast(op.GatherND(found, op.Transpose(places, perm=[1, 0])), to=int(T.INT32))
    splits = as_dtype(op, splits, node.get("Tsplits"))
    if node.op == "UnicodeDecode":
        return splits, values
    return splits, values, op.Squeeze(op.Slice(places, ints(1), ints(2), ints(0)), ints(0))


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
    most, ends = int(node.frame.context.characters), as_int64(op, splits)
    begin, end = (
        op.Unsqueeze(op.Slice(ends, ints(a), ints(b), ints(0)), ints(1)) for a, b in ((0, -1), (1, 2**31 - 1))
    )
    every = op.Concat(as_int64(op, values), ints(0), axis=0)
    strange = op.Or(op.Less(every, ints(0)), op.GreaterOrEqual(every, ints(2**BITS)))
    long = op.Greater(op.Sub(end, begin), ints(most))
    fine = op.Add(_guard(op, strange), _guard(op, long))
    at = op.Add(begin, op.const(np.arange(most)))
    last = op.Sub(op.Shape(every), ints(1))
    kept = op.Where(op.Less(at, end), at, last)
    return assembled(op, op.Add(op.Gather(every, kept, axis=0), fine), most)
