"""AdaBoost: weighted votes of classifiers, the weighted median of regressors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, cast, class_labels, classify
from bridge_sklearn.trees import sum_float_trees, tree_nodes


def adaboost_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class of the highest score, and the softmax of the scores over the classes but one."""
    scores = adaboost_scores(op, src, x)
    shares = op.Softmax(op.Mul(scores, op.const(np.array([1 / (len(src.classes_) - 1)]))), axis=-1)
    return classify(op, src, scores, shares)


def adaboost_decision(op: PartBuilder, src: Any, x: ir.Value) -> ir.Value:
    """The scores, [N, classes]; of two classes the second's less the first's, [N, 1]."""
    scores = adaboost_scores(op, src, x)
    return op.MatMul(scores, op.const(np.array([[-1.0], [1.0]]))) if len(src.classes_) == 2 else scores


def adaboost_scores(op: PartBuilder, src: Any, x: ir.Value) -> ir.Value:
    """SAMME: score_c = Σ w_k [k predicts c] - 1/(C-1) Σ w_k [k does not], [N, classes]."""
    count = len(src.classes_)
    weights = src.estimator_weights_[: len(src.estimators_)] / src.estimator_weights_.sum()
    if has_tree_estimators(src):
        grown, votes = [], []
        for each, weight in zip(src.estimators_, weights, strict=True):
            predicted = each.classes_[each.tree_.value[:, 0].argmax(axis=1)]
            grown += [each.tree_] * count
            votes += [weight * np.where(predicted == label, 1, -1 / (count - 1)) for label in src.classes_]
        trees = [(index % count, nodes) for index, nodes in enumerate(tree_nodes(grown, votes))]
        return sum_float_trees(op, x, trees, count)
    return op.Sum(
        *(
            samme_votes(op, src, each, weight, x)
            for each, weight in zip(src.estimators_, weights, strict=True)
        )
    )


def samme_votes(op: PartBuilder, src: Any, each: Any, weight: float, x: ir.Value) -> ir.Value:
    label = op.embed(each, x)["label"]
    hit = op.Equal(op.Unsqueeze(label, np.array([1])), op.const(class_labels(src.classes_)[None]))
    other = -weight / (len(src.classes_) - 1)
    return op.Where(hit, op.const(np.array([[weight]])), op.const(np.array([[other]])))


def adaboost_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Weighted median: the smallest prediction at which the weights of it and all smaller ones reach half of
    the sum."""
    weights = src.estimator_weights_[: len(src.estimators_)]
    if has_tree_estimators(src):
        grown = [each.tree_ for each in src.estimators_]
        trees = list(enumerate(tree_nodes(grown, [tree.value[:, 0, 0] for tree in grown])))
        predictions = sum_float_trees(op, x, trees, len(trees))
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
