"""Votes, bags and stacks: each part as it is read alone, and what joins them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, Unwritten, cast, decided, labelled


def said(op: PartBuilder, each: Any, x: ir.Value, columns: Any = None) -> Outputs:
    """What a part says of the records, or of some of their columns."""
    if columns is not None and not np.array_equal(columns, np.arange(each.n_features_in_)):
        x = op.Gather(x, np.asarray(columns, np.int64), axis=1)
    return op.part(each, x)


def shares(op: hub.Builder, each: Any, found: Outputs, count: int) -> ir.Value:
    """Probabilities of classes 0 … count-1, [N, count]; one for the class said where a part tells none."""
    if hasattr(each, "predict_proba"):
        given = cast(op, found["probabilities"], DOUBLE)
        if len(each.classes_) == count:
            return given
        place = np.zeros((len(each.classes_), count))
        place[np.arange(len(each.classes_)), np.asarray(each.classes_, np.int64)] = 1.0
        return op.MatMul(given, op.const(place))
    return indicated(op, found, count)


def indicated(op: hub.Builder, found: Outputs, count: int) -> ir.Value:
    """1 for the class that is said, [N, count]."""
    label = cast(op, found["label"], ir.DataType.INT64)
    return op.Cast(op.Equal(op.Reshape(label, np.array([-1, 1])), np.arange(count)[None]), to=DOUBLE)


def value(op: hub.Builder, found: Outputs) -> ir.Value:
    """A predicted number, [N, 1]."""
    return op.Reshape(cast(op, found["variable"], DOUBLE), np.array([-1, 1]))


def mean(op: hub.Builder, parts: list[ir.Value], weights: Any = None) -> ir.Value:
    """The mean of tensors of one shape, weighted or not."""
    given = np.ones(len(parts)) if weights is None else np.asarray(weights, np.float64)
    scaled = [op.Mul(p, op.const(np.array(w / given.sum()))) for p, w in zip(parts, given, strict=True)]
    return op.Sum(*scaled) if len(scaled) > 1 else scaled[0]


def voting_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class of the highest mean probability, or of the most votes, which are no probabilities."""
    count, weights = len(src.classes_), src._weights_not_none
    parts = [(e, said(op, e, x)) for e in src.estimators_]
    if src.voting == "hard":
        return decided(op, src, mean(op, [indicated(op, f, count) for _, f in parts], weights))
    found = mean(op, [shares(op, e, f, count) for e, f in parts], weights)
    return decided(op, src, found, found)


def voting_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    found = [value(op, said(op, e, x)) for e in src.estimators_]
    return {"variable": mean(op, found, src._weights_not_none)}


def bagging_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    count = len(src.classes_)
    pairs = list(zip(src.estimators_, src.estimators_features_, strict=True))
    found = mean(op, [shares(op, e, said(op, e, x, c), count) for e, c in pairs])
    return decided(op, src, found, found)


def bagging_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    pairs = zip(src.estimators_, src.estimators_features_, strict=True)
    return {"variable": mean(op, [value(op, said(op, e, x, c)) for e, c in pairs])}


def stacked(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """What the last model says of what the others say, and of the record where it passes through.

    Raises Unwritten for parts asked for scores that are no probabilities.
    """
    held = []
    for each, how in zip(src.estimators_, src.stack_method_, strict=True):
        if how == "decision_function":
            held.append(scored(op, each, x))
            continue
        found = said(op, each, x)
        if how == "predict_proba":
            given = cast(op, found["probabilities"], DOUBLE)
            two = len(src.classes_) == 2
            held.append(op.Gather(given, np.array([1]), axis=1) if two else given)
        else:
            held.append(value(op, found) if "variable" in found else number(op, found))
    if src.passthrough:
        held.append(cast(op, x, DOUBLE))
    joined = op.Concat(*held, axis=1) if len(held) > 1 else held[0]
    found = said(op, src.final_estimator_, joined)
    if not hasattr(src, "classes_"):
        return {"variable": value(op, found)}
    place = cast(op, found["label"], ir.DataType.INT64)
    label = labelled(op, src, op.Reshape(place, np.array([-1])))
    more = {n: op.Identity(v) for n, v in found.items() if n == "probabilities"}
    return {"label": label, **more}


def scored(op: hub.Builder, each: Any, x: ir.Value) -> ir.Value:
    """The decision function of a linear model, [N, 1] of two classes. Raises Unwritten for others."""
    if hasattr(each, "kernel") or not hasattr(each, "coef_"):
        raise Unwritten(f"the decision function of {type(each).__name__} is not written")
    weights = np.atleast_2d(np.asarray(each.coef_, np.float64)).T
    bias = np.asarray(each.intercept_, np.float64).reshape(1, -1)
    return op.Add(op.MatMul(cast(op, x, DOUBLE), op.const(weights)), op.const(bias))


def number(op: hub.Builder, found: Outputs) -> ir.Value:
    """A class as the number it is, [N, 1]."""
    return op.Reshape(cast(op, found["label"], DOUBLE), np.array([-1, 1]))
