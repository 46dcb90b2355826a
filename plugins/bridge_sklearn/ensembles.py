"""Votes, bags and stacks: each part as it is read alone, and what joins them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.decisions import decision
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, cast, classify, gather_labels, one_column


def predict(op: PartBuilder, each: Any, x: Frame, columns: Any = None) -> Outputs:
    """Outputs of an estimator for the records, or for some of their columns."""
    return op.embed(each, x if columns is None else x.select(np.asarray(columns).tolist()))


def class_probabilities(op: hub.Builder, each: Any, outputs: Outputs, count: int) -> ir.Value:
    """Probabilities of classes 0 … count-1, [N, count]; one-hot labels where an estimator has no
    probabilities."""
    if hasattr(each, "predict_proba"):
        probabilities = cast(op, outputs["probabilities"], DOUBLE)
        if len(each.classes_) == count:
            return probabilities
        selection = np.zeros((len(each.classes_), count))
        selection[np.arange(len(each.classes_)), np.asarray(each.classes_, np.int64)] = 1.0
        return op.MatMul(probabilities, op.const(selection))
    return one_hot_label(op, outputs, count)


def one_hot_label(op: hub.Builder, outputs: Outputs, count: int) -> ir.Value:
    """One-hot predicted label, [N, count]."""
    label = cast(op, outputs["label"], ir.DataType.INT64)
    return op.Cast(op.Equal(one_column(op, label), np.arange(count)[None]), to=DOUBLE)


def predicted_value(op: hub.Builder, outputs: Outputs) -> ir.Value:
    """A predicted number, [N, 1]."""
    return one_column(op, cast(op, outputs["variable"], DOUBLE))


def weighted_mean(op: hub.Builder, parts: list[ir.Value], weights: Any = None) -> ir.Value:
    """The mean of tensors of one shape, weighted or not."""
    weight_values = np.ones(len(parts)) if weights is None else np.asarray(weights, np.float64)
    if weights is not None:
        parts = [op.Mul(p, op.const(np.array(w))) for p, w in zip(parts, weight_values, strict=True)]
    total = op.Sum(*parts) if len(parts) > 1 else parts[0]
    return op.Div(total, op.const(np.array(weight_values.sum())))


def voting_classifier(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    """The class of the highest mean probability, or of the most votes alone."""
    count, weights = len(src.classes_), src._weights_not_none
    parts = [(e, predict(op, e, x)) for e in src.estimators_]
    if src.voting == "hard":
        votes = weighted_mean(op, [one_hot_label(op, f, count) for _, f in parts], weights)
        return {"label": classify(op, src, votes)["label"]}
    probabilities = weighted_mean(op, [class_probabilities(op, e, f, count) for e, f in parts], weights)
    return classify(op, src, probabilities, probabilities)


def voting_regressor(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    predictions = [predicted_value(op, predict(op, e, x)) for e in src.estimators_]
    return {"variable": weighted_mean(op, predictions, src._weights_not_none)}


def bagging_classifier(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    count = len(src.classes_)
    pairs = list(zip(src.estimators_, src.estimators_features_, strict=True))
    probabilities = weighted_mean(
        op, [class_probabilities(op, e, predict(op, e, x, c), count) for e, c in pairs]
    )
    return classify(op, src, probabilities, probabilities)


def bagging_regressor(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    pairs = zip(src.estimators_, src.estimators_features_, strict=True)
    return {"variable": weighted_mean(op, [predicted_value(op, predict(op, e, x, c)) for e, c in pairs])}


def stacking(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    """Prediction of the final model from the outputs of the others, and from the record where it passes
    through.

    Raises Unwritten for parts asked for scores that are no probabilities.
    """
    features = []
    for each, method in zip(src.estimators_, src.stack_method_, strict=True):
        if method == "decision_function":
            features.append(decision(op, each, x))
            continue
        outputs = predict(op, each, x)
        if method == "predict_proba":
            probabilities = cast(op, outputs["probabilities"], DOUBLE)
            two = len(src.classes_) == 2
            features.append(op.Gather(probabilities, np.array([1]), axis=1) if two else probabilities)
        else:
            features.append(
                predicted_value(op, outputs) if "variable" in outputs else class_number(op, outputs)
            )
    if src.passthrough:
        features.append(x.matrix())
    joined = op.Concat(*features, axis=1) if len(features) > 1 else features[0]
    outputs = op.embed(src.final_estimator_, joined)
    if not hasattr(src, "classes_"):
        return {"variable": predicted_value(op, outputs)}
    class_index = cast(op, outputs["label"], ir.DataType.INT64)
    if hub.rank_of(class_index) != 1:
        class_index = op.Reshape(class_index, np.array([-1]))
    label = gather_labels(op, src.classes_, class_index)
    more = {n: op.Identity(v) for n, v in outputs.items() if n == "probabilities"}
    return {"label": label, **more}


def class_number(op: hub.Builder, outputs: Outputs) -> ir.Value:
    """A class as the number it is, [N, 1]."""
    return one_column(op, cast(op, outputs["label"], DOUBLE))
