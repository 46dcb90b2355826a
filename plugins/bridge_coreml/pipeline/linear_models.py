"""Generalized linear models → tensor operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml import network
from bridge_coreml.pipeline.common import row


def glm_scores(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    x = row(op, inputs)
    weights = np.array([list(w.value) for w in held.weights]).T
    made = op.MatMul(x, op.const(np.ascontiguousarray(weights).astype(x.dtype.numpy())))
    offset = np.array(held.offset or [0.0]).astype(x.dtype.numpy())
    return op.Add(made, op.const(offset))


def probit(op: Any, x: Any) -> Any:
    """The distribution function of the normal distribution."""
    return op.Mul(op.Add(op.Erf(op.Mul(x, float(np.sqrt(0.5)))), 1.0), 0.5)


def glm_regressor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    made = glm_scores(op, held, inputs)
    return {0: lambda: made, 1: lambda: op.Sigmoid(made), 2: lambda: probit(op, made)}[
        held.postEvaluationTransform
    ]()


def glm_classifier(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    scores = glm_scores(op, held, inputs)
    count = len(network.labels(held) or [])
    if count == 2 and len(held.weights) == 1:
        second = probit(op, scores) if held.postEvaluationTransform == 1 else op.Sigmoid(scores)
        chances = op.Concat(op.Sub(1.0, second), second, axis=1)
    elif held.classEncoding == 0:
        zero = op.Mul(op.Slice(scores, [0], [1], [1]), 0.0)
        chances = op.Softmax(op.Concat(zero, scores, axis=1), axis=1)
    else:
        each = op.Sigmoid(scores)
        chances = op.Div(each, op.ReduceSum(each, [1], keepdims=1))
    return network.labelled(op, held, chances)
