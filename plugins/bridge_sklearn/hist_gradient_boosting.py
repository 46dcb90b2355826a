"""HistGradientBoosting models → hub, in double: their converter does not run with current protobuf."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, Unwritten, gather_labels

LOGARITHMIC = ("HalfPoissonLoss", "HalfGammaLoss")


def is_hist_gradient_boosting(src: Any) -> bool:
    return type(src).__name__ in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


def hist_gradient_boosting_model(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
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
        **tree_ensemble_attributes(trees, width),
    )
    raw = op.Add(raw, op.const(np.asarray(src._baseline_prediction, np.float64).reshape(1, -1)))
    if not hasattr(src, "classes_"):
        return {"variable": op.Exp(raw) if type(src._loss).__name__ in LOGARITHMIC else op.Identity(raw)}
    if width == 1:
        positive = op.Sigmoid(raw)
        probabilities = op.Concat(op.Sub(1.0, positive), positive, axis=1)
        class_index = op.Squeeze(op.Cast(op.Greater(raw, op.const(np.array(0.0))), to=7), np.array([1]))
    else:
        probabilities = op.Softmax(raw, axis=-1)
        class_index = op.ArgMax(raw, axis=1, keepdims=0)
    return {"label": gather_labels(op, src, class_index), "probabilities": probabilities}


def tree_ensemble_attributes(trees: list[tuple[int, np.ndarray]], width: int) -> dict[str, Any]:
    """Attributes of a TreeEnsemble; missing values follow the branch each node records."""
    names = (
        *("columns", "splits", "true", "true_leaf", "false", "false_leaf"),
        *("tracks", "roots", "targets", "weights"),
    )
    lists: dict[str, list[Any]] = {name: [] for name in names}
    for target, nodes in trees:
        if any(nodes["is_categorical"][nodes["is_leaf"] == 0]):
            raise Unwritten("it splits on categories")
        refs = {}
        for index, node in enumerate(nodes):
            if node["is_leaf"]:
                refs[index] = (1, len(lists["targets"]))
                lists["targets"].append(target)
                lists["weights"].append(float(node["value"]))
        inner = [i for i in range(len(nodes)) if not nodes["is_leaf"][i]]
        first = len(lists["columns"])
        refs.update({i: (0, first + n) for n, i in enumerate(inner)})
        lists["roots"].append(first)
        if not inner:
            inner = [0]
        for index in inner:
            node, branches = nodes[index], (refs[0], refs[0])
            if not node["is_leaf"]:
                branches = (refs[int(node["left"])], refs[int(node["right"])])
            lists["columns"].append(int(node["feature_idx"]))
            lists["splits"].append(float(node["num_threshold"]))
            lists["tracks"].append(int(node["missing_go_to_left"]))
            for name, (leaf, at) in zip(("true", "false"), branches, strict=True):
                lists[name].append(at)
                lists[f"{name}_leaf"].append(leaf)
    return {
        "aggregate_function": 1,
        "post_transform": 0,
        "n_targets": width,
        "tree_roots": lists["roots"],
        "nodes_featureids": lists["columns"],
        "nodes_modes": ir.tensor(np.zeros(len(lists["columns"]), np.uint8)),
        "nodes_splits": ir.tensor(np.array(lists["splits"])),
        "nodes_truenodeids": lists["true"],
        "nodes_trueleafs": lists["true_leaf"],
        "nodes_falsenodeids": lists["false"],
        "nodes_falseleafs": lists["false_leaf"],
        "nodes_missing_value_tracks_true": lists["tracks"],
        "leaf_targetids": lists["targets"],
        "leaf_weights": ir.tensor(np.array(lists["weights"])),
    }
