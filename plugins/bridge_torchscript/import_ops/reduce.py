"""Reductions, statistics, norms and cumulative operators."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import shape_of
from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge.passes.decompose.common import in_float32
from bridge_torchscript.import_ops.common import (
    FLOATS,
    T,
    as_floating,
    axes,
    axis,
    cast,
    dtype_of,
    is_float,
    length,
    number,
    promoting,
    rank,
    static_value,
    tensor,
)
from bridge_torchscript.import_ops.linalg import checked_singular_values
from bridge_torchscript.import_ops.math import extreme
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()


def hub_reduction(op: Any, name: str, x: ir.Value, dim: Any, keepdim: bool) -> ir.Value:
    """Reduction over some dimensions, or over all."""
    if not rank(x):
        return op.Identity(x)
    if dim is None or dim == []:
        return op.node(name, x, keepdims=int(bool(keepdim)))
    return op.node(name, x, ints(*axes(x, dim)), keepdims=int(bool(keepdim)))


def sum_dtype(x: ir.Value, dtype: Any) -> ir.DataType:
    """Dtype of a sum: int64 for integers unless given."""
    if dtype is not None:
        return dtype_of(dtype)
    assert x.dtype is not None
    return x.dtype if x.dtype in FLOATS else T.INT64


@ops.op("aten::sum")
def sum_(op, x, dim=None, keepdim=False, dtype=None):
    return hub_reduction(op, "ReduceSum", cast(op, x, sum_dtype(x, dtype)), dim, keepdim)


@ops.op("aten::nansum")
def nansum(op, x, dim=None, keepdim=False, dtype=None):
    x = cast(op, x, sum_dtype(x, dtype))
    return hub_reduction(
        op, "ReduceSum", op.Where(op.IsNaN(x), like(op, x), x) if is_float(x) else x, dim, keepdim
    )


@ops.op("aten::mean")
def mean(op, x, dim=None, keepdim=False, dtype=None):
    return average_of(op, cast(op, x, sum_dtype(x, dtype)) if dtype is not None else x, dim, keepdim)


def average_of(op: Any, x: ir.Value, dim: Any, keepdim: bool) -> ir.Value:
    """Mean; NaN over no elements."""
    total = hub_reduction(op, "ReduceMean", x, dim, keepdim)
    if 0 not in (shape_of(x) or []):
        return total
    return op.Div(hub_reduction(op, "ReduceSum", x, dim, keepdim), number(op, float(_count(op, x, dim)), x))


@ops.op("aten::nanmean")
def nanmean(op, x, dim=None, keepdim=False, dtype=None):
    x = cast(op, x, sum_dtype(x, dtype))
    count = hub_reduction(op, "ReduceSum", op.Cast(op.Not(op.IsNaN(x)), to=int(x.dtype)), dim, keepdim)
    return op.Div(nansum(op, x, dim, keepdim), count)


@ops.op("aten::prod")
def prod(op, x, dim=None, keepdim=False, dtype=None):
    return hub_reduction(op, "ReduceProd", cast(op, x, sum_dtype(x, dtype)), dim, keepdim)


def _nan_aware(op: Any, name: str, x: ir.Value, dim: Any, keepdim: bool) -> ir.Value:
    """Maximum or minimum; NaN if any element is NaN."""
    if x.dtype == T.BOOL:
        return op.Cast(hub_reduction(op, name, op.Cast(x, to=6), dim, keepdim), to=9)
    result = hub_reduction(op, name, x, dim, keepdim)
    if not is_float(x) or not rank(x):
        return result
    missing = hub_reduction(op, "ReduceMax", op.Cast(op.IsNaN(x), to=6), dim, keepdim)
    return op.Where(op.Cast(missing, to=9), number(op, math.nan, x), result)


@ops.op("aten::amax")
def amax(op, x, dim=(), keepdim=False):
    return _nan_aware(op, "ReduceMax", x, list(dim) if not isinstance(dim, int) else dim, keepdim)


@ops.op("aten::amin")
def amin(op, x, dim=(), keepdim=False):
    return _nan_aware(op, "ReduceMin", x, list(dim) if not isinstance(dim, int) else dim, keepdim)


@ops.op("aten::aminmax")
def aminmax(op, x, dim=None, keepdim=False):
    return (_nan_aware(op, "ReduceMin", x, dim, keepdim), _nan_aware(op, "ReduceMax", x, dim, keepdim))


def _register_extreme(name: str) -> None:
    @ops.op(f"aten::{name}")
    def pick(op, x, dim=None, keepdim=False, other=None):
        if other is not None:
            return extreme(op, name.capitalize(), x, other)
        hub_name = "ReduceMax" if name == "max" else "ReduceMin"
        if dim is None:
            return _nan_aware(op, hub_name, x, None, False)
        return _nan_aware(op, hub_name, x, dim, keepdim), _arg_extreme(
            op, f"Arg{name.capitalize()}", x, dim, keepdim
        )


_register_extreme("max")
_register_extreme("min")


def _arg_extreme(op: Any, name: str, x: ir.Value, dim: int, keepdim: bool) -> ir.Value:
    if not rank(x):
        return op.const(np.array(0))
    wide = op.Cast(x, to=6) if x.dtype == T.BOOL else x
    return op.node(name, wide, axis=axis(x, dim), keepdims=int(bool(keepdim)))


def _register_arg_extreme(name: str, hub_name: str) -> None:
    @ops.op(f"aten::{name}")
    def pick(op, x, dim=None, keepdim=False):
        if dim is None:
            index = _arg_extreme(op, hub_name, op.Reshape(x, ints(-1)), 0, False)
            return op.Reshape(index, ints(*[1] * rank(x))) if keepdim else index
        return _arg_extreme(op, hub_name, x, dim, keepdim)


_register_arg_extreme("argmax", "ArgMax")
_register_arg_extreme("argmin", "ArgMin")


def _register_quantifier(name: str, hub_name: str) -> None:
    @ops.op(f"aten::{name}")
    def decide(op, x, dim=None, keepdim=False):
        hits = op.Cast(cast(op, x, T.BOOL), to=6)
        result = op.Cast(hub_reduction(op, hub_name, hits, dim, keepdim), to=9)
        return op.Cast(result, to=2) if x.dtype == T.UINT8 else result


_register_quantifier("all", "ReduceMin")
_register_quantifier("any", "ReduceMax")


@ops.op("aten::logsumexp", "aten::special_logsumexp")
def logsumexp(op, x, dim, keepdim=False):
    """Log-sum-exp, shifted by the maximum unless it is infinite."""
    x = as_floating(op, x)
    if not rank(x):
        return op.Identity(x)
    dims = ints(*axes(x, dim))
    high = op.ReduceMax(x, dims, keepdims=1)
    high = op.Where(op.IsInf(high), like(op, high), high)
    total = op.Add(op.Log(op.ReduceSum(op.Exp(op.Sub(x, high)), dims, keepdims=1)), high)
    return total if keepdim else op.Squeeze(total, dims)


def _count(op: Any, x: ir.Value, dim: Any) -> Any:
    total: Any = 1
    for index in axes(x, dim):
        size = length(op, x, index)
        if isinstance(size, Sym):
            total = (
                size.value if isinstance(total, int) and total == 1 else op.Mul(tensor(op, total), size.value)
            )
        else:
            total = total * size if isinstance(total, int) else op.Mul(total, np.array(size))
    return total


def _moments(op: Any, x: ir.Value, dim: Any, correction: Any, keepdim: bool) -> tuple[ir.Value, ir.Value]:
    """Variance and mean."""
    return in_float32(op, x, lambda v: _wide_moments(op, v, dim, correction, keepdim))


def _wide_moments(
    op: Any, x: ir.Value, dim: Any, correction: Any, keepdim: bool
) -> tuple[ir.Value, ir.Value]:
    dims = ints(*axes(x, dim)) if rank(x) else None
    mean_shaped = average_of(op, x, dim, True) if rank(x) else x
    centred = op.Sub(x, mean_shaped)
    squares = (
        op.ReduceSum(op.Mul(centred, centred), dims, keepdims=int(bool(keepdim)))
        if rank(x)
        else op.Mul(centred, centred)
    )
    count = _count(op, x, dim)
    if isinstance(count, int):
        divisor = max(count - correction, 0)
        variance = op.Div(squares, number(op, float(divisor), x))
    else:
        variance = op.Div(squares, op.Sub(cast(op, count, x.dtype), number(op, float(correction), x)))
    mean = mean_shaped if keepdim or dims is None else op.Squeeze(mean_shaped, dims)
    return variance, mean


def _correction(unbiased: Any, correction: Any) -> Any:
    if correction is not None:
        return correction
    return 1 if unbiased is None else int(bool(unbiased))


@ops.op("aten::var")
def var(op, x, dim=None, unbiased=None, keepdim=False, correction=None):
    return _moments(op, x, dim, _correction(unbiased, correction), keepdim)[0]


@ops.op("aten::std")
def std(op, x, dim=None, unbiased=None, keepdim=False, correction=None):
    return op.Sqrt(_moments(op, x, dim, _correction(unbiased, correction), keepdim)[0])


@ops.op("aten::var_mean")
def var_mean(op, x, dim=None, unbiased=None, keepdim=False, correction=None):
    return _moments(op, x, dim, _correction(unbiased, correction), keepdim)


@ops.op("aten::std_mean")
def std_mean(op, x, dim=None, unbiased=None, keepdim=False, correction=None):
    variance, average = _moments(op, x, dim, _correction(unbiased, correction), keepdim)
    return op.Sqrt(variance), average


def norm_of(op: Any, x: ir.Value, order: Any, dim: Any, keepdim: bool) -> ir.Value:
    """Vector norm of an order."""
    size = op.Abs(x)
    if order in (math.inf, -math.inf):
        return _nan_aware(op, "ReduceMax" if order > 0 else "ReduceMin", size, dim, keepdim)
    if order == 0:
        return hub_reduction(
            op, "ReduceSum", op.Cast(op.Not(op.Equal(x, like(op, x))), to=int(x.dtype)), dim, keepdim
        )
    if order == 1:
        return hub_reduction(op, "ReduceSum", size, dim, keepdim)
    if order == 2:
        return hub_reduction(op, "ReduceL2", x if rank(x) else size, dim, keepdim)
    return in_float32(op, size, lambda v: _sum_of_powers(op, v, float(order), dim, keepdim))


def _sum_of_powers(op: Any, size: ir.Value, order: float, dim: Any, keepdim: bool) -> ir.Value:
    """The sum of powers, and its root."""
    total = hub_reduction(op, "ReduceSum", op.Pow(size, number(op, order, size)), dim, keepdim)
    return op.Pow(total, number(op, 1.0 / order, size))


@ops.op("aten::linalg_vector_norm")
def linalg_vector_norm(op, x, ord=2, dim=None, keepdim=False, dtype=None):
    x = as_floating(op, x) if dtype is None else cast(op, x, dtype_of(dtype))
    return norm_of(op, x, static_value(ord, "ord"), dim, keepdim)


@ops.op("aten::norm")
def norm(op, x, p=2, dim=None, keepdim=False, dtype=None):
    x = as_floating(op, x) if dtype is None else cast(op, x, dtype_of(dtype))
    if isinstance(p, str):
        raise Unsupported("reads a norm by name")
    return norm_of(op, x, 2 if p is None else p, dim, keepdim)


@ops.op("aten::frobenius_norm")
def frobenius_norm(op, x, dim=None, keepdim=False):
    return norm_of(op, x, 2, dim, keepdim)


@ops.op("aten::linalg_norm")
def linalg_norm(op, x, ord=None, dim=None, keepdim=False, dtype=None):
    vector = (
        (dim is None and rank(x) == 1) or isinstance(dim, int) or (isinstance(dim, list) and len(dim) == 1)
    )
    x = as_floating(op, x) if dtype is None else cast(op, x, dtype_of(dtype))
    if ord is None:
        return norm_of(op, x, 2, dim, keepdim)
    if vector:
        return norm_of(op, x, ord, dim, keepdim)
    return matrix_norm(op, x, ord, dim if dim is not None else [-2, -1], keepdim)


@ops.op("aten::linalg_matrix_norm")
def matrix_norm(op, x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None):
    dims = axes(x, list(dim))
    if ord == "fro":
        return norm_of(op, x, 2, dims, keepdim)
    if ord in (1, -1, math.inf, -math.inf):
        first, second = dims if abs(ord) == 1 else dims[::-1]
        sums = op.ReduceSum(op.Abs(x), ints(first), keepdims=1)
        result = _nan_aware(op, "ReduceMax" if ord > 0 else "ReduceMin", sums, [second], True)
        return result if keepdim else op.Squeeze(result, ints(*dims))
    order = [*(i for i in range(rank(x)) if i not in dims), *dims]
    values = checked_singular_values(op, x if order == sorted(order) else op.Transpose(x, perm=order))
    last = ints(rank(x) - 2)
    if ord == "nuc":
        result = op.ReduceSum(values, last, keepdims=0)
    elif ord in (2, -2):
        result = op.Gather(values, np.array(0 if ord > 0 else -1), axis=-1)
    else:
        raise Unsupported(f"is read without ord={ord!r}")
    return op.Unsqueeze(result, ints(*sorted(dims))) if keepdim else result


@ops.op("aten::dist")
@promoting("x", "other")
def dist(op, x, other, p=2):
    return norm_of(op, op.Sub(x, other), p, None, False)


def _register_cumulative(name: str, hub_name: str) -> None:
    @ops.op(f"aten::{name}")
    def accumulate(op, x, dim, dtype=None):
        x = cast(op, x, sum_dtype(x, dtype))
        return op.node(hub_name, x, np.array(axis(x, dim))) if rank(x) else op.Identity(x)


_register_cumulative("cumsum", "CumSum")
_register_cumulative("cumprod", "CumProd")


def _register_cumulative_extreme(name: str, hub_name: str) -> None:
    @ops.op(f"aten::{name}")
    def accumulate(op, x, dim):
        """Cumulative maximum or minimum and its indices; of equal elements the last counts."""
        if not rank(x):
            return op.Identity(x), op.const(np.array(0))
        at = axis(x, dim)
        size = static_value(length(op, x, at), "length")
        if size > 256 or not size:
            raise Unsupported("runs over a dimension of at most 256")
        values, all_indices = [], []
        best = op.Gather(x, np.array([0]), axis=at)
        indices = op.Expand(np.zeros([1] * rank(x), np.int64), shape_tensor(op, best))
        values.append(best)
        all_indices.append(indices)
        for index in range(1, size):
            new = op.Gather(x, np.array([index]), axis=at)
            better = op.node(hub_name, new, best)
            if is_float(x):
                better = op.Or(better, op.IsNaN(new))
                better = op.And(better, op.Or(op.Not(op.IsNaN(best)), op.IsNaN(new)))
            best = op.Where(better, new, best)
            indices = op.Where(better, op.const(np.array(index)), indices)
            values.append(best)
            all_indices.append(indices)
        return tuple(op.Concat(*v, axis=at) if size > 1 else v[0] for v in (values, all_indices))


_register_cumulative_extreme("cummax", "GreaterOrEqual")
_register_cumulative_extreme("cummin", "LessOrEqual")


@ops.op("aten::quantile")
def quantile(op, x, q, dim=None, keepdim=False, interpolation="linear"):
    """Quantile, interpolated between sorted neighbours; NaN if any element is NaN."""
    q = tensor(op, q, x.dtype)
    if dim is None:
        flat = op.Reshape(x, ints(-1))
        result = quantile(op, flat, q, 0, False, interpolation)
        ones = ints(*range(rank(q), rank(q) + rank(x)))
        return op.Unsqueeze(result, ones) if keepdim and rank(x) else result
    if not rank(x):
        return quantile(op, op.Reshape(x, ints(1)), q, 0)
    at = axis(x, dim)
    size = static_value(length(op, x, at), "length")
    order = [at, *(i for i in range(rank(x)) if i != at)]
    values = op.TopK(
        op.Transpose(x, perm=order) if order != [0] else x, ints(size), axis=0, largest=0, _outputs=2
    )[0]
    position = op.Mul(q, number(op, float(size - 1), x))
    low = op.Floor(position)
    fraction = op.Sub(position, low)
    if interpolation == "lower":
        fraction = op.Mul(fraction, like(op, x))
    elif interpolation == "higher":
        fraction = op.Ceil(fraction)
    elif interpolation == "midpoint":
        fraction = op.Mul(op.Ceil(fraction), number(op, 0.5, x))
    elif interpolation == "nearest":
        fraction = op.Sub(op.Round(position), low)
    if rank(q):
        fraction = op.Reshape(fraction, ints(-1, *[1] * (rank(x) - 1)))
    below = op.Gather(values, op.Cast(low, to=7), axis=0)
    above = op.Gather(values, op.Cast(op.Ceil(position), to=7), axis=0)
    result = op.Add(below, op.Mul(fraction, op.Sub(above, below)))
    missing = op.Cast(op.ReduceMax(op.Cast(op.IsNaN(x), to=6), ints(at), keepdims=0), to=9)
    result = op.Where(missing, number(op, math.nan, x), result)
    return op.Unsqueeze(result, ints(at + rank(q))) if keepdim else result


@ops.op("aten::logcumsumexp")
def logcumsumexp(op, x, dim):
    if not rank(x):
        return op.Identity(x)
    at = axis(x, dim)
    high = op.ReduceMax(x, ints(at), keepdims=1)
    return op.Add(op.Log(op.CumSum(op.Exp(op.Sub(x, high)), np.array(at))), high)


@ops.op("aten::diff")
@promoting("x", "prepend", "append")
def diff(op, x, n=1, dim=-1, prepend=None, append=None):
    if not n:
        return op.Identity(x)
    at = axis(x, dim)
    pieces = [v for v in (prepend, x, append) if v is not None]
    x = op.Concat(*pieces, axis=at) if len(pieces) > 1 else x
    for _ in range(n):
        later, earlier = op.Slice(x, ints(1), ints(2**62), ints(at)), op.Slice(x, ints(0), ints(-1), ints(at))
        x = op.Xor(later, earlier) if x.dtype == T.BOOL else op.Sub(later, earlier)
    return op.Identity(x)


@ops.op("aten::trapezoid", "aten::trapz")
@promoting("y", "x")
def trapezoid(op, y, x=None, dx=1, dim=-1):
    return op.ReduceSum(_trapezoids(op, y, x, dx, axis(y, dim)), ints(axis(y, dim)), keepdims=0)


@ops.op("aten::cumulative_trapezoid")
@promoting("y", "x")
def cumulative_trapezoid(op, y, x=None, dx=1, dim=-1):
    return op.CumSum(_trapezoids(op, y, x, dx, axis(y, dim)), np.array(axis(y, dim)))


def _trapezoids(op: Any, y: ir.Value, x: ir.Value | None, dx: Any, at: int) -> ir.Value:
    """Areas below `y` between neighbours along an axis, `dx` apart or at `x`."""
    pairs = op.Add(op.Slice(y, ints(1), ints(2**62), ints(at)), op.Slice(y, ints(0), ints(-1), ints(at)))
    if x is None:
        return op.Mul(pairs, number(op, dx / 2, y))
    where = 0 if rank(x) == 1 else axis(x, at - rank(y))
    steps = op.Sub(
        op.Slice(x, ints(1), ints(2**62), ints(where)), op.Slice(x, ints(0), ints(-1), ints(where))
    )
    if rank(x) == 1 and rank(y) > 1:
        steps = op.Reshape(steps, ints(-1, *[1] * (rank(y) - 1 - at)))
    return op.Mul(op.Mul(pairs, steps), number(op, 0.5, y))


def _register_softmax(hub_name: str, *names: str) -> None:
    @ops.op(*(f"aten::{n}" for n in names))
    def normalize(op, x, dim, dtype=None, half_to_float=False):
        x = as_floating(op, x) if dtype is None else cast(op, x, dtype_of(dtype))
        if not rank(x):
            return op.Reshape(op.node(hub_name, op.Reshape(x, ints(1)), axis=0), ints())
        return op.node(hub_name, x, axis=axis(x, dim))


_register_softmax("Softmax", "softmax", "special_softmax", "_softmax")
_register_softmax("LogSoftmax", "log_softmax", "special_log_softmax", "_log_softmax")


@ops.op("aten::corrcoef")
def corrcoef(op, x):
    covariance = cov(op, x)
    if not rank(covariance):
        return op.Div(covariance, covariance)
    size = op.Sqrt(
        op.ReduceSum(
            op.Mul(covariance, op.const(np.eye(int(covariance.shape[0]), dtype=covariance.dtype.numpy()))),
            ints(1),
        )
    )
    return op.Clip(
        op.Div(op.Div(covariance, size), op.Transpose(size, perm=[1, 0])),
        number(op, -1.0, x),
        number(op, 1.0, x),
    )


@ops.op("aten::cov")
def cov(op, x, correction=1, fweights=None, aweights=None):
    x = op.Reshape(x, ints(1, -1)) if rank(x) < 2 else x
    size = shape_of(x)
    if size is None or fweights is not None or aweights is not None:
        raise Unsupported("needs a static shape and no weights")
    centred = op.Sub(x, op.ReduceMean(x, ints(1)))
    covariance = op.Div(
        op.MatMul(centred, op.Transpose(centred, perm=[1, 0])),
        number(op, float(max(size[1] - correction, 0)), x),
    )
    return op.Reshape(covariance, ints()) if size[0] == 1 else covariance


@ops.op("aten::_safe_softmax")
def safe_softmax(op, x, dim, dtype=None):
    """Softmax, zero where all elements are minus infinity."""
    x = as_floating(op, x) if dtype is None else cast(op, x, dtype_of(dtype))
    at = axis(x, dim)
    largest = op.ReduceMax(x, ints(at), keepdims=1)
    return op.Where(op.Equal(largest, number(op, -math.inf, x)), like(op, x), op.Softmax(x, axis=at))


@ops.op("aten::_softmax_backward_data")
def softmax_backward(op, grad_output, output, dim, input_dtype):
    product = op.Mul(grad_output, output)
    total = op.ReduceSum(product, ints(axis(output, dim)), keepdims=1)
    return cast(op, op.Sub(product, op.Mul(output, total)), dtype_of(input_dtype))


@ops.op("aten::renorm")
def renorm(op, x, p, dim, maxnorm):
    """Slices along `dim` whose norm is more than `maxnorm`, scaled to it."""
    others = [i for i in range(rank(x)) if i != axis(x, dim)]
    size = norm_of(op, x, p, others, True)
    scale = op.Div(number(op, maxnorm, x), op.Add(size, number(op, 1e-7, x)))
    return op.Mul(x, op.Where(op.Greater(size, number(op, maxnorm, x)), scale, number(op, 1.0, x)))


@ops.op("aten::sum_to_size")
def sum_to_size(op, x, size):
    """Sum over what `size` does not have, or has once: the inverse of a broadcast."""
    if not is_float(x):
        raise Unsupported("sums integers to a size")
    extra = rank(x) - len(size)
    once = [i + extra for i, n in enumerate(size) if n == 1]
    if extra:
        x = op.ReduceSum(x, ints(*range(extra)), keepdims=0)
    return op.ReduceSum(x, ints(*(i - extra for i in once)), keepdims=1) if once else op.Identity(x)
