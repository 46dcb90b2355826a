"""Element by element."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from bridge.dims import arange
from bridge.hub import const, rank_of
from bridge.importing import as_dtype, attribute, like, shape_tensor
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.math import expm1, log1p
from bridge_savedmodel.import_ops.common import T, known_rank
from bridge_savedmodel.values import Pair

ops = OpTable()

NUMBERS = condition("numbers", lambda n: n.get("T") != T.STRING)

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
    "Div",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Floor",
    "Greater",
    "IsInf",
    "Less",
    "Log",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Relu",
    "Selu",
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
    ops.same(**{name: name})
ops.same(
    GreaterEqual="GreaterOrEqual",
    Inv="Reciprocal",
    Invert="BitwiseNot",
    IsNan="IsNaN",
    LessEqual="LessOrEqual",
    LogicalAnd="And",
    LogicalNot="Not",
    LogicalOr="Or",
    Maximum="Max",
    RealDiv="Div",
)
ops.same(needs=(NUMBERS,), Add="Add", AddV2="Add")
ops.same(needs=(known_rank(),), LogSoftmax="LogSoftmax", Softmax="Softmax")


@ops.op("Minimum")
def minimum(op, node, x, y):
    """Minimum; a Max whose bound equals the new bound folds to that bound."""
    for bound, inner in ((x, y), (y, x)):
        maker, known = inner.producer(), const(bound)
        if known is None or known.ndim or rank_of(inner) or maker is None or maker.op_type != "Max":
            continue
        if any(
            v is not None and const(v) is not None and np.array_equal(const(v), known) for v in maker.inputs
        ):
            return bound
    return op.Min(x, y)


@ops.op("Round", "Rint")
def round_half_even(op, node, x):
    return op.Identity(x) if x.dtype.is_integer() else op.Round(x)


@ops.op("TruncateDiv")
def truncate_div(op, node, x, y):
    quotient = op.Div(x, y)
    return quotient if x.dtype.is_integer() else op.Mul(op.Sign(quotient), op.Floor(op.Abs(quotient)))


@ops.op("AddN")
def add_n(op, node, *inputs):
    if len(inputs) == 1:
        return op.Identity(inputs[0])
    return functools.reduce(op.Add, inputs) if inputs[0].dtype.is_integer() else op.Sum(*inputs)


@ops.op("NotEqual")
def not_equal(op, node, x, y):
    return op.Not(op.Equal(x, y))


@ops.op("ApproximateEqual")
def approximate_equal(op, node, x, y):
    return op.Less(op.Abs(op.Sub(x, y)), like(op, x, node.get("tolerance")))


@ops.op("Square")
def square(op, node, x):
    return op.Mul(x, x)


@ops.op("SquaredDifference")
def squared_difference(op, node, x, y):
    difference = op.Sub(x, y)
    return op.Mul(difference, difference)


@ops.op("Rsqrt")
def rsqrt(op, node, x):
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
    return op.LeakyRelu(x, alpha=node.get("alpha"))


@ops.op("ClipByValue")
def clip(op, node, x, low, high):
    return op.Min(op.Max(x, low), high)


def _zero_where_zero(op: Any, value: Any, at: Any) -> Any:
    """Zero where `at` is zero, else `value`."""
    return op.Where(op.Equal(at, like(op, at, 0)), like(op, value, 0), value)


def _nonzero_divisor(op: Any, y: Any) -> Any:
    """`y` with zeros replaced by ones."""
    return op.Where(op.Equal(y, like(op, y, 0)), like(op, y, 1), y)


@ops.op("DivNoNan")
def div_no_nan(op, node, x, y):
    return _zero_where_zero(op, op.Div(x, _nonzero_divisor(op, y)), y)


@ops.op("MulNoNan")
def mul_no_nan(op, node, x, y):
    return _zero_where_zero(op, op.Mul(x, y), y)


@ops.op("Xdivy")
def xdivy(op, node, x, y):
    return _zero_where_zero(op, op.Div(x, y), x)


@ops.op("Xlogy")
def xlogy(op, node, x, y):
    return _zero_where_zero(op, op.Mul(x, op.Log(y)), x)


@ops.op("Xlog1py")
def xlog1py(op, node, x, y):
    return _zero_where_zero(op, op.Mul(x, log1p(op, y)), x)


@ops.op("FloorDiv")
def floor_div(op, node, x, y):
    if x.dtype.is_floating_point():
        return op.Floor(op.Div(x, y))
    return op.Div(op.Sub(x, op.Mod(x, y)), y)


@ops.op("FloorMod")
def floor_mod(op, node, x, y):
    if x.dtype.is_floating_point():
        remainder = op.Mod(x, y, fmod=1)
        differs = op.And(
            op.Not(op.Equal(remainder, like(op, x, 0))),
            op.Xor(op.Less(remainder, like(op, x, 0)), op.Less(y, like(op, y, 0))),
        )
        return op.Where(differs, op.Add(remainder, y), remainder)
    return op.Mod(x, y)


@ops.op("TruncateMod", "Mod")
def truncate_mod(op, node, x, y):
    return op.Mod(x, y, fmod=1)


@ops.op("Atan2")
def atan2(op, node, y, x):
    """Angle of y / x, plus or minus pi where x is negative; sign(y) · pi / 2 where x is zero."""
    zero = like(op, x, 0)
    is_zero = op.Equal(x, zero)
    angle = op.Atan(op.Div(y, op.Where(is_zero, like(op, x, 1), x)))
    half = op.Where(op.Less(y, zero), like(op, x, -math.pi), like(op, x, math.pi))
    rotated = op.Where(op.Less(x, zero), op.Add(angle, half), angle)
    return op.Where(is_zero, op.Mul(op.Sign(y), like(op, x, math.pi / 2)), rotated)


@ops.op("IsFinite")
def is_finite(op, node, x):
    return op.Not(op.Or(op.IsInf(x), op.IsNaN(x)))


def _shift(op: Any, x: Any, y: Any, direction: str) -> Any:
    """Shift by less than the width of the dtype, as TensorFlow does."""
    amount = op.Min(op.Max(y, like(op, y, 0)), like(op, y, x.dtype.bitwidth - 1))
    return op.BitShift(x, as_dtype(op, amount, x.dtype), direction=direction)


@ops.op("LeftShift")
def left_shift(op, node, x, y):
    """ONNX shifts unsigned integers only; signed ones are shifted as their bits."""
    if not x.dtype.is_signed():
        return _shift(op, x, y, "LEFT")
    unsigned = UNSIGNED[x.dtype.bitwidth]
    shifted = _shift(op, op.BitCast(x, to=int(unsigned)), y, "LEFT")
    return op.BitCast(shifted, to=int(x.dtype))


@ops.op("RightShift")
def right_shift(op, node, x, y):
    """Arithmetic shift of signed integers: negative ones are shifted as their complement."""
    if not x.dtype.is_signed():
        return _shift(op, x, y, "RIGHT")
    unsigned = UNSIGNED[x.dtype.bitwidth]
    is_negative = op.Less(x, like(op, x, 0))
    bits = op.BitCast(op.Where(is_negative, op.BitwiseNot(x), x), to=int(unsigned))
    shifted = op.BitCast(_shift(op, bits, y, "RIGHT"), to=int(x.dtype))
    return op.Where(is_negative, op.BitwiseNot(shifted), shifted)


UNSIGNED = {8: T.UINT8, 16: T.UINT16, 32: T.UINT32, 64: T.UINT64}

CASTABLE = condition(
    "a dtype ONNX has", lambda n: n.get("DstT") is not None and n.inputs[0].dtype is not None
)
COMPLEX = (T.COMPLEX64, T.COMPLEX128)
NO_COMPLEX = condition(
    "real numbers", lambda n: n.get("DstT") not in COMPLEX and n.get("SrcT") not in COMPLEX
)


@ops.op("Cast", needs=(CASTABLE, NO_COMPLEX))
def cast(op, node, x):
    target = node.get("DstT")
    saturate = 0 if target.name.startswith("FLOAT8") else None
    return (
        x if x.dtype == target and x.producer() is not None else op.Cast(x, to=int(target), saturate=saturate)
    )


@ops.op("Cast", needs=(condition("complex numbers of real ones", lambda n: n.get("DstT") in COMPLEX),))
def to_complex(op, node, x):
    if isinstance(x, Pair):
        return x
    dtype = T.FLOAT if node.get("DstT") == T.COMPLEX64 else T.DOUBLE
    real = as_dtype(op, x, dtype)
    return Pair(real, op.Mul(real, like(op, real, 0)))


@ops.op(
    "Bitcast",
    needs=(condition("dtypes of one width", lambda n: n.inputs[0].dtype.bitwidth == n.get("type").bitwidth),),
)
def bitcast(op, node, x):
    return op.BitCast(x, to=int(node.get("type")))


@ops.op("Select", "SelectV2")
def select(op, node, condition, x, y):
    """Select broadcasts a vector condition along the rows of its inputs."""
    rank, condition_rank = rank_of(x), rank_of(condition)
    if node.op == "Select" and condition_rank == 1 and rank is not None and rank > 1:
        condition = op.Unsqueeze(condition, np.arange(1, rank, dtype=np.int64))
    if x.dtype == T.BOOL:
        return op.Or(op.And(condition, x), op.And(op.Not(condition), y))
    return op.Where(condition, x, y)


@ops.op("ZerosLike", "OnesLike", needs=(NUMBERS,))
def filled_like(op, node, x):
    value = 0 if node.op == "ZerosLike" else 1
    return op.Expand(like(op, x, value), shape_tensor(op, x))


@ops.op(
    "Cumsum",
    "Cumprod",
    needs=(attribute("T", T.FLOAT, T.DOUBLE, T.INT32, T.INT64, T.FLOAT16, T.BFLOAT16, T.UINT32, T.UINT64),),
)
def cum_sum_or_prod(op, node, x, axis):
    flags = {name: int(node.get(name)) for name in ("exclusive", "reverse")}
    known = const(axis)
    axis_scalar = axis if known is None else op.const(known.astype(np.int64).reshape(()))
    return op.node("CumSum" if node.op == "Cumsum" else "CumProd", x, axis_scalar, **flags)


@ops.op("CumulativeLogsumexp", needs=(known_rank(), attribute("T", T.FLOAT, T.DOUBLE, T.FLOAT16)))
def cumulative_log_sum_exp(op, node, x, axis):
    """ReduceLogSumExp over pairs of positions, masked to those up to each position."""
    known = const(axis)
    if known is None:
        return NotImplemented
    rank = rank_of(x)
    dim = int(known.reshape(())) % rank
    size = op.Shape(x, start=dim, end=dim + 1)
    positions = arange(op, size)
    queries, elements = op.Unsqueeze(positions, np.array([1])), op.Unsqueeze(positions, np.array([0]))
    queries, elements = (elements, queries) if node.get("reverse") else (queries, elements)
    mask = (op.Less if node.get("exclusive") else op.LessOrEqual)(elements, queries)
    trailing_axes = np.arange(2, rank - dim + 1)
    mask = op.Unsqueeze(mask, trailing_axes) if trailing_axes.size else mask
    lowest = like(op, x, np.finfo(x.dtype.numpy()).min if node.get("exclusive") else -np.inf)
    pairs = op.Where(mask, op.Unsqueeze(x, np.array([dim])), lowest)
    return op.ReduceLogSumExp(pairs, np.array([dim + 1]), keepdims=0)


@ops.op("PopulationCount")
def population_count(op, node, x):
    """Number of set bits."""
    width = x.dtype.bitwidth
    bits = op.const(np.arange(width).astype(UNSIGNED[width].numpy()))
    unsigned = op.Cast(x, to=int(UNSIGNED[width]))
    shifted = op.BitShift(op.Unsqueeze(unsigned, np.array([-1])), bits, direction="RIGHT")
    one = op.const(np.array(1, UNSIGNED[width].numpy()))
    bit_values = op.Cast(op.BitwiseAnd(shifted, one), to=int(T.INT32))
    return op.Cast(op.ReduceSum(bit_values, np.array([-1]), keepdims=0), to=int(T.UINT8))


@ops.op("Erfinv", "Ndtri", needs=(attribute("T", T.FLOAT),))
def inverse_error_function(op, node, x):
    """Inverse of erf in single precision, by Giles's polynomials."""
    if node.op == "Ndtri":
        return op.Mul(erf_inverse(op, op.Sub(op.Mul(x, 2.0), 1.0)), math.sqrt(2.0))
    return erf_inverse(op, x)


CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
TAILS = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def erf_inverse(op: Any, x: Any) -> Any:
    """Giles's polynomials in w = -log(1 - x²): one for w < 5, one in sqrt(w) for the tails."""
    w = op.Neg(op.Log(op.Mul(op.Sub(1.0, x), op.Add(1.0, x))))
    is_central = op.Less(w, 5.0)
    branches = []
    for table, argument in ((CENTRE, op.Sub(w, 2.5)), (TAILS, op.Sub(op.Sqrt(w), 3.0))):
        value: Any = op.const(np.array(table[0], np.float32))
        for factor in table[1:]:
            value = op.Add(op.Mul(value, argument), factor)
        branches.append(op.Mul(value, x))
    edge = op.Mul(x, op.const(np.array(np.inf, np.float32)))
    return op.Where(op.Equal(op.Abs(x), 1.0), edge, op.Where(is_central, *branches))


LANCZOS = (
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
)  # fmt: skip


@ops.op("Lgamma", needs=(attribute("T", T.FLOAT),))
def log_gamma(op, node, x):
    """Lanczos's series in double precision, reflected for numbers below 1/2."""
    wide = op.Cast(x, to=int(T.DOUBLE))
    half, one = like(op, wide, 0.5), like(op, wide, 1)
    is_reflected = op.Less(wide, half)
    z = op.Sub(op.Where(is_reflected, op.Sub(one, wide), wide), one)
    total: Any = like(op, wide, LANCZOS[0])
    for index, factor in enumerate(LANCZOS[1:], 1):
        total = op.Add(total, op.Div(like(op, wide, factor), op.Add(z, like(op, wide, index))))
    base = op.Add(z, like(op, wide, 7.5))
    series = op.Add(
        op.Sub(op.Mul(op.Add(z, half), op.Log(base)), base),
        op.Add(like(op, wide, 0.5 * math.log(2 * math.pi)), op.Log(total)),
    )
    fraction = op.Sub(wide, op.Floor(wide))
    sine = op.Abs(op.Sin(op.Mul(fraction, like(op, wide, math.pi))))
    mirrored = op.Sub(op.Sub(like(op, wide, math.log(math.pi)), op.Log(sine)), series)
    result = op.Where(is_reflected, mirrored, series)
    is_pole = op.And(op.Equal(fraction, like(op, wide, 0)), op.LessOrEqual(wide, like(op, wide, 0)))
    is_infinite = op.Or(is_pole, op.IsInf(wide))
    return op.Cast(op.Where(is_infinite, like(op, wide, np.inf), result), to=int(T.FLOAT))


