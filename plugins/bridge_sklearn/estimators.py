"""Estimators whose hub model is built from their own parameters. Others go through their converters."""

from __future__ import annotations

from typing import Any

from bridge_sklearn import (
    adaboost,
    calibration,
    ensembles,
    gaussian_process,
    hist_gradient_boosting,
    linear,
    mixtures,
    multiclass,
    naive_bayes,
    nearest_neighbors,
    neural_network,
    svm,
    trees,
)
from bridge_sklearn.graphs import Build

LINEAR = (
    *("ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "GammaRegressor", "HuberRegressor"),
    *("Lars", "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression"),
    *("LinearSVR", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"),
    *("OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor"),
    *("PoissonRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor", "TheilSenRegressor"),
    "TweedieRegressor",
)

BUILDERS: dict[str, Build] = {
    **{name: linear.linear_regressor for name in LINEAR},
    "AdaBoostClassifier": adaboost.adaboost_classifier,
    "AdaBoostRegressor": adaboost.adaboost_regressor,
    "BaggingClassifier": ensembles.bagging_classifier,
    "BaggingRegressor": ensembles.bagging_regressor,
    "CalibratedClassifierCV": calibration.calibrated_classifier,
    "CategoricalNB": naive_bayes.categorical,
    "ClassifierChain": multiclass.chain,
    "DecisionTreeClassifier": trees.forest_classifier,
    "DecisionTreeRegressor": trees.forest_regressor,
    "EllipticEnvelope": mixtures.elliptic_envelope,
    "ExtraTreeClassifier": trees.forest_classifier,
    "ExtraTreeRegressor": trees.forest_regressor,
    "ExtraTreesClassifier": trees.forest_classifier,
    "ExtraTreesRegressor": trees.forest_regressor,
    "FixedThresholdClassifier": calibration.threshold_classifier,
    "GaussianMixture": mixtures.gaussian_mixture,
    "GaussianNB": naive_bayes.gaussian,
    "GaussianProcessClassifier": gaussian_process.gaussian_process_classifier,
    "GaussianProcessRegressor": gaussian_process.gaussian_process_regressor,
    "GradientBoostingClassifier": trees.gradient_boosting,
    "GradientBoostingRegressor": trees.gradient_boosting,
    "HistGradientBoostingClassifier": hist_gradient_boosting.hist_gradient_boosting_model,
    "HistGradientBoostingRegressor": hist_gradient_boosting.hist_gradient_boosting_model,
    "IsolationForest": trees.isolation_forest,
    "IsotonicRegression": calibration.isotonic_regression,
    "KNeighborsClassifier": nearest_neighbors.neighbors_classifier,
    "KNeighborsRegressor": nearest_neighbors.neighbors_regressor,
    "LinearDiscriminantAnalysis": linear.linear_classifier,
    "LinearSVC": linear.linear_classifier,
    "LogisticRegression": linear.linear_classifier,
    "LogisticRegressionCV": linear.linear_classifier,
    "MLPClassifier": neural_network.mlp_classifier,
    "MLPRegressor": neural_network.mlp_regressor,
    "MultiOutputClassifier": multiclass.multi_output,
    "MultiOutputRegressor": multiclass.multi_output_regressor,
    "OneVsOneClassifier": multiclass.one_vs_one,
    "OneVsRestClassifier": multiclass.one_vs_rest,
    "PassiveAggressiveClassifier": linear.linear_classifier,
    "Perceptron": linear.linear_classifier,
    "QuadraticDiscriminantAnalysis": naive_bayes.quadratic,
    "RadiusNeighborsClassifier": nearest_neighbors.refuse_radius,
    "RadiusNeighborsRegressor": nearest_neighbors.refuse_radius,
    "RandomForestClassifier": trees.forest_classifier,
    "RandomForestRegressor": trees.forest_regressor,
    "RegressorChain": multiclass.chain,
    "RidgeClassifier": linear.linear_classifier,
    "RidgeClassifierCV": linear.linear_classifier,
    "SGDClassifier": linear.linear_classifier,
    "StackingClassifier": ensembles.stacking,
    "StackingRegressor": ensembles.stacking,
    "TunedThresholdClassifierCV": calibration.threshold_classifier,
    "VotingClassifier": ensembles.voting_classifier,
    "VotingRegressor": ensembles.voting_regressor,
}

SECOND: dict[str, Build] = {
    "NuSVC": svm.svc,
    "NuSVR": svm.svr,
    "OneClassSVM": svm.one_class,
    "SVC": svm.svc,
    "SVR": svm.svr,
}
"""Builders of support vector machines, whose converters come first: some targets have models of the operators
they write."""

JOINED = (
    calibration.calibrated_classifier,
    calibration.threshold_classifier,
    ensembles.bagging_classifier,
    ensembles.bagging_regressor,
    ensembles.stacking,
    ensembles.voting_classifier,
    ensembles.voting_regressor,
    multiclass.chain,
)
"""Whose parts are cast to what each reads, so that what comes before them is computed in double."""


def builder(src: Any, builders: dict[str, Build] = BUILDERS) -> Build | None:
    """Builder of a scikit-learn estimator; None where its converter is used."""
    return builders.get(type(src).__name__) if type(src).__module__.startswith("sklearn.") else None


def first_builder(src: Any) -> Build | None:
    """Builder of an estimator that its converter would not do as well: support vector machines with
    probabilities have theirs in float."""
    own = builder(src)
    return builder(src, SECOND) if own is None and getattr(src, "_effective_probability", False) else own


def part_builder(src: Any) -> Build | None:
    """Builder of an estimator within another."""
    return builder(src) or builder(src, SECOND)
