"""Nearest neighbors → tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml import network
from bridge_coreml.pipeline.common import row


def neighbours(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    """The classes of the nearest samples, each with the same weight or with 1 / distance."""
    x = row(op, inputs, ir.DataType.FLOAT)
    samples = np.array([list(s.vector) for s in held.nearestNeighborsIndex.floatSamples], np.float32)
    classes = list(dict.fromkeys(network.labels(held) or []))
    own = np.array([classes.index(c) for c in network.labels(held) or []])
    apart = op.Sub(op.const(samples[None]), op.Unsqueeze(x, [1]))
    distance = op.ReduceSum(op.Mul(apart, apart), [2], keepdims=0)
    count = min(int(held.numberOfNeighbors.defaultValue), len(samples))
    near, places = op.TopK(distance, np.array([count], np.int64), axis=1, largest=0, _outputs=2)
    votes = op.const(np.eye(len(classes), dtype=np.float32)[own])
    weights = op.Add(op.Mul(near, 0.0), 1.0)
    if held.WhichOneof("WeightingScheme") == "inverseDistanceWeighting":
        weights = op.Reciprocal(op.Add(op.Sqrt(near), 1e-6))
    total = op.ReduceSum(
        op.Mul(op.Gather(votes, places, axis=0), op.Unsqueeze(weights, [2])), [1], keepdims=0
    )
    chances = op.Div(total, op.ReduceSum(total, [1], keepdims=1))
    best = op.ArgMax(chances, axis=1, keepdims=0)
    return op.Gather(network.label_table(op, classes), best, axis=0), chances
