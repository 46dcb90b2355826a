"""Normalization over batches, channels and positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_coreml.import_ops.norm import response_norm
from bridge_coreml.layers.common import images, weight

ops = OpTable()


@ops.op("batchnorm")
def batchnorm(op, layer, x):
    p = layer.params
    x, restore = images(op, x)
    count = int(p.channels)
    gamma, beta = (op.const(weight(v, [count])) for v in (p.gamma, p.beta))
    epsilon = p.epsilon or 1e-5
    if p.computeMeanVar and p.instanceNormalization:
        return restore(op.InstanceNormalization(x, gamma, beta, epsilon=epsilon))
    if p.computeMeanVar:
        return restore(op.BatchNormalization(x, gamma, beta, *batch_statistics(op, x), epsilon=epsilon))
    mean, variance = (op.const(weight(v, [count])) for v in (p.mean, p.variance))
    return restore(op.BatchNormalization(x, gamma, beta, mean, variance, epsilon=epsilon))


def batch_statistics(op: hub.Builder, x: ir.Value) -> tuple[Any, Any]:
    """Mean and variance per channel over batch and image, each [C]."""
    axes = ints(0, 2, 3)
    centered = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    return op.ReduceMean(x, axes, keepdims=0), op.ReduceMean(op.Mul(centered, centered), axes, keepdims=0)


@ops.op("mvn")
def mvn(op, layer, x):
    p = layer.params
    axes = np.asarray([-3, -2, -1] if p.acrossChannels else [-2, -1], np.int64)
    centered = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    if not p.normalizeVariance:
        return centered
    deviation = op.Sqrt(op.ReduceMean(op.Mul(centered, centered), axes, keepdims=1))
    return op.Div(centered, op.Add(deviation, np.float32(p.epsilon or 1e-6)))


@ops.op("l2normalize")
def l2_normalize(op, layer, x):
    squared_norm = op.ReduceSum(op.Mul(x, x), ints(-3, -2, -1), keepdims=1)
    return op.Div(x, op.Sqrt(op.Add(squared_norm, np.float32(layer.params.epsilon or 1e-6))))


@ops.op("lrn")
def lrn(op, layer, x):
    p = layer.params
    x, restore = images(op, x)
    return restore(response_norm(op, x, int(p.localSize), p.alpha, p.beta, p.k or 1.0))


@ops.op("layerNormalization")
def layer_normalization(op, layer, x):
    p = layer.params
    dims = [int(d) for d in p.normalizedShape]
    gamma, beta = (op.const(weight(v, dims)) for v in (p.gamma, p.beta))
    return op.LayerNormalization(x, gamma, beta, axis=-len(dims), epsilon=p.eps or 1e-5)
