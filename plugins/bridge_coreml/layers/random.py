"""Random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import as_int64
from bridge.ops import OpTable
from bridge_coreml.import_ops.random import sample_categorical
from bridge_coreml.layers.common import FLOAT

ops = OpTable()


def random_numbers(op: hub.Builder, layer: Any, like: ir.Value) -> Any:
    p = layer.params
    seed = None if p.seed < 0 else float(p.seed)
    if "Normal" in layer.kind:
        return op.RandomNormalLike(like, mean=p.mean, scale=p.stdDev, seed=seed)
    if "Uniform" in layer.kind:
        return op.RandomUniformLike(like, low=p.minVal, high=p.maxVal, seed=seed)
    return op.Bernoulli(op.Add(op.Mul(like, 0.0), p.prob), seed=seed)


@ops.op("randomNormalLike", "randomUniformLike", "randomBernoulliLike")
def random_like(op, layer, like):
    return random_numbers(op, layer, like)


@ops.op("randomNormalStatic", "randomUniformStatic", "randomBernoulliStatic")
def random_static(op, layer):
    like = op.Expand(op.const(np.float32(0)), np.asarray(layer.params.outputShape, np.int64))
    return random_numbers(op, layer, like)


@ops.op("randomNormalDynamic", "randomUniformDynamic", "randomBernoulliDynamic")
def random_dynamic(op, layer, shape):
    return random_numbers(op, layer, op.Expand(op.const(np.float32(0)), as_int64(op, shape)))


@ops.op("categoricalDistribution")
def categorical(op, layer, x):
    p = layer.params
    logits = x if p.isLogits else op.Log(op.Add(x, np.float32(p.eps or 1e-10)))
    logits = op.Div(logits, p.temperature) if p.temperature not in (0.0, 1.0) else logits
    return op.Cast(
        sample_categorical(op, logits, int(p.numSamples), None if p.seed < 0 else float(p.seed)), to=FLOAT
    )
