"""Element by element."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition, dtype, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FEW_BITS, FLOAT, INDEX, NUMBERS, TFLITE, fused

ops = OpTable()

BROADCAST = condition(
    "inputs of rank 8 at most",
    lambda n: all((rank_of(v) if rank_of(v) is not None else 9) <= 8 for v in n.inputs),
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


@ops.op(f"{TFLITE}::Relu6", needs=(FLOAT,))
def relu6(tfl, node, x):
    tfl.RELU6(x)


@ops.op(f"{TFLITE}::Rsqrt", needs=(FLOAT,))
def rsqrt(tfl, node, x):
    tfl.RSQRT(x)


@ops.op(f"{TFLITE}::SquaredDifference", needs=(FLOAT, BROADCAST))
def squared_difference(tfl, node, x, y):
    tfl.SQUARED_DIFFERENCE(x, y)


@ops.op(f"{TFLITE}::RightShift", needs=(dtype(*BITS), BROADCAST))
def right_shift(tfl, node, x, y):
    tfl.RIGHT_SHIFT(x, y)


@ops.op(f"{TFLITE}::FloorMod", needs=(dtype("float", *SHORT, "int64"), BROADCAST))
def floor_mod(tfl, node, x, y):
    tfl.FLOOR_MOD(x, y)


@ops.op(f"{TFLITE}::Atan2", needs=(dtype("float", "double"), SAME_SHAPE))
def atan2(tfl, node, y, x):
    tfl.ATAN2(y, x)


def arithmetic(hub_name: str, native: str, *kinds: str) -> None:
    """Register an operator of two inputs that a fused activation may follow."""

    @ops.op(hub_name, needs=(dtype(*kinds), BROADCAST))
    def binary(tfl, node, x, y):
        tfl.add(native, x, y, fused_activation_function=fused(node))


arithmetic("Add", "ADD", *NUMBERS)
arithmetic("Sub", "SUB", *NUMBERS)
arithmetic("Mul", "MUL", *NUMBERS)
arithmetic("Div", "DIV", "float", "int32")


@ops.op("Pow", needs=(FLOAT, dtype("float", index=1), BROADCAST))
@ops.op("Pow", needs=(dtype("int32"), dtype("int32", index=1), BROADCAST))
def power(tfl, node, x, y):
    tfl.POW(x, y)


def two_inputs(node: ir.Node) -> bool:
    return len(node.inputs) == 2


EXTREMES = (
    dtype("float", "uint8", *SHORT, "int64"),
    BROADCAST,
    condition("two inputs", two_inputs),
)


@ops.op("Max", needs=EXTREMES)
def maximum(tfl, node, x, y):
    tfl.MAXIMUM(x, y)


@ops.op("Min", needs=EXTREMES)
def minimum(tfl, node, x, y):
    tfl.MINIMUM(x, y)


@ops.op("LeakyRelu", needs=(FLOAT,))
def leaky_relu(tfl, node, x):
    tfl.LEAKY_RELU(x, alpha=attr(node, "alpha"))


@ops.op("Elu", needs=(FLOAT, attribute("alpha", 1.0)))
def elu(tfl, node, x):
    tfl.ELU(x)


@ops.op("Gelu", needs=(FLOAT,))
def gelu(tfl, node, x):
    tfl.GELU(x, approximate=attr(node, "approximate") == "tanh")


def last_axis(node: ir.Node) -> bool:
    rank = rank_of(node.inputs[0])
    return rank is not None and rank > 0 and attr(node, "axis", -1) % rank == rank - 1


@ops.op("Softmax", needs=(FLOAT, max_rank(4), condition("the last axis", last_axis)))
def softmax(tfl, node, x):
    tfl.SOFTMAX(x, beta=1.0)


@ops.op("LogSoftmax", needs=(FLOAT, max_rank(4), condition("the last axis", last_axis)))
def log_softmax(tfl, node, x):
    tfl.LOG_SOFTMAX(x)


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
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)


@ops.op(
    "Cast",
    needs=(
        dtype(*CAST),
        condition("a target dtype LiteRT casts to", lambda n: ir.DataType(attr(n, "to")) in CAST_TARGETS),
    ),
)
def cast(tfl, node, x):
    tfl.CAST(x)


def of_few_bits(node: ir.Node) -> bool:
    """Whether a Cast is from a dtype of less than a byte to float32, or back."""
    value = node.inputs[0]
    kinds = {value.dtype, ir.DataType(attr(node, "to"))} if value is not None else set()
    few = {ir.DataType[name.upper()] for name in FEW_BITS}
    return ir.DataType.FLOAT in kinds and len(kinds & few) == 1


@ops.op("Cast", needs=(condition("float32 and one of " + ", ".join(FEW_BITS), of_few_bits),))
def cast_of_few_bits(tfl, node, x):
    tfl.CAST(x)


WIDTH = condition(
    "dtypes of one width",
    lambda n: (
        n.inputs[0].dtype is not None and n.inputs[0].dtype.bitwidth == ir.DataType(attr(n, "to")).bitwidth
    ),
)


@ops.op("BitCast", needs=(dtype(*CAST, "uint64"), WIDTH))
def bitcast(tfl, node, x):
    tfl.BITCAST(x)
