"""Element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, shape_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import (
    ANY,
    FLOAT,
    FLOAT8,
    FLOATS,
    HELD,
    IN_RANGE,
    INTS,
    NUMBER,
    NUMBERS,
    SMALL,
    UNSIGNED,
    T,
)

ops = OpTable()

WHOLE = (*INTS, *SMALL, *UNSIGNED)
COMPARABLE = dtype(*FLOATS, *WHOLE)
TWO = condition("two inputs", lambda n: len(n.inputs) == 2)

ops.same(
    needs=(FLOAT,),
    Acos="acos", Asin="asin", Atan="atan", Atanh="atanh", Ceil="ceil", Cos="cos", Cosh="cosh",
    Div="real_div", Erf="erf", Exp="exp", Floor="floor", Round="round", Sigmoid="sigmoid",
    Sin="sin", Sinh="sinh", Sqrt="sqrt", Tan="tan", Tanh="tanh",
)  # fmt: skip
ops.same(needs=(NUMBER,), Abs="abs", Sign="sign")
ops.same(needs=(dtype("bool"),), Not="logical_not")
ops.same(needs=(dtype(*NUMBERS, *UNSIGNED), IN_RANGE), Add="add", Sub="sub", Mul="mul")
ops.same(needs=(COMPARABLE, TWO, IN_RANGE), Max="maximum", Min="minimum")
ops.same(needs=(COMPARABLE, attribute("fmod", 0), IN_RANGE), Mod="mod")
ops.same(
    needs=(COMPARABLE, IN_RANGE),
    Greater="greater", GreaterOrEqual="greater_equal", Less="less", LessOrEqual="less_equal", Equal="equal",
)  # fmt: skip
ops.same(And="logical_and", Or="logical_or", Xor="logical_xor")


@ops.op("Neg", needs=(NUMBER,))
def negative(mil, node, x):
    return mil.mul(x=x, y=mil.like(-1, x))


@ops.op("Log", needs=(FLOAT,))
def log(mil, node, x):
    return mil.log(x=x, epsilon=mil.like(0, x))


@ops.op("Reciprocal", needs=(FLOAT,))
def reciprocal(mil, node, x):
    return mil.inverse(x=x, epsilon=mil.like(0, x))


@ops.op("Div", needs=(dtype(*WHOLE), IN_RANGE))
def divide_whole(mil, node, x, y):
    """floor_div, and one more where it rounded a negative quotient down."""
    quotient = mil.floor_div(x=x, y=y)
    rest = mil.sub(x=x, y=mil.mul(x=quotient, y=y))
    up = mil.logical_and(x=mil.less(x=quotient, y=0), y=mil.not_equal(x=rest, y=0))
    return mil.add(x=quotient, y=mil.cast(x=up, dtype="int32"))


@ops.op("Pow", needs=(FLOAT, dtype(*FLOATS, *INTS, *SMALL, index=1), IN_RANGE))
def power(mil, node, x, y):
    return mil.pow(x=x, y=mil.cast_to(y, mil.kind(x)))


@ops.op("Equal", needs=(dtype("bool"),))
def same_truth(mil, node, x, y):
    return mil.logical_not(x=mil.logical_xor(x=x, y=y))


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    limits = [-np.inf, np.inf]
    for i, value in enumerate(list(node.inputs)[1:3]):
        if value is not None:
            array = const(value)
            if array is None:
                return None
            limits[i] = array.item()
    return (limits[0], limits[1]) if limits[0] <= limits[1] else None


@ops.op(
    "Clip",
    needs=(
        FLOAT,
        condition("constant bounds, the lower not above the upper", lambda n: _bounds(n) is not None),
    ),
)
def clip(mil, node, x, *rest):
    low, high = _bounds(node)
    if np.isfinite(low) and np.isfinite(high) and low < high:
        return mil.clip(x=x, alpha=mil.like(low, x), beta=mil.like(high, x))
    if low != -np.inf:
        x = mil.maximum(x=x, y=mil.like(low, x))
    return mil.minimum(x=x, y=mil.like(high, x)) if high != np.inf else mil.identity(x=x)


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


WRAPPED = {
    T.INT8: (8, True),
    T.UINT8: (8, False),
    T.INT16: (16, True),
    T.UINT16: (16, False),
    T.INT4: (4, True),
    T.UINT4: (4, False),
    T.INT2: (2, True),
    T.UINT2: (2, False),
}
EXACT = {ir.DataType[name.upper()] for name in (*FLOATS, *INTS, *UNSIGNED, "bool", "double")}
FLOATS8 = {ir.DataType[name.upper()] for name in FLOAT8}


def castable(node: ir.Node) -> bool:
    """Floats of 8 bits are held in 32: they may be read, but nothing rounds to them."""
    source, target = node.inputs[0].dtype, T(attr(node, "to"))
    if source not in HELD or target not in HELD:
        return False
    if target == T.BFLOAT16:
        return source not in FLOATS8
    return target in EXACT or target in WRAPPED


@ops.op("Cast", needs=(dtype(*ANY), condition("a dtype Core ML casts to", castable), IN_RANGE))
def cast(mil, node, x):
    """Integers of 8 bits and the like are held in 32, and wrapped as they are cast; bfloat16 is rounded."""
    source, target = x.dtype, T(attr(node, "to"))
    made = mil.cast_to(x, HELD[target])
    if target in WRAPPED and source != T.BOOL and not _within(source, target):
        bits, signed = WRAPPED[target]
        half = 1 << (bits - 1) if signed else 0
        shifted = mil.add(x=made, y=half) if half else made
        made = mil.mod(x=shifted, y=1 << bits)
        made = mil.sub(x=made, y=half) if half else made
    if target == T.BFLOAT16 and source not in (T.BFLOAT16, T.BOOL) and node.outputs[0].uses():
        made = _rounded(mil, made)
    return made if made is not mil.var(x) else mil.identity(x=made)


def _rounded(mil: Any, x: Any) -> Any:
    """To the 8 bits of bfloat16: adding 2^16 times x leaves as many. Large ones are made smaller first."""
    size = mil.abs(x=x)
    scale = mil.select(
        cond=mil.greater(x=size, y=np.float32(2.0**64)), a=np.float32(2.0**-64), b=np.float32(1)
    )
    small = mil.mul(x=x, y=scale)
    far = mil.mul(x=small, y=np.float32(65536))
    near = mil.real_div(x=mil.sub(x=mil.add(x=small, y=far), y=far), y=scale)
    return mil.select(cond=mil.less(x=size, y=np.float32(np.inf)), a=near, b=x)


def _within(source: ir.DataType, target: ir.DataType) -> bool:
    """Whether every value of one integer dtype is one of the other."""
    if source == target:
        return True
    if source not in WRAPPED:
        return False
    (bits, signed), (wide, also) = WRAPPED[source], WRAPPED[target]
    return (signed == also and bits <= wide) or (not signed and also and bits < wide)


@ops.op("BitwiseNot", needs=(dtype("int8", "int16", *INTS),))
def complement(mil, node, x):
    return mil.sub(x=np.int32(-1), y=x)


@ops.op("BitwiseNot", needs=(dtype("uint8", "uint16"),))
def complement_unsigned(mil, node, x):
    return mil.sub(x=np.int32((1 << x.dtype.bitwidth) - 1), y=x)


NIBBLES = np.arange(16, dtype=np.int32)
TABLES = {
    "BitwiseAnd": NIBBLES[:, None] & NIBBLES,
    "BitwiseOr": NIBBLES[:, None] | NIBBLES,
    "BitwiseXor": NIBBLES[:, None] ^ NIBBLES,
}


@ops.op(*TABLES, needs=(dtype(*SMALL, "int32"), IN_RANGE))
def bitwise(mil, node, x, y):
    """Four bits at a time, looked up in a table."""
    table, bits = TABLES[node.op_type].ravel().astype(np.int32), x.dtype.bitwidth
    total = None
    for shift in range(0, bits, 4):
        parts = [mil.mod(x=mil.floor_div(x=v, y=np.int32(1 << shift)), y=np.int32(16)) for v in (x, y)]
        place = mil.add(x=mil.mul(x=parts[0], y=np.int32(16)), y=parts[1])
        found = mil.gather(x=table, indices=place, axis=0)
        if shift == bits - 4 and x.dtype.is_signed():
            above = mil.cast(x=mil.greater(x=found, y=np.int32(7)), dtype="int32")
            found = mil.sub(x=found, y=mil.mul(x=above, y=np.int32(16)))
        part = mil.mul(x=found, y=np.int32(1 << shift)) if shift else found
        total = part if total is None else mil.add(x=total, y=part)
    return total
