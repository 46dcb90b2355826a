"""Elementwise arithmetic, comparison and logic; casts."""

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

INTEGERS = (*INTS, *SMALL, *UNSIGNED)
COMPARABLE = dtype(*FLOATS, *INTEGERS)
TWO_INPUTS = condition("two inputs", lambda n: len(n.inputs) == 2)

ops.same(
    needs=(FLOAT,),
    Acos="acos", Asin="asin", Atan="atan", Atanh="atanh", Ceil="ceil", Cos="cos", Cosh="cosh",
    Div="real_div", Erf="erf", Exp="exp", Floor="floor", Round="round", Sigmoid="sigmoid",
    Sin="sin", Sinh="sinh", Sqrt="sqrt", Tan="tan", Tanh="tanh",
)  # fmt: skip
ops.same(needs=(NUMBER,), Abs="abs", Sign="sign")
ops.same(needs=(dtype("bool"),), Not="logical_not")
ops.same(needs=(dtype(*NUMBERS, *UNSIGNED), IN_RANGE), Add="add", Sub="sub", Mul="mul")
ops.same(needs=(COMPARABLE, TWO_INPUTS, IN_RANGE), Max="maximum", Min="minimum")
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


@ops.op("Div", needs=(dtype(*INTEGERS), IN_RANGE))
def divide_integers(mil, node, x, y):
    """Truncating division: floor_div, plus 1 where it rounded a negative quotient down."""
    quotient = mil.floor_div(x=x, y=y)
    remainder = mil.sub(x=x, y=mil.mul(x=quotient, y=y))
    rounded_down = mil.logical_and(x=mil.less(x=quotient, y=0), y=mil.not_equal(x=remainder, y=0))
    return mil.add(x=quotient, y=mil.cast(x=rounded_down, dtype="int32"))


@ops.op("Pow", needs=(FLOAT, dtype(*FLOATS, *INTS, *SMALL, index=1), IN_RANGE))
def power(mil, node, x, y):
    return mil.pow(x=x, y=mil.cast_to(y, mil.dtype_of(x)))


@ops.op("Equal", needs=(dtype("bool"),))
def equal_booleans(mil, node, x, y):
    return mil.logical_not(x=mil.logical_xor(x=x, y=y))


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
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
        condition("constant bounds, the lower not above the upper", lambda n: clip_bounds(n) is not None),
    ),
)
def clip(mil, node, x, *bounds):
    low, high = clip_bounds(node)
    if np.isfinite(low) and np.isfinite(high) and low < high:
        return mil.clip(x=x, alpha=mil.like(low, x), beta=mil.like(high, x))
    if low != -np.inf:
        x = mil.maximum(x=x, y=mil.like(low, x))
    return mil.minimum(x=x, y=mil.like(high, x)) if high != np.inf else mil.identity(x=x)


def has_known_shapes(node: ir.Node) -> bool:
    """True if the shapes of both branches and of the result are known."""
    shapes = [v.shape for v in (node.inputs[1], node.inputs[2])]
    out = node.outputs[0].shape
    return out is not None and all(s is not None for s in shapes)


@ops.op(
    "Where", needs=(dtype("bool"), dtype(*ANY, index=1), IN_RANGE, condition("known ranks", has_known_shapes))
)
def where(mil, node, cond, x, y):
    """Select. Core ML infers the result shape from the branches only, so a condition that broadcasts them is
    added as zeros."""
    mil_dtype = HELD[x.dtype]
    if mil_dtype == "bool":
        cond, x, y = mil.var(cond), mil.var(x), mil.var(y)
        return mil.logical_or(
            x=mil.logical_and(x=cond, y=x), y=mil.logical_and(x=mil.logical_not(x=cond), y=y)
        )
    out_shape = shape_of(node.outputs[0])
    shapes = [shape_of(v) for v in (x, y)]
    if out_shape is not None and None not in shapes and list(np.broadcast_shapes(*shapes)) == out_shape:
        return mil.select(cond=cond, a=x, b=y)
    zeros = mil.mul(x=mil.cast(x=cond, dtype="int32"), y=0)
    if mil_dtype == "int32":
        return mil.select(cond=cond, a=mil.add(x=x, y=zeros), b=y)
    return mil.select(cond=cond, a=mil.add(x=x, y=mil.cast_to(zeros, mil_dtype)), b=y)


