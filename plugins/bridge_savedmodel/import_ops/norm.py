"""Normalization by batch and by neighbouring channels."""

from __future__ import annotations

import numpy as np

from bridge.hub import rank_of
from bridge.importing import ints, to_channels_first, to_channels_last
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import from_data_format, known_rank, to_data_format

ops = OpTable()


@ops.op("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", needs=(known_rank(),))
def batch_norm(op, node, x, scale, offset, mean, variance):
    epsilon = node.get("epsilon")
    source = from_data_format(op, node, x)
    if node.get("is_training"):
        axes = ints(0, *range(2, rank_of(x)))
        centered = op.Sub(source, op.ReduceMean(source, axes))
        mean = op.ReduceMean(source, axes, keepdims=0)
        variance = op.ReduceMean(op.Mul(centered, centered), axes, keepdims=0)
    normalized = op.BatchNormalization(source, scale, offset, mean, variance, epsilon=epsilon)
    reserved = op.const(np.zeros(0, np.float32))
    return [to_data_format(op, node, normalized), mean, variance, mean, variance, reserved]


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
