"""Element by element."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.importing import constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops import bits
from bridge_tflite.import_ops.common import FUSED, INT32, UINT32, activate, approximated, clip

ops = OpTable()

FLOAT = condition("a float input", lambda n: n.kind(0).startswith("FLOAT") or n.tensor(0).quantized)

ops.same(
    ABS="Abs",
    BITWISE_XOR="BitwiseXor",
    CEIL="Ceil",
    COS="Cos",
    ELU="Elu",
    EQUAL="Equal",
    EXP="Exp",
    FLOOR="Floor",
    GREATER="Greater",
    GREATER_EQUAL="GreaterOrEqual",
    HARD_SWISH="HardSwish",
    LESS="Less",
    LESS_EQUAL="LessOrEqual",
    LOG="Log",
    LOGICAL_AND="And",
    LOGICAL_NOT="Not",
    LOGICAL_OR="Or",
    MAXIMUM="Max",
    MINIMUM="Min",
    NEG="Neg",
    POW="Pow",
    RELU="Relu",
    ROUND="Round",
    SIGN="Sign",
    SIN="Sin",
    SQRT="Sqrt",
)


INT16 = condition("an input of int16", lambda n: n.kind(0) == "INT16")


@ops.op("LOGISTIC", "TANH", needs=(INT16,))
def by_table(op, node, x):
    """LiteRT's kernels on int16 are polynomials: a few of 32768 steps off."""
    y = op.Sigmoid(x) if node.op == "LOGISTIC" else op.Tanh(x)
    return approximated(y, "LiteRT's int16 kernel differs by up to 12 steps of 2**-15")


@ops.op("LOGISTIC")
def logistic(op, node, x):
    return op.Sigmoid(x)


@ops.op("TANH")
def tanh(op, node, x):
    return op.Tanh(x)


@ops.op("ADD", needs=(FUSED,))
def add(op, node, x, y):
    return activate(op, node, op.Add(x, y))


@ops.op("SUB", needs=(FUSED,))
def sub(op, node, x, y):
    return activate(op, node, op.Sub(x, y))


@ops.op("MUL", needs=(FUSED,))
def mul(op, node, x, y):
    return activate(op, node, op.Mul(x, y))


@ops.op("DIV", needs=(FUSED,))
def div(op, node, x, y):
    return activate(op, node, op.Div(x, y))


@ops.op("ADD_N")
def add_n(op, node, *inputs):
    total = inputs[0]
    for value in inputs[1:]:
        total = op.Add(total, value)
    return total


@ops.op("NOT_EQUAL")
def not_equal(op, node, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("RELU6")
def relu6(op, node, x):
    return clip(op, x, 0, 6)


@ops.op("RELU_N1_TO_1")
def relu_n1_to_1(op, node, x):
    return clip(op, x, -1, 1)


@ops.op("RELU_0_TO_1")
def relu_0_to_1(op, node, x):
    return clip(op, x, 0, 1)


@ops.op("RSQRT")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@ops.op("SQUARE")
def square(op, node, x):
    return op.Mul(x, x)


@ops.op("SQUARED_DIFFERENCE")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@ops.op("FLOOR_DIV")
def floor_div(op, node, x, y):
    """ONNX divides integers towards zero: one less where the signs differ and something remains."""
    if x.dtype.is_floating_point():
        return op.Floor(op.Div(x, y))
    zero = np.zeros((), x.dtype.numpy())
    differ = op.Xor(op.Less(x, zero), op.Less(y, zero))
    below = op.And(differ, op.Not(op.Equal(op.Mod(x, y), zero)))
    return op.Sub(op.Div(x, y), op.Cast(below, to=int(x.dtype)))


@ops.op("FLOOR_MOD")
def floor_mod(op, node, x, y):
    """With the sign of the divisor; ONNX gives floats that of the dividend."""
    if not x.dtype.is_floating_point():
        return op.Mod(x, y)
    zero = np.zeros((), x.dtype.numpy())
    rest = op.Mod(x, y, fmod=1)
    other = op.And(op.Not(op.Equal(rest, zero)), op.Xor(op.Less(rest, zero), op.Less(y, zero)))
    return op.Where(other, op.Add(rest, y), rest)


@ops.op("ATAN2", needs=(FLOAT,))
def atan2(op, node, y, x):
    """The angle of the point (x, y): that of |y| above |x|, mirrored into the point's quadrant."""
    kind = x.dtype.numpy()
    zero = np.zeros((), kind)
    both = op.And(op.Equal(x, zero), op.Equal(y, zero))
    far = op.And(op.IsInf(x), op.IsInf(y))
    slope = op.Div(op.Abs(y), op.Where(both, np.ones((), kind), op.Abs(x)))
    angle = op.Atan(op.Where(far, np.ones((), kind), slope))
    left = op.Less(_signed(op, x), zero)
    angle = op.Where(left, op.Sub(np.array(np.pi, kind), angle), angle)
    return op.Where(op.Less(_signed(op, y), zero), op.Neg(angle), angle)


def _signed(op: Any, x: Any) -> Any:
    """x, and -1 for the zero below zero."""
    kind = x.dtype.numpy()
    zero = np.zeros((), kind)
    return op.Where(op.Equal(x, zero), op.Where(op.Less(op.Reciprocal(x), zero), np.array(-1, kind), zero), x)


@ops.op("RIGHT_SHIFT")
def right_shift(op, node, x, y):
    """Arithmetic, by 0 up to the width less one."""
    dtype = x.dtype.numpy()
    zero, last = (np.array(n, dtype) for n in (0, dtype.itemsize * 8 - 1))
    places = op.Cast(op.Max(op.Min(y, last), zero), to=UINT32)
    negative = op.Less(x, zero)
    positive = op.Cast(op.Where(negative, op.BitwiseNot(x), x), to=UINT32)
    back = op.Cast(op.BitShift(positive, places, direction="RIGHT"), to=int(x.dtype))
    return op.Where(negative, op.BitwiseNot(back), back)


@ops.op("FAKE_QUANT")
def fake_quant(op, node, x):
    """Rounded to the steps between min and max, which are moved so that one of them is zero."""
    low, high = float(node.get("min", 0.0)), float(node.get("max", 0.0))
    first, last = int(node.get("narrowRange", False)), 2 ** node.get("numBits", 8) - 1
    if low == high:
        return op.Sub(x, x)
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(last - first))
    start = np.float32(first) - np.float32(low) / scale
    zero = np.float32(np.clip(np.floor(start + np.float32(0.5)), first, last))
    down, up = np.float32((first - zero) * scale), np.float32((last - zero) * scale)
    steps = op.Mul(op.Sub(op.Clip(x, down, up), down), np.float32(1) / scale)
    return op.Add(op.Mul(op.Floor(op.Add(steps, np.float32(0.5))), scale), down)


