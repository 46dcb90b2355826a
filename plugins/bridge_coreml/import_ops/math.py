"""Elementwise arithmetic, comparison and logic; casts."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, as_type, cast

ops = OpTable()

FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16)

ops.same(
    abs="Abs", acos="Acos", asin="Asin", atan="Atan", atanh="Atanh", ceil="Ceil", cos="Cos", cosh="Cosh",
    erf="Erf", exp="Exp", floor="Floor", identity="Identity", logical_not="Not", round="Round",
    sigmoid="Sigmoid", sign="Sign", sin="Sin", sinh="Sinh",
    sqrt="Sqrt", tan="Tan", tanh="Tanh",
)  # fmt: skip
ops.same(logical_and="And", logical_or="Or", logical_xor="Xor")

BINARY = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "maximum": "Max",
    "minimum": "Min",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "equal": "Equal",
}


def in_one_dtype(op: hub.Builder, node: Any, x: ir.Value, y: ir.Value) -> tuple[Any, Any]:
    """Both operands in one dtype: a constant is cast to the dtype of the other operand."""
    if x.dtype == y.dtype:
        return x, y
    return (as_type(op, x, y), y) if node.array("x") is not None else (x, as_type(op, y, x))


@ops.op(*BINARY)
def binary(op, node, x, y):
    return op.node(BINARY[node.op], *in_one_dtype(op, node, x, y))


@ops.op("not_equal")
def not_equal(op, node, x, y):
    return op.Not(op.Equal(*in_one_dtype(op, node, x, y)))


@ops.op("real_div")
def real_div(op, node, x, y):
    """Integer division truncates; the quotient is computed in float64."""
    x, y = in_one_dtype(op, node, x, y)
    if x.dtype in FLOATS:
        return op.Div(x, y)
    quotient = op.Div(cast(op, x, ir.DataType.DOUBLE), cast(op, y, ir.DataType.DOUBLE))
    return cast(op, quotient, node.out_dtype())


@ops.op("floor_div")
def floor_div(op, node, x, y):
    x, y = in_one_dtype(op, node, x, y)
    quotient = op.Div(x, y)
    if x.dtype in FLOATS:
        return op.Floor(quotient)
    zero = like(op, x, 0)
    remainder = op.Sub(x, op.Mul(quotient, y))
    rounds_up = op.And(op.Not(op.Equal(remainder, zero)), op.Xor(op.Less(remainder, zero), op.Less(y, zero)))
    return op.Sub(quotient, op.Cast(rounds_up, to=int(x.dtype)))


@ops.op("mod")
def mod(op, node, x, y):
    """Remainder with the sign of `y`."""
    x, y = in_one_dtype(op, node, x, y)
    if x.dtype not in FLOATS:
        return op.Mod(x, y)
    zero = like(op, x, 0)
    remainder = op.Mod(x, y, fmod=1)
    has_other_sign = op.And(
        op.Not(op.Equal(remainder, zero)), op.Xor(op.Less(remainder, zero), op.Less(y, zero))
    )
    return op.Where(has_other_sign, op.Add(remainder, y), remainder)


@ops.op("pow")
def power(op, node, x, y):
    return op.Pow(*in_one_dtype(op, node, x, y))


@ops.op("exp2")
def exp2(op, node, x):
    return op.Pow(like(op, x, 2), x)


def add_epsilon(op: hub.Builder, node: Any, x: ir.Value, default: float) -> Any:
    """Add the operator's epsilon to `x`, unless it is 0 in the dtype of `x`."""
    epsilon = np.asarray(node.get("epsilon", default)).astype(x.dtype.numpy())
    return op.Add(x, op.const(epsilon)) if epsilon else x


@ops.op("log")
def log(op, node, x):
    return op.Log(add_epsilon(op, node, x, 1e-45))


@ops.op("rsqrt")
def rsqrt(op, node, x):
    return op.Reciprocal(op.Sqrt(add_epsilon(op, node, x, 1e-12)))


@ops.op("inverse")
def inverse(op, node, x):
    return op.Reciprocal(add_epsilon(op, node, x, 1e-4))


@ops.op("square")
def square(op, node, x):
    return op.Mul(x, x)


@ops.op("clip")
def clip(op, node, x):
    return op.Clip(x, like(op, x, node.get("alpha")), like(op, x, node.get("beta")))


@ops.op("threshold")
def threshold(op, node, x):
    return op.Max(x, like(op, x, node.get("alpha")))


@ops.op("cast", needs=(condition("a known dtype", lambda n: n.get("dtype") in DTYPES),))
def cast_to(op, node, x):
    return cast(op, x, DTYPES[node.get("dtype")])


@ops.op("select")
def select(op, node, cond, a, b):
    if a.dtype != b.dtype:
        a, b = (as_type(op, a, b), b) if node.array("a") is not None else (a, as_type(op, b, a))
    return op.Where(cast(op, cond, ir.DataType.BOOL), a, b)
