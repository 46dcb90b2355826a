"""HistGradientBoosting models → hub, in double: their converter does not run with current protobuf."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, gather_labels
from bridge_sklearn.trees import sum_trees

LOGARITHMIC = ("HalfPoissonLoss", "HalfGammaLoss")


def is_hist_gradient_boosting(src: Any) -> bool:
    return type(src).__name__ in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


def hist_gradient_boosting_model(op: hub.Builder, src: Any, x: ir.Value) -> Outputs:
    """The sums of the trees, and the inverse of the loss's link."""
    raw = raw_scores(op, src, x)
    if not hasattr(src, "classes_"):
        return {"variable": op.Exp(raw) if type(src._loss).__name__ in LOGARITHMIC else op.Identity(raw)}
    if len(src.classes_) == 2:
        positive = op.Sigmoid(raw)
        probabilities = op.Concat(op.Sub(1.0, positive), positive, axis=1)
        class_index = op.Squeeze(op.Cast(op.Greater(raw, op.const(np.array(0.0))), to=7), np.array([1]))
    else:
        probabilities = op.Softmax(raw, axis=-1)
        class_index = op.ArgMax(raw, axis=1, keepdims=0)
    return {"label": gather_labels(op, src.classes_, class_index), "probabilities": probabilities}


def raw_scores(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """One TreeEnsemble and the baseline, [N, targets]."""
    columns, categories = source_columns(src)
    trees, members = [], []
    for row in src._predictors:
        for target, predictor in enumerate(row):
            nodes, sets = categorical_splits(predictor, columns, categories)
            trees.append((target, nodes))
            members.append(sets)
    raw = sum_trees(op, x, trees, len(src._predictors[0]), members)
    return op.Add(raw, op.const(np.asarray(src._baseline_prediction, np.float64).reshape(1, -1)))


def source_columns(src: Any) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The columns of a record that the features of its trees are, categorical ones first, and the categories
    of those by number."""
    marks = src.is_categorical_
    if marks is None:
        return np.arange(src.n_features_in_), {}
    encoder = src._preprocessor.named_transformers_["encoder"]
    columns = np.concatenate([np.flatnonzero(marks), np.flatnonzero(~marks)])
    categories = (np.array([c for c in each if c == c]) for each in encoder.categories_)
    return columns, dict(zip(columns.tolist(), categories, strict=False))


def categorical_splits(
    predictor: Any, columns: np.ndarray, categories: dict[int, np.ndarray]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The nodes of a tree over the columns of a record, and the sets of categories that lead to the left.

    A category that was never seen goes where a missing value does. Where that is the left, branches are
    swapped, and the set is of the categories that lead to the right.
    """
    nodes, sets = predictor.nodes.copy(), {}
    nodes["feature_idx"] = columns[nodes["feature_idx"]]
    for index in np.flatnonzero(nodes["is_categorical"] & ~nodes["is_leaf"].astype(bool)).tolist():
        node = nodes[index]
        known = categories[int(node["feature_idx"])]
        bits = predictor.raw_left_cat_bitsets[node["bitset_idx"]]
        codes = np.arange(len(known))
        leads_left = (bits[codes // 32] >> (codes % 32).astype(np.uint32) & 1).astype(bool)
        swaps = bool(node["missing_go_to_left"])
        sets[index] = known[~leads_left if swaps else leads_left].astype(np.float64)
        if swaps:
            nodes["left"][index], nodes["right"][index] = node["right"].item(), node["left"].item()
        nodes["missing_go_to_left"][index] = 0
    return nodes, sets
