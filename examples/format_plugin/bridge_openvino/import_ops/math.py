"""Element by element."""

from __future__ import annotations

import numpy as np

from bridge.hub import const, rank_of
from bridge.ops import OpTable
from bridge_openvino.import_ops.common import constant, element, flag, integer, is_, number
from bridge_openvino.names import BINARY, NUMERIC, UNARY, backwards

ops = OpTable()

NUMPY = is_("auto_broadcast", "numpy", "none")
ops.same(
    **backwards(UNARY), **backwards(NUMERIC), LogicalNot="Not", BitwiseNot="BitwiseNot", Identity="Identity"
)
ops.same(needs=(NUMPY,), **backwards(BINARY), Power="Pow", Select="Where", FloorMod="Mod")


@ops.op("NotEqual", needs=(NUMPY,))
def not_equal(op, layer, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("SquaredDifference", needs=(NUMPY,))
def squared_difference(op, layer, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@ops.op("Divide", needs=(NUMPY,))
def divide(op, layer, x, y):
    """Integers downwards, unless the attribute says toward zero."""
    if x.dtype.is_floating_point() or not flag(layer, "m_pythondiv", True):
        return op.Div(x, y)
    return op.Div(op.Sub(x, op.Mod(x, y)), y)


@ops.op("Mod", needs=(NUMPY,))
def remainder(op, layer, x, y):
    return op.Mod(x, y, fmod=1)


@ops.op("Round")
def round_(op, layer, x):
    if layer.data.get("mode", "half_to_even") == "half_to_even":
        return op.Round(x)
    return op.Mul(op.Sign(x), op.Floor(op.Add(op.Abs(x), 0.5)))


@ops.op("IsInf")
def is_infinite(op, layer, x):
    wanted = {name: int(flag(layer, name, True)) for name in ("detect_negative", "detect_positive")}
    return op.IsInf(x, **wanted)


@ops.op("Clamp")
def clamp(op, layer, x):
    limits = [number(layer, name, 0.0) for name in ("min", "max")]
    if x.dtype.is_integer():
        info = np.iinfo(x.dtype.numpy())
        limits = [
            int(np.clip(f(v), info.min, info.max)) for f, v in zip((np.ceil, np.floor), limits, strict=True)
        ]
    return op.Clip(x, *(op.const(v, x.dtype) for v in limits))


@ops.op("Elu")
def elu(op, layer, x):
    return op.Elu(x, alpha=number(layer, "alpha", 1.0))


@ops.op("Selu", needs=(constant(1, "alpha"), constant(2, "lambda")))
def selu(op, layer, x, alpha, scale):
    return op.Selu(x, alpha=const(alpha).item(), gamma=const(scale).item())


@ops.op("HardSigmoid", needs=(constant(1, "alpha"), constant(2, "beta")))
def hard_sigmoid(op, layer, x, alpha, beta):
    return op.HardSigmoid(x, alpha=const(alpha).item(), beta=const(beta).item())


@ops.op("PReLU", needs=(constant(1, "slope"),))
def prelu(op, layer, x, slope):
    """A slope of one dimension is one a channel."""
    values = const(slope)
    if values.ndim == 1 and values.size > 1 and rank_of(x) > 2:
        slope = op.const(values.reshape(-1, *[1] * (rank_of(x) - 2)))
    return op.LeakyRelu(x, alpha=values.item()) if values.size == 1 else op.PRelu(x, slope)


@ops.op("Gelu")
def gelu(op, layer, x):
    return op.Gelu(
        x, approximate="tanh" if layer.data.get("approximation_mode", "").lower() == "tanh" else "none"
    )


@ops.op("Swish")
def swish(op, layer, x, beta=None):
    return op.Mul(x, op.Sigmoid(x if beta is None else op.Mul(x, beta)))


@ops.op("HSigmoid")
def hsigmoid(op, layer, x):
    return op.HardSigmoid(x, alpha=1 / 6, beta=0.5)


@ops.op("SoftMax", "Softmax")
def softmax(op, layer, x):
    return op.Softmax(x, axis=integer(layer, "axis", 1))


@ops.op("LogSoftmax")
def log_softmax(op, layer, x):
    return op.LogSoftmax(x, axis=integer(layer, "axis", 1))


@ops.op("CumSum")
def cumulative(op, layer, x, axis):
    wanted = {name: int(flag(layer, name)) for name in ("exclusive", "reverse")}
    return op.CumSum(x, axis, **wanted)


@ops.op("Convert")
def convert(op, layer, x):
    return op.Cast(x, to=element(layer, "destination_type"))


@ops.op("ConvertLike")
def convert_like(op, layer, x, like):
    return op.Cast(x, to=int(like.dtype))
