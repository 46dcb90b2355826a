"""Classifiers around others: calibrated probabilities, and thresholds of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.decisions import decision
from bridge_sklearn.ensembles import weighted_mean
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, Unwritten, cast, class_labels, classify
from bridge_sklearn.linear import fine_sigmoid
from bridge_sklearn.splines import intervals, piecewise

PLACES = np.float32(8)
"""The last places of a score in which a library and a runtime may differ."""
LEAST = 1e-12
"""What is added to a probability before its logarithm is taken."""


def calibrated_classifier(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    """The class of the highest mean of what its calibrated parts say."""
    shares = weighted_mean(op, [calibrated(op, each, x) for each in src.calibrated_classifiers_])
    return classify(op, src, shares, shares)


def rounds_scores(src: Any) -> bool:
    """True for a calibrated classifier whose curve, between points, is that of scores in float."""
    points = getattr(src.calibrators[0], "X_thresholds_", None)
    return points is not None and np.asarray(points).dtype == np.float32


def takes_complements(src: Any) -> bool:
    """True for a calibrated classifier that takes the logarithm of one less a probability."""
    two = src.method == "temperature" and len(src.classes) == 2
    return two and not hasattr(src.estimator, "decision_function")


def lost_shares(src: Any, records: Any) -> np.ndarray:
    """The error of calibrated probabilities by the last places of scores, [N]."""
    lost = np.zeros(len(records))
    for each in src.calibrated_classifiers_:
        if rounds_scores(each) or takes_complements(each):
            scores = np.asarray(each.estimator.predict_proba(records))
            scores = scores[:, 1:] if scores.shape[1] == 2 else scores
            lost += (lost_logits if takes_complements(each) else lost_steps)(each, records, scores)
    return lost / len(src.calibrated_classifiers_)


def lost_logits(src: Any, records: Any, scores: np.ndarray) -> np.ndarray:
    """The error where the logarithm of what is left of 1 is taken: last places of a probability are first
    ones; those of one that is a difference of logarithms are theirs."""
    places = np.spacing(scores[:, 0]).astype(np.float64)
    if hasattr(src.estimator, "predict_joint_log_proba"):
        logs = np.abs(src.estimator.predict_joint_log_proba(records)).max(axis=1)
        places = np.maximum(places, np.spacing(logs) * scores[:, 0])
    error = np.log1p(PLACES * places / (np.abs(1 - scores[:, 0]) + LEAST))
    return error * float(src.calibrators[0].beta_) * src.predict_proba(records).prod(axis=1)


def lost_steps(src: Any, records: Any, scores: np.ndarray) -> np.ndarray:
    """The rise or fall of a curve between the last places of a score; of several, as parts of their
    sum."""
    steps, heights = [], []
    for column, curve in zip(scores.T, src.calibrators, strict=True):
        low, high = (curve.predict(column + side * PLACES * np.spacing(column)) for side in (-1, 1))
        steps.append(np.abs(high - low))
        heights.append(curve.predict(column))
    if len(steps) == 1:
        return steps[0].astype(np.float64)
    total, moved = np.sum(heights, axis=0), np.sum(steps, axis=0)
    largest = np.max(steps, axis=0) + src.predict_proba(records).max(axis=1) * moved
    return largest / np.maximum(total - moved, LEAST)


def calibrated(op: PartBuilder, src: Any, x: Frame) -> ir.Value:
    """Probabilities of one calibrated classifier, [N, classes]: each score through its calibrator, made to
    add up to one."""
    count = len(src.classes)
    has_decision = hasattr(src.estimator, "decision_function")
    scores = decision(op, src.estimator, x) if has_decision else second_or_all(op, src.estimator, x)
    if src.method == "temperature":
        return tempered(op, float(src.calibrators[0].beta_), scores, count, has_decision)
    parts = []
    for index, calibrator in enumerate(src.calibrators):
        score = scores if len(src.calibrators) == 1 else op.Gather(scores, np.array([index]), axis=1)
        parts.append(calibration_curve(op, calibrator, score))
    if count == 2:
        return op.Concat(op.Sub(op.const(np.array(1.0)), parts[0]), parts[0], axis=1)
    if len(parts) != count:
        raise Unwritten("a part of it has not seen every class")
    joined = op.Concat(*parts, axis=1)
    total = op.ReduceSum(joined, np.array([1]), keepdims=1)
    none = op.Equal(total, op.const(np.array(0.0)))
    shares = op.Div(joined, op.Where(none, op.const(np.array(1.0)), total))
    return op.Where(none, op.const(np.array(1.0 / count)), shares)


def second_or_all(op: PartBuilder, src: Any, x: Frame) -> ir.Value:
    """Probabilities of all classes, of two classes that of the second, [N, 1]."""
    shares = cast(op, op.embed(src, x)["probabilities"], DOUBLE)
    return op.Gather(shares, np.array([1]), axis=1) if len(src.classes_) == 2 else shares


def tempered(op: PartBuilder, beta: float, scores: ir.Value, count: int, has_decision: bool) -> ir.Value:
    """Softmax of scores times the inverse temperature, of probabilities of their logarithms."""
    if has_decision:
        logits = op.Concat(op.Neg(scores), scores, axis=1) if count == 2 else scores
    else:
        if count == 2:
            scores = op.Concat(op.Sub(op.const(np.array(1.0)), scores), scores, axis=1)
        logits = op.Log(op.Add(scores, op.const(np.array(LEAST))))
    return op.Softmax(op.Mul(logits, op.const(np.array(beta))), axis=-1)


def calibration_curve(op: PartBuilder, calibrator: Any, score: ir.Value) -> ir.Value:
    """A calibrator's prediction for a score, [N, 1] both."""
    if hasattr(calibrator, "a_"):
        scaled = op.Mul(score, op.const(np.array(-float(calibrator.a_))))
        return fine_sigmoid(op, op.Sub(scaled, op.const(np.array(float(calibrator.b_)))))
    return interpolated(op, calibrator, score)


