"""Normalization and losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import shape_of
from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, in_float32, wide
from bridge.passes.decompose.nn import centre
from bridge_torchscript.import_ops.common import (
    T,
    axis,
    cast,
    constant_of_shape,
    dims_of,
    number,
    promote,
    promoting,
    rank,
    static_value,
)
from bridge_torchscript.import_ops.math import log1p
from bridge_torchscript.import_ops.reduce import norm_of
from bridge_torchscript.import_ops.tensor import size_list
from bridge_torchscript.values import Unsupported

ops = OpTable()


def copy_type(result: ir.Value, x: ir.Value) -> ir.Value:
    """Copy shape and type of `x` to a result that shape inference leaves unknown."""
    result.shape, result.type = result.shape or x.shape, result.type or x.type
    return result


def _channel_parameter(op: Any, value: Any, x: ir.Value, fallback: float) -> ir.Value:
    """Parameter per channel; filled with `fallback` if absent."""
    return constant_of_shape(op, [size_list(op, x)[1]], fallback, x.dtype) if value is None else value


def statistics(
    op: Any, x: ir.Value, axes: Iterable[int], eps: float, keepdims: int = 0
) -> tuple[ir.Value, ir.Value]:
    """Mean and inverse deviation along `axes`."""

    def compute(v: ir.Value) -> tuple[ir.Value, ...]:
        _, variance, mean = centre(op, v, list(axes))
        results = mean, op.Reciprocal(op.Sqrt(op.Add(variance, number(op, eps, v))))
        return results if keepdims else tuple(op.Squeeze(r, ints(*axes)) for r in results)

    return in_float32(op, x, compute)


@ops.op("aten::batch_norm")
def batch_norm(
    op, x, weight=None, bias=None, running_mean=None, running_var=None, training=False, momentum=0.1, eps=1e-5
):
    if 0 in (shape_of(x) or []):
        return op.Identity(x)
    scale, offset = _channel_parameter(op, weight, x, 1.0), _channel_parameter(op, bias, x, 0.0)
    if training or running_mean is None:
        return in_float32(op, x, lambda v: _of_batch(op, v, wide(op, scale), wide(op, offset), eps))
    return op.BatchNormalization(x, scale, offset, running_mean, running_var, epsilon=eps)


def _of_batch(op: Any, x: ir.Value, scale: ir.Value, offset: ir.Value, eps: float) -> ir.Value:
    """Channels normalized over the batch."""
    centred, variance, _ = centre(op, x, [0, *range(2, rank(x))])
    normal = op.Div(centred, op.Sqrt(op.Add(variance, number(op, eps, x))))
    return op.Add(op.Mul(normal, along(op, scale, 1, rank(x))), along(op, offset, 1, rank(x)))


@ops.op("aten::instance_norm")
def instance_norm(
    op,
    x,
    weight=None,
    bias=None,
    running_mean=None,
    running_var=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    if not use_input_stats:
        return batch_norm(op, x, weight, bias, running_mean, running_var, False, momentum, eps)
    return op.InstanceNormalization(
        x, _channel_parameter(op, weight, x, 1.0), _channel_parameter(op, bias, x, 0.0), epsilon=eps
    )


@ops.op("aten::layer_norm")
def layer_norm(op, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    shape = [int(static_value(s, "normalized_shape")) for s in normalized_shape]
    scale = constant_of_shape(op, shape, 1.0, x.dtype) if weight is None else weight
    return op.LayerNormalization(x, scale, bias, axis=-len(shape), epsilon=eps)


@ops.op("aten::native_layer_norm")
def native_layer_norm(op, x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = range(rank(x) - len(normalized_shape), rank(x))
    return layer_norm(op, x, normalized_shape, weight, bias, eps), *statistics(op, x, axes, eps, 1)


@ops.op("aten::rms_norm")
def rms_norm(op, x, normalized_shape, weight=None, eps=None):
    shape = [int(static_value(s, "normalized_shape")) for s in normalized_shape]
    scale = constant_of_shape(op, shape, 1.0, x.dtype) if weight is None else weight
    eps = float(np.finfo(x.dtype.numpy()).eps) if eps is None else eps
    return copy_type(op.RMSNormalization(x, scale, axis=-len(shape), epsilon=eps), x)


@ops.op("aten::group_norm")
def group_norm(op, x, num_groups, weight=None, bias=None, eps=1e-5):
    if 0 in (shape_of(x) or []):
        return op.Identity(x)
    result = op.GroupNormalization(
        x,
        _channel_parameter(op, weight, x, 1.0),
        _channel_parameter(op, bias, x, 0.0),
        num_groups=num_groups,
        epsilon=eps,
    )
    return copy_type(result, x)


@ops.op("aten::native_batch_norm", "aten::_native_batch_norm_legit")
def native_batch_norm(
    op,
    x,
    weight=None,
    bias=None,
    running_mean=None,
    running_var=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
    eval=False,
):
    """Batch normalization; also the mean and inverse deviation it used, empty outside training."""
    if training:
        saved_mean, rstd = statistics(op, x, [0, *range(2, rank(x))], eps)
    else:
        saved_mean = rstd = op.const(np.zeros(0, x.dtype.numpy()))
    return (
        batch_norm(op, x, weight, bias, running_mean, running_var, training, momentum, eps),
        saved_mean,
        rstd,
    )


@ops.op("aten::_native_batch_norm_legit_no_training")
def native_batch_norm_no_training(op, x, weight, bias, running_mean, running_var, momentum, eps):
    return native_batch_norm(op, x, weight, bias, running_mean, running_var, False, momentum, eps)


@ops.op("aten::native_group_norm")
def native_group_norm(op, x, weight, bias, N, C, HxW, group, eps):
    flat = op.Reshape(x, ints(N, group, int(C) * int(HxW) // int(group)), allowzero=1)
    mean, rstd = statistics(op, flat, [2], eps)
    return group_norm(op, x, group, weight, bias, eps), mean, rstd


@ops.op("aten::local_response_norm")
def local_response_norm(op, x, size, alpha=1e-4, beta=0.75, k=1.0):
    return op.LRN(x, size=size, alpha=alpha, beta=beta, bias=k)


def reduce_loss(op: Any, loss: ir.Value, reduction: int) -> ir.Value:
    """Losses unreduced (0), their mean (1), or their sum (2): torch.nn._reduction."""
    if reduction == 0:
        return op.Identity(loss)
    return (
        op.node("ReduceMean" if reduction == 1 else "ReduceSum", loss, keepdims=0)
        if rank(loss)
        else op.Identity(loss)
    )


def loss(name: str, like_x: bool = False) -> Callable:
    """Register the decorated formula of predictions and targets as torch's loss `name`, in the dtype of the
    predictions if `like_x`.
    """

    def register(formula: Callable[[Any, ir.Value, ir.Value], ir.Value]) -> Callable:
        @ops.op(f"aten::{name}")
        def compute(op, x, target, reduction=1):
            losses = formula(op, *promote(op, x, target))
            return reduce_loss(op, cast(op, losses, x.dtype) if like_x else losses, reduction)

        return formula

    return register


@loss("mse_loss")
def mse(op: Any, x: ir.Value, target: ir.Value) -> ir.Value:
    gap = op.Sub(x, target)
    return op.Mul(gap, gap)


@loss("l1_loss")
def l1(op: Any, x: ir.Value, target: ir.Value) -> ir.Value:
    return op.Abs(op.Sub(x, target))


@loss("soft_margin_loss", like_x=True)
def soft_margin(op: Any, x: ir.Value, target: ir.Value) -> ir.Value:
    return op.Log(op.Add(op.Exp(op.Neg(op.Mul(target, x))), number(op, 1.0, x)))


@ops.op("aten::smooth_l1_loss")
@promoting("x", "target")
def smooth_l1(op, x, target, reduction=1, beta=1.0):
    gap = op.Abs(op.Sub(x, target))
    if not beta:
        return reduce_loss(op, gap, reduction)
    bound = number(op, beta, x)
    quadratic = op.Div(op.Mul(op.Mul(gap, gap), number(op, 0.5, x)), bound)
    linear = op.Sub(gap, number(op, 0.5 * beta, x))
    return reduce_loss(op, op.Where(op.Less(gap, bound), quadratic, linear), reduction)


@ops.op("aten::huber_loss")
def huber(op, x, target, reduction=1, delta=1.0):
    gap = cast(op, op.Abs(op.Sub(*promote(op, x, target))), x.dtype)
    bound = number(op, delta, x)
    quadratic = op.Mul(op.Mul(gap, gap), number(op, 0.5, x))
    linear = op.Mul(op.Sub(gap, number(op, 0.5 * delta, x)), bound)
    return reduce_loss(op, op.Where(op.LessOrEqual(gap, bound), quadratic, linear), reduction)


@ops.op("aten::binary_cross_entropy")
def binary_cross_entropy(op, x, target, weight=None, reduction=1):
    target = cast(op, target, x.dtype)
    floor, one = number(op, -100.0, x), number(op, 1.0, x)
    hit, miss = op.Max(op.Log(x), floor), op.Max(op.Log(op.Sub(one, x)), floor)
    losses = op.Neg(op.Add(op.Mul(target, hit), op.Mul(op.Sub(one, target), miss)))
    losses = losses if weight is None else op.Mul(losses, cast(op, weight, x.dtype))
    return reduce_loss(op, losses, reduction)


@ops.op("aten::binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(op, x, target, weight=None, pos_weight=None, reduction=1):
    x, pos_weight, weight = (v if v is None else cast(op, v, target.dtype) for v in (x, pos_weight, weight))
    one = number(op, 1.0, x)
    tail = op.Add(log1p(op, op.Exp(op.Neg(op.Abs(x)))), op.Max(op.Neg(x), like(op, x)))
    if pos_weight is not None:
        tail = op.Mul(tail, op.Add(op.Mul(op.Sub(pos_weight, one), target), one))
    losses = op.Add(op.Mul(op.Sub(one, target), x), tail)
    return reduce_loss(op, losses if weight is None else op.Mul(losses, weight), reduction)


@ops.op("aten::kl_div")
@promoting("x", "target")
def kl_div(op, x, target, reduction=1, log_target=False):
    if log_target:
        return reduce_loss(op, op.Mul(op.Exp(target), op.Sub(target, x)), reduction)
    cross = op.Mul(target, x)
    entropy = op.Where(op.Equal(target, like(op, target)), like(op, target), op.Mul(target, op.Log(target)))
    return reduce_loss(op, op.Sub(entropy, cross), reduction)


@ops.op("aten::poisson_nll_loss")
@promoting("x", "target")
def poisson_nll(op, x, target, log_input, full, eps, reduction):
    if log_input:
        losses = op.Sub(op.Exp(x), op.Mul(target, x))
    else:
        losses = op.Sub(x, op.Mul(target, op.Log(op.Add(x, number(op, eps, x)))))
    if full:
        positive = op.Where(op.Greater(target, number(op, 1.0, x)), target, number(op, 1.0, x))
        log_term = op.Mul(op.Log(op.Mul(positive, number(op, 2 * math.pi, x))), number(op, 0.5, x))
        stirling = op.Add(op.Sub(op.Mul(positive, op.Log(positive)), positive), log_term)
        losses = op.Add(losses, op.Where(op.Greater(target, number(op, 1.0, x)), stirling, like(op, x)))
    return reduce_loss(op, losses, reduction)


@ops.op("aten::hinge_embedding_loss")
def hinge_embedding(op, x, target, margin=1.0, reduction=1):
    one = number(op, 1, target)
    away = op.Max(op.Sub(number(op, margin, x), x), like(op, x))
    first = op.Where(op.Equal(target, one), like(op, x), away)
    second = op.Where(op.Equal(target, op.Neg(one)), like(op, x), x)
    return reduce_loss(op, op.Add(first, second), reduction)


@ops.op("aten::margin_ranking_loss")
@promoting("input1", "input2", "target")
def margin_ranking(op, input1, input2, target, margin=0.0, reduction=1):
    losses = op.Add(op.Mul(op.Neg(target), op.Sub(input1, input2)), number(op, margin, input1))
    return reduce_loss(op, op.Max(losses, like(op, losses)), reduction)


@ops.op("aten::cosine_similarity")
@promoting("x1", "x2")
def cosine_similarity(op, x1, x2, dim=1, eps=1e-8):
    if x1.shape != x2.shape:
        shape = shape_tensor(op, op.Add(x1, x2))
        x1, x2 = op.Expand(x1, shape), op.Expand(x2, shape)
    one, two = (norm_of(op, v, 2, [dim], True) for v in (x1, x2))
    bound = number(op, eps, x1)
    a, b = op.Div(x1, op.Max(one, bound)), op.Div(x2, op.Max(two, bound))
    product = op.Mul(a, b)
    return op.ReduceSum(product, ints(axis(product, dim)), keepdims=0) if rank(product) else product


@ops.op("aten::cosine_embedding_loss")
@promoting("input1", "input2")
def cosine_embedding(op, input1, input2, target, margin=0.0, reduction=1):
    """Cosine embedding loss, with torch's epsilon inside the norms."""
    last = ints(rank(input1) - 1)
    tiny = number(op, 1e-12, input1)

    def dot(a: Any, b: Any) -> Any:
        return op.ReduceSum(op.Mul(a, b), last, keepdims=0)

    denominator = op.Sqrt(op.Mul(op.Add(dot(input1, input1), tiny), op.Add(dot(input2, input2), tiny)))
    cosine = op.Div(dot(input1, input2), denominator)
    nothing, one = like(op, cosine), number(op, 1, target)
    near = op.Sub(number(op, 1.0, cosine), cosine)
    far = op.Max(op.Sub(cosine, number(op, margin, cosine)), nothing)
    first = op.Where(op.Equal(target, one), near, nothing)
    return reduce_loss(op, op.Add(first, op.Where(op.Equal(target, op.Neg(one)), far, nothing)), reduction)


