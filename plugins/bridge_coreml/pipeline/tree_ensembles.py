"""Tree ensembles → ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.classical.trees import MODES
from bridge.errors import UnreadableFile
from bridge.passes.decompose.ml import parting
from bridge_coreml import network
from bridge_coreml.pipeline.common import ML, feature_matrix

LEAF = 6


def tree_scores(op: Any, params: Any, x: ir.Value) -> Any:
    """Sum of leaf values over all trees plus the base prediction, [rows, dimensions]."""
    trees = params.treeEnsemble
    is_double = x.dtype == ir.DataType.DOUBLE
    dtype = np.float64 if is_double else np.float32
    below = {(n.treeId, n.trueChildNodeId) for n in trees.nodes if n.nodeBehavior != LEAF}
    below |= {(n.treeId, n.falseChildNodeId) for n in trees.nodes if n.nodeBehavior != LEAF}
    # A tree's root comes first, which no other node leads to
    nodes = sorted(trees.nodes, key=lambda n: (n.treeId, (n.treeId, n.nodeId) in below, n.nodeId))
    if not nodes or any(n.nodeBehavior > LEAF for n in nodes):
        raise UnreadableFile("A tree ensemble has no nodes, or nodes of a kind that is not known.")
    values = [0.0 if n.nodeBehavior == LEAF else n.branchFeatureValue for n in nodes]
    if not is_double:
        values = [
            v if n.nodeBehavior == LEAF else parting(MODES[n.nodeBehavior], v)
            for n, v in zip(nodes, values, strict=True)
        ]
    leaves = [(n, e) for n in nodes if n.nodeBehavior == LEAF for e in n.evaluationInfo]
    base = np.array(trees.basePredictionValue or [0.0] * int(trees.numPredictionDimensions or 1))
    arrays = {
        "nodes_values": np.array(values, dtype),
        "target_weights": np.array([e.evaluationValue for _, e in leaves], dtype),
        "base_values": base.astype(dtype),
    }
    if is_double:
        attributes = {f"{n}_as_tensor": ir.tensor(v) for n, v in arrays.items()}
    else:
        attributes = {n: v.tolist() for n, v in arrays.items()}
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
        **attributes,
    )


def apply_transform(op: Any, transform: int, scores: Any) -> Any:
    if transform == 1:
        return op.Softmax(scores, axis=1)
    if transform == 2:
        return op.Sigmoid(scores)
    if transform == 3:
        return op.Softmax(op.Concat(op.Mul(op.Slice(scores, [0], [1], [1]), 0.0), scores, axis=1), axis=1)
    return scores


def tree_regressor(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    return apply_transform(
        op, params.postEvaluationTransform, tree_scores(op, params, feature_matrix(op, inputs))
    )


def tree_classifier(op: Any, params: Any, inputs: list[ir.Value]) -> Any:
    """Tree classifier; a single dimension is the probability of the second class."""
    scores = apply_transform(
        op, params.postEvaluationTransform, tree_scores(op, params, feature_matrix(op, inputs))
    )
    count = len(params.treeEnsemble.basePredictionValue) or int(
        params.treeEnsemble.numPredictionDimensions or 1
    )
    if count == 1 and params.postEvaluationTransform != 3:
        scores = op.Concat(op.Sub(1.0, scores), scores, axis=1)
    return network.label_and_scores(op, params, scores)
