"""Random numbers of a key and a counter, which are the same at every run: Philox 4x32-10, word by word in
int64.

Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC11). TensorFlow counts blocks of four words up
from the counter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import const
from bridge.importing import as_dtype, as_int64, attribute, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T

ops = OpTable()

ROUNDS = 10
WORD, HALF = 2**32, 2**16
FACTORS = np.array([[0xD2511F53], [0xCD9E8D57]], np.int64)
WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], np.int64)
MIXING = np.array([0x3EC8F720, 0x02461E29], np.int64).reshape(2, 1)
PHILOX, CHOSEN = 1, 3
WORDS = "words"
"""Where a value of uint64 keeps the words it was joined from."""
LEAST = np.float32(1e-7)


def _number(op: Any, value: int) -> Any:
    return op.const(np.array(value, np.int64))


def _halves(op: Any, value: Any) -> Any:
    """The low and the high word of int64 or uint64 numbers, side by side as [n, 2] int64."""
    word = _number(op, WORD)
    if WORDS in value.meta:
        return value.meta[WORDS]
    if value.dtype == T.UINT64:
        low = op.Cast(op.BitwiseAnd(value, op.const(np.array(WORD - 1, np.uint64))), to=int(T.INT64))
        high = op.Cast(
            op.BitShift(value, op.const(np.array(32, np.uint64)), direction="RIGHT"), to=int(T.INT64)
        )
    else:
        value = as_int64(op, value)
        low = op.Mod(value, word)
        high = op.Mod(op.Div(op.Sub(value, low), word), word)
    return op.Concat(op.Unsqueeze(low, ints(1)), op.Unsqueeze(high, ints(1)), axis=1)


def _products(op: Any, words: Any) -> tuple[Any, Any]:
    """High and low words of the products with the two factors, no step beyond 64 bits."""
    half = _number(op, HALF)
    small = op.Mul(words, op.const(FACTORS % HALF))
    large = op.Add(op.Mul(words, op.const(FACTORS // HALF)), op.Div(small, half))
    low = op.Add(op.Mul(op.Mod(large, half), half), op.Mod(small, half))
    return op.Div(large, half), low


def blocks(op: Any, key: Any, even: Any, odd: Any) -> Any:
    """[n, 4] words: of a key of shape [2, 1], and counters as words 0 and 2, and words 1 and 3, each [2,
    n]."""
    swap = ints(1, 0)
    for turn in range(ROUNDS):
        own = key if turn == 0 else op.Mod(op.Add(key, op.const(WEYL * turn % WORD)), _number(op, WORD))
        high, low = _products(op, even)
        even = op.BitwiseXor(op.BitwiseXor(op.Gather(high, swap, axis=0), odd), own)
        odd = op.Gather(low, swap, axis=0)
    both = op.Concat(op.Unsqueeze(even, ints(1)), op.Unsqueeze(odd, ints(1)), axis=1)
    return op.Reshape(op.Transpose(both, perm=[2, 0, 1]), ints(-1, 4))


def _counted(op: Any, counter: Any, count: Any) -> tuple[Any, Any]:
    """Counters from `counter`, four words as [2, 2], upwards, a carry from word to word."""
    flat = op.Reshape(counter, ints(4, 1))
    more = op.Unsqueeze(arange(op, count), ints(0))
    words, word = [], _number(op, WORD)
    for n in range(4):
        total = op.Add(op.Slice(flat, ints(n), ints(n + 1), ints(0)), more)
        words.append(op.Mod(total, word))
        more = op.Div(total, word)
    return op.Concat(words[0], words[2], axis=0), op.Concat(words[1], words[3], axis=0)


def _mixed(op: Any, seed: Any) -> tuple[Any, Any]:
    """The key [2, 1] and the counter [2, 2] that TensorFlow makes of a seed of two numbers."""
    words = op.Reshape(_halves(op, seed), ints(4, 1))
    even, odd = (op.Gather(words, ints(*at), axis=0) for at in ((0, 2), (1, 3)))
    mix = op.Reshape(blocks(op, op.const(MIXING), even, odd), ints(2, 2))
    key = op.Transpose(op.Slice(mix, ints(0), ints(1), ints(0)), perm=[1, 0])
    counter = op.Concat(
        op.const(np.zeros((1, 2), np.int64)), op.Slice(mix, ints(1), ints(2), ints(0)), axis=0
    )
    return key, counter


def _joined(op: Any, words: Any) -> Any:
    """Pairs of words, low first, as uint64."""
    found = op.Cast(words, to=int(T.UINT64))
    low, high = op.Split(found, axis=1, num_outputs=2, _outputs=2)
    whole = op.BitwiseOr(low, op.BitShift(high, op.const(np.array(32, np.uint64)), direction="LEFT"))
    made = op.Squeeze(whole, ints(1))
    made.meta[WORDS] = words
    return made


@ops.op("StatelessRandomGetKeyCounter")
def key_and_counter(op, node, seed):
    return tuple(_joined(op, v if n else op.Reshape(v, ints(1, 2))) for n, v in enumerate(_mixed(op, seed)))


@ops.op("StatelessRandomGetAlg")
def algorithm(op, node):
    return op.const(np.array(PHILOX, np.int32))


@ops.op("StatelessRandomGetKeyCounterAlg")
def key_counter_and_algorithm(op, node, seed):
    return *key_and_counter(op, node, seed), algorithm(op, node)


def _unit(op: Any, words: Any) -> Any:
    """Float32 of [0, 1) of the low 23 bits."""
    return op.Mul(op.Cast(op.Mod(words, _number(op, 2**23)), to=int(T.FLOAT)), np.float32(2**-23))


def _normal(op: Any, words: Any) -> Any:
    """Two normal numbers of each two words, by Box and Muller."""
    first, second = op.Split(_unit(op, op.Reshape(words, ints(-1, 2))), axis=1, num_outputs=2, _outputs=2)
    length = op.Sqrt(op.Mul(op.Log(op.Max(first, LEAST)), np.float32(-2)))
    angle = op.Mul(second, np.float32(2 * np.pi))
    return op.Concat(op.Mul(op.Sin(angle), length), op.Mul(op.Cos(angle), length), axis=1)


def _whole(op: Any, words: Any, dtype: Any) -> Any:
    """All bits of an integer."""
    if dtype in (T.INT64, T.UINT64):
        whole = _joined(op, op.Reshape(words, ints(-1, 2)))
        return whole if dtype == T.UINT64 else op.Cast(whole, to=int(T.INT64))
    if dtype == T.UINT32:
        return op.Cast(words, to=int(T.UINT32))
    signed = op.Where(op.Less(words, _number(op, 2**31)), words, op.Sub(words, _number(op, WORD)))
    return op.Cast(signed, to=int(T.INT32))


def _ranged(op: Any, words: Any, low: Any, high: Any) -> Any:
    """Integers from `low` to below `high`, by the remainder."""
    if low.dtype in (T.INT64, T.UINT64):
        span = op.Cast(op.Sub(high, low), to=int(T.UINT64))
        rest = op.Mod(_joined(op, op.Reshape(words, ints(-1, 2))), span)
        return op.Add(low, op.Cast(rest, to=int(low.dtype)))
    low, high = as_int64(op, low), as_int64(op, high)
    return op.Add(low, op.Mod(words, op.Sub(high, low)))


WIDE = (T.INT64, T.UINT64)
FLOATS = attribute("dtype", T.FLOAT)
INTEGERS = attribute("dtype", T.INT32, T.INT64, T.UINT32, T.UINT64)


def _known_algorithm(node: Any) -> bool:
    if not node.op.endswith("V2"):
        return True
    found = const(node.inputs[3])
    return found is not None and int(found.reshape(())) in (PHILOX, CHOSEN)


ALGORITHM = condition("the Philox algorithm", _known_algorithm)


@ops.op(
    "StatelessRandomUniform",
    "StatelessRandomUniformV2",
    "StatelessRandomNormal",
    "StatelessRandomNormalV2",
    needs=(FLOATS, ALGORITHM),
)
@ops.op(
    "StatelessRandomUniformInt",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformFullInt",
    "StatelessRandomUniformFullIntV2",
    needs=(INTEGERS, ALGORITHM),
)
def stateless(op, node, shape, *rest):
    """As many blocks of four words as the shape asks for."""
    wide = node.get("dtype") in WIDE
    key, counter = _mixed(op, rest[0]) if not node.op.endswith("V2") else _given(op, *rest[:2])
    size = as_int64(op, shape)
    count = op.ReduceProd(size, keepdims=0)
    each = _number(op, 2 if wide else 4)
    many = op.Div(op.Add(count, op.Sub(each, _number(op, 1))), each)
    words = blocks(op, key, *_counted(op, counter, many))
    kind = node.op.removeprefix("StatelessRandom").removesuffix("V2")
    if kind == "UniformInt":
        made = as_dtype(op, _ranged(op, words, *rest[-2:]), node.get("dtype"))
    elif kind == "UniformFullInt":
        made = _whole(op, words, node.get("dtype"))
    else:
        made = _unit(op, words) if kind == "Uniform" else _normal(op, words)
    flat = op.Slice(op.Reshape(made, ints(-1)), ints(0), op.Reshape(count, ints(1)))
    return op.Reshape(flat, size)


def _given(op: Any, key: Any, counter: Any) -> tuple[Any, Any]:
    return op.Transpose(_halves(op, key), perm=[1, 0]), _halves(op, counter)
