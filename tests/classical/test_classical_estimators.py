"""Live scikit-learn estimators answer as themselves, on records of all kinds."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel

pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")

import pandas
from sklearn import (
    calibration,
    compose,
    covariance,
    ensemble,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)

warnings.filterwarnings("ignore")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4))
GAPS = np.where(RNG.random(X.shape) < 0.15, np.nan, X)
TWO, THREE = (X[:, 0] > 0).astype(int), np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.5])
FRAME = pandas.DataFrame(
    {
        "kind": pandas.Series(RNG.choice(np.array(["a", "b", np.nan], object), 240), dtype=object),
        "city": pandas.Series(RNG.choice(["u", "v", "w"], 240), dtype=object),
        "size": X[:, 1],
        "note": pandas.Series(RNG.choice(["x", "y"], 240), dtype=object),
    }
)


def answers(model: Any, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    held = {v.name: v.dtype for v in model.graph.inputs}
    typed = {n: v if v.dtype == object else v.astype(held[n].numpy()) for n, v in inputs.items() if n in held}
    return list(bridge.run(model, typed).values())


def same(estimator: Any, records: Any, found: list[np.ndarray]) -> None:
    expected = np.asarray(estimator.predict(records))
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found[0].reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)
    else:
        assert found[0].reshape(expected.shape).tolist() == expected.tolist()
    if hasattr(estimator, "predict_proba"):
        shares = estimator.predict_proba(records)
        for each, wanted in zip(found[1:], shares if isinstance(shares, list) else [shares], strict=True):
            np.testing.assert_allclose(each, wanted, atol=1e-9)


MISSING = {
    "tree": tree.DecisionTreeClassifier(max_depth=5, random_state=0),
    "extra tree": tree.ExtraTreeClassifier(max_depth=5, random_state=0),
    "forest": ensemble.RandomForestClassifier(8, max_depth=5, random_state=0),
    "extra trees": ensemble.ExtraTreesClassifier(8, max_depth=5, random_state=0),
    "bag": ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=4), 5, random_state=0),
    "half of the columns": ensemble.BaggingClassifier(
        tree.DecisionTreeClassifier(max_depth=4), 5, max_features=0.5, random_state=0
    ),
    "vote": ensemble.VotingClassifier(
        [("a", tree.DecisionTreeClassifier(max_depth=4)), ("b", ensemble.RandomForestClassifier(3))],
        voting="soft",
    ),
    "stack": ensemble.StackingClassifier(
        [("a", tree.DecisionTreeClassifier(max_depth=4))], ensemble.RandomForestClassifier(3), cv=2
    ),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=8),
}


@pytest.mark.parametrize("name", MISSING)
def test_trees_lead_missing_values_where_they_learnt_to(name):
    estimator = MISSING[name].fit(GAPS[:160], THREE[:160])
    found = answers(bridge.load(estimator), {"X": GAPS[160:]})
    records = GAPS[160:].astype(np.float32) if name not in ("vote", "stack", "histogram") else GAPS[160:]
    same(estimator, records, found)


def test_a_threshold_beyond_all_numbers_parts_missing_ones_alone():
    x = np.array([[1.0], [2.0], [np.nan], [np.nan]])
    estimator = tree.DecisionTreeClassifier().fit(x, [0, 0, 1, 1])
    assert np.isinf(estimator.tree_.threshold).any()
    assert answers(bridge.load(estimator), {"X": x})[0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("features", [1.0, 0.5])
def test_isolation_forests_score_as_they_do(features):
    estimator = ensemble.IsolationForest(n_estimators=20, max_features=features, random_state=0).fit(X)
    label, scores = answers(bridge.load(estimator), {"X": X})
    floats = X.astype(np.float32)
    assert label.tolist() == estimator.predict(floats).tolist()
    np.testing.assert_allclose(scores.ravel(), estimator.decision_function(floats), rtol=1e-9)


LOGISTIC = linear_model.LogisticRegression()
THRESHOLDS = {
    "tuned": model_selection.TunedThresholdClassifierCV(LOGISTIC, scoring="balanced_accuracy", cv=3),
    "fixed": model_selection.FixedThresholdClassifier(LOGISTIC, threshold=0.8),
    "of the first class": model_selection.FixedThresholdClassifier(LOGISTIC, threshold=0.3, pos_label=0),
    "of a score": model_selection.FixedThresholdClassifier(
        pipeline.make_pipeline(preprocessing.StandardScaler(), svm.LinearSVC()), threshold=0.4
    ),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds_of_classes_are_kept(name):
    labels = (X[:, 0] + RNG.normal(size=240) > 1.2).astype(int)
    estimator = THRESHOLDS[name].fit(X, labels)
    same(estimator, X, answers(bridge.load(estimator), {"X": X}))


def test_searches_alone_are_their_best_estimator():
    estimator = model_selection.GridSearchCV(linear_model.Ridge(), {"alpha": [1, 10]}).fit(X, X[:, 0])
    same(estimator, X, answers(bridge.load(estimator), {"X": X}))


@pytest.mark.parametrize(
    "labels",
    [TWO > 0, TWO.astype(np.uint8), THREE.astype(np.uint64), THREE * 10**12, THREE - 1, THREE.astype(float)],
    ids=["boolean", "bytes", "unsigned", "large", "negative", "floats"],
)
@pytest.mark.parametrize("make", [LOGISTIC, ensemble.RandomForestClassifier(3), svm.SVC()], ids=repr)
def test_labels_are_what_they_were(make, labels):
    estimator = make.fit(X, labels)
    found = answers(bridge.load(estimator), {"X": X})[0].ravel()
    assert found.tolist() == estimator.predict(X.astype(np.float32)).tolist()


def test_labels_past_63_bits_are_refused():
    labels = THREE.astype(np.uint64) + np.uint64(2**63)
    with pytest.raises(UnsupportedModel, match="64 bits"):
        bridge.load(tree.DecisionTreeClassifier(max_depth=2).fit(X, labels))


WRITTEN = {
    "mixture": mixture.GaussianMixture(3, random_state=0),
    "tied mixture": mixture.GaussianMixture(2, covariance_type="tied", random_state=0),
    "ellipse": covariance.EllipticEnvelope(random_state=0),
    "several labels": neural_network.MLPClassifier((4,), max_iter=20, random_state=0),
    "Box-Cox": pipeline.make_pipeline(preprocessing.PowerTransformer("box-cox"), linear_model.Ridge()),
    "Yeo-Johnson": pipeline.make_pipeline(preprocessing.PowerTransformer(), linear_model.Ridge()),
    "function": pipeline.make_pipeline(preprocessing.FunctionTransformer(np.log1p), linear_model.Ridge()),
    "slice": pipeline.make_pipeline(
        compose.ColumnTransformer([("a", preprocessing.StandardScaler(), slice(0, 2))]), LOGISTIC
    ),
    "mask": pipeline.make_pipeline(
        compose.ColumnTransformer([("a", preprocessing.MinMaxScaler(), [True, False, True, False])]), LOGISTIC
    ),
    "isotonic": calibration.CalibratedClassifierCV(
        ensemble.RandomForestClassifier(5, random_state=0), method="isotonic", cv=3
    ),
    "calibrated machine": calibration.CalibratedClassifierCV(svm.SVC(), cv=3),
    "temperature": calibration.CalibratedClassifierCV(LOGISTIC, method="temperature", cv=3),
    "votes": ensemble.VotingClassifier(
        [
            ("a", ensemble.RandomForestClassifier(3, random_state=0)),
            ("b", ensemble.HistGradientBoostingClassifier(max_iter=3)),
        ],
        voting="soft",
    ),
    "rest": multiclass.OneVsRestClassifier(LOGISTIC),
    "rest of machines": multiclass.OneVsRestClassifier(svm.SVC()),
    "indicator": pipeline.make_pipeline(
        impute.SimpleImputer(add_indicator=True), ensemble.GradientBoostingClassifier(n_estimators=4)
    ),
}
TARGETS = {
    "several labels": np.c_[TWO, 1 - TWO],
    **dict.fromkeys(("Box-Cox", "Yeo-Johnson", "function"), X[:, 0]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_formulas_stand_in_for_converters(name):
    records = np.exp(X) if name in ("Box-Cox", "function") else GAPS if name == "indicator" else X
    estimator = WRITTEN[name].fit(records, TARGETS.get(name, THREE))
    same(estimator, records, answers(bridge.load(estimator), {"X": records}))


@pytest.mark.parametrize("extrapolation", ["constant", "linear", "continue", "periodic"])
@pytest.mark.parametrize("settings", [{}, {"degree": 2, "include_bias": False, "knots": "quantile"}], ids=str)
def test_splines_go_on_as_they_do(extrapolation, settings):
    steps = preprocessing.SplineTransformer(extrapolation=extrapolation, **settings), linear_model.Ridge()
    estimator = pipeline.make_pipeline(*steps).fit(X, X[:, 0])
    records = np.concatenate([X, X * 5])
    same(estimator, records, answers(bridge.load(estimator), {"X": records}))


def test_a_function_of_python_is_refused_by_name():
    def double(x):
        return 2 * x

    steps = preprocessing.FunctionTransformer(double), linear_model.Ridge()
    with pytest.raises(UnsupportedModel, match="double is Python"):
        bridge.load(pipeline.make_pipeline(*steps).fit(X, TWO))


def encoded(encoder: Any, columns: Any, **settings: Any) -> Any:
    return compose.ColumnTransformer([("e", encoder, columns)], **settings)


IGNORE = preprocessing.OneHotEncoder(handle_unknown="ignore")
TEXTS = ["kind", "city"]
ENCODED = {
    "one hot": (encoded(IGNORE, TEXTS), LOGISTIC),
    "beside numbers": (
        compose.ColumnTransformer([("e", IGNORE, TEXTS), ("n", "drop", ["note"])], remainder="passthrough"),
        LOGISTIC,
    ),
    "callable": (encoded(IGNORE, lambda frame: ["city"]), LOGISTIC),
    "selector": (encoded(IGNORE, compose.make_column_selector(dtype_include=object)), LOGISTIC),
    "slice of names": (encoded(IGNORE, slice("kind", "city")), LOGISTIC),
    "rare": (
        encoded(preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.34), TEXTS),
        LOGISTIC,
    ),
    "without the first": (encoded(preprocessing.OneHotEncoder(drop="first"), TEXTS), LOGISTIC),
    "imputed": (
        encoded(pipeline.make_pipeline(impute.SimpleImputer(strategy="most_frequent"), IGNORE), TEXTS),
        ensemble.RandomForestClassifier(4, random_state=0),
    ),
    "ordinal": (
        encoded(
            preprocessing.OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
            ),
            TEXTS,
        ),
        ensemble.GradientBoostingClassifier(n_estimators=4),
    ),
    "target": (
        encoded(preprocessing.TargetEncoder(), TEXTS),
        ensemble.GradientBoostingClassifier(n_estimators=4),
    ),
}


@pytest.mark.parametrize("name", ENCODED)
def test_categories_of_columns_are_known_missing_ones_too(name):
    estimator = pipeline.make_pipeline(*ENCODED[name]).fit(FRAME, THREE)
    model = bridge.load(estimator)
    columns = {n: FRAME[[n]].to_numpy() for n in FRAME}
    inputs = {n: np.where(FRAME[[n]].isna(), "", v) if v.dtype == object else v for n, v in columns.items()}
    same(estimator, FRAME, answers(model, inputs))


def test_a_column_that_is_dropped_is_no_input():
    model = bridge.load(pipeline.make_pipeline(*ENCODED["beside numbers"]).fit(FRAME, TWO))
    assert [v.name for v in model.graph.inputs] == ["kind", "city", "size"]


def test_a_missing_category_is_one_in_pmml_too(tmp_path):
    pytest.importorskip("pypmml")
    estimator = pipeline.make_pipeline(*ENCODED["beside numbers"]).fit(FRAME, TWO)
    path = bridge.convert(estimator, tmp_path / "model.pmml").path
    records = FRAME[:40]
    inputs = {n: np.where(records[[n]].isna(), "", records[[n]].to_numpy()) for n in TEXTS}
    found = list(bridge.run(path, {**inputs, "size": records[["size"]].to_numpy()}).values())
    np.testing.assert_allclose(found[1], estimator.predict_proba(records), atol=1e-9)


@pytest.mark.parametrize("missing", [False, True])
def test_histogram_boosting_splits_on_categories(missing):
    x = np.c_[X[:, 0], RNG.integers(0, 7, 240), GAPS[:, 2]]
    if missing:
        x[RNG.random(240) < 0.2, 1] = np.nan
    target = THREE + np.isin(x[:, 1], [1, 4, 5])
    estimator = ensemble.HistGradientBoostingRegressor(max_iter=10, categorical_features=[1]).fit(x, target)
    records = np.concatenate([x, np.c_[X[:40, 0], np.full(40, 99.0), GAPS[:40, 2]]])
    same(estimator, records, answers(bridge.load(estimator), {"X": records}))


@pytest.mark.parametrize("make", [ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier])
def test_trees_of_two_classes_are_written_once_where_each_leaf_is_of_one(make):
    noisy = (X[:, 0] + RNG.normal(size=240) > 0).astype(int)
    records = RNG.normal(size=(4000, 4)).astype(np.float32)
    for settings, copies in ({}, 1), ({"max_depth": 3}, 2):
        forest = make(10, random_state=0, **settings).fit(X, noisy)
        model = bridge.load(forest)
        [trees] = [node for node in model.graph if node.op_type == "TreeEnsemble"]
        assert len(trees.attributes["tree_roots"].value) == 10 * copies
        label, shares = answers(model, {"X": records})
        assert label.tolist() == forest.predict(records).tolist()
        np.testing.assert_allclose(shares, forest.predict_proba(records), rtol=0, atol=1e-15)
        if copies == 1:
            assert (shares[:, 0] == 0.5).any()
            assert (shares == forest.predict_proba(records)).all()


def test_several_targets_of_forests():
    estimator = ensemble.RandomForestClassifier(4, random_state=0).fit(X, np.c_[TWO, THREE])
    same(estimator, X.astype(np.float32), answers(bridge.load(estimator), {"X": X}))
    regressor = ensemble.ExtraTreesRegressor(4, random_state=0).fit(X, X[:, :2])
    same(regressor, X.astype(np.float32), answers(bridge.load(regressor), {"X": X}))
