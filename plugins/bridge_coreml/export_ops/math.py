"""Element by element."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    ANY,
    FLOAT,
    FLOATS,
    HELD,
    IN_RANGE,
    INTS,
    NUMBER,
    SMALL,
    T,
    axis_of,
)

ops = OpTable("Core ML export: math")

UNARY = {
    "Acos": "acos", "Asin": "asin", "Atan": "atan", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf",
    "Exp": "exp", "Floor": "floor", "Relu": "relu", "Round": "round", "Sigmoid": "sigmoid", "Sin": "sin",
    "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Tan": "tan", "Tanh": "tanh",
    "Atanh": "atanh",
}  # fmt: skip


@ops.op(*UNARY, needs=(FLOAT,))
def unary(mil, node, x):
    return getattr(mil, UNARY[node.op_type])(x=x)


@ops.op("Abs", "Sign", needs=(NUMBER,))
def magnitude(mil, node, x):
    return getattr(mil, node.op_type.lower())(x=x)


@ops.op("Neg", needs=(NUMBER,))
def negative(mil, node, x):
    return mil.mul(x=x, y=mil.like(-1, x))


@ops.op("Not", needs=(dtype("bool"),))
def negation(mil, node, x):
    return mil.logical_not(x=x)


@ops.op("Log", needs=(FLOAT,))
def log(mil, node, x):
    return mil.log(x=x, epsilon=mil.like(0, x))


@ops.op("Reciprocal", needs=(FLOAT,))
def reciprocal(mil, node, x):
    return mil.inverse(x=x, epsilon=mil.like(0, x))


BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Max": "maximum", "Min": "minimum"}
TWO = condition("two inputs", lambda n: len(n.inputs) == 2)


@ops.op("Add", "Sub", "Mul", needs=(NUMBER, IN_RANGE))
@ops.op("Max", "Min", needs=(dtype(*FLOATS, *INTS, *SMALL), TWO, IN_RANGE))
def binary(mil, node, x, y):
    return getattr(mil, BINARY[node.op_type])(x=x, y=y)


@ops.op("Div", needs=(FLOAT,))
def divide(mil, node, x, y):
    return mil.real_div(x=x, y=y)


@ops.op("Div", needs=(dtype(*INTS, *SMALL), IN_RANGE))
def divide_whole(mil, node, x, y):
    """floor_div, and one more where it rounded a negative quotient down."""
    quotient = mil.floor_div(x=x, y=y)
    rest = mil.sub(x=x, y=mil.mul(x=quotient, y=y))
    up = mil.logical_and(x=mil.less(x=quotient, y=0), y=mil.not_equal(x=rest, y=0))
    return mil.add(x=quotient, y=mil.cast(x=up, dtype="int32"))


@ops.op("Mod", needs=(dtype(*INTS, *SMALL), attribute("fmod", 0), IN_RANGE))
def modulo(mil, node, x, y):
    return mil.mod(x=x, y=y)


@ops.op("Pow", needs=(FLOAT, dtype(*FLOATS, *INTS, *SMALL, index=1), IN_RANGE))
def power(mil, node, x, y):
    return mil.pow(x=x, y=mil.cast_to(y, mil.kind(x)))


COMPARED = {
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Equal": "equal",
}


@ops.op(*COMPARED, needs=(dtype(*FLOATS, *INTS, *SMALL), IN_RANGE))
def compare(mil, node, x, y):
    return getattr(mil, COMPARED[node.op_type])(x=x, y=y)


@ops.op("Equal", needs=(dtype("bool"),))
def same_truth(mil, node, x, y):
    return mil.logical_not(x=mil.logical_xor(x=x, y=y))


LOGICAL = {"And": "logical_and", "Or": "logical_or", "Xor": "logical_xor"}


@ops.op(*LOGICAL)
def logical(mil, node, x, y):
    return getattr(mil, LOGICAL[node.op_type])(x=x, y=y)


def scalar_bounds(node: ir.Node) -> bool:
    return all(v is None or const(v) is not None for v in list(node.inputs)[1:])


def _bounds(node: ir.Node) -> tuple[float, float]:
    limits = [-np.inf, np.inf]
    for i, value in enumerate(list(node.inputs)[1:3]):
        if value is not None:
            limits[i] = const(value).item()
    return limits[0], limits[1]


@ops.op(
    "Clip",
    needs=(
        FLOAT,
        condition("constant bounds", scalar_bounds),
        condition("a lower bound that is not above the upper", lambda n: _bounds(n)[0] <= _bounds(n)[1]),
    ),
)
def clip(mil, node, x, *rest):
    low, high = _bounds(node)
    if np.isfinite(low) and np.isfinite(high) and low < high:
        return mil.clip(x=x, alpha=mil.like(low, x), beta=mil.like(high, x))
    if low != -np.inf:
        x = mil.maximum(x=x, y=mil.like(low, x))
    return mil.minimum(x=x, y=mil.like(high, x)) if high != np.inf else mil.identity(x=x)


@ops.op("LeakyRelu", needs=(FLOAT,))
def leaky_relu(mil, node, x):
    return mil.leaky_relu(x=x, alpha=mil.like(attr(node, "alpha", 0.01), x))


@ops.op("Elu", needs=(FLOAT,))
def elu(mil, node, x):
    return mil.elu(x=x, alpha=mil.like(attr(node, "alpha", 1.0), x))


@ops.op("HardSigmoid", needs=(FLOAT,))
def hard_sigmoid(mil, node, x):
    alpha, beta = attr(node, "alpha", 0.2), attr(node, "beta", 0.5)
    return mil.sigmoid_hard(x=x, alpha=mil.like(alpha, x), beta=mil.like(beta, x))


@ops.op("Swish", needs=(FLOAT, attribute("alpha", 1.0)))
def swish(mil, node, x):
    return mil.silu(x=x)


@ops.op("Gelu", needs=(FLOAT,))
def gelu(mil, node, x):
    tanh = attr(node, "approximate", "none") == "tanh"
    return mil.gelu(x=x, mode="TANH_APPROXIMATION" if tanh else "EXACT")


def per_channel(node: ir.Node) -> bool:
    """A constant slope for every channel of an image."""
    rank, slope = rank_of(node.inputs[0]), const(node.inputs[1])
    dims = node.inputs[0].shape
    if slope is None or rank not in (3, 4, 5) or not isinstance(dims[1], int):
        return False
    shape = (1,) * (rank - slope.ndim) + slope.shape
    return (
        len(shape) == rank and all(d == 1 for i, d in enumerate(shape) if i != 1) and shape[1] in (1, dims[1])
    )


@ops.op("PRelu", needs=(FLOAT, condition("a constant slope per channel", per_channel)))
def prelu(mil, node, x, slope):
    alpha = np.broadcast_to(const(slope).ravel(), (x.shape[1],)).astype(const(slope).dtype)
    return mil.prelu(x=x, alpha=np.ascontiguousarray(alpha))


@ops.op(
    "Softmax",
    needs=(FLOAT, condition("an input of rank 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0)),
)
def softmax(mil, node, x):
    return mil.softmax(x=x, axis=axis_of(node, -1))


def spread(node: ir.Node) -> bool:
    """Whether the shape of the result is that of one of the branches broadcast with the other."""
    shapes = [v.shape for v in (node.inputs[1], node.inputs[2])]
    out = node.outputs[0].shape
    return out is not None and all(s is not None for s in shapes)


@ops.op("Where", needs=(dtype("bool"), dtype(*ANY, index=1), IN_RANGE, condition("known ranks", spread)))
def where(mil, node, flag, x, y):
    """Core ML shapes the result by the branches alone."""
    kind = HELD[x.dtype]
    if kind == "bool":
        flag, x, y = mil.var(flag), mil.var(x), mil.var(y)
        return mil.logical_or(
            x=mil.logical_and(x=flag, y=x), y=mil.logical_and(x=mil.logical_not(x=flag), y=y)
        )
    wanted = shape_of(node.outputs[0])
    shapes = [shape_of(v) for v in (x, y)]
    if wanted is not None and None not in shapes and list(np.broadcast_shapes(*shapes)) == wanted:
        return mil.select(cond=flag, a=x, b=y)
    ones = mil.mul(x=mil.cast(x=flag, dtype="int32"), y=0)
    if kind == "int32":
        return mil.select(cond=flag, a=mil.add(x=x, y=ones), b=y)
    return mil.select(cond=flag, a=mil.add(x=x, y=mil.cast_to(ones, kind)), b=y)


WRAPPED = {T.INT8: (8, True), T.UINT8: (8, False), T.INT16: (16, True), T.UINT16: (16, False)}
CASTS = {T[name.upper()] for name in (*FLOATS, *INTS, *SMALL, "bool", "double", "uint32", "uint64")}


def castable(node: ir.Node) -> bool:
    source, target = node.inputs[0].dtype, T(attr(node, "to"))
    if target not in CASTS or source not in HELD:
        return False
    if target in (T.UINT32, T.UINT64):
        return source in (T.UINT8, T.UINT16, T.UINT32, T.UINT64, T.BOOL)
    if target in (T.INT32, *WRAPPED) and source in (T.UINT32, T.UINT64):
        return target not in WRAPPED
    return True


@ops.op("Cast", needs=(dtype(*ANY), condition("a dtype Core ML casts to", castable), IN_RANGE))
def cast(mil, node, x):
    """Integers of 8 and 16 bits are held in 32, and wrapped as they are cast."""
    source, target = x.dtype, T(attr(node, "to"))
    made = mil.cast_to(x, HELD[target])
    narrow = target in WRAPPED and source != T.BOOL and not _within(source, target)
    if narrow:
        bits, signed = WRAPPED[target]
        half = 1 << (bits - 1) if signed else 0
        shifted = mil.add(x=made, y=half) if half else made
        made = mil.mod(x=shifted, y=1 << bits)
        made = mil.sub(x=made, y=half) if half else made
    return made if made is not mil.var(x) else mil.identity(x=made)


def _within(source: ir.DataType, target: ir.DataType) -> bool:
    """Whether every value of one integer dtype is one of the other."""
    if source == target:
        return True
    if source not in WRAPPED:
        return False
    (bits, signed), (wide, also) = WRAPPED[source], WRAPPED[target]
    return (signed == also and bits <= wide) or (not signed and also and bits < wide)
