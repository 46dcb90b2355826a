"""Operators that compute element by element."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import attribute, condition, dtype
from bridge.ops import OpTable
from bridge_savedmodel.export_ops.common import INTEGERS, REAL, T, axis_of, on_last_axis
from bridge_savedmodel.tensorflow import FEW_GROUPS, cpu_kernel

ops = OpTable()

for name in [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "Ceil",
    "Cos",
    "Cosh",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Greater",
    "Identity",
    "Less",
    "Log",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Sub",
    "Tan",
    "Tanh",
]:
    ops.same(needs=(cpu_kernel(name), FEW_GROUPS), **{name: name})
ops.same(needs=(cpu_kernel("LogicalAnd"), FEW_GROUPS), And="LogicalAnd")
ops.same(needs=(cpu_kernel("LogicalOr"), FEW_GROUPS), Or="LogicalOr")
ops.same(needs=(cpu_kernel("LogicalNot"),), Not="LogicalNot")
ops.same(needs=(cpu_kernel("NotEqual"), FEW_GROUPS), Xor="NotEqual")
ops.same(needs=(cpu_kernel("LessEqual"), FEW_GROUPS), LessOrEqual="LessEqual")
ops.same(needs=(cpu_kernel("GreaterEqual"), FEW_GROUPS), GreaterOrEqual="GreaterEqual")
ops.same(needs=(cpu_kernel("Invert"),), BitwiseNot="Invert")
ops.same(needs=(cpu_kernel("IsNan"),), IsNaN="IsNan")
ops.same(needs=(dtype(*REAL), cpu_kernel("RealDiv"), FEW_GROUPS), Div="RealDiv")
ops.same(needs=(dtype(*INTEGERS), cpu_kernel("TruncateDiv"), FEW_GROUPS), Div="TruncateDiv")
ops.same(needs=(attribute("fmod", 0), cpu_kernel("FloorMod"), FEW_GROUPS), Mod="FloorMod")
ops.same(needs=(attribute("fmod", 1), cpu_kernel("TruncateMod"), FEW_GROUPS), Mod="TruncateMod")
ops.same(attributes={"alpha": "alpha"}, needs=(cpu_kernel("LeakyRelu"), dtype(*REAL)), LeakyRelu="LeakyRelu")
ops.same(needs=(cpu_kernel("Elu"), attribute("alpha", 1.0)), Elu="Elu")


@ops.op("Add", needs=(cpu_kernel("AddV2"), FEW_GROUPS))
def add(tf, node, x, y):
    """Add; leading dimensions of length 1 that broadcasting restores are dropped first. The kernel that fuses
    a product and a sum takes a bias vector only."""
    left = _as_vector(tf, x, y)
    return tf.AddV2(left, _as_vector(tf, y, x) if left is x else y)


def _as_vector(tf: Any, x: ir.Value, other: ir.Value) -> Any:
    """`x` without leading dimensions of length 1, if `other` has at least its rank."""
    sizes, rank = shape_of(x), rank_of(other)
    if (
        sizes is None
        or rank is None
        or not 1 < len(sizes) <= rank
        or set(sizes[:-1]) != {1}
        or sizes[-1] == 1
    ):
        return x
    return tf.Reshape(x, np.array(sizes[-1:], np.int32))


def _variadic(hub_name: str, native: str) -> None:
    @ops.op(hub_name, needs=(cpu_kernel(native, T=0), FEW_GROUPS))
    def each(tf, node, first, *rest):
        result = tf.Identity(first)
        for value in rest:
            result = tf.call(native, result, value)
        return result


_variadic("Max", "Maximum")
_variadic("Min", "Minimum")
_variadic("Sum", "AddV2")


@ops.op("Clip", needs=(cpu_kernel("Maximum", T=0),))
def clip(tf, node, x, low=None, high=None):
    x = tf.Identity(x) if low is None else tf.Maximum(x, low)
    return x if high is None else tf.Minimum(x, high)


def _softmax_rank(node: ir.Node) -> bool:
    """True for a rank of 1 to 5: oneDNN's kernel takes five axes at most."""
    rank = rank_of(node.inputs[0]) or 0
    return 0 < rank <= (5 if node.op_type == "Softmax" else rank)


@ops.op("Softmax", "LogSoftmax", needs=(cpu_kernel("Softmax"), condition("a rank of 1 to 5", _softmax_rank)))
def softmax(tf, node, x):
    return on_last_axis(tf, x, axis_of(node), lambda v: tf.call(node.op_type, v))


BOTH = condition("both signs", lambda n: attr(n, "detect_positive") == attr(n, "detect_negative") == 1)


