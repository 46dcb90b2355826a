"""Answers of an estimator itself, and the categories it was fitted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.classical.check import Answers, Ask
from bridge.classical.records import Known, Table
from bridge.classical.splits import Place
from bridge_sklearn.calibration import lost_shares, rounds_scores, takes_complements
from bridge_sklearn.columns import encoders
from bridge_sklearn.text import reads_documents

Mask = Callable[[Table], np.ndarray]
DENSITIES = ("_estimate_weighted_log_prob",)
SURE = 1e-12
FOREST = "ForestClassifier.predict"
SCORES = ("predict_proba", "decision_function", "transform", "score_samples")


def own_answers(src: Any, model: ir.Model) -> Ask:
    """Answers of a fitted estimator to a table, by output of its hub model: predictions first, then its
    probabilities; of one that has none, its scores or what it transforms to."""
    names = [str(v.name) for v in model.graph.outputs]
    arrange = arranger(src, model)
    first = "predict" if hasattr(src, "predict") else "transform"
    methods = [m for m in SCORES if hasattr(src, m)]
    if "predict_proba" in methods:
        methods = ["predict_proba"]
    votes = predicts_by_shares(src)

    def ask(table: Table) -> Answers:
        records = arrange(table)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            scores = [getattr(src, m)(records) for m in methods] if len(names) > 1 else []
            if votes and scores:
                label = src.classes_[scores[0].argmax(axis=1)]
            else:
                label = getattr(src, first)(records)
            answers: list[list[np.ndarray]] = [[dense(label)]]
        if scores and isinstance(scores[0], list):
            answers += [[np.asarray(each)] for each in scores[0]]
        else:
            candidates = [form for s in scores for form in forms(dense(s))]
            answers += [candidates for _ in names[1:]]
        return answers

    return ask


def predicts_by_shares(src: Any) -> bool:
    """True for a forest of one target, which predicts the class of its largest share: its trees are asked
    once."""
    predict = getattr(type(src), "predict", None)
    return getattr(predict, "__qualname__", "") == FOREST and src.n_outputs_ == 1


def forms(scores: np.ndarray) -> list[np.ndarray]:
    """Scores as they are, and those of two classes side by side, as converters lay them out."""
    return [scores] if scores.ndim > 1 else [scores, np.stack([-scores, scores], axis=1)]


def rounded_records(src: Any, model: ir.Model) -> Mask | None:
    """The error of calibrated probabilities by the last places of scores, relative to the largest, [N]; None
    for other models."""
    final = src.steps[-1][1] if hasattr(src, "steps") else src
    parts = getattr(final, "calibrated_classifiers_", [])
    if not any(rounds_scores(each) or takes_complements(each) for each in parts):
        return None
    arrange = arranger(src, model)

    def rounded(table: Table) -> np.ndarray:
        records = arrange(table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                prepared = src[:-1].transform(records) if final is not src else records
                return lost_shares(final, prepared) / final.predict_proba(prepared).max(axis=1)
            except ValueError:
                return np.zeros(len(records))

    return rounded


def decided_records(src: Any, model: ir.Model) -> Mask | None:
    """Mask of the records whose nearest neighbours, likeliest component, or class of calibrated scores,
    rounding does not choose; None for other models."""
    final = src.steps[-1][1] if hasattr(src, "steps") else src
    rounded = rounded_records(src, model)
    if rounded is not None:
        return clear_shares(src, arranger(src, model), rounded)
    density = next((getattr(final, m) for m in DENSITIES if hasattr(final, m)), None)
    neighbors = hasattr(final, "kneighbors") and getattr(final, "n_neighbors", None) is not None
    if density is None and not neighbors:
        return None
    arrange = arranger(src, model)

    def decided(table: Table) -> np.ndarray:
        marks = np.ones(len(next(iter(table.values()))), bool)
        if density is None and final.n_neighbors >= final.n_samples_fit_:
            return marks
        records = arrange(table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                prepared = src[:-1].transform(records) if final is not src else records
                if density is not None:
                    return clear_densities(density(prepared))
                distances, _ = final.kneighbors(prepared, final.n_neighbors + 1)
            except ValueError:
                return marks
        return distances[:, -1] - distances[:, -2] > 1e-9 * distances[:, -1]

    return decided


def clear_shares(src: Any, arrange: Callable[[Table], Any], rounded: Mask) -> Mask:
    """Mask of the records whose likeliest class the last places of scores do not choose."""

    def decided(table: Table) -> np.ndarray:
        lost, records = rounded(table), arrange(table)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                ordered = np.sort(src.predict_proba(records), axis=1)
            except ValueError:
                return np.ones(len(records), bool)
        return (lost < SURE) | (ordered[:, -1] - ordered[:, -2] > 2 * lost * ordered[:, -1])

    return decided


def clear_densities(logs: np.ndarray) -> np.ndarray:
    """Mask of the records whose log densities, [N, components], are told apart in spite of rounding."""
    error = 1e-13 * np.max(np.abs(logs), axis=1)
    ordered = np.sort(logs, axis=1)
    gap = ordered[:, -1] - ordered[:, -2] if logs.shape[1] > 1 else np.full(len(logs), np.inf)
    return (error < 1e-9) | (gap > 100 + 1000 * error)


def dense(values: Any) -> np.ndarray:
    return np.asarray(values.todense() if hasattr(values, "todense") else values)


def arranger(src: Any, model: ir.Model) -> Callable[[Table], Any]:
    """From a table to the records an estimator reads: a matrix of doubles, or a data frame of named
    columns."""
    names = [str(v.name) for v in model.graph.inputs]
    if names == ["X"]:
        flat = hasattr(src, "X_thresholds_") or reads_documents(src)
        return lambda table: matrix_of(table["X"], flat)
    import pandas

    missing: Any = None if any(None in list(c) for _, c in encoders(src)) else np.nan

    def frame(table: Table) -> Any:
        columns = {}
        for name, values in table.items():
            column = values[:, 0]
            if column.dtype == object:
                column = np.array([missing if v is None else v for v in column], object)
            columns[name] = pandas.Series(column, dtype=column.dtype)
        return pandas.DataFrame(columns)

    return frame


def matrix_of(values: np.ndarray, flat: bool) -> np.ndarray:
    """Records as they are read: text as it is, numbers as doubles; in one dimension where they are single."""
    records = values if values.dtype == object else values.astype(np.float64)
    return records.ravel() if flat else records


def known_categories(src: Any, model: ir.Model) -> Known:
    """The categories of each column of the hub model that encoders were fitted on, missing ones left out."""
    inputs = {str(v.name): v for v in model.graph.inputs}
    names = list(getattr(src, "feature_names_in_", []))
    known: dict[Place, np.ndarray] = {}
    for column, values in encoders(src):
        place = ("X", int(column)) if "X" in inputs else (str(names[column]), 0)
        if place[0] in inputs:
            present = [v for v in values if v is not None and v == v]
            text = inputs[place[0]].dtype == ir.DataType.STRING
            known[place] = np.array(present, object if text else np.float64)
    return {p: v for p, v in known.items() if len(v)}
