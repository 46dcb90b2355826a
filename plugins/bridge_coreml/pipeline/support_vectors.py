"""Support vector machines → ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_coreml import network
from bridge_coreml.pipeline.common import ML, feature_matrix


def kernel_attributes(params: Any) -> dict[str, Any]:
    kernel = params.kernel.WhichOneof("kernel")
    k = getattr(params.kernel, kernel)
    names = {"linearKernel": "LINEAR", "rbfKernel": "RBF", "polyKernel": "POLY", "sigmoidKernel": "SIGMOID"}
    parameters = {
        "linearKernel": [0.0, 0.0, 0.0],
        "rbfKernel": [getattr(k, "gamma", 0.0), 0.0, 0.0],
        "polyKernel": [getattr(k, "gamma", 0.0), getattr(k, "c", 0.0), float(getattr(k, "degree", 0))],
        "sigmoidKernel": [getattr(k, "gamma", 0.0), getattr(k, "c", 0.0), 0.0],
    }
    return {"kernel_type": names[kernel], "kernel_params": parameters[kernel]}


def support_vectors(params: Any, count: int) -> np.ndarray:
    """Support vectors, [vectors, features]."""
    if params.WhichOneof("supportVectors") == "denseSupportVectors":
        return np.array([list(v.values) for v in params.denseSupportVectors.vectors], np.float32)
    vectors = params.sparseSupportVectors.vectors
    width = max([count, *(n.index for v in vectors for n in v.nodes)])
    matrix = np.zeros((len(vectors), width), np.float32)
    for i, vector in enumerate(vectors):
        for node in vector.nodes:
            if node.index < 1:
                raise UnreadableFile("A support vector counts its features from below 1.")
            matrix[i, node.index - 1] = node.value
    return matrix


def feature_count(x: ir.Value) -> int:
    last = x.shape[-1] if x.shape is not None else None
    return last if isinstance(last, int) else 0


def vector_regressor(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    x = feature_matrix(op, inputs, ir.DataType.FLOAT)
    return decision_value(op, params, x, params.coefficients.alpha, params.rho)


def decision_value(op: Any, params: Any, x: ir.Value, alpha: Any, rho: float) -> Any:
    """Decision function, [rows, 1]: sum of alpha_i * K(x, v_i), minus rho."""
    vectors = support_vectors(params, feature_count(x))
    return op.SVMRegressor(
        x,
        _domain=ML,
        _dtype=ir.DataType.FLOAT,
        _shape=[next(iter(x.shape or [None])), 1],
        coefficients=[float(a) for a in alpha],
        support_vectors=vectors.ravel().tolist(),
        n_supports=len(vectors),
        rho=[-float(rho)],
        **kernel_attributes(params),
    )


def binary_probabilities(op: Any, params: Any, x: ir.Value) -> Any:
    """Probabilities of two classes, [rows, 2], by Platt's logistic function of the one decision value; ONNX's
    operator iterates instead."""
    score = decision_value(op, params, x, params.coefficients[0].alpha, params.rho[0])
    logit = op.Add(op.Mul(score, float(params.probA[0])), float(params.probB[0]))
    return op.Concat(op.Sigmoid(op.Neg(logit)), op.Sigmoid(logit), axis=1)


def vector_classifier(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    x = feature_matrix(op, inputs, ir.DataType.FLOAT)
    classes = network.class_labels(params) or []
    is_text = bool(classes) and isinstance(classes[0], str)
    if len(classes) == 2 and len(params.probA) == 1:
        return network.label_and_scores(op, params, binary_probabilities(op, params, x))
    attributes = {"classlabels_strings" if is_text else "classlabels_ints": classes}
    if params.probA:
        attributes |= {"prob_a": list(params.probA), "prob_b": list(params.probB)}
    label, probabilities = op.SVMClassifier(
        x,
        _domain=ML,
        _outputs=2,
        coefficients=[float(a) for c in params.coefficients for a in c.alpha],
        support_vectors=support_vectors(params, feature_count(x)).ravel().tolist(),
        vectors_per_class=[int(v) for v in params.numberOfSupportVectorsPerClass],
        rho=[-float(r) for r in params.rho],
        **attributes,
        **kernel_attributes(params),
    )
    label.type, probabilities.type = (
        ir.TensorType(ir.DataType.STRING if is_text else ir.DataType.INT64),
        ir.TensorType(ir.DataType.FLOAT),
    )
    return label, probabilities
