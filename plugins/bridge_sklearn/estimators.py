"""Estimators whose hub model is built from their own parameters. Others go through their converters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge_sklearn import (
    adaboost,
    ensembles,
    gaussian_process,
    hist_gradient_boosting,
    multiclass,
    naive_bayes,
    nearest_neighbors,
)
from bridge_sklearn.graphs import Outputs, PartBuilder

Build = Callable[[PartBuilder, Any, ir.Value], Outputs]
BUILDERS: dict[str, Build] = {
    "AdaBoostClassifier": adaboost.adaboost_classifier,
    "AdaBoostRegressor": adaboost.adaboost_regressor,
    "BaggingClassifier": ensembles.bagging_classifier,
    "BaggingRegressor": ensembles.bagging_regressor,
    "CategoricalNB": naive_bayes.categorical,
    "GaussianNB": naive_bayes.gaussian,
    "GaussianProcessClassifier": gaussian_process.gaussian_process_classifier,
    "GaussianProcessRegressor": gaussian_process.gaussian_process_regressor,
    "HistGradientBoostingClassifier": hist_gradient_boosting.hist_gradient_boosting_model,
    "HistGradientBoostingRegressor": hist_gradient_boosting.hist_gradient_boosting_model,
    "KNeighborsClassifier": nearest_neighbors.neighbors_classifier,
    "KNeighborsRegressor": nearest_neighbors.neighbors_regressor,
    "MultiOutputClassifier": multiclass.multi_output,
    "OneVsOneClassifier": multiclass.one_vs_one,
    "QuadraticDiscriminantAnalysis": naive_bayes.quadratic,
    "RadiusNeighborsClassifier": nearest_neighbors.refuse_radius,
    "RadiusNeighborsRegressor": nearest_neighbors.refuse_radius,
    "StackingClassifier": ensembles.stacking,
    "StackingRegressor": ensembles.stacking,
    "VotingClassifier": ensembles.voting_classifier,
    "VotingRegressor": ensembles.voting_regressor,
}

JOINED = (
    ensembles.bagging_classifier,
    ensembles.bagging_regressor,
    ensembles.stacking,
    ensembles.voting_classifier,
    ensembles.voting_regressor,
)
"""Whose parts are cast to what each reads, so that what comes before them is computed in double."""


def builder(src: Any) -> Build | None:
    """Builder of a scikit-learn estimator; None where its converter is used."""
    return BUILDERS.get(type(src).__name__) if type(src).__module__.startswith("sklearn.") else None