ops.same(needs=(cpu_kernel("IsInf"), BOTH), IsInf="IsInf")


@ops.op("BitShift", needs=(cpu_kernel("LeftShift"),))
def bit_shift(tf, node, x, y):
    """Kernels shift by less than the width; a larger shift leaves zero, or the sign."""
    dtype, width = x.dtype.numpy(), x.dtype.bitwidth
    zero, max_shift = dtype.type(0), dtype.type(width - 1)
    is_out_of_range = tf.LogicalOr(tf.Less(y, zero), tf.Greater(y, max_shift))
    amount = tf.SelectV2(is_out_of_range, max_shift, y)
    if attr(node, "direction") == "LEFT":
        return tf.SelectV2(is_out_of_range, zero, tf.LeftShift(x, amount))
    shifted = tf.RightShift(x, amount)
    return tf.SelectV2(is_out_of_range, zero, shifted) if x.dtype.name.startswith("U") else shifted


FLOAT8 = (T.FLOAT8E4M3FN, T.FLOAT8E5M2)
INT4 = (T.INT4, T.UINT4)
FLOATS = (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16)
INTEGER_DTYPES = tuple(ir.DataType[name.upper()] for name in INTEGERS)


def _is_supported_cast(node: ir.Node) -> bool:
    source, target = node.inputs[0].dtype, T(attr(node, "to"))
    common = (*FLOATS, *INTEGER_DTYPES, T.BOOL)
    if source in common and target in common:
        return True
    return (source in FLOAT8 and target in FLOATS) or (target in FLOAT8 and source in FLOATS)


@ops.op("Cast", needs=(condition("dtypes TensorFlow casts between", _is_supported_cast),))
def cast(tf, node, x):
    source, target = x.dtype, T(attr(node, "to"))
    if target in FLOAT8:
        return _to_float8(tf, node, x, target)
    if source in FLOATS and target in (*INTEGER_DTYPES,) and target.bitwidth < 32:
        return tf.Cast(tf.Cast(x, DstT=tf.api.int32), DstT=tf.dtype(target))
    return tf.Cast(x, DstT=tf.dtype(target))


def _to_float8(tf: Any, node: ir.Node, x: ir.Value, target: ir.DataType) -> Any:
    """A cast to float8. Values beyond the largest number become that number if saturating, else NaN or
    infinity."""
    if attr(node, "saturate"):
        largest = x.dtype.numpy().type(ml_dtypes.finfo(target.numpy()).max)
        x = tf.SelectV2(tf.Greater(x, largest), largest, tf.SelectV2(tf.Less(x, -largest), -largest, x))
    return tf.Cast(x, DstT=tf.dtype(target))


def _is_int4_cast(node: ir.Node) -> bool:
    source, target = node.inputs[0].dtype, T(attr(node, "to"))
    return (source in INT4 and target in (*INTEGER_DTYPES, *FLOATS, *INT4)) or (
        target in INT4 and source in (*INTEGER_DTYPES, *FLOATS)
    )


@ops.op("Cast", needs=(condition("dtypes TensorFlow casts between", _is_int4_cast),))
def cast_int4(tf, node, x):
    """Cast 4-bit integers through int32."""
    target = T(attr(node, "to"))
    as_int32 = tf.Cast(x, DstT=tf.api.int32)
    return tf.Cast(as_int32, DstT=tf.dtype(target)) if target != T.INT32 else as_int32


NUMBER = {T.FLOAT: np.float32, T.DOUBLE: np.float64, T.INT32: np.int32, T.INT64: np.int64}


@ops.op(
    "Cast",
    needs=(dtype("string"), condition("a number of 32 or 64 bits", lambda n: T(attr(n, "to")) in NUMBER)),
)
def parse(tf, node, x):
    return tf.StringToNumber(x, out_type=tf.dtype(attr(node, "to")))


ops.same(
    needs=(dtype(*INTEGERS), condition("a string", lambda n: T(attr(n, "to")) == T.STRING)), Cast="AsString"
)


SAME_WIDTH = condition(
    "dtypes of one width of 8 bits or more",
    lambda n: n.inputs[0].dtype is not None and 8 <= n.inputs[0].dtype.bitwidth == T(attr(n, "to")).bitwidth,
)


@ops.op(
    "BitCast",
    needs=(
        SAME_WIDTH,
        dtype(*REAL, *INTEGERS),
        condition("a number", lambda n: T(attr(n, "to")) in (*FLOATS, *INTEGER_DTYPES)),
    ),
)
def bit_cast(tf, node, x):
    return tf.Bitcast(x, type=tf.dtype(attr(node, "to")))
