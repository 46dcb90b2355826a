"""HistGradientBoosting models → hub, in double: their converter does not run with current protobuf."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, Unwritten, labelled

LOGARITHMIC = ("HalfPoissonLoss", "HalfGammaLoss")


def histogram(src: Any) -> bool:
    return type(src).__name__ in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


def build(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """One TreeEnsemble, the baseline, and the inverse of the loss's link.

    Raises Unwritten for categorical splits.
    """
    trees = [(target, t.nodes) for row in src._predictors for target, t in enumerate(row)]
    width = len(src._predictors[0])
    raw = op.node(
        "TreeEnsemble",
        x,
        _domain="ai.onnx.ml",
        _dtype=ir.DataType.DOUBLE,
        _shape=["N", width],
        **arrays(trees, width),
    )
    raw = op.Add(raw, op.const(np.asarray(src._baseline_prediction, np.float64).reshape(1, -1)))
    if not hasattr(src, "classes_"):
        return {"variable": op.Exp(raw) if type(src._loss).__name__ in LOGARITHMIC else op.Identity(raw)}
    if width == 1:
        share = op.Sigmoid(raw)
        shares = op.Concat(op.Sub(1.0, share), share, axis=1)
        place = op.Squeeze(op.Cast(op.Greater(raw, op.const(np.array(0.0))), to=7), np.array([1]))
    else:
        shares = op.Softmax(raw, axis=-1)
        place = op.ArgMax(raw, axis=1, keepdims=0)
    return {"label": labelled(op, src, place), "probabilities": shares}


def arrays(trees: list[tuple[int, np.ndarray]], width: int) -> dict[str, Any]:
    """The attributes of a TreeEnsemble: missing values go the way the tree says."""
    names = (
        "columns", "splits", "true", "true_leaf", "false", "false_leaf", "tracks", "roots", "targets", "weights"
    )  # fmt: skip
    found: dict[str, list[Any]] = {name: [] for name in names}
    for target, nodes in trees:
        if any(nodes["is_categorical"][nodes["is_leaf"] == 0]):
            raise Unwritten("it splits on categories")
        place = {}
        for index, node in enumerate(nodes):
            if node["is_leaf"]:
                place[index] = (1, len(found["targets"]))
                found["targets"].append(target)
                found["weights"].append(float(node["value"]))
        inner = [i for i in range(len(nodes)) if not nodes["is_leaf"][i]]
        first = len(found["columns"])
        place.update({i: (0, first + n) for n, i in enumerate(inner)})
        found["roots"].append(first)
        if not inner:
            inner = [0]
        for index in inner:
            node, ways = nodes[index], (place[0], place[0])
            if not node["is_leaf"]:
                ways = (place[int(node["left"])], place[int(node["right"])])
            found["columns"].append(int(node["feature_idx"]))
            found["splits"].append(float(node["num_threshold"]))
            found["tracks"].append(int(node["missing_go_to_left"]))
            for name, (leaf, at) in zip(("true", "false"), ways, strict=True):
                found[name].append(at)
                found[f"{name}_leaf"].append(leaf)
    return {
        "aggregate_function": 1,
        "post_transform": 0,
        "n_targets": width,
        "tree_roots": found["roots"],
        "nodes_featureids": found["columns"],
        "nodes_modes": ir.tensor(np.zeros(len(found["columns"]), np.uint8)),
        "nodes_splits": ir.tensor(np.array(found["splits"])),
        "nodes_truenodeids": found["true"],
        "nodes_trueleafs": found["true_leaf"],
        "nodes_falsenodeids": found["false"],
        "nodes_falseleafs": found["false_leaf"],
        "nodes_missing_value_tracks_true": found["tracks"],
        "leaf_targetids": found["targets"],
        "leaf_weights": ir.tensor(np.array(found["weights"])),
    }
