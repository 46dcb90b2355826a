"""Support vector machines → ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_coreml import network
from bridge_coreml.pipeline.common import ML, row


def kernel(held: Any) -> dict[str, Any]:
    which = held.kernel.WhichOneof("kernel")
    k = getattr(held.kernel, which)
    names = {"linearKernel": "LINEAR", "rbfKernel": "RBF", "polyKernel": "POLY", "sigmoidKernel": "SIGMOID"}
    parameters = {
        "linearKernel": [0.0, 0.0, 0.0],
        "rbfKernel": [getattr(k, "gamma", 0.0), 0.0, 0.0],
        "polyKernel": [getattr(k, "gamma", 0.0), getattr(k, "c", 0.0), float(getattr(k, "degree", 0))],
        "sigmoidKernel": [getattr(k, "gamma", 0.0), getattr(k, "c", 0.0), 0.0],
    }
    return {"kernel_type": names[which], "kernel_params": parameters[which]}


def supports(held: Any, count: int) -> np.ndarray:
    """Support vectors, [vectors, features]."""
    if held.WhichOneof("supportVectors") == "denseSupportVectors":
        return np.array([list(v.values) for v in held.denseSupportVectors.vectors], np.float32)
    vectors = held.sparseSupportVectors.vectors
    width = max([count, *(n.index for v in vectors for n in v.nodes)])
    made = np.zeros((len(vectors), width), np.float32)
    for i, vector in enumerate(vectors):
        for node in vector.nodes:
            if node.index < 1:
                raise UnreadableFile("A support vector counts its features from below 1.")
            made[i, node.index - 1] = node.value
    return made


def width_of(x: ir.Value) -> int:
    last = x.shape[-1] if x.shape is not None else None
    return last if isinstance(last, int) else 0


def vector_regressor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    x = row(op, inputs, ir.DataType.FLOAT)
    return machine(op, held, x, held.coefficients.alpha, held.rho)


def machine(op: Any, held: Any, x: ir.Value, alpha: Any, rho: float) -> Any:
    """The weighted sum over the support vectors, less rho: [rows, 1]."""
    vectors = supports(held, width_of(x))
    return op.SVMRegressor(
        x,
        _domain=ML,
        _dtype=ir.DataType.FLOAT,
        _shape=[next(iter(x.shape or [None])), 1],
        coefficients=[float(a) for a in alpha],
        support_vectors=vectors.ravel().tolist(),
        n_supports=len(vectors),
        rho=[-float(rho)],
        **kernel(held),
    )


def pair(op: Any, held: Any, x: ir.Value) -> Any:
    """Probabilities of two classes, [rows, 2]: a logistic curve over the one machine there is, where ONNX's
    operator iterates."""
    decision = machine(op, held, x, held.coefficients[0].alpha, held.rho[0])
    place = op.Add(op.Mul(decision, float(held.probA[0])), float(held.probB[0]))
    return op.Concat(op.Sigmoid(op.Neg(place)), op.Sigmoid(place), axis=1)


def vector_classifier(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    x = row(op, inputs, ir.DataType.FLOAT)
    classes = network.labels(held) or []
    text = bool(classes) and isinstance(classes[0], str)
    if len(classes) == 2 and len(held.probA) == 1:
        return network.labelled(op, held, pair(op, held, x))
    named = {"classlabels_strings" if text else "classlabels_ints": classes}
    if held.probA:
        named |= {"prob_a": list(held.probA), "prob_b": list(held.probB)}
    label, chances = op.SVMClassifier(
        x,
        _domain=ML,
        _outputs=2,
        coefficients=[float(a) for c in held.coefficients for a in c.alpha],
        support_vectors=supports(held, width_of(x)).ravel().tolist(),
        vectors_per_class=[int(v) for v in held.numberOfSupportVectorsPerClass],
        rho=[-float(r) for r in held.rho],
        **named,
        **kernel(held),
    )
    label.type, chances.type = (
        ir.TensorType(ir.DataType.STRING if text else ir.DataType.INT64),
        ir.TensorType(ir.DataType.FLOAT),
    )
    return label, chances