@ops.op("BITCAST")
def bitcast(op, node, x):
    """Wider elements become several, in a new last axis; narrower ones of the last axis become one."""
    kind = node.out_dtype()
    if x.dtype.bitwidth == kind.bitwidth:
        return op.BitCast(x, to=int(kind))
    if x.dtype.bitwidth > kind.bitwidth:
        made = bits.parts(op, x, kind.bitwidth)
    else:
        narrow = x.dtype.bitwidth
        made = bits.joined(op, bits.unsigned(op, x), kind.bitwidth // narrow, narrow)
    plain = ir.DataType[f"UINT{kind.bitwidth}"]
    return op.BitCast(op.Cast(made, to=int(plain)), to=int(kind))


@ops.op("LEAKY_RELU")
def leaky_relu(op, node, x):
    return op.LeakyRelu(x, alpha=float(node.get("alpha", 0.0)))


@ops.op("PRELU")
def prelu(op, node, x, alpha):
    wide, narrow = node.shape(0), node.shape(1)
    fits = len(narrow) <= len(wide) and all(
        b == 1 or (a == b and a is not None)
        for a, b in zip(wide[len(wide) - len(narrow) :], narrow, strict=True)
    )
    zero = np.zeros((), x.dtype.numpy())
    return op.PRelu(x, alpha) if fits else op.Where(op.Less(x, zero), op.Mul(x, alpha), x)


@ops.op("GELU")
def gelu(op, node, x):
    return op.Gelu(x, approximate="tanh" if node.get("approximate", False) else "none")


@ops.op(
    "CAST",
    needs=(condition("a cast without complex numbers", lambda n: "COMPLEX" not in n.kind(0) + n.out_kind()),),
)
def cast(op, node, x):
    """To less than a byte the fraction is cut off, and what lies beyond comes to its ends."""
    kind = node.out_dtype()
    if kind.bitwidth < 8 and x.dtype == ir.DataType.FLOAT:
        limits = ml_dtypes.iinfo(kind.numpy())
        x = op.Cast(op.Clip(x, np.float32(limits.min), np.float32(limits.max)), to=INT32)
    return op.Cast(x, to=int(kind))


@ops.op("SELECT_V2")
def select_v2(op, node, condition, x, y):
    return op.Where(condition, x, y)


@ops.op("ZEROS_LIKE")
def zeros_like(op, node, x):
    return op.Expand(np.zeros((), x.dtype.numpy()), op.Shape(x))


@ops.op("SELECT")
def select(op, node, condition, x, y):
    """A condition of rank 1 chooses rows."""
    rank = len(node.shape(1))
    if len(node.shape(0)) == 1 and rank > 1:
        condition = op.Unsqueeze(condition, list(range(1, rank)))
    return op.Where(condition, x, y)


def _seeds(node: Any) -> float | None:
    """A seed of 0 twice asks for one that differs from run to run."""
    return (
        float(node.get("seed", 0) * 65537 + node.get("seed2", 0))
        if node.get("seed", 0) or node.get("seed2", 0)
        else None
    )


@ops.op("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL")
def random(op, node, shape):
    """Other numbers of the same distribution: the generators differ."""
    like = op.Expand(np.float32(0), int64_vector(op, shape))
    kind = "RandomUniformLike" if node.op == "RANDOM_UNIFORM" else "RandomNormalLike"
    made = op.node(kind, like, seed=_seeds(node))
    return approximated(made, "LiteRT draws other random numbers")


@ops.op("MULTINOMIAL", needs=(condition("a constant number of samples", lambda n: n.constant(1)),))
def multinomial(op, node, logits, count):
    """The largest of the logits, each with noise of Gumbel's distribution."""
    samples, classes = ints(constant_ints(count)[0]), op.Shape(logits, start=1)
    like = op.Expand(np.float32(0), op.Concat(op.Shape(logits, end=1), op.const(samples), classes, axis=0))
    even = op.RandomUniformLike(like, low=1e-7, seed=_seeds(node))
    noisy = op.Sub(op.Unsqueeze(logits, ints(1)), op.Log(op.Neg(op.Log(even))))
    drawn = op.Cast(op.ArgMax(noisy, axis=2, keepdims=0), to=int(node.out_dtype()))
    return approximated(drawn, "LiteRT draws other random numbers")
