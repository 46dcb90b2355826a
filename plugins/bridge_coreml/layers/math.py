"""Elementwise arithmetic, comparison and logic."""

from __future__ import annotations

import numpy as np

from bridge.ops import OpTable
from bridge_coreml.layers.common import as_bool

ops = OpTable()

ops.same(
    ceil="Ceil", floor="Floor", sign="Sign", round="Round", sin="Sin", cos="Cos", tan="Tan", asin="Asin",
    acos="Acos", atan="Atan", sinh="Sinh", cosh="Cosh", tanh="Tanh", asinh="Asinh", acosh="Acosh",
    atanh="Atanh", erf="Erf", copy="Identity", average="Mean",
)  # fmt: skip
ops.same(
    addBroadcastable="Add", subtractBroadcastable="Sub", multiplyBroadcastable="Mul",
    divideBroadcastable="Div", powBroadcastable="Pow", maxBroadcastable="Max", minBroadcastable="Min",
)  # fmt: skip


@ops.op("exp2")
def exp2(op, layer, x):
    return op.Pow(op.const(np.float32(2)), x)


@ops.op("clip")
def clip(op, layer, x):
    return op.Clip(x, np.float32(layer.params.minVal), np.float32(layer.params.maxVal))


SQRT, RSQRT, INVERSE, POWER, EXP, LOG, ABS, THRESHOLD = range(8)


@ops.op("unary")
def unary_function(op, layer, x):
    p = layer.params
    x = op.Mul(x, p.scale) if p.scale not in (0.0, 1.0) else x
    x = op.Add(x, p.shift) if p.shift else x
    epsilon = p.epsilon if p.type == LOG else p.epsilon or 1e-6
    if p.type in (RSQRT, INVERSE, LOG) and epsilon:
        x = op.Add(x, np.float32(epsilon))
    return {
        SQRT: lambda: op.Sqrt(x),
        RSQRT: lambda: op.Reciprocal(op.Sqrt(x)),
        INVERSE: lambda: op.Reciprocal(x),
        POWER: lambda: op.Pow(x, np.float32(p.alpha)),
        EXP: lambda: op.Exp(x),
        LOG: lambda: op.Log(x),
        ABS: lambda: op.Abs(x),
        THRESHOLD: lambda: op.Max(x, np.float32(p.alpha)),
    }[p.type]()


VARIADIC = {"add": "Add", "multiply": "Mul", "max": "Max", "min": "Min"}


@ops.op(*VARIADIC)
def combine(op, layer, *inputs):
    name = VARIADIC[layer.kind]
    if len(inputs) == 1:
        return (
            op.node(name, inputs[0], layer.params.alpha)
            if layer.kind in ("add", "multiply")
            else op.Identity(inputs[0])
        )
    total = inputs[0]
    for each in inputs[1:]:
        total = op.node(name, total, each)
    return total


@ops.op("floorDivBroadcastable")
def floor_div(op, layer, x, y):
    return op.Floor(op.Div(x, y))


@ops.op("modBroadcastable")
def mod(op, layer, x, y):
    remainder = op.Mod(x, y, fmod=1)
    has_other_sign = op.And(
        op.Not(op.Equal(remainder, 0.0)), op.Xor(op.Less(remainder, 0.0), op.Less(y, 0.0))
    )
    return op.Where(has_other_sign, op.Add(remainder, y), remainder)


COMPARISONS = {
    "equal": "Equal",
    "notEqual": "Equal",
    "lessThan": "Less",
    "lessEqual": "LessOrEqual",
    "greaterThan": "Greater",
    "greaterEqual": "GreaterOrEqual",
}


@ops.op(*COMPARISONS)
def compare(op, layer, x, y=None):
    result = op.node(COMPARISONS[layer.kind], x, np.float32(layer.params.alpha) if y is None else y)
    return op.Not(result) if layer.kind == "notEqual" else result


LOGICAL = {"logicalAnd": "And", "logicalOr": "Or", "logicalXor": "Xor"}


@ops.op(*LOGICAL)
def logical(op, layer, x, y):
    return op.node(LOGICAL[layer.kind], as_bool(op, x), as_bool(op, y))


@ops.op("logicalNot")
def logical_not(op, layer, x):
    return op.Not(as_bool(op, x))


@ops.op("whereBroadcastable")
def where(op, layer, flag, x, y):
    return op.Where(as_bool(op, flag), x, y)
