"""Random numbers, different at each run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    cast,
    constant_of_shape,
    dtype_or,
    int64_scalar,
    lengths_vector,
    number,
    rank,
    tensor,
)
from bridge_torchscript.import_ops.tensor import INPLACE, size_list

ops = OpTable()

for name in ("uniform", "normal", "exponential", "cauchy", "log_normal", "geometric", "bernoulli", "random"):
    INPLACE[f"aten::{name}_"] = f"aten::{name}_in_place"


def _random(op: Any, name: str, shape: Any, dtype: ir.DataType, **attributes: Any) -> ir.Value:
    """Random numbers in `dtype`, drawn in float32 unless it is another float dtype."""
    computed = dtype if dtype in (T.FLOAT, T.DOUBLE, T.FLOAT16) else T.FLOAT
    if all(isinstance(p, int) for p in shape):
        result = op.node(name, shape=[int(p) for p in shape] or [1], dtype=int(computed), **attributes)
        result = result if shape else op.Reshape(result, ints())
    else:
        blank = op.ConstantOfShape(lengths_vector(op, shape))
        result = op.node(f"{name}Like", blank, dtype=int(computed), **attributes)
    return cast(op, result, dtype)


@ops.op("aten::rand")
def rand(op, size, dtype=None):
    return _random(op, "RandomUniform", size, dtype_or(dtype, T.FLOAT))


@ops.op("aten::randn")
def randn(op, size, dtype=None):
    return _random(op, "RandomNormal", size, dtype_or(dtype, T.FLOAT))


@ops.op("aten::rand_like")
def rand_like(op, x, dtype=None):
    return _random(op, "RandomUniform", size_list(op, x), dtype_or(dtype, x.dtype))


@ops.op("aten::randn_like")
def randn_like(op, x, dtype=None):
    return _random(op, "RandomNormal", size_list(op, x), dtype_or(dtype, x.dtype))


def _random_integers(op: Any, low: Any, high: Any, shape: Any, dtype: ir.DataType) -> ir.Value:
    span = op.Sub(tensor(op, high, T.FLOAT), tensor(op, low, T.FLOAT))
    floored = op.Floor(op.Mul(_random(op, "RandomUniform", shape, T.FLOAT), span))
    return cast(op, op.Add(floored, tensor(op, low, T.FLOAT)), dtype)


@ops.op("aten::randint")
def randint(op, high, size, low=0, dtype=None):
    return _random_integers(op, low, high, size, dtype_or(dtype, T.INT64))


@ops.op("aten::randint_like")
def randint_like(op, x, high, low=0, dtype=None):
    return _random_integers(op, low, high, size_list(op, x), dtype_or(dtype, x.dtype))


@ops.op("aten::randperm")
def randperm(op, n, dtype=None):
    count = op.Reshape(int64_scalar(op, n), ints(1))
    keys = op.RandomUniformLike(op.ConstantOfShape(count), dtype=1)
    return cast(op, op.TopK(keys, count, _outputs=2)[1], dtype_or(dtype, T.INT64))


@ops.op("aten::normal")
def normal(op, mean=0.0, std=1.0, size=None, dtype=None):
    shape = (
        size if size is not None else size_list(op, op.Add(*(tensor(op, v, T.FLOAT) for v in (mean, std))))
    )
    given = next((v.dtype for v in (mean, std) if isinstance(v, ir.Value)), T.FLOAT)
    drawn = _random(op, "RandomNormal", shape, dtype_or(dtype, given))
    return op.Add(op.Mul(drawn, tensor(op, std, drawn.dtype)), tensor(op, mean, drawn.dtype))


@ops.op("aten::uniform_in_place", "aten::uniform")
def uniform(op, x, low=0.0, high=1.0):
    return _random(op, "RandomUniform", size_list(op, x), x.dtype, low=float(low), high=float(high))


@ops.op("aten::normal_in_place", "aten::normal_functional")
def normal_in_place(op, x, mean=0.0, std=1.0):
    return _random(op, "RandomNormal", size_list(op, x), x.dtype, mean=float(mean), scale=float(std))


@ops.op("aten::exponential_in_place", "aten::exponential")
def exponential(op, x, lambd=1.0):
    drawn = _random(op, "RandomUniform", size_list(op, x), x.dtype, low=1e-7)
    return op.Div(op.Neg(op.Log(drawn)), number(op, lambd, x))


@ops.op("aten::cauchy_in_place", "aten::cauchy")
def cauchy(op, x, median=0.0, sigma=1.0):
    drawn = _random(op, "RandomUniform", size_list(op, x), x.dtype, low=-0.49999, high=0.49999)
    return op.Add(
        op.Mul(op.Tan(op.Mul(drawn, number(op, math.pi, x))), number(op, sigma, x)), number(op, median, x)
    )


@ops.op("aten::log_normal_in_place", "aten::log_normal")
def log_normal(op, x, mean=1.0, std=2.0):
    return op.Exp(normal_in_place(op, x, mean, std))


@ops.op("aten::geometric_in_place", "aten::geometric")
def geometric(op, x, p):
    drawn = _random(op, "RandomUniform", size_list(op, x), x.dtype, low=1e-7)
    return op.Ceil(op.Div(op.Log(drawn), number(op, math.log1p(-p), x)))


@ops.op("aten::bernoulli", "aten::bernoulli_in_place")
def bernoulli(op, x, p=None):
    chance = x if p is None else op.Expand(tensor(op, p, x.dtype), lengths_vector(op, size_list(op, x)))
    drawn = _random(op, "RandomUniform", size_list(op, chance), chance.dtype)
    return cast(op, op.Less(drawn, chance), x.dtype)


@ops.op("aten::multinomial")
def multinomial(op, x, num_samples, replacement=False):
    """Multinomial samples. Without replacement: the indices of the greatest log(p) + Gumbel noise."""
    noise = op.Neg(
        op.Log(
            op.Neg(op.Log(_random(op, "RandomUniform", size_list(op, x), x.dtype, low=1e-7, high=0.9999999)))
        )
    )
    if not replacement:
        keys = op.Add(op.Log(x), noise)
        return op.TopK(keys, ints(num_samples), axis=rank(x) - 1, _outputs=2)[1]
    last = rank(x) - 1
    reached = op.CumSum(op.Div(x, op.ReduceSum(x, ints(last))), np.array(last))
    drawn = _random(op, "RandomUniform", [*size_list(op, x)[:-1], num_samples], x.dtype, high=0.999999)
    passed = op.Greater(op.Unsqueeze(drawn, ints(last + 1)), op.Unsqueeze(reached, ints(last)))
    return op.ReduceSum(op.Cast(passed, to=7), ints(last + 1), keepdims=0)


@ops.op("aten::empty_permuted", "aten::empty_strided")
def empty_permuted(op, size, physical_layout=None, stride=None, dtype=None):
    return constant_of_shape(op, size, 0, dtype_or(dtype, T.FLOAT))


@ops.op("aten::new_empty_strided")
def new_empty_strided(op, x, size, stride=None, dtype=None):
    return constant_of_shape(op, size, 0, dtype_or(dtype, x.dtype))
