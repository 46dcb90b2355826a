"""Layers: linear, dropout, activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    axis,
    cast,
    multiply_by,
    number,
    rank,
    static_shape,
    swap_last_axes,
)
from bridge_torchscript.values import Unsupported

ops = OpTable()


@ops.op("aten::linear")
def linear(op, x, weight, bias=None):
    columns, expected = x.shape[-1] if x.shape else None, weight.shape[-1] if weight.shape else None
    if isinstance(columns, int) and isinstance(expected, int) and columns != expected:
        raise Unsupported(f"needs {expected} columns, not {columns}; describe the inputs so")
    if rank(x) == 2 and rank(weight) == 2 and (bias is None or rank(bias) == 1):
        return op.Gemm(x, weight, bias, transB=1)
    product = op.MatMul(x, swap_last_axes(op, weight) if rank(weight) > 1 else weight)
    return product if bias is None else op.Add(product, bias)


@ops.op("aten::dropout")
def dropout(op, x, p=0.5, train=False):
    """Dropout; identity unless the module was saved in training mode."""
    if not train or not p:
        return op.Identity(x)
    if p == 1:
        return op.Mul(x, like(op, x))
    return op.Dropout(x, np.array(p, np.float32), np.array(True))


@ops.op("aten::native_dropout")
def native_dropout(op, x, p, train=None):
    if train is not False and p:
        raise Unsupported("drops at random, as in training")
    return op.Identity(x), op.Expand(op.const(np.array(True)), op.Shape(x))


@ops.op("aten::feature_dropout")
def feature_dropout(op, x, p=0.5, train=False):
    """Dropout of whole channels."""
    if not train or not p:
        return op.Identity(x)
    if p == 1:
        return op.Mul(x, like(op, x))
    mask = _keep_mask(op, [*static_shape(x)[:2], *[1] * (rank(x) - 2)], p)
    return op.Mul(x, op.Div(op.Cast(mask, to=int(x.dtype)), number(op, 1 - p, x)))


def _keep_mask(op: Any, shape: list[int], p: float) -> ir.Value:
    return op.Less(op.RandomUniform(shape=shape or [1]), np.array(1 - p, np.float32))


def register_alpha_dropout(name: str, per_channel: bool) -> None:
    @ops.op(f"aten::{name}")
    def drop(op, x, p=0.5, train=False):
        """Dropped elements get the negative limit of SELU; mean and variance are then restored."""
        if not train or not p:
            return op.Identity(x)
        limit = -1.7580993408473766
        a = 1 / math.sqrt((1 - p) * (1 + p * limit**2)) if p < 1 else 0.0
        mask = _keep_mask(
            op, [*static_shape(x)[:2], *[1] * (rank(x) - 2)] if per_channel else static_shape(x), p
        )
        mixed = op.Where(mask, x, number(op, limit, x))
        return op.Add(op.Mul(mixed, number(op, a, x)), number(op, -a * p * limit, x))


register_alpha_dropout("alpha_dropout", False)
register_alpha_dropout("feature_alpha_dropout", True)


@ops.op("aten::relu6")
def relu6(op, x):
    return op.Clip(x, number(op, 0, x), number(op, 6, x))


@ops.op("aten::hardtanh")
def hardtanh(op, x, min_val=-1, max_val=1):
    return op.Clip(x, number(op, min_val, x), number(op, max_val, x))


@ops.op("aten::hardsigmoid")
def hardsigmoid(op, x):
    return op.HardSigmoid(x, alpha=1 / 6, beta=0.5)


@ops.op("aten::leaky_relu")
def leaky_relu(op, x, negative_slope=0.01):
    return op.LeakyRelu(x, alpha=float(negative_slope))


@ops.op("aten::elu")
def elu(op, x, alpha=1, scale=1, input_scale=1):
    inner = (
        op.Elu(multiply_by(op, x, input_scale), alpha=float(alpha))
        if input_scale != 1
        else op.Elu(x, alpha=float(alpha))
    )
    return multiply_by(
        op, inner if input_scale == 1 else op.Where(op.Greater(x, like(op, x)), x, inner), scale
    )


@ops.op("aten::selu")
def selu(op, x):
    return op.Selu(x)


@ops.op("aten::celu")
def celu(op, x, alpha=1.0):
    return op.Celu(x, alpha=float(alpha))


@ops.op("aten::gelu")
def gelu(op, x, approximate="none"):
    return op.Gelu(x, approximate=approximate)


@ops.op("aten::silu")
def silu(op, x):
    return op.Mul(x, op.Sigmoid(x))


@ops.op("aten::softplus")
def softplus(op, x, beta=1, threshold=20):
    result = op.Softplus(multiply_by(op, x, beta))
    result = result if beta == 1 else op.Div(result, number(op, beta, x))
    return op.Where(op.Greater(multiply_by(op, x, beta), number(op, threshold, x)), x, result)


@ops.op("aten::softsign")
def softsign(op, x):
    return op.Softsign(x)


@ops.op("aten::softshrink")
def softshrink(op, x, lambd=0.5):
    return op.Shrink(x, bias=float(lambd), lambd=float(lambd))


@ops.op("aten::hardshrink")
def hardshrink(op, x, lambd=0.5):
    inside = op.LessOrEqual(op.Abs(x), number(op, lambd, x))
    return op.Where(inside, like(op, x), x)


@ops.op("aten::tanhshrink")
def tanhshrink(op, x):
    return op.Sub(x, op.Tanh(x))


@ops.op("aten::threshold")
def threshold(op, x, threshold, value):
    return op.Where(op.LessOrEqual(x, number(op, threshold, x)), number(op, value, x), x)


@ops.op("aten::log_sigmoid")
def log_sigmoid(op, x):
    return op.Neg(op.Softplus(op.Neg(x)))


@ops.op("aten::prelu")
def prelu(op, x, weight):
    if rank(weight) == 1 and rank(x) > 2:
        weight = op.Reshape(weight, ints(-1, *[1] * (rank(x) - 2)))
    return op.Where(
        op.Greater(x, like(op, x)), x, op.Mul(x, weight if rank(x) else op.Reshape(weight, ints()))
    )


@ops.op("aten::_prelu_kernel")
def prelu_kernel(op, x, weight):
    return op.Where(op.Greater(x, like(op, x)), x, op.Mul(x, weight))


@ops.op("aten::rrelu")
def rrelu(op, x, lower=1 / 8, upper=1 / 3, training=False):
    if not training:
        return op.LeakyRelu(x, alpha=(lower + upper) / 2)
    slopes = op.RandomUniform(shape=static_shape(x) or [1], low=float(lower), high=float(upper))
    slopes = slopes if rank(x) else op.Reshape(slopes, ints())
    return op.Where(op.Less(x, like(op, x)), op.Mul(x, slopes), x)


@ops.op("aten::glu")
def glu(op, x, dim=-1):
    a, b = op.Split(x, axis=axis(x, dim), num_outputs=2, _outputs=2)
    return op.Mul(a, op.Sigmoid(b))


@ops.op("aten::native_dropout_backward")
def native_dropout_backward(op, grad_output, mask, scale):
    return op.Mul(op.Mul(grad_output, cast(op, mask, grad_output.dtype)), number(op, scale, grad_output))


@ops.op("aten::multi_margin_loss")
def multi_margin_loss(op, x, target, p=1, margin=1, weight=None, reduction=1):
    """Mean over the classes of max(0, margin - x[target] + x) ** p, but for the target's own."""
    batched = rank(x) == 2
    rows = x if batched else op.Reshape(x, ints(1, -1))
    chosen = op.Reshape(target, ints(-1, 1))
    excess = op.Add(op.Sub(number(op, margin, x), op.GatherElements(rows, chosen, axis=1)), rows)
    excess = op.Pow(op.Max(excess, number(op, 0.0, x)), number(op, p, x))
    if weight is not None:
        excess = op.Mul(excess, op.Gather(weight, chosen))
    classes = op.const(np.arange(static_shape(rows)[1]))
    losses = op.ReduceMean(
        op.Where(op.Equal(classes, chosen), number(op, 0.0, x), excess), ints(1), keepdims=0
    )
    if not reduction:
        return losses if batched else op.Squeeze(losses, ints(0))
    return op.node("ReduceMean" if reduction == 1 else "ReduceSum", losses, ints(0), keepdims=0)
