"""Generalized linear models → tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml import network
from bridge_coreml.pipeline.common import feature_matrix


def glm_scores(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    x = feature_matrix(op, inputs)
    weights = np.array([list(w.value) for w in params.weights]).T
    product = op.MatMul(x, op.const(np.ascontiguousarray(weights).astype(x.dtype.numpy())))
    offset = np.array(params.offset or [0.0]).astype(x.dtype.numpy())
    return op.Add(product, op.const(offset))


def probit(op: Any, x: Any) -> Any:
    """Cumulative distribution function of the standard normal distribution."""
    return op.Mul(op.Add(op.Erf(op.Mul(x, float(np.sqrt(0.5)))), 1.0), 0.5)


def glm_regressor(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    scores = glm_scores(op, params, inputs)
    return {0: lambda: scores, 1: lambda: op.Sigmoid(scores), 2: lambda: probit(op, scores)}[
        params.postEvaluationTransform
    ]()


def glm_classifier(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    scores = glm_scores(op, params, inputs)
    count = len(network.class_labels(params) or [])
    if count == 2 and len(params.weights) == 1:
        positive = probit(op, scores) if params.postEvaluationTransform == 1 else op.Sigmoid(scores)
        probabilities = op.Concat(op.Sub(1.0, positive), positive, axis=1)
    elif params.classEncoding == 0:
        zero = op.Mul(op.Slice(scores, [0], [1], [1]), 0.0)
        probabilities = op.Softmax(op.Concat(zero, scores, axis=1), axis=1)
    else:
        sigmoids = op.Sigmoid(scores)
        probabilities = op.Div(sigmoids, op.ReduceSum(sigmoids, [1], keepdims=1))
    return network.label_and_scores(op, params, probabilities)
