"""Element by element."""

from __future__ import annotations

import numpy as np

from bridge_tflite.import_ops.common import FUSED, activate, clip, need, ops

FLOAT = need("a float input", lambda n: n.kind(0).startswith("FLOAT") or n.tensor(0).quantized)

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
    LOGISTIC="Sigmoid",
    MAXIMUM="Max",
    MINIMUM="Min",
    NEG="Neg",
    POW="Pow",
    RELU="Relu",
    ROUND="Round",
    SIGN="Sign",
    SIN="Sin",
    SQRT="Sqrt",
    TANH="Tanh",
)


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


@ops.op("FLOOR_DIV", needs=(FLOAT,))
def floor_div(op, node, x, y):
    return op.Floor(op.Div(x, y))


@ops.op("FLOOR_MOD", needs=(need("an integer input", lambda n: n.kind(0).startswith("INT")),))
def floor_mod(op, node, x, y):
    return op.Mod(x, y)


@ops.op("LEAKY_RELU")
def leaky_relu(op, node, x):
    return op.LeakyRelu(x, alpha=float(node.get("alpha", 0.0)))


@ops.op("PRELU")
def prelu(op, node, x, alpha):
    return op.PRelu(x, alpha)


@ops.op("GELU")
def gelu(op, node, x):
    return op.Gelu(x, approximate="tanh" if node.get("approximate", False) else "none")


@ops.op(
    "CAST",
    needs=(need("a cast without complex numbers", lambda n: "COMPLEX" not in n.kind(0) + n.out_kind()),),
)
def cast(op, node, x):
    return op.Cast(x, to=int(node.out_dtype()))


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


@ops.op("FLOOR_DIV", needs=(need("an integer input", lambda n: n.kind(0).startswith("INT")),))
def floor_div_integer(op, node, x, y):
    """ONNX divides towards zero: one less where the signs differ and something remains."""
    zero = np.zeros((), x.dtype.numpy())
    differ = op.Xor(op.Less(x, zero), op.Less(y, zero))
    below = op.And(differ, op.Not(op.Equal(op.Mod(x, y), zero)))
    return op.Sub(op.Div(x, y), op.Cast(below, to=int(x.dtype)))
