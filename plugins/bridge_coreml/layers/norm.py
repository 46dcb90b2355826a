"""Normalization over batches, channels and positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge_coreml.import_ops.norm import response_norm
from bridge_coreml.layers.common import images, ints, weight

ops = OpTable()


@ops.op("batchnorm")
def batchnorm(op, layer, x):
    p = layer.params
    x, back = images(op, x)
    count = int(p.channels)
    gamma, beta = (op.const(weight(v, [count])) for v in (p.gamma, p.beta))
    epsilon = p.epsilon or 1e-5
    if p.computeMeanVar and p.instanceNormalization:
        return back(op.InstanceNormalization(x, gamma, beta, epsilon=epsilon))
    if p.computeMeanVar:
        return back(op.BatchNormalization(x, gamma, beta, *of_batch(op, x), epsilon=epsilon))
    mean, variance = (op.const(weight(v, [count])) for v in (p.mean, p.variance))
    return back(op.BatchNormalization(x, gamma, beta, mean, variance, epsilon=epsilon))


def of_batch(op: hub.Builder, x: ir.Value) -> tuple[Any, Any]:
    """Mean and variance of each channel over the whole batch."""
    axes = ints([0, 2, 3])
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    return op.ReduceMean(x, axes, keepdims=0), op.ReduceMean(op.Mul(centred, centred), axes, keepdims=0)


@ops.op("mvn")
def mvn(op, layer, x):
    p = layer.params
    axes = ints([-3, -2, -1] if p.acrossChannels else [-2, -1])
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    if not p.normalizeVariance:
        return centred
    spread = op.Sqrt(op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1))
    return op.Div(centred, op.Add(spread, np.float32(p.epsilon or 1e-6)))


@ops.op("l2normalize")
def l2_normalize(op, layer, x):
    total = op.ReduceSum(op.Mul(x, x), ints([-3, -2, -1]), keepdims=1)
    return op.Div(x, op.Sqrt(op.Add(total, np.float32(layer.params.epsilon or 1e-6))))


@ops.op("lrn")
def lrn(op, layer, x):
    p = layer.params
    x, back = images(op, x)
    return back(response_norm(op, x, int(p.localSize), p.alpha, p.beta, p.k or 1.0))


@ops.op("layerNormalization")
def layer_normalization(op, layer, x):
    p = layer.params
    dims = [int(d) for d in p.normalizedShape]
    gamma, beta = (op.const(weight(v, dims)) for v in (p.gamma, p.beta))
    return op.LayerNormalization(x, gamma, beta, axis=-len(dims), epsilon=p.eps or 1e-5)
