"""Elementwise operators."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, rank_of
from bridge.needs import attribute, condition, dtype, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import (
    ARITHMETIC_DTYPES,
    FLOAT_KERNEL,
    INDEX_DTYPES,
    SUB_BYTE_DTYPES,
    TFLITE,
)

ops = OpTable()

BROADCAST = condition(
    "inputs of rank 8 at most",
    lambda n: all((rank := rank_of(v)) is not None and rank <= 8 for v in n.inputs),
)
SAME_SHAPE = condition("inputs of one shape", lambda n: n.inputs[0].shape == n.inputs[1].shape)
SMALL_INTEGERS = ("int8", "int16", "int32")
BIT_DTYPES = (*SMALL_INTEGERS, "uint8", "uint16", "uint32")

ops.same(
    needs=(FLOAT_KERNEL,),
    Exp="EXP",
    Log="LOG",
    Sqrt="SQRT",
    Sin="SIN",
    Cos="COS",
    Floor="FLOOR",
    Ceil="CEIL",
    Round="ROUND",
    Tanh="TANH",
    Sigmoid="LOGISTIC",
    HardSwish="HARD_SWISH",
    Relu="RELU",
)
ops.same(needs=(dtype("float", "int16", "int32"),), Abs="ABS")
ops.same(needs=(dtype("float", "double", "int32"),), Sign="SIGN")
ops.same(needs=(dtype("float", *SMALL_INTEGERS, "int64"),), Neg="NEG")
ops.same(Not="LOGICAL_NOT")
ops.same(needs=(BROADCAST,), And="LOGICAL_AND", Or="LOGICAL_OR", Xor="NOT_EQUAL")
ops.same(
    needs=(dtype("float", "int16", *INDEX_DTYPES), BROADCAST),
    Greater="GREATER",
    GreaterOrEqual="GREATER_EQUAL",
    Less="LESS",
    LessOrEqual="LESS_EQUAL",
)
ops.same(needs=(dtype("float", "bool", "int16", "string", *INDEX_DTYPES), BROADCAST), Equal="EQUAL")
ops.same(needs=(dtype(*BIT_DTYPES), BROADCAST), BitwiseXor="BITWISE_XOR")

ops.same(domain=TFLITE, needs=(FLOAT_KERNEL,), Exp="EXP", Relu6="RELU6", Rsqrt="RSQRT")
ops.same(domain=TFLITE, needs=(FLOAT_KERNEL, BROADCAST), SquaredDifference="SQUARED_DIFFERENCE")
ops.same(domain=TFLITE, needs=(dtype(*BIT_DTYPES), BROADCAST), RightShift="RIGHT_SHIFT")
ops.same(domain=TFLITE, needs=(dtype("float", *SMALL_INTEGERS, "int64"), BROADCAST), FloorMod="FLOOR_MOD")
ops.same(domain=TFLITE, needs=(dtype("float", "double"), SAME_SHAPE), Atan2="ATAN2")
for domain in ("", TFLITE):
    fused = {"activation": "fused_activation_function"}
    ops.same(domain, fused, needs=(dtype(*ARITHMETIC_DTYPES), BROADCAST), Add="ADD", Sub="SUB", Mul="MUL")
    ops.same(domain, fused, needs=(dtype("float", "int32"), BROADCAST), Div="DIV")
ops.same(needs=(FLOAT_KERNEL, dtype("float", index=1), BROADCAST), Pow="POW")
ops.same(needs=(dtype("int32"), dtype("int32", index=1), BROADCAST), Pow="POW")
ops.unsupported("its bins are counted in float64, in which LiteRT does not compute", "MelWeightMatrix")


def has_two_inputs(node: ir.Node) -> bool:
    return len(node.inputs) == 2


ops.same(
    needs=(
        dtype("float", "uint8", *SMALL_INTEGERS, "int64"),
        BROADCAST,
        condition("two inputs", has_two_inputs),
    ),
    Max="MAXIMUM",
    Min="MINIMUM",
)
ops.same(attributes={"alpha": "alpha"}, needs=(FLOAT_KERNEL,), LeakyRelu="LEAKY_RELU")
ops.same(needs=(FLOAT_KERNEL, attribute("alpha", 1.0)), Elu="ELU")


@ops.op("Gelu", needs=(FLOAT_KERNEL,))
def gelu(tfl, node, x):
    tfl.GELU(x, approximate=attr(node, "approximate") == "tanh")


CAST_DTYPES = (
    "float",
    "float16",
    "bfloat16",
    "double",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
)
CAST_TARGETS = {ir.DataType[name.upper()] for name in CAST_DTYPES}
CASTABLE = condition("a target dtype LiteRT casts to", lambda n: ir.DataType(attr(n, "to")) in CAST_TARGETS)


def is_sub_byte_cast(node: ir.Node) -> bool:
    """True for a Cast between float32 and a dtype of less than 8 bits."""
    value = node.inputs[0]
    dtypes = {value.dtype, ir.DataType(attr(node, "to"))} if value is not None else set()
    sub_byte = {ir.DataType[name.upper()] for name in SUB_BYTE_DTYPES}
    return ir.DataType.FLOAT in dtypes and len(dtypes & sub_byte) == 1


WIDTH = condition(
    "dtypes of one width",
    lambda n: (
        n.inputs[0].dtype is not None and n.inputs[0].dtype.bitwidth == ir.DataType(attr(n, "to")).bitwidth
    ),
)
ops.same(needs=(dtype(*CAST_DTYPES), CASTABLE), Cast="CAST")
ops.same(
    needs=(condition("float32 and one of " + ", ".join(SUB_BYTE_DTYPES), is_sub_byte_cast),), Cast="CAST"
)
ops.same(needs=(dtype(*CAST_DTYPES, "uint64"), WIDTH), BitCast="BITCAST")


@ops.op(
    "PRelu",
    needs=(
        FLOAT_KERNEL,
        max_rank(4),
        condition(
            "a slope of no more dimensions",
            lambda n: (rank_of(n.inputs[1]) or 0) <= (rank_of(n.inputs[0]) or 0),
        ),
    ),
)
def prelu(tfl, node, x, slope):
    tfl.PRELU(x, strip_leading_ones(const(slope)) if held(slope) is not None else slope)


def strip_leading_ones(array: np.ndarray) -> np.ndarray:
    """Constant slopes without leading dimensions of 1."""
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return np.ascontiguousarray(array)
