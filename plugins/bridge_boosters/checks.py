"""Comparison of models in memory with their own predictions, on records made of what they know."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.classical.check import Answers, check
from bridge.classical.records import Known, Table
from bridge.errors import Blocker, ExecutionFailed, UnsupportedModel
from bridge_boosters.sessions import predictor

Mask = Callable[[Table], np.ndarray]
UNIT = 2.0**-24
"""The relative error of one sum of floats."""
TIE = 1e-6


def check_predictions(
    model: ir.Model,
    src: Any,
    known: Known | None = None,
    decided: Mask | None = None,
    rounding: Mask | None = None,
    **how: Any,
) -> None:
    """Raise UnsupportedModel where a hub model answers otherwise than the object it was read from, asked for
    its predictions with `how`."""
    outputs, predict = [str(value.name) for value in model.graph.outputs], predictor(src)

    def ask(table: Table) -> Answers:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            answers = [[np.asarray(predict(table["X"], **how))]]
            return answers + [[np.asarray(src.predict_proba(table["X"]))] for _ in outputs[1:]]

    try:
        check(model, ask, known, decided=decided, rounding=rounding)
    except ExecutionFailed as error:
        blocker = Blocker(type(src).__name__, "", "", str(error))
        raise UnsupportedModel("The model cannot be read:", [blocker]) from error


def check_xgboost(
    model: ir.Model, src: Any, known: Known, linear: np.ndarray | None, is_exponential: bool
) -> None:
    """Compare a Booster or an estimator; `linear` are the weights of a linear booster, [F + 1, K].

    XGBoost adds floats one by one. What it loses counts where an exponential function follows, and where the
    terms of a linear booster cancel; classes that are as likely to the last digits are left out.
    """
    import xgboost

    booster = src.get_booster() if hasattr(src, "get_booster") else src
    rounds = booster.num_boosted_rounds()

    predict = predictor(src)

    def rounding(table: Table) -> np.ndarray:
        if linear is not None:
            return lost_by_terms(table["X"], linear, is_exponential)
        margins = np.abs(predict(table["X"], output_margin=True).reshape(len(table["X"]), -1)).max(axis=1)
        return 4 * UNIT * np.sqrt(rounds + 1) * margins

    def decided(table: Table) -> np.ndarray:
        try:
            shares = np.asarray(src.predict_proba(table["X"], validate_features=False))
        except xgboost.core.XGBoostError:
            return np.ones(len(table["X"]), bool)
        lost = rounding(table) if linear is not None else 0.0
        return is_decided(shares, lost)

    classifies = len(model.graph.outputs) > 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_predictions(
            model,
            src,
            known,
            decided if classifies else None,
            rounding if linear is not None or is_exponential else None,
        )


def lost_by_terms(records: np.ndarray, weights: np.ndarray, is_absolute: bool) -> np.ndarray:
    """The error of weighted sums that are added up in floats, [N]: absolute, or relative to the sums."""
    with np.errstate(all="ignore"):
        present = np.nan_to_num(records.astype(np.float64))
        terms = np.abs(present) @ np.abs(weights[:-1]) + np.abs(weights[-1])
        sums = np.abs(present @ weights[:-1] + weights[-1])
        lost = UNIT * len(weights) * terms
        return (lost if is_absolute else lost / np.maximum(sums, 1e-30)).max(axis=1)


def is_decided(shares: np.ndarray, lost: Any) -> np.ndarray:
    """Mask of the records whose likeliest class rounding does not choose; all of them where it would choose
    everywhere. Classes that are equally likely are decided, as the first of them."""
    if shares.ndim == 1 or shares.shape[1] < 2:
        return np.ones(len(shares), bool)
    first, second = np.sort(shares, axis=1)[:, -1], np.sort(shares, axis=1)[:, -2]
    gap = np.abs(first - second)
    mask = (gap > TIE + lost) | ((gap == 0) & (shares.shape[1] > 2))
    return mask if mask.any() else np.ones(len(shares), bool)
