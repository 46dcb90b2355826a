"""AdaBoost: weighted votes of classifiers, the weighted median of regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, cast, decided, labels
from bridge_sklearn.hist_gradient_boosting import arrays

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


def classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """SAMME: score_c = Σ w_k [k predicts c] - 1/(C-1) Σ w_k [k does not]."""
    count = len(src.classes_)
    weights = src.estimator_weights_[: len(src.estimators_)] / src.estimator_weights_.sum()
    if grown(src):
        held = []
        for each, weight in zip(src.estimators_, weights, strict=True):
            said = each.classes_[each.tree_.value[:, 0].argmax(axis=1)]
            for index, label in enumerate(src.classes_):
                held.append((index, nodes(each.tree_, weight * np.where(said == label, 1, -1 / (count - 1)))))
        scores = forest(op, x, held, count)
    else:
        parts = [
            votes(op, src, each, weight, x) for each, weight in zip(src.estimators_, weights, strict=True)
        ]
        scores = op.Sum(*parts)
    return decided(
        op, src, scores, op.Softmax(op.Mul(scores, op.const(np.array([1 / (count - 1)]))), axis=-1)
    )


def votes(op: PartBuilder, src: Any, each: Any, weight: float, x: ir.Value) -> ir.Value:
    label = op.part(each, x)["label"]
    hit = op.Equal(op.Unsqueeze(label, np.array([1])), op.const(labels(src)[None]))
    other = -weight / (len(src.classes_) - 1)
    return op.Where(hit, op.const(np.array([[weight]])), op.const(np.array([[other]])))


def regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Weighted median: the smallest prediction at which the weights of it and all smaller ones reach half of
    the sum."""
    weights = src.estimator_weights_[: len(src.estimators_)]
    if grown(src):
        held = [(i, nodes(each.tree_, each.tree_.value[:, 0, 0])) for i, each in enumerate(src.estimators_)]
        found = forest(op, x, held, len(held))
    else:
        parts = [cast(op, op.part(each, x)["variable"], DOUBLE) for each in src.estimators_]
        found = op.Concat(*parts, axis=1)
    shares, reached = op.const(weights[:, None]), []
    for index in range(len(weights)):
        one = op.Gather(found, np.array([index]), axis=1)
        below = op.MatMul(op.Cast(op.LessOrEqual(found, one), to=DOUBLE), shares)
        enough = op.GreaterOrEqual(below, op.const(np.array([[0.5 * weights.sum()]])))
        reached.append(op.Where(enough, one, op.const(np.array([[np.inf]]))))
    return {"variable": op.ReduceMin(op.Concat(*reached, axis=1), np.array([1]), keepdims=1)}


def grown(src: Any) -> bool:
    """Whether all its estimators are single trees."""
    return all(hasattr(each, "tree_") for each in src.estimators_)


def nodes(tree: Any, values: np.ndarray) -> np.ndarray:
    """A scikit-learn tree as the nodes `arrays` reads; thresholds as float32, rounded down, tell the same
    floats apart."""
    found = np.zeros(tree.node_count, NODE)
    found["left"], found["right"] = tree.children_left, tree.children_right
    found["is_leaf"] = tree.children_left < 0
    found["feature_idx"], found["value"] = tree.feature, values
    narrow = tree.threshold.astype(np.float32)
    narrow = np.where(narrow > tree.threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    found["num_threshold"] = narrow
    found["missing_go_to_left"] = tree.missing_go_to_left
    return found


def forest(op: hub.Builder, x: ir.Value, held: list[tuple[int, np.ndarray]], width: int) -> ir.Value:
    """The sums of trees by target, [N, width], in double."""
    attributes = arrays(held, width)
    return op.node("TreeEnsemble", x, _domain="ai.onnx.ml", _dtype=DOUBLE, _shape=["N", width], **attributes)