def interpolated(op: PartBuilder, src: Any, x: ir.Value) -> ir.Value:
    """The line between the points of an isotonic regression that a number is between, [N, 1]; their ends
    beyond them. Raises Unwritten where it answers nothing there."""
    if src.out_of_bounds == "raise":
        raise Unwritten("it refuses numbers beyond those it was fitted on")
    starts, values = np.asarray(src.X_thresholds_, np.float64), np.asarray(src.y_thresholds_, np.float64)
    of_floats = src.X_thresholds_.dtype == np.float32
    inner = x = cast(op, op.Cast(x, to=int(ir.DataType.FLOAT)), DOUBLE) if of_floats else x
    if src.out_of_bounds == "clip":
        low, high = (op.const(np.array([[float(end)]])) for end in (src.X_min_, src.X_max_))
        inner = op.Where(op.Less(x, low), low, op.Where(op.Greater(x, high), high, x))
    if len(starts) == 1:
        flat = op.Where(op.Equal(inner, inner), op.const(values[:1, None]), op.const(values[:1, None]))
        return flat
    line = (line_of_floats if of_floats else line_of_doubles)(op, inner, starts, values)
    if src.out_of_bounds == "clip":
        return line
    outside = op.Or(op.Less(x, op.const(starts[:1, None])), op.Greater(x, op.const(starts[-1:, None])))
    return op.Where(outside, op.const(np.array(np.nan)), line)


def line_of_doubles(op: PartBuilder, x: ir.Value, starts: np.ndarray, values: np.ndarray) -> ir.Value:
    """As np.interp computes it, which answers the last value from the last point on."""
    slopes = np.diff(values) / np.diff(starts)
    line = piecewise(op, x, starts, np.stack([slopes[:, None], values[:-1, None]]))
    return op.Where(op.GreaterOrEqual(x, op.const(starts[-1:, None])), op.const(values[-1:, None]), line)


def line_of_floats(op: PartBuilder, x: ir.Value, starts: np.ndarray, values: np.ndarray) -> ir.Value:
    """As scipy's interp1d computes it in floats, where a point ends the interval before it."""
    inside = intervals(op, x, starts, "Greater")
    slopes = np.diff(values.astype(np.float32)) / np.diff(starts.astype(np.float32))

    def own(array: np.ndarray) -> ir.Value:
        chosen = op.MatMul(inside, op.const(array.astype(np.float64)[:, None]))
        return op.Cast(chosen, to=int(ir.DataType.FLOAT))

    way = op.Sub(op.Cast(x, to=int(ir.DataType.FLOAT)), own(starts[:-1]))
    return op.Cast(op.Add(op.Mul(own(slopes), way), own(values[:-1])), to=int(DOUBLE))


def isotonic_regression(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    return {"variable": interpolated(op, src, x)}


def threshold_classifier(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    """The positive class where its score reaches the threshold, and the probabilities of the classifier
    itself."""
    inner = getattr(src, "estimator_", src.estimator)
    if hasattr(src, "best_threshold_"):
        bound, positive = float(src.best_threshold_), src._curve_scorer._get_pos_label()
    else:
        bound, positive = src.threshold, src.pos_label
    classes = np.asarray(src.classes_)
    first = positive is not None and classes[0] == positive
    method = src._get_response_method()
    methods = [method] if isinstance(method, str) else list(method)
    if next(m for m in methods if hasattr(inner, m)) == "predict_proba":
        shares = cast(op, op.embed(inner, x)["probabilities"], DOUBLE)
        score, least = op.Gather(shares, np.array([0 if first else 1]), axis=1), 0.5
    else:
        score, least = decision(op, inner, x), 0.0
        score = op.Neg(score) if first else score
    reached = op.GreaterOrEqual(score, op.const(np.array(least if bound == "auto" else float(bound))))
    labels = class_labels(classes)
    chosen, other = (labels[:1], labels[1:]) if first else (labels[1:], labels[:1])
    outputs = {"label": op.Where(op.Squeeze(reached, np.array([1])), op.const(chosen), op.const(other))}
    if hasattr(inner, "predict_proba"):
        outputs["probabilities"] = op.Identity(cast(op, op.embed(inner, x)["probabilities"], DOUBLE))
    return outputs
