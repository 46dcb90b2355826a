"""Estimators whose hub model is built from their own numbers; what the converters make of the others is
taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from bridge_sklearn import boosting, composed, densities, ensembles, histogram, neighbors, process
from bridge_sklearn.graphs import Outputs, PartBuilder

Build = Callable[[PartBuilder, Any, ir.Value], Outputs]
BUILDERS: dict[str, Build] = {
    "AdaBoostClassifier": boosting.classifier,
    "AdaBoostRegressor": boosting.regressor,
    "BaggingClassifier": ensembles.bagging_classifier,
    "BaggingRegressor": ensembles.bagging_regressor,
    "CategoricalNB": densities.categorical,
    "GaussianNB": densities.gaussian,
    "GaussianProcessClassifier": process.classifier,
    "GaussianProcessRegressor": process.regressor,
    "HistGradientBoostingClassifier": histogram.build,
    "HistGradientBoostingRegressor": histogram.build,
    "KNeighborsClassifier": neighbors.classifier,
    "KNeighborsRegressor": neighbors.regressor,
    "MultiOutputClassifier": composed.by_output,
    "OneVsOneClassifier": composed.one_against_one,
    "QuadraticDiscriminantAnalysis": densities.quadratic,
    "RadiusNeighborsClassifier": neighbors.within,
    "RadiusNeighborsRegressor": neighbors.within,
    "StackingClassifier": ensembles.stacked,
    "StackingRegressor": ensembles.stacked,
    "VotingClassifier": ensembles.voting_classifier,
    "VotingRegressor": ensembles.voting_regressor,
}

JOINED = (
    ensembles.bagging_classifier,
    ensembles.bagging_regressor,
    ensembles.stacked,
    ensembles.voting_classifier,
    ensembles.voting_regressor,
)
"""Whose parts are cast to what each reads, so that what comes before them is computed in double."""


def builder(src: Any) -> Build | None:
    """What builds a scikit-learn estimator, None where its converter does."""
    return BUILDERS.get(type(src).__name__) if type(src).__module__.startswith("sklearn.") else None
