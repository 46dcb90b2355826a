"""Element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.passes.decompose.math import expm1, log1p
from bridge_savedmodel.import_ops.common import T, as_dtype, attribute, like, need, ops, ranked
from bridge_savedmodel.import_ops.values import Pair

ops.same(
    **{
        name: name
        for name in ("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf")
    },
    **{
        name: name
        for name in ("Exp", "Floor", "Log", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign")
    },
    **{
        name: name
        for name in ("Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh", "Sub", "Mul", "Equal")
    },
    **{name: name for name in ("Less", "Greater", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Elu")},
    AddV2="Add",
    Add="Add",
    RealDiv="Div",
    TruncateDiv="Div",
    Maximum="Max",
    LessEqual="LessOrEqual",
    GreaterEqual="GreaterOrEqual",
    LogicalAnd="And",
    LogicalOr="Or",
    LogicalNot="Not",
    LogicalXor="Xor",
    Rint="Round",
    Inv="Reciprocal",
    Invert="BitwiseNot",
    IsNan="IsNaN",
    IsInf="IsInf",
    HardSwish="HardSwish",
)


@ops.op("Add", "AddV2", needs=(need("numbers", lambda n: n.get("T") != T.STRING),))
def add(op, node, x, y):
    return op.Add(x, y)


@ops.op("Minimum")
def minimum(op, node, x, y):
    """A number between equal bounds is the bound."""
    for bound, inner in ((x, y), (y, x)):
        maker, known = inner.producer(), const(bound)
        if known is None or known.ndim or rank_of(inner) or maker is None or maker.op_type != "Max":
            continue
        if any(
            v is not None and const(v) is not None and np.array_equal(const(v), known) for v in maker.inputs
        ):
            return bound
    return op.Min(x, y)


@ops.op("Div")
def div(op, node, x, y):
    """Of integers, towards zero."""
    return op.Div(x, y)


@ops.op("AddN")
def add_n(op, node, *inputs):
    return op.Sum(*inputs) if len(inputs) > 1 else op.Identity(inputs[0])


@ops.op("NotEqual")
def not_equal(op, node, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("ApproximateEqual")
def approximately(op, node, x, y):
    return op.Less(op.Abs(op.Sub(x, y)), like(op, x, node.get("tolerance", 1e-5)))


@ops.op("Pow")
def power(op, node, x, y):
    return op.Pow(x, y)


@ops.op("Square")
def square(op, node, x):
    return op.Mul(x, x)


@ops.op("SquaredDifference")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@ops.op("Rsqrt")
def reciprocal_root(op, node, x):
    return op.Reciprocal(op.Sqrt(x))


@ops.op("Log1p")
def log_one_plus(op, node, x):
    return log1p(op, x)


@ops.op("Expm1")
def exp_minus_one(op, node, x):
    return expm1(op, x)


@ops.op("Erfc")
def erfc(op, node, x):
    return op.Sub(1.0, op.Erf(x))


@ops.op("Relu6")
def relu6(op, node, x):
    return op.Clip(x, like(op, x, 0), like(op, x, 6))


@ops.op("LeakyRelu")
def leaky_relu(op, node, x):
    return op.LeakyRelu(x, alpha=node.get("alpha", 0.2))


@ops.op("ClipByValue")
def clip(op, node, x, low, high):
    return op.Min(op.Max(x, low), high)


@ops.op("Softmax", needs=(ranked(),))
def softmax(op, node, x):
    return op.Softmax(x, axis=-1)


@ops.op("LogSoftmax", needs=(ranked(),))
def log_softmax(op, node, x):
    return op.LogSoftmax(x, axis=-1)


def _guarded(op: Any, divisor: Any, value: Any, at: Any) -> Any:
    """Zero where `at` is zero, `value` elsewhere; `divisor` is what is safe to divide by."""
    return op.Where(op.Equal(at, like(op, at, 0)), like(op, value, 0), value)


def _safe(op: Any, y: Any) -> Any:
    return op.Where(op.Equal(y, like(op, y, 0)), like(op, y, 1), y)


@ops.op("DivNoNan")
def div_no_nan(op, node, x, y):
    return _guarded(op, y, op.Div(x, _safe(op, y)), y)


@ops.op("MulNoNan")
def mul_no_nan(op, node, x, y):
    return _guarded(op, x, op.Mul(x, y), y)


@ops.op("Xdivy")
def xdivy(op, node, x, y):
    return _guarded(op, y, op.Div(x, y), x)


@ops.op("Xlogy")
def xlogy(op, node, x, y):
    return _guarded(op, y, op.Mul(x, op.Log(y)), x)


@ops.op("Xlog1py")
def xlog1py(op, node, x, y):
    return _guarded(op, y, op.Mul(x, log1p(op, y)), x)


@ops.op("FloorDiv")
def floor_div(op, node, x, y):
    if x.dtype.is_floating_point():
        return op.Floor(op.Div(x, y))
    return op.Div(op.Sub(x, op.Mod(x, y)), y)


@ops.op("FloorMod")
def floor_mod(op, node, x, y):
    if x.dtype.is_floating_point():
        rest = op.Mod(x, y, fmod=1)
        apart = op.And(
            op.Not(op.Equal(rest, like(op, x, 0))),
            op.Xor(op.Less(rest, like(op, x, 0)), op.Less(y, like(op, y, 0))),
        )
        return op.Where(apart, op.Add(rest, y), rest)
    return op.Mod(x, y)


@ops.op("TruncateMod", "Mod")
def truncate_mod(op, node, x, y):
    return op.Mod(x, y, fmod=1)


@ops.op("Atan2")
def atan2(op, node, y, x):
    """The angle of y / x, turned by half a circle where x is negative; of the axis where x is zero."""
    zero = like(op, x, 0)
    flat = op.Equal(x, zero)
    angle = op.Atan(op.Div(y, op.Where(flat, like(op, x, 1), x)))
    half = op.Where(op.Less(y, zero), like(op, x, -math.pi), like(op, x, math.pi))
    turned = op.Where(op.Less(x, zero), op.Add(angle, half), angle)
    return op.Where(flat, op.Mul(op.Sign(y), like(op, x, math.pi / 2)), turned)


@ops.op("IsFinite")
def is_finite(op, node, x):
    return op.Not(op.Or(op.IsInf(x), op.IsNaN(x)))


def _shift(op: Any, x: Any, y: Any, direction: str) -> Any:
    return op.BitShift(x, y, direction=direction)


@ops.op("LeftShift")
def left_shift(op, node, x, y):
    return _shift(op, x, y, "LEFT")


@ops.op("RightShift")
def right_shift(op, node, x, y):
    return _shift(op, x, y, "RIGHT")


NUMBERS = need("a dtype ONNX has", lambda n: n.get("DstT") is not None and n.inputs[0].dtype is not None)
COMPLEX = (T.COMPLEX64, T.COMPLEX128)
NO_COMPLEX = need("real numbers", lambda n: n.get("DstT") not in COMPLEX and n.get("SrcT") not in COMPLEX)


@ops.op("Cast", needs=(NUMBERS, NO_COMPLEX))
def cast(op, node, x):
    target = node.get("DstT")
    saturate = 0 if target.name.startswith("FLOAT8") else None
    return (
        x if x.dtype == target and x.producer() is not None else op.Cast(x, to=int(target), saturate=saturate)
    )


@ops.op("Cast", needs=(need("complex numbers of real ones", lambda n: n.get("DstT") in COMPLEX),))
def to_complex(op, node, x):
    if isinstance(x, Pair):
        return x
    kind = T.FLOAT if node.get("DstT") == T.COMPLEX64 else T.DOUBLE
    real = as_dtype(op, x, kind)
    return Pair(real, op.Mul(real, like(op, real, 0)))


@ops.op(
    "Bitcast",
    needs=(need("dtypes of one width", lambda n: n.inputs[0].dtype.bitwidth == n.get("type").bitwidth),),
)
def bitcast(op, node, x):
    return op.BitCast(x, to=int(node.get("type")))


@ops.op("Select", "SelectV2")
def select(op, node, condition, x, y):
    """Select takes a vector of conditions for the rows of its inputs."""
    rank, own = rank_of(x), rank_of(condition)
    if node.op == "Select" and own == 1 and rank is not None and rank > 1:
        condition = op.Unsqueeze(condition, np.arange(1, rank, dtype=np.int64))
    return op.Where(condition, x, y)


@ops.op("ZerosLike", "OnesLike", needs=(need("numbers", lambda n: n.get("T") != T.STRING),))
def filled_like(op, node, x):
    number = 0 if node.op == "ZerosLike" else 1
    from bridge_savedmodel.import_ops.common import static

    return op.Expand(like(op, x, number), static(op, x))


@ops.op("FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel")
def fake_quant(op, node, x, low=None, high=None):
    """Rounded to integers and back, between bounds nudged so that zero is one of them."""
    bounds = [node.get("min", -6.0), node.get("max", 6.0)] if low is None else [const(low), const(high)]
    if any(b is None for b in bounds):
        return NotImplemented
    low, high = (np.asarray(b, np.float32) for b in bounds)
    bottom, top = float(node.get("narrow_range", False)), float(2 ** node.get("num_bits", 8) - 1)
    scale = ((high - low) / np.float32(top - bottom)).astype(np.float32)
    zero = np.clip(np.floor(bottom - low / scale + 0.5), bottom, top).astype(np.float32)
    if top == 255 and bottom == 0:
        axis = rank_of(x) - 1 if scale.ndim else None
        steps = op.const(scale), op.const(zero.astype(np.uint8))
        return op.DequantizeLinear(op.QuantizeLinear(x, *steps, axis=axis), *steps, axis=axis)
    lowest, highest = (bottom - zero) * scale, (top - zero) * scale
    clamped = op.Min(op.Max(x, op.const(lowest)), op.const(highest))
    steps = op.Floor(op.Add(op.Div(op.Sub(clamped, op.const(lowest)), op.const(scale)), 0.5))
    return op.Add(op.Mul(steps, op.const(scale)), op.const(lowest))


@ops.op(
    "Cumsum",
    "Cumprod",
    needs=(attribute("T", T.FLOAT, T.DOUBLE, T.INT32, T.INT64, T.FLOAT16, T.BFLOAT16, T.UINT32, T.UINT64),),
)
def cumulative(op, node, x, axis):
    flags = {name: int(node.get(name, False)) for name in ("exclusive", "reverse")}
    known = const(axis)
    place = axis if known is None else op.const(known.astype(np.int64).reshape(()))
    return op.node("CumSum" if node.op == "Cumsum" else "CumProd", x, place, **flags)