STIRLING = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 5 / 660, -691 / 32760, 1 / 12)


@ops.op("Digamma", needs=(attribute("T", T.FLOAT),))
def digamma(op, node, x):
    """The recurrence up to ten, then the asymptotic series, in double precision; reflected for negative
    numbers."""
    wide = op.Cast(x, to=int(T.DOUBLE))
    zero, one = like(op, wide, 0), like(op, wide, 1)
    is_negative = op.Less(wide, zero)
    z = op.Where(is_negative, op.Sub(one, wide), wide)
    recurrence: Any = zero
    for step in range(10):
        recurrence = op.Add(recurrence, op.Div(one, op.Add(z, like(op, wide, step))))
    z = op.Add(z, like(op, wide, 10))
    square = op.Div(one, op.Mul(z, z))
    series: Any = zero
    for factor in reversed(STIRLING):
        series = op.Mul(op.Add(series, like(op, wide, factor)), square)
    result = op.Sub(op.Sub(op.Log(z), op.Div(like(op, wide, 0.5), z)), op.Add(series, recurrence))
    angle = op.Mul(op.Sub(wide, op.Floor(wide)), like(op, wide, math.pi))
    mirrored = op.Sub(result, op.Div(op.Mul(op.Cos(angle), like(op, wide, math.pi)), op.Sin(angle)))
    is_integer = op.Equal(wide, op.Floor(wide))
    is_pole = op.And(is_negative, is_integer)
    result = op.Where(is_pole, like(op, wide, np.nan), op.Where(is_negative, mirrored, result))
    result = op.Where(op.Equal(wide, zero), op.Neg(op.Div(one, wide)), result)
    return op.Cast(result, to=int(T.FLOAT))