@ops.op("aten::pairwise_distance")
@promoting("x1", "x2")
def pairwise_distance(op, x1, x2, p=2, eps=1e-6, keepdim=False):
    gap = op.Add(op.Sub(x1, x2), number(op, eps, x1))
    return norm_of(op, gap, p, [-1], keepdim)


@ops.op("aten::triplet_margin_loss")
@promoting("anchor", "positive", "negative")
def triplet_margin(op, anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, reduction=1):
    near, far = (
        pairwise_distance(op, anchor, positive, p, eps),
        pairwise_distance(op, anchor, negative, p, eps),
    )
    if swap:
        far = op.Min(far, pairwise_distance(op, positive, negative, p, eps))
    losses = op.Add(op.Sub(near, far), number(op, margin, near))
    return reduce_loss(op, op.Max(losses, like(op, losses)), reduction)


LOSS_REDUCTIONS = {0: "none", 1: "mean", 2: "sum"}


@ops.op("aten::nll_loss", "aten::nll_loss_nd", "aten::nll_loss2d")
def nll_loss(op, x, target, weight=None, reduction=1, ignore_index=-100):
    is_unbatched = rank(x) == 1
    if is_unbatched:
        x, target = op.Unsqueeze(x, ints(0)), op.Unsqueeze(target, ints(0))
    result = op.NegativeLogLikelihoodLoss(
        x, target, weight, reduction=LOSS_REDUCTIONS[reduction], ignore_index=ignore_index
    )
    return op.Reshape(result, ints()) if is_unbatched else result


