"""Elementwise operators, Cast and Einsum."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, rank_of
from bridge.needs import condition, dtype
from bridge.ops import Need, OpTable
from bridge_torchscript.dtypes import STAND_IN
from bridge_torchscript.export_ops.common import (
    COMPUTED,
    FLOATS,
    INTS,
    NUMBERS,
    flag,
    register_functions,
    same_dtype,
)
from bridge_torchscript.source import Source, number_literal

ops = OpTable()

T = ir.DataType
SAME = condition("inputs of one dtype", same_dtype)
BITS = dtype("int8", "int16", "int32", "int64", "uint8", "bool")


register_functions(
    ops,
    FLOATS,
    Acos="acos",
    Acosh="acosh",
    Asin="asin",
    Asinh="asinh",
    Atan="atan",
    Atanh="atanh",
    Ceil="ceil",
    Cos="cos",
    Cosh="cosh",
    Erf="erf",
    Exp="exp",
    Floor="floor",
    HardSwish="hardswish",
    IsNaN="isnan",
    Log="log",
    Reciprocal="reciprocal",
    Round="round",
    Sigmoid="sigmoid",
    Sin="sin",
    Sinh="sinh",
    Softplus="softplus",
    Sqrt="sqrt",
    Tan="tan",
    Tanh="tanh",
)
register_functions(ops, NUMBERS, Abs="abs", Neg="neg", Relu="relu")
register_functions(ops, INTS, Sign="sign")
register_functions(ops, BITS, BitwiseNot="bitwise_not")
register_functions(ops, dtype("bool"), Not="logical_not")
register_functions(ops, dtype("float", "double"), Det="det")
register_functions(ops, FLOATS, attributes=("alpha",), Celu="celu", Elu="elu", LeakyRelu="leaky_relu")


def register_binary(need: Need, **signs: str) -> None:
    """Register binary operators with a sign in the language, for operands of one dtype."""
    for name, sign in signs.items():

        @ops.op(name, needs=(need, SAME))
        def between(ts, node, x, y, sign=sign):
            return f"{x} {sign} {ts.operand(node.inputs[1])}"


register_binary(NUMBERS, Add="+", Sub="-", Mul="*")
register_binary(COMPUTED, Greater=">", GreaterOrEqual=">=", Less="<", LessOrEqual="<=")
register_binary(BITS, BitwiseAnd="&", BitwiseOr="|", BitwiseXor="^")
register_binary(dtype("bool"), And="&", Or="|", Xor="^")


@ops.op("Equal", needs=(SAME,))
def equal(ts, node, x, y):
    return f"{x} == {y}"


@ops.op("Div", needs=(FLOATS, SAME))
def divide(ts, node, x, y):
    return f"{x} / {ts.operand(node.inputs[1])}"


@ops.op("Div", needs=(INTS, SAME))
def divide_integers(ts, node, x, y):
    return f'torch.div({x}, {y}, rounding_mode="trunc")'


@ops.op("Mod", needs=(NUMBERS, SAME))
def modulo(ts, node, x, y):
    return f"torch.{'fmod' if attr(node, 'fmod') else 'remainder'}({x}, {y})"


@ops.op("Pow", needs=(NUMBERS,))
def power(ts, node, x, y):
    """Power in the dtype of the base. An integer base with a float exponent is computed in float64."""
    base, exponent = node.inputs
    number = const(exponent)
    if number is not None and not number.ndim and base.dtype in (T.FLOAT, T.DOUBLE):
        return f"torch.pow({x}, {number_literal(number.item())})"
    if base.dtype == exponent.dtype:
        return f"torch.pow({x}, {y})"
    if base.dtype.is_integer() and exponent.dtype.is_floating_point():
        x, y = f"{x}.to(torch.float64)", f"{y}.to(torch.float64)"
    elif base.dtype.is_floating_point():
        y = f"{y}.to({ts.dtype(base)})"
    else:
        x, y = f"{x}.to(torch.int64)", f"{y}.to(torch.int64)"
    return f"torch.pow({x}, {y}).to({ts.dtype(base)})"


def as_int64_bits(x: str) -> str:
    """Bits of uint64 as int64."""
    return f"torch.view_copy({x}, dtype=torch.int64)"


def register_unsigned(sign: str, *names: str, order: bool = False) -> None:
    """Register uint64 operators, computed by `sign` on int64: on the same bits, or on order-preserving
    values.
    """

    @ops.op(*names, needs=(dtype("uint64"), SAME))
    def between(ts, node, x, y):
        if order:
            return f"{ts.lib('uint64_order', x)} {sign} {ts.lib('uint64_order', y)}"
        return f"torch.view_copy({as_int64_bits(x)} {sign} {as_int64_bits(y)}, dtype=torch.uint64)"


for sign, name in {
    "+": "Add",
    "-": "Sub",
    "*": "Mul",
    "&": "BitwiseAnd",
    "|": "BitwiseOr",
    "^": "BitwiseXor",
}.items():
    register_unsigned(sign, name)
for sign, name in {">": "Greater", ">=": "GreaterOrEqual", "<": "Less", "<=": "LessOrEqual"}.items():
    register_unsigned(sign, name, order=True)


@ops.op("BitwiseNot", needs=(dtype("uint64"),))
def unsigned_not(ts, node, x):
    return f"torch.view_copy(torch.bitwise_not({as_int64_bits(x)}), dtype=torch.uint64)"


@ops.op("Div", "Mod", needs=(dtype("uint64"), SAME))
def unsigned_division(ts, node, x, y):
    quotient, remainder = ts.unpack(
        ts.lib("divide_uint64", as_int64_bits(x), as_int64_bits(y)), "quotient", "remainder"
    )
    return f"torch.view_copy({quotient if node.op_type == 'Div' else remainder}, dtype=torch.uint64)"


@ops.op("Max", "Min", needs=(dtype("uint64"), SAME))
def unsigned_extreme(ts, node, *inputs):
    result, *others = inputs
    for value in others:
        sign = ">" if node.op_type == "Max" else "<"
        is_first = f"{ts.lib('uint64_order', result)} {sign} {ts.lib('uint64_order', value)}"
        result = ts.let(f"torch.where({is_first}, {result}, {value})", "extreme")
    return result


@ops.op("BitShift", needs=(dtype("uint64"), SAME))
def unsigned_shift(ts, node, x, y):
    helper = "shift_left" if attr(node, "direction") == "LEFT" else "shift_right"
    return f"torch.view_copy({ts.lib(helper, as_int64_bits(x), as_int64_bits(y))}, dtype=torch.uint64)"


@ops.op("BitShift", needs=(INTS, SAME))
def shift(ts, node, x, y):
    return f"{x} {'<<' if attr(node, 'direction') == 'LEFT' else '>>'} {y}"


@ops.op("Max", "Min", needs=(COMPUTED, SAME))
def extreme(ts, node, *inputs):
    result, *others = inputs
    for value in others:
        result = f"torch.{node.op_type.lower()}imum({result}, {value})"
    return result


@ops.op("Sum", needs=(NUMBERS,))
def sum_(ts, node, *inputs):
    return " + ".join(inputs)


@ops.op("Mean", needs=(FLOATS,))
def mean(ts, node, *inputs):
    return f"({' + '.join(inputs)}) / {len(inputs)}"


@ops.op("Clip", needs=(NUMBERS,))
def clip(ts, node, x, low=None, high=None):
    """Clamp. If the bounds cross, every element is the upper bound."""
    bounds = [None if v is None else const(v) for v in (*list(node.inputs)[1:], None, None)[:2]]
    set_bounds = [v for v in list(node.inputs)[1:] if v is not None]
    if not set_bounds:
        return x
    if all(held(v) is not None for v in set_bounds):
        low, high = (None if b is None else number_literal(b.reshape(()).item()) for b in bounds)
    return f"torch.clamp({x}, {low}, {high})"


@ops.op("IsInf", needs=(FLOATS,))
def is_infinite(ts, node, x):
    both = attr(node, "detect_negative"), attr(node, "detect_positive")
    if both == (0, 0):
        return f"torch.zeros_like({x}, dtype=torch.bool)"
    return f"torch.is{'' if all(both) else 'neg' if both[0] else 'pos'}inf({x})"


@ops.op("Selu", needs=(FLOATS,))
def selu(ts, node, x):
    """ELU with float32 attributes, also for float64 inputs."""
    alpha, gamma = (float(np.float32(attr(node, name))) for name in ("alpha", "gamma"))
    return f"torch.elu({x}, {alpha}, {gamma})"


@ops.op("Gelu", needs=(FLOATS,))
def gelu(ts, node, x):
    return f'torch.gelu({x}, approximate="{attr(node, "approximate")}")'


@ops.op("ThresholdedRelu", needs=(FLOATS,))
def thresholded_relu(ts, node, x):
    return f"torch.where({x} > {attr(node, 'alpha')}, {x}, torch.zeros_like({x}))"


@ops.op("Sign", needs=(FLOATS,))
def sign_of_float(ts, node, x):
    """The sign of NaN is NaN, where torch answers 0."""
    return f"torch.where(torch.isnan({x}), {x}, torch.sign({x}))"


@ops.op("PRelu", needs=(FLOATS, SAME))
def prelu(ts, node, x, slope):
    return f"torch.where({x} < 0, {x} * {slope}, {x})"


@ops.op("HardSigmoid", needs=(FLOATS,))
def hard_sigmoid(ts, node, x):
    return f"torch.clamp({x} * {attr(node, 'alpha')} + {attr(node, 'beta')}, 0.0, 1.0)"


@ops.op("Softsign", needs=(FLOATS,))
def softsign(ts, node, x):
    return f"{x} / (torch.abs({x}) + 1)"


@ops.op("Mish", needs=(FLOATS,))
def mish(ts, node, x):
    return f"{x} * torch.tanh(torch.softplus({x}))"


@ops.op("Swish", needs=(FLOATS,))
def swish(ts, node, x):
    alpha = attr(node, "alpha")
    return f"torch.silu({x})" if alpha == 1 else f"{x} * torch.sigmoid({x} * {alpha})"


@ops.op("Shrink", needs=(NUMBERS,))
def shrink(ts, node, x):
    bias, limit = attr(node, "bias"), attr(node, "lambd")
    dtype = ts.dtype(node.inputs[0])
    low = f"torch.where({x} < -{limit}, ({x} + {bias}).to({dtype}), torch.zeros_like({x}))"
    return f"torch.where({x} > {limit}, ({x} - {bias}).to({dtype}), {low})"


@ops.op("Softmax", "LogSoftmax", needs=(FLOATS,))
def softmax(ts, node, x):
    name = "softmax" if node.op_type == "Softmax" else "log_softmax"
    return (
        f"torch.{name}({x}, {attr(node, 'axis')})"
        if rank_of(node.inputs[0]) != 0
        else f"torch.{name}({x}, 0)"
    )


@ops.op("CumSum", "CumProd", needs=(NUMBERS,))
def cumulative(ts, node, x, axis):
    value = node.inputs[0]
    function = "cumsum" if node.op_type == "CumSum" else "cumprod"
    dim = ts.int(node.inputs[1])
    if attr(node, "reverse"):
        x = f"torch.flip({x}, [{dim}])"
    if attr(node, "exclusive"):
        x = ts.lib("shift_elements", x, dim, 0 if node.op_type == "CumSum" else 1)
    result = f"torch.{function}({x}, {dim}, dtype={ts.dtype(value)})"
    return f"torch.flip({result}, [{dim}])" if attr(node, "reverse") else result


NARROW = {
    T.INT4: "int4",
    T.UINT4: "uint4",
    T.INT2: "int2",
    T.UINT2: "uint2",
}
FLOAT8 = {
    T.FLOAT8E4M3FN: 448.0,
    T.FLOAT8E4M3FNUZ: 240.0,
    T.FLOAT8E5M2: 57344.0,
    T.FLOAT8E5M2FNUZ: 57344.0,
}
WIDE_FLOATS = (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16)


def castable(node: ir.Node) -> bool:
    return ir.DataType(attr(node, "to")) not in (T.STRING, T.UNDEFINED)


@ops.op("Cast", needs=(condition("no strings", lambda n: castable(n) and n.inputs[0].dtype != T.STRING),))
def cast(ts, node, x):
    to = ir.DataType(attr(node, "to"))
    return cast_text(ts, x, node.inputs[0].dtype, to, attr(node, "saturate"), attr(node, "round_mode"))


def cast_text(
    ts: Source, x: str, source: ir.DataType, to: ir.DataType, saturate: int = 1, mode: str = "up"
) -> str:
    """Source that casts `x` from dtype `source` to `to` (ONNX operator Cast)."""
    if source == to:
        return x
    if source is None and to in (*WIDE_FLOATS, T.INT64, T.INT32, T.INT8, T.UINT8, T.BOOL):
        return f"{x}.to({ts.dtype(to)})"
    if source not in WIDE_FLOATS and source.is_floating_point():
        x = f"{x}.to(torch.float32)"
        source = T.FLOAT
    if to in NARROW:
        return ts.lib(f"to_{NARROW[to]}", x)
    if to == T.FLOAT4E2M1:
        return ts.lib("to_float4", x)
    if to in FLOAT8:
        x = ts.lib("saturate_float8", f"{x}.to(torch.float32)", FLOAT8[to], flag(saturate))
        return f"{x}.to({ts.dtype(to)})"
    if to == T.FLOAT8E8M0:
        return ts.lib("to_float8_e8m0", f"{x}.to(torch.float32)", f'"{mode}"', bool(saturate))
    if source.is_floating_point() and to in (T.UINT64, T.UINT32, T.UINT16):
        return f"{x}.to(torch.int64).to({ts.dtype(to)})"
    return f"{x}.to({ts.dtype(to)})"


WIDTH = condition(
    "dtypes of one width, of eight bits or more",
    lambda n: (
        n.inputs[0].dtype is not None
        and n.inputs[0].dtype.bitwidth == ir.DataType(attr(n, "to")).bitwidth
        and not {n.inputs[0].dtype, ir.DataType(attr(n, "to"))} & {*STAND_IN}
    ),
)


@ops.op("BitCast", needs=(WIDTH,))
def bit_cast(ts, node, x):
    return f"torch.view_copy({x}, dtype={ts.dtype(ir.DataType(attr(node, 'to')))})"


@ops.op("Einsum", needs=(NUMBERS,))
def einsum(ts, node, *inputs):
    equation = attr(node, "equation").replace(" ", "")
    return f'torch.einsum("{equation}", [{", ".join(inputs)}])'


@ops.op("Identity")
def identity(ts, node, x):
    return x
