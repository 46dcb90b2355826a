"""Normalization by batch and by neighbouring channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import ints, to_channels_first, to_channels_last
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, like, wide
from bridge.passes.decompose.nn import centre
from bridge_savedmodel.import_ops.common import from_data_format, known_rank, to_data_format

ops = OpTable()


@ops.op("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", needs=(known_rank(),))
def batch_norm(op, node, x, scale, offset, mean, variance):
    source, reserved = from_data_format(op, node, x), op.const(np.zeros(0, np.float32))
    if not node.get("is_training"):
        y = op.BatchNormalization(source, scale, offset, mean, variance, epsilon=node.get("epsilon"))
        return [to_data_format(op, node, y), mean, variance, mean, variance, reserved]
    y, batch_mean, batch_variance = _of_batch(op, source, scale, offset, node.get("epsilon"))
    count = op.Cast(op.Div(op.Size(source), op.Size(scale)), to=int(batch_variance.dtype))
    unbiased = op.Mul(batch_variance, op.Div(count, op.Max(op.Sub(count, 1.0), 1.0)))
    share, kept = node.get("exponential_avg_factor"), [batch_mean, unbiased]
    if share != 1:
        pairs = zip((mean, variance), kept, strict=True)
        kept = [op.Add(op.Mul(old, 1 - share), op.Mul(new, share)) for old, new in pairs]
    return [to_data_format(op, node, y), *kept, batch_mean, batch_variance, reserved]


def _of_batch(op: Any, x: Any, scale: Any, offset: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Images normalized over the batch, channels first, and the mean and variance of each channel."""
    rank = rank_of(x)
    axes = [0, *range(2, rank)]
    centred, variance, mean = centre(op, wide(op, x), axes)
    normal = op.Div(centred, op.Sqrt(op.Add(variance, epsilon)))
    y = op.Add(op.Mul(normal, along(op, scale, 1, rank)), along(op, offset, 1, rank))
    return like(op, y, x), op.Squeeze(mean, ints(*axes)), op.Squeeze(variance, ints(*axes))


@ops.op("BatchNormWithGlobalNormalization")
def older_batch_norm(op, node, x, mean, variance, shift, scale):
    """Batch normalization with channels last, of the earliest TensorFlow graphs."""
    factor = op.Reciprocal(op.Sqrt(op.Add(variance, float(node.get("variance_epsilon")))))
    factor = op.Mul(factor, scale) if node.get("scale_after_normalization") else factor
    return op.Add(op.Mul(op.Sub(x, mean), factor), shift)


@ops.op("LRN", needs=(known_rank(),))
def lrn(op, node, x):
    size = 2 * node.get("depth_radius") + 1
    normalized = op.LRN(
        to_channels_first(op, x),
        size=size,
        alpha=node.get("alpha") * size,
        beta=node.get("beta"),
        bias=node.get("bias"),
    )
    return to_channels_last(op, normalized)