def _soft_cross_entropy(
    op: Any,
    x: ir.Value,
    scores: ir.Value,
    target: ir.Value,
    weight: Any,
    reduction: int,
    smoothing: float,
    at: int,
) -> ir.Value:
    if smoothing:
        probabilities = op.Add(
            op.Mul(target, number(op, 1 - smoothing, x)), number(op, smoothing / int(dims_of(x)[at]), x)
        )
    else:
        probabilities = target
    losses = op.Neg(op.Mul(*promote(op, scores, probabilities)))
    if weight is not None:
        losses = op.Mul(losses, op.Reshape(weight, ints(-1, *[1] * (rank(x) - 1 - at))))
    summed = op.ReduceSum(losses, ints(at), keepdims=0)
    if reduction != 1:
        return reduce_loss(op, summed, reduction)
    return op.ReduceMean(summed, keepdims=0) if rank(summed) else op.Identity(summed)


@ops.op("aten::cross_entropy_loss")
def cross_entropy(op, x, target, weight=None, reduction=1, ignore_index=-100, label_smoothing=0.0):
    at = 1 if rank(x) > 1 else 0
    scores = op.LogSoftmax(x, axis=at)
    if target.dtype in (T.FLOAT, T.DOUBLE):
        return _soft_cross_entropy(op, x, scores, target, weight, reduction, label_smoothing, at)
    if label_smoothing:
        raise Unsupported("reads smoothed labels of probabilities alone")
    return nll_loss(op, scores, target, weight, reduction, ignore_index)


@ops.op("aten::normalize")
def normalize(op, x, p=2.0, dim=1, eps=1e-12):
    return op.Div(x, op.Max(norm_of(op, x, p, [dim], True), number(op, eps, x)))


@ops.op("aten::_weight_norm")
def weight_norm(op, v, g, dim=0):
    """`v` at the length `g` along all other dimensions."""
    others = [i for i in range(rank(v)) if i != axis(v, dim)] if dim != -1 else None
    return op.Mul(v, op.Div(g, norm_of(op, v, 2, others, True)))
