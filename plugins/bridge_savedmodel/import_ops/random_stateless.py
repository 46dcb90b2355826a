"""Random numbers from a key and a counter, the same at every run: Philox 4x32-10, with 32-bit words in int64.

Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC11). TensorFlow increments the counter for every
block of four words.
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
PHILOX, AUTO_SELECT = 1, 3
WORDS = "words"
"""Where a value of uint64 keeps the words it was joined from."""
MIN_UNIFORM = np.float32(1e-7)


def _int64(op: Any, value: int) -> Any:
    return op.const(np.array(value, np.int64))


def _split_words(op: Any, value: Any) -> Any:
    """Low and high word of int64 or uint64 numbers: [n, 2] int64."""
    word = _int64(op, WORD)
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


def _multiply_words(op: Any, words: Any) -> tuple[Any, Any]:
    """High and low words of the products with the two factors, without exceeding 64 bits in any step."""
    half = _int64(op, HALF)
    low_products = op.Mul(words, op.const(FACTORS % HALF))
    high_products = op.Add(op.Mul(words, op.const(FACTORS // HALF)), op.Div(low_products, half))
    low = op.Add(op.Mul(op.Mod(high_products, half), half), op.Mod(low_products, half))
    return op.Div(high_products, half), low


def philox_blocks(op: Any, key: Any, even: Any, odd: Any) -> Any:
    """Random words [n, 4] from a key [2, 1] and counters [2, n]: `even` holds words 0 and 2, `odd` words 1
    and 3."""
    swap = ints(1, 0)
    for iteration in range(ROUNDS):
        round_key = (
            key
            if iteration == 0
            else op.Mod(op.Add(key, op.const(WEYL * iteration % WORD)), _int64(op, WORD))
        )
        high, low = _multiply_words(op, even)
        even = op.BitwiseXor(op.BitwiseXor(op.Gather(high, swap, axis=0), odd), round_key)
        odd = op.Gather(low, swap, axis=0)
    stacked = op.Concat(op.Unsqueeze(even, ints(1)), op.Unsqueeze(odd, ints(1)), axis=1)
    return op.Reshape(op.Transpose(stacked, perm=[2, 0, 1]), ints(-1, 4))


def _counters(op: Any, counter: Any, count: Any) -> tuple[Any, Any]:
    """`count` counters from `counter` (four words as [2, 2]) on, with carry: their even words and odd
    words."""
    flat = op.Reshape(counter, ints(4, 1))
    carry = op.Unsqueeze(arange(op, count), ints(0))
    words, word = [], _int64(op, WORD)
    for n in range(4):
        total = op.Add(op.Slice(flat, ints(n), ints(n + 1), ints(0)), carry)
        words.append(op.Mod(total, word))
        carry = op.Div(total, word)
    return op.Concat(words[0], words[2], axis=0), op.Concat(words[1], words[3], axis=0)


def _key_and_counter(op: Any, seed: Any) -> tuple[Any, Any]:
    """Key [2, 1] and counter [2, 2] that TensorFlow derives from a seed of two numbers."""
    words = op.Reshape(_split_words(op, seed), ints(4, 1))
    even, odd = (op.Gather(words, ints(*positions), axis=0) for positions in ((0, 2), (1, 3)))
    mixed = op.Reshape(philox_blocks(op, op.const(MIXING), even, odd), ints(2, 2))
    key = op.Transpose(op.Slice(mixed, ints(0), ints(1), ints(0)), perm=[1, 0])
    counter = op.Concat(
        op.const(np.zeros((1, 2), np.int64)), op.Slice(mixed, ints(1), ints(2), ints(0)), axis=0
    )
    return key, counter


def _join_words(op: Any, words: Any) -> Any:
    """Pairs of words, low first, as uint64 [n]."""
    words_64 = op.Cast(words, to=int(T.UINT64))
    low, high = op.Split(words_64, axis=1, num_outputs=2, _outputs=2)
    joined = op.BitwiseOr(low, op.BitShift(high, op.const(np.array(32, np.uint64)), direction="LEFT"))
    values = op.Squeeze(joined, ints(1))
    values.meta[WORDS] = words
    return values


@ops.op("StatelessRandomGetKeyCounter")
def key_and_counter(op, node, seed):
    return tuple(
        _join_words(op, v if n else op.Reshape(v, ints(1, 2)))
        for n, v in enumerate(_key_and_counter(op, seed))
    )


@ops.op("StatelessRandomGetAlg")
def algorithm(op, node):
    return op.const(np.array(PHILOX, np.int32))


@ops.op("StatelessRandomGetKeyCounterAlg")
def key_counter_and_algorithm(op, node, seed):
    return *key_and_counter(op, node, seed), algorithm(op, node)


def _unit_uniform(op: Any, words: Any) -> Any:
    """float32 in [0, 1) from the low 23 bits."""
    return op.Mul(op.Cast(op.Mod(words, _int64(op, 2**23)), to=int(T.FLOAT)), np.float32(2**-23))


def _normal(op: Any, words: Any) -> Any:
    """Normal numbers, two from each two words (Box-Muller)."""
    first, second = op.Split(
        _unit_uniform(op, op.Reshape(words, ints(-1, 2))), axis=1, num_outputs=2, _outputs=2
    )
    radius = op.Sqrt(op.Mul(op.Log(op.Max(first, MIN_UNIFORM)), np.float32(-2)))
    angle = op.Mul(second, np.float32(2 * np.pi))
    return op.Concat(op.Mul(op.Sin(angle), radius), op.Mul(op.Cos(angle), radius), axis=1)


def _full_range(op: Any, words: Any, dtype: Any) -> Any:
    """Integers from all bits of the words."""
    if dtype in (T.INT64, T.UINT64):
        values = _join_words(op, op.Reshape(words, ints(-1, 2)))
        return values if dtype == T.UINT64 else op.Cast(values, to=int(T.INT64))
    if dtype == T.UINT32:
        return op.Cast(words, to=int(T.UINT32))
    signed = op.Where(op.Less(words, _int64(op, 2**31)), words, op.Sub(words, _int64(op, WORD)))
    return op.Cast(signed, to=int(T.INT32))


def _in_range(op: Any, words: Any, low: Any, high: Any) -> Any:
    """Integers in [low, high), by the remainder."""
    if low.dtype in (T.INT64, T.UINT64):
        span = op.Cast(op.Sub(high, low), to=int(T.UINT64))
        remainder = op.Mod(_join_words(op, op.Reshape(words, ints(-1, 2))), span)
        return op.Add(low, op.Cast(remainder, to=int(low.dtype)))
    low, high = as_int64(op, low), as_int64(op, high)
    return op.Add(low, op.Mod(words, op.Sub(high, low)))


WIDE = (T.INT64, T.UINT64)
FLOATS = attribute("dtype", T.FLOAT)
INTEGERS = attribute("dtype", T.INT32, T.INT64, T.UINT32, T.UINT64)


def _is_philox(node: Any) -> bool:
    if not node.op.endswith("V2"):
        return True
    number = const(node.inputs[3])
    return number is not None and int(number.reshape(())) in (PHILOX, AUTO_SELECT)


ALGORITHM = condition("the Philox algorithm", _is_philox)


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
    """Random numbers from as many blocks of four words as the shape needs."""
    is_64_bit = node.get("dtype") in WIDE
    key, counter = (
        _key_and_counter(op, rest[0]) if not node.op.endswith("V2") else _words_of_state(op, *rest[:2])
    )
    size = as_int64(op, shape)
    count = op.ReduceProd(size, keepdims=0)
    per_block = _int64(op, 2 if is_64_bit else 4)
    block_count = op.Div(op.Add(count, op.Sub(per_block, _int64(op, 1))), per_block)
    words = philox_blocks(op, key, *_counters(op, counter, block_count))
    distribution = node.op.removeprefix("StatelessRandom").removesuffix("V2")
    if distribution == "UniformInt":
        numbers = as_dtype(op, _in_range(op, words, *rest[-2:]), node.get("dtype"))
    elif distribution == "UniformFullInt":
        numbers = _full_range(op, words, node.get("dtype"))
    else:
        numbers = _unit_uniform(op, words) if distribution == "Uniform" else _normal(op, words)
    flat = op.Slice(op.Reshape(numbers, ints(-1)), ints(0), op.Reshape(count, ints(1)))
    return op.Reshape(flat, size)


def _words_of_state(op: Any, key: Any, counter: Any) -> tuple[Any, Any]:
    return op.Transpose(_split_words(op, key), perm=[1, 0]), _split_words(op, counter)
