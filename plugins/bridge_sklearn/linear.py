"""Linear models in double: records times weights, and what makes classes and probabilities of that."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, PartBuilder, Unwritten, classify, gather_labels, side_by_side

LINKS = {"PoissonRegressor": "log", "GammaRegressor": "log"}


def linear_scores(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """x · weights + offsets, [N, 1] of two classes."""
    weights = src.coef_.todense() if hasattr(src.coef_, "todense") else src.coef_
    weights = np.atleast_2d(np.asarray(weights, np.float64)).T
    offsets = np.broadcast_to(np.asarray(src.intercept_, np.float64).reshape(1, -1), (1, weights.shape[1]))
    return op.Add(op.MatMul(x, op.const(np.ascontiguousarray(weights))), op.const(offsets.copy()))


def linear_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Class of the highest score, of two classes the second where its score is above zero.

    Raises Unwritten for labels of several targets.
    """
    scores = linear_scores(op, src, x)
    if isinstance(src.classes_, list) or (hasattr(src, "_label_binarizer") and multilabel(src)):
        raise Unwritten("it tells several labels of a record")
    shares = linear_shares(op, src, scores) if hasattr(src, "predict_proba") else None
    if len(src.classes_) > 2:
        return classify(op, src, scores, shares)
    second = op.Cast(op.Greater(scores, op.const(np.array(0.0))), to=int(ir.DataType.INT64))
    label = gather_labels(op, src.classes_, op.Squeeze(second, np.array([1])))
    if shares is None:
        return {"label": label, "scores": side_by_side(op, scores)}
    return {"label": label, "probabilities": shares}


def multilabel(src: Any) -> bool:
    return str(src._label_binarizer.y_type_).startswith("multilabel")


def linear_shares(op: hub.Builder, src: Any, scores: ir.Value) -> ir.Value:
    """Probabilities, [N, classes]: a sigmoid of two classes; of more their softmax, or their sigmoids made to
    add up to one, where each class was fitted against the rest."""
    count = len(src.classes_)
    name = type(src).__name__
    if count > 2 and name in ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis"):
        return op.Softmax(scores, axis=-1)
    clipped = name == "SGDClassifier" and src.loss == "modified_huber"
    if count == 2:
        each = half_clipped(op, scores) if clipped else op.Sigmoid(scores)
        return op.Concat(op.Sub(op.const(np.array(1.0)), each), each, axis=1)
    each = half_clipped(op, scores) if clipped else fine_sigmoid(op, scores)
    total = op.ReduceSum(each, np.array([1]), keepdims=1)
    none = op.Equal(total, op.const(np.array(0.0)))
    normal = op.Div(each, op.Where(none, op.const(np.array(1.0)), total))
    return op.Where(none, op.const(np.array(1.0 / count)), normal)


def half_clipped(op: hub.Builder, x: ir.Value) -> ir.Value:
    """(x + 1) / 2, kept between 0 and 1: probabilities of the modified Huber loss."""
    one = op.const(np.array(1.0))
    kept = op.Max(op.Min(x, one), op.const(np.array(-1.0)))
    return op.Div(op.Add(kept, one), op.const(np.array(2.0)))


def fine_sigmoid(op: hub.Builder, x: ir.Value) -> ir.Value:
    """A sigmoid to its last place where it is next to zero, for what is divided by a sum of such."""
    one = op.const(np.array(1.0))
    return op.Div(one, op.Add(one, op.Exp(op.Neg(x))))


def linear_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The scores, or e to their power where the logarithm is linear."""
    scores = linear_scores(op, src, x)
    link = LINKS.get(type(src).__name__, "identity")
    if type(src).__name__ == "TweedieRegressor":
        link = "log" if type(src._base_loss.link).__name__ == "LogLink" else "identity"
    return {"variable": op.Exp(scores) if link == "log" else op.Identity(scores)}
