"""Tree ensembles → ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.passes.decompose.ml import parting
from bridge_coreml import network
from bridge_coreml.pipeline.common import ML, row

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
LEAF = 6


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
