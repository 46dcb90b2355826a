"""Seconds to read estimators, against skl2onnx with onnxmltools: `python benchmarks/estimator_peers.py [--pairs 5]`.

Each is fitted on seeded data and read by turns. Prints medians of milliseconds: of bridge.load without the comparison
it ends in, of that comparison, of the peer, and the ratio of the first to the last. The peer's options are those that
give the same outputs: no maps, opset 21 and ai.onnx.ml 3.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier, XGBRegressor

import bridge
from bridge.classical import check

ROWS, FEATURES = 400, 10
QUIET = {"verbose": -1}


def estimators() -> list[Any]:
    encoded = ColumnTransformer(
        [
            ("scaled", StandardScaler(), list(range(8))),
            ("codes", OneHotEncoder(handle_unknown="ignore"), [8, 9]),
        ]
    )
    return [
        LogisticRegression(),
        Ridge(),
        DecisionTreeClassifier(max_depth=8),
        RandomForestClassifier(100, max_depth=8),
        GradientBoostingClassifier(n_estimators=100),
        HistGradientBoostingClassifier(max_iter=100),
        IsolationForest(n_estimators=100),
        SVC(probability=True),
        KNeighborsClassifier(),
        MLPClassifier(max_iter=50),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(encoded, LogisticRegression()),
        CalibratedClassifierCV(RandomForestClassifier(20), cv=3),
        VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"),
        StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]),
        XGBClassifier(n_estimators=100),
        XGBRegressor(n_estimators=100),
        LGBMClassifier(n_estimators=100, **QUIET),
        LGBMRegressor(n_estimators=100, **QUIET),
    ]


def register() -> None:
    """The converters of onnxmltools, in skl2onnx."""
    for kind, convert in (("XGB", convert_xgboost), ("LGBM", convert_lightgbm)):
        for name, model in (("Classifier", "classifier"), ("Regressor", "regressor")):
            shapes = (
                calculate_linear_classifier_output_shapes
                if model == "classifier"
                else calculate_linear_regressor_output_shapes
            )
            options = {"zipmap": [False], "nocl": [False, True]} if model == "classifier" else None
            estimator = globals()[kind + name]
            update_registered_converter(estimator, kind + name, shapes, convert, options=options)


def seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by_peer(model: Any, x: np.ndarray) -> None:
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    to_onnx(model, x[:1], options=options, target_opset={"": 21, "ai.onnx.ml": 3})


def measured(model: Any, x: np.ndarray, pairs: int) -> tuple[float, float, float]:
    """Medians of seconds: reading, the comparison after it, the peer."""
    ours, checks, peers = [], [], []
    whole = check.check
    for _ in range(pairs):
        spent = [0.0]

        def timed(*arguments: Any, _spent: list[float] = spent, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return whole(*arguments, **named)
            finally:
                _spent[0] += time.perf_counter() - start

        with (
            mock.patch("bridge_sklearn.importer.check", timed),
            mock.patch("bridge_boosters.checks.check", timed),
        ):
            total = seconds(lambda: bridge.load(model))
        ours.append(total - spent[0])
        checks.append(spent[0])
        peers.append(seconds(lambda: by_peer(model, x)))
    return statistics.median(ours), statistics.median(checks), statistics.median(peers)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    register()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    x[:, 8:] = rng.integers(0, 4, (ROWS, 2))
    y = (x[:, 0] + x[:, 1] * x[:, 8] > 0).astype(int)
    print(f"{'estimator':<48} {'bridge':>8} {'check':>8} {'peer':>8}  ratio")
    ratios = []
    for model in estimators():
        model.fit(x, y)
        try:
            by_peer(model, x)
        except Exception as error:
            print(
                f"{type(model).__name__:<48} not converted by the peer: {str(error).strip().splitlines()[0][:80]}"
            )
            continue
        own, checked, peer = measured(model, x, given.pairs)
        ratios.append(own / peer)
        name = " ".join(repr(model).split())[:48]
        print(
            f"{name:<48} {1e3 * own:>8.1f} {1e3 * checked:>8.1f} {1e3 * peer:>8.1f} {ratios[-1]:>6.2f}",
            flush=True,
        )
    print(f"{'median':<48} {'':>26} {statistics.median(ratios):>6.2f}")


if __name__ == "__main__":
    main()
