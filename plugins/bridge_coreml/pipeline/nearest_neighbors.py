"""Nearest neighbors → tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml import network
from bridge_coreml.pipeline.common import feature_matrix


def nearest_neighbors(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    """Vote of the nearest samples, each with weight 1 or 1 / distance; returns labels [rows] and
    probabilities [rows, classes]."""
    x = feature_matrix(op, inputs, ir.DataType.FLOAT)
    samples = np.array([list(s.vector) for s in params.nearestNeighborsIndex.floatSamples], np.float32)
    classes = list(dict.fromkeys(network.class_labels(params) or []))
    class_indices = np.array([classes.index(c) for c in network.class_labels(params) or []])
    differences = op.Sub(op.const(samples[None]), op.Unsqueeze(x, [1]))
    distance = op.ReduceSum(op.Mul(differences, differences), [2], keepdims=0)
    count = min(int(params.numberOfNeighbors.defaultValue), len(samples))
    distances, neighbors = op.TopK(distance, np.array([count], np.int64), axis=1, largest=0, _outputs=2)
    votes = op.const(np.eye(len(classes), dtype=np.float32)[class_indices])
    weights = op.Add(op.Mul(distances, 0.0), 1.0)
    if params.WhichOneof("WeightingScheme") == "inverseDistanceWeighting":
        weights = op.Reciprocal(op.Add(op.Sqrt(distances), 1e-6))
    votes_by_class = op.ReduceSum(
        op.Mul(op.Gather(votes, neighbors, axis=0), op.Unsqueeze(weights, [2])), [1], keepdims=0
    )
    probabilities = op.Div(votes_by_class, op.ReduceSum(votes_by_class, [1], keepdims=1))
    best_class = op.ArgMax(probabilities, axis=1, keepdims=0)
    return op.Gather(network.label_table(op, classes), best_class, axis=0), probabilities
