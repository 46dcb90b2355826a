"""Boosters within scikit-learn's estimators are read as they are alone."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import bridge

pytest.importorskip("skl2onnx")
xgboost = pytest.importorskip("xgboost")
lightgbm = pytest.importorskip("lightgbm")

from sklearn import (  # noqa: E402
    calibration,
    ensemble,
    model_selection,
    multiclass,
    pipeline,
    preprocessing,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
TARGET = X[:, 0] + X[:, 1] * X[:, 2]
CLASSES = np.array(["a", "b", "c"])[np.digitize(TARGET, [-1, 1])]


def xgb(kind: str = "Classifier") -> Any:
    return getattr(xgboost, f"XGB{kind}")(n_estimators=4, max_depth=3)


def lgbm(kind: str = "Classifier") -> Any:
    return getattr(lightgbm, f"LGBM{kind}")(n_estimators=4, verbose=-1)


def run(estimator: Any) -> Any:
    """Outputs of what an estimator becomes, for the records as it takes them."""
    model = bridge.load(estimator)
    return bridge.run(model, {"X": X.astype(model.graph.inputs[0].dtype.numpy())})


CLASSIFIERS = {
    "scaled": pipeline.make_pipeline(preprocessing.StandardScaler(), lgbm()),
    "stacked": ensemble.StackingClassifier([("l", lgbm()), ("x", xgb())], cv=2),
    "voted": ensemble.VotingClassifier([("l", lgbm()), ("x", xgb())], voting="soft"),
    "calibrated": calibration.CalibratedClassifierCV(lgbm(), cv=2),
    "calibrated by steps": calibration.CalibratedClassifierCV(lgbm(), cv=2, method="isotonic"),
    "calibrated of floats": calibration.CalibratedClassifierCV(xgb(), cv=2),
    "one against one": multiclass.OneVsOneClassifier(lgbm()),
    "searched": model_selection.GridSearchCV(lgbm(), {"num_leaves": [4, 8]}, cv=2),
}
REGRESSORS = {
    "stacked": ensemble.StackingRegressor([("l", lgbm("Regressor")), ("x", xgb("Regressor"))], cv=2),
    "voted": ensemble.VotingRegressor([("l", lgbm("Regressor")), ("x", xgb("Regressor"))]),
    "bagged": ensemble.BaggingRegressor(xgb("Regressor"), n_estimators=2, random_state=0),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_decide_as_they_do(name):
    is_numbered = "XGB" in str(CLASSIFIERS[name])
    known = np.digitize(TARGET, [-1, 1]) if is_numbered else CLASSES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = CLASSIFIERS[name].fit(X, known)
        found = run(estimator)
        assert found["label"].tolist() == estimator.predict(X).tolist()
        if hasattr(estimator, "predict_proba"):
            np.testing.assert_allclose(found["probabilities"], estimator.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_predict_as_they_do(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = REGRESSORS[name].fit(X, TARGET)
        found = run(estimator)["variable"]
        np.testing.assert_allclose(found[:, 0], estimator.predict(X), rtol=1e-5, atol=1e-6)
