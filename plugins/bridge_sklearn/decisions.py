"""Decision functions, which meta-estimators read where a model has one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.load import load
from bridge_sklearn import is_booster
from bridge_sklearn.adaboost import adaboost_decision
from bridge_sklearn.columns import is_search
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, PartBuilder, Unwritten, cast, embed_model, one_column
from bridge_sklearn.hist_gradient_boosting import is_hist_gradient_boosting, raw_scores
from bridge_sklearn.linear import linear_scores
from bridge_sklearn.svm import svm_scores
from bridge_sklearn.transformers import transform
from bridge_sklearn.trees import boosting_scores


def decision(op: PartBuilder, src: Any, x: Any) -> ir.Value:
    """The decision function of a classifier, [N, classes], [N, 1] of two classes. Raises Unwritten for one
    that is not known."""
    frame = x if isinstance(x, Frame) else Frame(op, [x])
    if hasattr(src, "steps"):
        for _, step in src.steps[:-1]:
            frame = transform(op, step, frame)
        return decision(op, src.steps[-1][1], frame)
    if is_search(src):
        return decision(op, src.best_estimator_, frame)
    x = frame.matrix()
    if is_booster(src):
        return embed_model(op, load(src, raw_score=True), x)["variable"]
    if is_hist_gradient_boosting(src):
        return raw_scores(op, src, x)
    if type(src).__name__ == "GradientBoostingClassifier":
        return boosting_scores(op, src, x)
    if type(src).__name__ == "AdaBoostClassifier":
        return adaboost_decision(op, src, x)
    if hasattr(src, "support_vectors_"):
        return svm_scores(op, src, x)
    if hasattr(src, "coef_") and hasattr(src, "intercept_"):
        return linear_scores(op, src, x)
    raise Unwritten(f"the decision function of {type(src).__name__} is not written")


def binary_score(op: PartBuilder, each: Any, x: Any) -> ir.Value:
    """Score of one of several binary models, [N, 1]: its decision function, the probability of the second
    class where it has none, or what a regressor predicts."""
    if hasattr(each, "decision_function"):
        return decision(op, each, x)
    outputs = op.embed(each, x)
    if hasattr(each, "predict_proba"):
        return op.Gather(cast(op, outputs["probabilities"], DOUBLE), np.array([1]), axis=1)
    return one_column(op, cast(op, outputs["variable"], DOUBLE))
