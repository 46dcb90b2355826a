"""Trees and support vectors → ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.passes.decompose.ml import parting
from bridge_coreml import network

ML = "ai.onnx.ml"
FLOAT = int(ir.DataType.FLOAT)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
LEAF = 6


def row(op: Any, inputs: list[ir.Value], dtype: ir.DataType | None = None) -> Any:
    """All features side by side, [rows, features]: float64 where one of them is more than float32."""
    wide = ir.DataType.FLOAT if {v.dtype for v in inputs} <= {ir.DataType.FLOAT} else ir.DataType.DOUBLE
    to = dtype or wide
    parts = [v if v.dtype == to else op.Cast(v, to=int(to)) for v in inputs]
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=1)


def scores(op: Any, held: Any, x: ir.Value) -> Any:
    """Sums of the leaves of every tree, [rows, dimensions], with the base prediction."""
    trees = held.treeEnsemble
    double = x.dtype == ir.DataType.DOUBLE
    kind = np.float64 if double else np.float32
    nodes = sorted(trees.nodes, key=lambda n: (n.treeId, n.nodeId))
    if not nodes or any(n.nodeBehavior > LEAF for n in nodes):
        raise UnreadableFile("A tree ensemble has no nodes, or nodes of a kind that is not known.")
    values = [0.0 if n.nodeBehavior == LEAF else n.branchFeatureValue for n in nodes]
    if not double:
        values = [
            v if n.nodeBehavior == LEAF else parting(MODES[n.nodeBehavior], v)
            for n, v in zip(nodes, values, strict=True)
        ]
    leaves = [(n, e) for n in nodes if n.nodeBehavior == LEAF for e in n.evaluationInfo]
    base = np.array(trees.basePredictionValue or [0.0] * int(trees.numPredictionDimensions or 1))
    numbers = {
        "nodes_values": np.array(values, kind),
        "target_weights": np.array([e.evaluationValue for _, e in leaves], kind),
        "base_values": base.astype(kind),
    }
    if double:
        held_numbers = {f"{n}_as_tensor": ir.tensor(v) for n, v in numbers.items()}
    else:
        held_numbers = {n: v.tolist() for n, v in numbers.items()}
    return op.TreeEnsembleRegressor(
        x,
        _domain=ML,
        _dtype=ir.DataType.FLOAT,
        _shape=[next(iter(x.shape or [None])), len(base)],
        n_targets=len(base),
        nodes_treeids=[int(n.treeId) for n in nodes],
        nodes_nodeids=[int(n.nodeId) for n in nodes],
        nodes_featureids=[int(n.branchFeatureIndex) for n in nodes],
        nodes_modes=["LEAF" if n.nodeBehavior == LEAF else MODES[n.nodeBehavior] for n in nodes],
        nodes_truenodeids=[int(n.trueChildNodeId) for n in nodes],
        nodes_falsenodeids=[int(n.falseChildNodeId) for n in nodes],
        nodes_missing_value_tracks_true=[int(n.missingValueTracksTrueChild) for n in nodes],
        target_treeids=[int(n.treeId) for n, _ in leaves],
        target_nodeids=[int(n.nodeId) for n, _ in leaves],
        target_ids=[int(e.evaluationIndex) for _, e in leaves],
        **held_numbers,
    )


def transformed(op: Any, how: int, made: Any) -> Any:
    if how == 1:
        return op.Softmax(made, axis=1)
    if how == 2:
        return op.Sigmoid(made)
    if how == 3:
        return op.Softmax(op.Concat(op.Mul(op.Slice(made, [0], [1], [1]), 0.0), made, axis=1), axis=1)
    return made


def tree_regressor(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    return transformed(op, held.postEvaluationTransform, scores(op, held, row(op, inputs)))


def tree_classifier(op: Any, held: Any, inputs: list[ir.Value]) -> Any:
    """A single dimension is the chance of the second class."""
    made = transformed(op, held.postEvaluationTransform, scores(op, held, row(op, inputs)))
    count = len(held.treeEnsemble.basePredictionValue) or int(held.treeEnsemble.numPredictionDimensions or 1)
    if count == 1 and held.postEvaluationTransform != 3:
        made = op.Concat(op.Sub(1.0, made), made, axis=1)
    return network.labelled(op, held, made)


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
