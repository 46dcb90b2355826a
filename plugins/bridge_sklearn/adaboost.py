"""AdaBoost: weighted votes of classifiers, the weighted median of regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, cast, class_labels, classify
from bridge_sklearn.hist_gradient_boosting import tree_ensemble_attributes

NODE = [
    ("is_leaf", bool),
    ("value", np.float64),
    ("left", np.int64),
    ("right", np.int64),
    ("feature_idx", np.int64),
    ("num_threshold", np.float64),
    ("missing_go_to_left", bool),
    ("is_categorical", bool),
]


def adaboost_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """SAMME: score_c = Σ w_k [k predicts c] - 1/(C-1) Σ w_k [k does not]."""
    count = len(src.classes_)
    weights = src.estimator_weights_[: len(src.estimators_)] / src.estimator_weights_.sum()
    if has_tree_estimators(src):
        trees = []
        for each, weight in zip(src.estimators_, weights, strict=True):
            predicted = each.classes_[each.tree_.value[:, 0].argmax(axis=1)]
            for index, label in enumerate(src.classes_):
                trees.append(
                    (
                        index,
                        tree_nodes(each.tree_, weight * np.where(predicted == label, 1, -1 / (count - 1))),
                    )
                )
        scores = sum_trees(op, x, trees, count)
    else:
        votes = [
            samme_votes(op, src, each, weight, x)
            for each, weight in zip(src.estimators_, weights, strict=True)
        ]
        scores = op.Sum(*votes)
    return classify(
        op, src, scores, op.Softmax(op.Mul(scores, op.const(np.array([1 / (count - 1)]))), axis=-1)
    )


def samme_votes(op: PartBuilder, src: Any, each: Any, weight: float, x: ir.Value) -> ir.Value:
    label = op.embed(each, x)["label"]
    hit = op.Equal(op.Unsqueeze(label, np.array([1])), op.const(class_labels(src)[None]))
    other = -weight / (len(src.classes_) - 1)
    return op.Where(hit, op.const(np.array([[weight]])), op.const(np.array([[other]])))


def adaboost_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Weighted median: the smallest prediction at which the weights of it and all smaller ones reach half of
    the sum."""
    weights = src.estimator_weights_[: len(src.estimators_)]
    if has_tree_estimators(src):
        trees = [
            (i, tree_nodes(each.tree_, each.tree_.value[:, 0, 0])) for i, each in enumerate(src.estimators_)
        ]
        predictions = sum_trees(op, x, trees, len(trees))
    else:
        parts = [cast(op, op.embed(each, x)["variable"], DOUBLE) for each in src.estimators_]
        predictions = op.Concat(*parts, axis=1)
    shares, candidates = op.const(weights[:, None]), []
    for index in range(len(weights)):
        prediction = op.Gather(predictions, np.array([index]), axis=1)
        below = op.MatMul(op.Cast(op.LessOrEqual(predictions, prediction), to=DOUBLE), shares)
        enough = op.GreaterOrEqual(below, op.const(np.array([[0.5 * weights.sum()]])))
        candidates.append(op.Where(enough, prediction, op.const(np.array([[np.inf]]))))
    return {"variable": op.ReduceMin(op.Concat(*candidates, axis=1), np.array([1]), keepdims=1)}


def has_tree_estimators(src: Any) -> bool:
    """True if all its estimators are single trees."""
    return all(hasattr(each, "tree_") for each in src.estimators_)


def tree_nodes(tree: Any, values: np.ndarray) -> np.ndarray:
    """Nodes of a scikit-learn tree as `tree_ensemble_attributes` reads them. Thresholds are rounded down
    to float32, which splits the same floats."""
    nodes = np.zeros(tree.node_count, NODE)
    nodes["left"], nodes["right"] = tree.children_left, tree.children_right
    nodes["is_leaf"] = tree.children_left < 0
    nodes["feature_idx"], nodes["value"] = tree.feature, values
    narrow = tree.threshold.astype(np.float32)
    narrow = np.where(narrow > tree.threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    nodes["num_threshold"] = narrow
    nodes["missing_go_to_left"] = tree.missing_go_to_left
    return nodes


def sum_trees(op: hub.Builder, x: ir.Value, trees: list[tuple[int, np.ndarray]], width: int) -> ir.Value:
    """The sums of trees by target, [N, width], in double."""
    attributes = tree_ensemble_attributes(trees, width)
    return op.node("TreeEnsemble", x, _domain="ai.onnx.ml", _dtype=DOUBLE, _shape=["N", width], **attributes)
