"""Element by element."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition, dtype, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FEW_BITS, FLOAT, INDEX, NUMBERS, TFLITE

ops = OpTable()

BROADCAST = condition(
    "inputs of rank 8 at most",
    lambda n: all((rank := rank_of(v)) is not None and rank <= 8 for v in n.inputs),
)
SAME_SHAPE = condition("inputs of one shape", lambda n: n.inputs[0].shape == n.inputs[1].shape)
SHORT = ("int8", "int16", "int32")
BITS = (*SHORT, "uint8", "uint16", "uint32")

ops.same(
    needs=(FLOAT,),
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
ops.same(needs=(dtype("float", *SHORT, "int64"),), Neg="NEG")
ops.same(Not="LOGICAL_NOT")
ops.same(needs=(BROADCAST,), And="LOGICAL_AND", Or="LOGICAL_OR", Xor="NOT_EQUAL")
ops.same(
    needs=(dtype("float", "int16", *INDEX), BROADCAST),
    Greater="GREATER",
    GreaterOrEqual="GREATER_EQUAL",
    Less="LESS",
    LessOrEqual="LESS_EQUAL",
)
ops.same(needs=(dtype("float", "bool", "int16", "string", *INDEX), BROADCAST), Equal="EQUAL")
ops.same(needs=(dtype(*BITS), BROADCAST), BitwiseXor="BITWISE_XOR")

ops.same(domain=TFLITE, needs=(FLOAT,), Relu6="RELU6", Rsqrt="RSQRT")
ops.same(domain=TFLITE, needs=(FLOAT, BROADCAST), SquaredDifference="SQUARED_DIFFERENCE")
ops.same(domain=TFLITE, needs=(dtype(*BITS), BROADCAST), RightShift="RIGHT_SHIFT")
ops.same(domain=TFLITE, needs=(dtype("float", *SHORT, "int64"), BROADCAST), FloorMod="FLOOR_MOD")
ops.same(domain=TFLITE, needs=(dtype("float", "double"), SAME_SHAPE), Atan2="ATAN2")
for domain in ("", TFLITE):
    fused = {"activation": "fused_activation_function"}
    ops.same(domain, fused, needs=(dtype(*NUMBERS), BROADCAST), Add="ADD", Sub="SUB", Mul="MUL")
    ops.same(domain, fused, needs=(dtype("float", "int32"), BROADCAST), Div="DIV")
ops.same(needs=(FLOAT, dtype("float", index=1), BROADCAST), Pow="POW")
ops.same(needs=(dtype("int32"), dtype("int32", index=1), BROADCAST), Pow="POW")
ops.lacks("its bins are counted in float64, in which LiteRT does not compute", "MelWeightMatrix")


def two_inputs(node: ir.Node) -> bool:
    return len(node.inputs) == 2


ops.same(
    needs=(dtype("float", "uint8", *SHORT, "int64"), BROADCAST, condition("two inputs", two_inputs)),
    Max="MAXIMUM",
    Min="MINIMUM",
)
ops.same(attributes={"alpha": "alpha"}, needs=(FLOAT,), LeakyRelu="LEAKY_RELU")
ops.same(needs=(FLOAT, attribute("alpha", 1.0)), Elu="ELU")


@ops.op("Gelu", needs=(FLOAT,))
def gelu(tfl, node, x):
    tfl.GELU(x, approximate=attr(node, "approximate") == "tanh")


def last_axis(node: ir.Node) -> bool:
    rank = rank_of(node.inputs[0])
    return rank is not None and rank > 0 and attr(node, "axis") % rank == rank - 1


ALONG_ROWS = (FLOAT, max_rank(4), condition("the last axis", last_axis))
ops.same(needs=ALONG_ROWS, LogSoftmax="LOG_SOFTMAX")


@ops.op("Softmax", needs=ALONG_ROWS)
def softmax(tfl, node, x):
    tfl.SOFTMAX(x, beta=1.0)


CAST = (
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
CAST_TARGETS = {ir.DataType[name.upper()] for name in CAST}
CASTABLE = condition("a target dtype LiteRT casts to", lambda n: ir.DataType(attr(n, "to")) in CAST_TARGETS)


def of_few_bits(node: ir.Node) -> bool:
    """Whether a Cast is from a dtype of less than a byte to float32, or back."""
    value = node.inputs[0]
    kinds = {value.dtype, ir.DataType(attr(node, "to"))} if value is not None else set()
    few = {ir.DataType[name.upper()] for name in FEW_BITS}
    return ir.DataType.FLOAT in kinds and len(kinds & few) == 1


WIDTH = condition(
    "dtypes of one width",
    lambda n: (
        n.inputs[0].dtype is not None and n.inputs[0].dtype.bitwidth == ir.DataType(attr(n, "to")).bitwidth
    ),
)
ops.same(needs=(dtype(*CAST), CASTABLE), Cast="CAST")
ops.same(needs=(condition("float32 and one of " + ", ".join(FEW_BITS), of_few_bits),), Cast="CAST")
ops.same(needs=(dtype(*CAST, "uint64"), WIDTH), BitCast="BITCAST")