WRAPPING = {
    T.INT8: (8, True),
    T.UINT8: (8, False),
    T.INT16: (16, True),
    T.UINT16: (16, False),
    T.INT4: (4, True),
    T.UINT4: (4, False),
    T.INT2: (2, True),
    T.UINT2: (2, False),
}
EXACT_TARGETS = {ir.DataType[name.upper()] for name in (*FLOATS, *INTS, *UNSIGNED, "bool", "double")}
FLOATS8 = {ir.DataType[name.upper()] for name in FLOAT8}


def castable(node: ir.Node) -> bool:
    """True if Core ML casts to the dtype exactly. 8-bit floats are stored as float32: casts from them
    only."""
    source, target = node.inputs[0].dtype, T(attr(node, "to"))
    if source not in HELD or target not in HELD:
        return False
    if target == T.BFLOAT16:
        return source not in FLOATS8
    return target in EXACT_TARGETS or target in WRAPPING


@ops.op("Cast", needs=(dtype(*ANY), condition("a dtype Core ML casts to", castable), IN_RANGE))
def cast(mil, node, x):
    """Cast. Integers narrower than 32 bits are stored as int32 and wrapped here; bfloat16 is rounded."""
    source, target = x.dtype, T(attr(node, "to"))
    result = mil.cast_to(x, HELD[target])
    if target in WRAPPING and source != T.BOOL and not is_subrange(source, target):
        bits, signed = WRAPPING[target]
        half = 1 << (bits - 1) if signed else 0
        shifted = mil.add(x=result, y=half) if half else result
        result = mil.mod(x=shifted, y=1 << bits)
        result = mil.sub(x=result, y=half) if half else result
    if target == T.BFLOAT16 and source not in (T.BFLOAT16, T.BOOL) and node.outputs[0].uses():
        result = round_to_bfloat16(mil, result)
    return result if result is not mil.var(x) else mil.identity(x=result)


def round_to_bfloat16(mil: Any, x: Any) -> Any:
    """Round to the 8 significant bits of bfloat16: adding and subtracting 2^16 * x drops the others. Large
    values are scaled down first."""
    magnitude = mil.abs(x=x)
    scale = mil.select(
        cond=mil.greater(x=magnitude, y=np.float32(2.0**64)), a=np.float32(2.0**-64), b=np.float32(1)
    )
    scaled = mil.mul(x=x, y=scale)
    offset = mil.mul(x=scaled, y=np.float32(65536))
    rounded = mil.real_div(x=mil.sub(x=mil.add(x=scaled, y=offset), y=offset), y=scale)
    return mil.select(cond=mil.less(x=magnitude, y=np.float32(np.inf)), a=rounded, b=x)


def is_subrange(source: ir.DataType, target: ir.DataType) -> bool:
    """True if `target` holds every value of the integer dtype `source`."""
    if source == target:
        return True
    if source not in WRAPPING:
        return False
    (source_bits, source_signed), (target_bits, target_signed) = WRAPPING[source], WRAPPING[target]
    return (source_signed == target_signed and source_bits <= target_bits) or (
        not source_signed and target_signed and source_bits < target_bits
    )


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
    """Bitwise operators, four bits at a time, by a lookup table of 256 entries."""
    table, bits = TABLES[node.op_type].ravel().astype(np.int32), x.dtype.bitwidth
    total = None
    for shift in range(0, bits, 4):
        nibbles = [mil.mod(x=mil.floor_div(x=v, y=np.int32(1 << shift)), y=np.int32(16)) for v in (x, y)]
        table_index = mil.add(x=mil.mul(x=nibbles[0], y=np.int32(16)), y=nibbles[1])
        nibble = mil.gather(x=table, indices=table_index, axis=0)
        if shift == bits - 4 and x.dtype.is_signed():
            is_negative = mil.cast(x=mil.greater(x=nibble, y=np.int32(7)), dtype="int32")
            nibble = mil.sub(x=nibble, y=mil.mul(x=is_negative, y=np.int32(16)))
        shifted = mil.mul(x=nibble, y=np.int32(1 << shift)) if shift else nibble
        total = shifted if total is None else mil.add(x=total, y=shifted)
    return total
