"""Classifiers made of others: one against one, and one for each of several outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_sklearn.decisions import binary_score, decision
from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import (
    DOUBLE,
    Outputs,
    PartBuilder,
    Unwritten,
    cast,
    classify,
    gather_labels,
    one_column,
)
from bridge_sklearn.linear import fine_sigmoid, linear_scores
from bridge_sklearn.svm import pair_signs


def one_vs_one(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Votes by pairs of classes, plus c / 3 (|c| + 1) of the sum c of their confidences.

    Raises Unwritten for precomputed kernels, and for classifiers that tell no confidence.
    """
    if src.pairwise_indices_ is not None:
        raise Unwritten("it reads distances between records")
    count = len(src.classes_)
    wins = op.Concat(*(second_chosen(op, each, x) for each in src.estimators_), axis=1)
    scores = op.Concat(*(binary_score(op, each, x) for each in src.estimators_), axis=1)
    signs = -pair_signs(count)
    base = op.const((signs < 0).sum(axis=0, keepdims=True).astype(np.float64))
    votes = op.Add(op.MatMul(wins, op.const(signs)), base)
    total = op.MatMul(scores, op.const(signs))
    scale = op.Mul(op.Add(op.Abs(total), op.const(np.array([1.0]))), op.const(np.array([3.0])))
    ranks = op.Add(votes, op.Div(total, scale))
    if count > 2:
        return classify(op, src, ranks)
    score = op.Gather(ranks, np.array([1]), axis=1)
    return {"label": above(op, src, score, least(src.estimators_[0])), "scores": score}


def second_chosen(op: PartBuilder, each: Any, x: ir.Value) -> ir.Value:
    """1 where a classifier of the classes 0 and 1 chooses the second, [N, 1]."""
    if "predict" in vars(type(each)) or not hasattr(each, "decision_function"):
        return one_column(op, cast(op, op.embed(each, x)["label"], DOUBLE))
    return op.Cast(op.Greater(decision(op, each, x), op.const(np.array([0.0]))), to=DOUBLE)


def least(each: Any) -> float:
    """Score above which a binary model chooses the second class."""
    return 0.0 if hasattr(each, "decision_function") else 0.5


def above(op: PartBuilder, src: Any, score: ir.Value, bound: float) -> ir.Value:
    """The second of two classes where a score, [N, 1], is above a bound, [N]."""
    second = op.Cast(op.Greater(score, op.const(np.array(bound))), to=int(ir.DataType.INT64))
    return gather_labels(op, src.classes_, op.Squeeze(second, np.array([1])))


def second_share(op: PartBuilder, each: Any, x: ir.Value) -> ir.Value:
    """Probability of the second of two classes, [N, 1]."""
    if hasattr(each, "coef_") and hasattr(each, "intercept_"):
        return fine_sigmoid(op, linear_scores(op, each, x))
    return op.Gather(cast(op, op.embed(each, x)["probabilities"], DOUBLE), np.array([1]), axis=1)


def one_vs_rest(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class whose model scores highest, and their probabilities made to add up to one; of records with
    several labels, whether each has one."""
    scores = [binary_score(op, each, x) for each in src.estimators_]
    outputs: Outputs = {}
    if src.multilabel_:
        chosen = op.Greater(op.Concat(*scores, axis=1), op.const(np.array(least(src.estimators_[0]))))
        outputs["label"] = op.Cast(chosen, to=int(ir.DataType.INT64))
    elif len(scores) == 1:
        outputs["label"] = above(op, src, scores[0], least(src.estimators_[0]))
    else:
        best = op.ArgMax(op.Concat(*scores, axis=1), axis=1, keepdims=0)
        outputs["label"] = gather_labels(op, src.classes_, best)
    if not hasattr(src, "predict_proba"):
        return {**outputs, "scores": op.Concat(*scores, axis=1) if len(scores) > 1 else scores[0]}
    shares = [second_share(op, each, x) for each in src.estimators_]
    if len(shares) == 1:
        shares = [op.Sub(op.const(np.array(1.0)), shares[0]), shares[0]]
    joined = op.Concat(*shares, axis=1)
    if not src.multilabel_:
        total = op.ReduceSum(joined, np.array([1]), keepdims=1)
        none = op.Equal(total, op.const(np.array(0.0)))
        joined = op.Div(joined, op.Where(none, op.const(np.array(1.0)), total))
    return {**outputs, "probabilities": joined}


def multi_output_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The numbers of all targets side by side."""
    parts = [op.embed(each, x)["variable"] for each in src.estimators_]
    columns = [one_column(op, part) for part in parts]
    return {"variable": op.Concat(*columns, axis=1)}


def multi_output(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The labels of all outputs side by side, and the probabilities of each."""
    parts = [op.embed(each, x) for each in src.estimators_]
    columns = [op.Unsqueeze(p["label"], np.array([1])) for p in parts]
    outputs = {"label": op.Concat(*columns, axis=1)}
    for index, part in enumerate(parts):
        if "probabilities" in part:
            outputs[f"probabilities_{index + 1}"] = op.Identity(part["probabilities"])
    return outputs


def chain(op: PartBuilder, src: Any, x: Frame) -> Outputs:
    """Answers of each of a chain of models, in the order of the targets: each reads the records, and behind
    them what those before it answered, as `chain_method` says."""
    method = getattr(src, "chain_method_", "predict")
    records, answers = x.matrix(), []
    for each in src.estimators_:
        answers.append(chain_answers(op, each, records))
        records = op.Concat(records, answers[-1][method], axis=1)
    order = np.argsort(src.order_)
    columns = {name: op.Concat(*(answers[i][name] for i in order), axis=1) for name in answers[0]}
    if not hasattr(src, "chain_method_"):
        return {"variable": columns["predict"]}
    outputs = {"label": op.Cast(columns["predict"], to=int(ir.DataType.INT64))}
    return outputs | ({"probabilities": columns["predict_proba"]} if "predict_proba" in columns else {})


def chain_answers(op: PartBuilder, each: Any, records: ir.Value) -> dict[str, ir.Value]:
    """Answers of a model of a chain by the method that gives them, [N, 1] each. Raises Unwritten for classes
    that are no integers."""
    outputs = op.embed(each, records)
    if "label" not in outputs:
        return {"predict": one_column(op, cast(op, outputs["variable"], DOUBLE))}
    if outputs["label"].dtype == ir.DataType.STRING:
        raise Unwritten("the classes of its chain are text")
    answers = {"predict": one_column(op, cast(op, outputs["label"], DOUBLE))}
    if "probabilities" in outputs:
        shares = cast(op, outputs["probabilities"], DOUBLE)
        answers["predict_proba"] = op.Gather(shares, np.array([1]), axis=1)
    if hasattr(each, "decision_function"):
        answers["decision_function"] = decision(op, each, records)
    return answers
