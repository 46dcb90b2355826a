"""Live estimators → PMML → PMML4S give the estimator's own predictions."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from build import hub_from_text, save_as

import bridge
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel

pytest.importorskip("skl2onnx")
pytest.importorskip("pypmml")

from bridge_sklearn import importer
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    decomposition,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    impute,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.gaussian_process import kernels
from sklearn.model_selection import train_test_split

warnings.filterwarnings("ignore")

CLASSIFIERS = {
    "logistic": linear_model.LogisticRegression(max_iter=200),
    "ridge": linear_model.RidgeClassifier(),
    "sgd": linear_model.SGDClassifier(random_state=0),
    "perceptron": linear_model.Perceptron(random_state=0),
    "linear_svc": svm.LinearSVC(random_state=0),
    "svc": svm.SVC(),
    "svc_poly": svm.SVC(kernel="poly", degree=2),
    "svc_linear": svm.SVC(kernel="linear"),
    "tree": tree.DecisionTreeClassifier(max_depth=4, random_state=0),
    "extra_tree": tree.ExtraTreeClassifier(max_depth=4, random_state=0),
    "forest": ensemble.RandomForestClassifier(8, max_depth=4, random_state=0),
    "extra_trees": ensemble.ExtraTreesClassifier(8, max_depth=4, random_state=0),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=6, random_state=0),
    "histogram": ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "mlp": neural_network.MLPClassifier(hidden_layer_sizes=(6,), max_iter=30, random_state=0),
    "scaled": pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    "reduced": pipeline.make_pipeline(
        decomposition.PCA(2), tree.DecisionTreeClassifier(max_depth=3, random_state=0)
    ),
    "discriminant": discriminant_analysis.LinearDiscriminantAnalysis(),
    "gaussian": naive_bayes.GaussianNB(),
    "bernoulli": naive_bayes.BernoulliNB(),
    "complement": naive_bayes.ComplementNB(),
    "multinomial": naive_bayes.MultinomialNB(),
    "bagging": ensemble.BaggingClassifier(n_estimators=4, random_state=0),
    "voting": ensemble.VotingClassifier(
        [("a", naive_bayes.BernoulliNB()), ("b", linear_model.LogisticRegression())], voting="soft"
    ),
    "one against the rest": multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
    "calibrated": calibration.CalibratedClassifierCV(linear_model.LogisticRegression(), cv=2),
    "adaptive": ensemble.AdaBoostClassifier(n_estimators=6, random_state=0),
    "adaptive lines": ensemble.AdaBoostClassifier(linear_model.LogisticRegression(), n_estimators=3),
    "quadratic": discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "scaled quadratic": pipeline.make_pipeline(
        preprocessing.StandardScaler(), discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1)
    ),
    "one against one": multiclass.OneVsOneClassifier(svm.LinearSVC(random_state=0)),
    "trees one against one": multiclass.OneVsOneClassifier(
        tree.DecisionTreeClassifier(max_depth=3, random_state=0)
    ),
    "neighbours": neighbors.KNeighborsClassifier(),
    "near neighbours": pipeline.make_pipeline(
        preprocessing.StandardScaler(), neighbors.KNeighborsClassifier(weights="distance", p=3)
    ),
    "normalized": pipeline.make_pipeline(preprocessing.Normalizer(), svm.LinearSVC(random_state=0)),
}
REGRESSORS = {
    "linear": linear_model.LinearRegression(),
    "ridge": linear_model.Ridge(),
    "lasso": linear_model.Lasso(),
    "elastic": linear_model.ElasticNet(),
    "bayesian": linear_model.BayesianRidge(),
    "huber": linear_model.HuberRegressor(max_iter=500),
    "poisson": linear_model.PoissonRegressor(),
    "gamma": linear_model.GammaRegressor(),
    "quantile": linear_model.QuantileRegressor(),
    "components": cross_decomposition.PLSRegression(),
    "bagging": ensemble.BaggingRegressor(n_estimators=4, random_state=0),
    "voting": ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", linear_model.LinearRegression())]),
    "svr": svm.SVR(C=50),
    "linear_svr": svm.LinearSVR(random_state=0),
    "tree": tree.DecisionTreeRegressor(max_depth=4, random_state=0),
    "forest": ensemble.RandomForestRegressor(8, max_depth=5, random_state=0),
    "extra_trees": ensemble.ExtraTreesRegressor(8, max_depth=5, random_state=0),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=10, random_state=0),
    "adaptive": ensemble.AdaBoostRegressor(n_estimators=6, random_state=0),
    "adaptive lines": ensemble.AdaBoostRegressor(linear_model.Ridge(), n_estimators=3, random_state=0),
    "neighbours": neighbors.KNeighborsRegressor(3),
    "near neighbours": neighbors.KNeighborsRegressor(3, weights="distance"),
    "neighbours by city blocks": pipeline.make_pipeline(
        preprocessing.StandardScaler(), neighbors.KNeighborsRegressor(p=1, weights="distance")
    ),
    "process": gaussian_process.GaussianProcessRegressor(alpha=0.1, normalize_y=True),
    "process of terms": gaussian_process.GaussianProcessRegressor(
        2.0 * kernels.RBF([1.0] * 10) + kernels.DotProduct() + kernels.WhiteKernel() + 3.0, optimizer=None
    ),
    "logarithm": compose.TransformedTargetRegressor(
        linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1
    ),
    "scaled target": pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        compose.TransformedTargetRegressor(svm.SVR(), transformer=preprocessing.StandardScaler()),
    ),
    "histogram": ensemble.HistGradientBoostingRegressor(max_iter=8, loss="poisson", random_state=0),
    "mlp": neural_network.MLPRegressor(hidden_layer_sizes=(6,), max_iter=30, random_state=0),
    "pipeline": pipeline.make_pipeline(
        impute.SimpleImputer(),
        preprocessing.MinMaxScaler(),
        preprocessing.PolynomialFeatures(2),
        linear_model.Ridge(),
    ),
}


def outputs_of_document(estimator: Any, path: Path, x: np.ndarray) -> list[np.ndarray]:
    """The outputs of a document of an estimator, in order."""
    value = bridge.load(estimator).graph.inputs[0]
    return list(bridge.run(path, {"X": x.astype(value.dtype.numpy())}).values())


@pytest.mark.parametrize("data", [load_iris, load_breast_cancer], ids=["three", "two"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_decide_as_their_estimators(name, data, tmp_path):
    x, y = data(return_X_y=True)
    x = x[:, :6]
    train, test, labels, _ = train_test_split(x, y, random_state=1, test_size=60)
    estimator = CLASSIFIERS[name].fit(train, labels)
    found = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), test)
    assert found[0].ravel().tolist() == estimator.predict(test).tolist()
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(found[1], estimator.predict_proba(test), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_predict_as_their_estimators(name, tmp_path):
    x, y = load_diabetes(return_X_y=True)
    train, test, target, _ = train_test_split(x, y, random_state=1, test_size=60)
    estimator = REGRESSORS[name].fit(train, target)
    found = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), test)[0].ravel()
    np.testing.assert_allclose(found, estimator.predict(test), rtol=1e-6)


@pytest.mark.parametrize("library", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_boosters_predict_as_they_do(library, kind, tmp_path):
    module = pytest.importorskip(library)
    settings = {"n_estimators": 12, "max_depth": 3, "random_state": 0}
    settings |= {"verbose": -1} if library == "lightgbm" else {}
    make = getattr(module, ("XGB" if library == "xgboost" else "LGBM") + kind)
    x, y = (load_iris if kind == "Classifier" else load_diabetes)(return_X_y=True)
    train, test, target, _ = train_test_split(x, y, random_state=1, test_size=50)
    estimator = make(**settings).fit(train, target)
    found = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), test)
    expected = estimator.predict(test)
    if kind == "Classifier":
        assert found[0].ravel().tolist() == expected.tolist()
        np.testing.assert_allclose(found[1], estimator.predict_proba(test), atol=1e-6)
    else:
        np.testing.assert_allclose(found[0].ravel(), expected, rtol=1e-6)


def test_categories_that_were_seen_decide(tmp_path):
    x, y = load_iris(return_X_y=True)
    x = x.round().clip(0, 6)
    estimator = naive_bayes.CategoricalNB(min_categories=8).fit(x, y)
    label, shares = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), x)
    assert label.ravel().tolist() == estimator.predict(x).tolist()
    np.testing.assert_allclose(shares, estimator.predict_proba(x), rtol=1e-9)


def test_every_output_has_its_classes(tmp_path):
    x, y = load_iris(return_X_y=True)
    labels = np.stack([y, y % 2], axis=1)
    estimator = multioutput.MultiOutputClassifier(linear_model.LogisticRegression()).fit(x, labels)
    label, *shares = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), x)
    assert label.tolist() == estimator.predict(x).tolist()
    for found, expected in zip(shares, estimator.predict_proba(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_clusters_are_the_nearest_centre(tmp_path):
    x, _ = load_iris(return_X_y=True)
    estimator = cluster.KMeans(3, n_init=1, random_state=0).fit(x)
    found = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), x)
    assert found[0].ravel().tolist() == estimator.predict(x).tolist()


def test_classes_may_be_text(tmp_path):
    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    estimator = linear_model.LogisticRegression(max_iter=200).fit(x, names)
    assert (
        outputs_of_document(estimator, save_as("pmml", estimator, tmp_path), x)[0].ravel().tolist()
        == estimator.predict(x).tolist()
    )


def test_column_names_are_kept(tmp_path):
    frame = load_iris(as_frame=True)
    estimator = tree.DecisionTreeClassifier(max_depth=2).fit(frame.data, frame.target)
    text = save_as("pmml", estimator, tmp_path).read_text()
    assert all(f'<DataField name="{name}"' in text for name in frame.feature_names)
    again = tmp_path / "named.pmml"
    bridge.convert(estimator, again, to="pmml", feature_names="a,b,c,d")
    assert '<DataField name="a"' in again.read_text()
    with pytest.raises(BridgeError, match="3 names"):
        bridge.convert(estimator, again, to="pmml", feature_names="a,b,c", overwrite=True)


def test_columns_of_text_become_fields_of_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    frame = pandas.DataFrame({"size": [1.0, 2, 3, 4, 5, 6], "colour": ["r", "g", "r", "b", "g", "b"]})
    encoded = [
        ("one", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["colour"]),
        ("n", preprocessing.StandardScaler(), ["size"]),
    ]
    estimator = pipeline.make_pipeline(ColumnTransformer(encoded), linear_model.LinearRegression())
    estimator.fit(frame, [1.0, 5, 2, 9, 8, 12])
    path = save_as("pmml", estimator, tmp_path)
    inputs = {"size": frame[["size"]].to_numpy(), "colour": frame[["colour"]].to_numpy(object)}
    found = next(iter(bridge.run(path, inputs).values()))
    np.testing.assert_allclose(found.ravel(), estimator.predict(frame), rtol=1e-6)


def test_verify_compares_the_document_with_the_hub(tmp_path):
    x, y = load_iris(return_X_y=True)
    estimator = ensemble.RandomForestClassifier(5, random_state=0).fit(x, y)
    done = bridge.convert(estimator, tmp_path / "model.pmml", to="pmml", verify=True)
    assert done.verification.ok
    assert "PMML4S" in done.verification.engines[1]


def test_what_is_no_fitted_model_is_refused(tmp_path):
    with pytest.raises(UnreadableFile, match="fitted"):
        bridge.load(linear_model.LinearRegression())
    file = tmp_path / "model.pkl"
    file.write_bytes(b"x")
    with pytest.raises(BridgeError):
        bridge.load(file, source="sklearn")


def test_a_converter_that_gives_other_numbers_is_not_believed(monkeypatch):
    x, y = load_iris(return_X_y=True)
    estimator = naive_bayes.MultinomialNB().fit(x, y)
    other = naive_bayes.MultinomialNB().fit(x, 2 - y)
    monkeypatch.setattr(importer, "make_convertible", lambda src: other)
    with pytest.raises(UnsupportedModel, match="other numbers"):
        bridge.load(estimator)


@pytest.mark.parametrize(
    ("estimator", "part"),
    [
        (neighbors.RadiusNeighborsClassifier(radius=0.01), "within a radius"),
        (gaussian_process.GaussianProcessClassifier(), "latent process"),
        (
            compose.TransformedTargetRegressor(
                linear_model.Ridge(), transformer=preprocessing.QuantileTransformer(n_quantiles=5)
            ),
            "transforms its target",
        ),
    ],
)
def test_what_no_model_holds_is_refused_by_the_part(estimator, part):
    x, y = load_iris(return_X_y=True)
    with pytest.raises(UnsupportedModel, match=part):
        bridge.load(estimator.fit(x[::5], y[::5]))


ENCODED = {
    "line": (preprocessing.OneHotEncoder(), linear_model.LinearRegression()),
    "without the first": (preprocessing.OneHotEncoder(drop="first"), linear_model.Ridge()),
    "not all known": (
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
        ensemble.RandomForestRegressor(4),
    ),
    "ordinal": (preprocessing.OrdinalEncoder(), ensemble.GradientBoostingRegressor(n_estimators=5)),
    "classes": (preprocessing.OneHotEncoder(), linear_model.LogisticRegression()),
}


@pytest.mark.parametrize("name", ENCODED)
def test_several_encoded_columns_beside_numbers(name, tmp_path):
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    rng = np.random.default_rng(0)
    texts = {"sex": rng.choice(["m", "f"], 80), "city": rng.choice(["a", "b", "c"], 80)}
    frame = pandas.DataFrame({"age": rng.normal(40, 10, 80), **texts})
    encoder, final = ENCODED[name]
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    columns = ColumnTransformer([("n", numbers, ["age"]), ("c", encoder, ["sex", "city"])])
    target = frame["age"] / 40 + (frame["sex"] == "m") * 2 + 1
    estimator = pipeline.make_pipeline(columns, final)
    estimator.fit(frame, target > 3 if name == "classes" else target)
    held = {v.name: v.dtype.numpy() for v in bridge.load(estimator).graph.inputs}
    inputs = {n: frame[[n]].to_numpy(object if n in texts else held[n]) for n in held}
    found = next(iter(bridge.run(save_as("pmml", estimator, tmp_path), inputs).values())).ravel()
    if name == "classes":
        assert found.tolist() == estimator.predict(frame).tolist()
    else:
        np.testing.assert_allclose(found, estimator.predict(frame), rtol=1e-6)


def test_columns_by_name_reach_neighbours_chosen_by_a_search(tmp_path):
    pandas = pytest.importorskip("pandas")
    from sklearn.compose import ColumnTransformer

    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"size": rng.normal(size=60), "colour": rng.choice(["r", "g", "b"], 60)})
    encoded = [
        ("one", preprocessing.OneHotEncoder(sparse_output=False), ["colour"]),
        ("n", preprocessing.StandardScaler(), ["size"]),
    ]
    steps = pipeline.Pipeline(
        [("columns", ColumnTransformer(encoded)), ("near", neighbors.KNeighborsRegressor())]
    )
    estimator = model_selection.GridSearchCV(steps, {"near__n_neighbors": [3, 4]}, cv=2)
    estimator.fit(frame, frame["size"] ** 2 + (frame["colour"] == "r"))
    path = save_as("pmml", estimator, tmp_path)
    assert "NearestNeighborModel" in path.read_text()
    inputs = {"size": frame[["size"]].to_numpy(), "colour": frame[["colour"]].to_numpy(object)}
    found = next(iter(bridge.run(path, inputs).values()))
    np.testing.assert_allclose(found.ravel(), estimator.predict(frame), rtol=1e-6)
    inputs["colour"] = np.array([["never seen"], *inputs["colour"][1:].tolist()], object)
    for asked in (path, bridge.load(path)):
        assert (
            np.isnan(next(iter(bridge.run(asked, inputs).values())).ravel()).tolist() == [True] + [False] * 59
        )


def test_parts_are_converted_as_the_whole_would_be(tmp_path):
    """A discriminant analysis of two classes against the rest, behind columns by name and sparse bins."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"size": rng.normal(size=90), "age": rng.normal(size=90)})
    frame["colour"] = rng.choice(["r", "g", "b"], 90)
    bins = preprocessing.KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")
    encoded = [("n", bins, ["size", "age"]), ("c", preprocessing.OrdinalEncoder(), ["colour"])]
    estimator = pipeline.make_pipeline(
        compose.ColumnTransformer(encoded),
        multiclass.OneVsRestClassifier(discriminant_analysis.LinearDiscriminantAnalysis()),
    )
    estimator.fit(frame, (frame["size"] + (frame["colour"] == "r") > 0).astype(int))
    hub = bridge.load(estimator)
    held = {v.name: v.dtype.numpy() for v in hub.graph.inputs}
    inputs = {n: frame[[n]].to_numpy(object if n == "colour" else held[n]) for n in held}
    found = bridge.run(hub, inputs)
    assert found["label"].ravel().tolist() == estimator.predict(frame).tolist()
    np.testing.assert_allclose(found["probabilities"], estimator.predict_proba(frame), atol=1e-6)


def test_a_converter_is_not_believed_of_columns_by_name(monkeypatch):
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    scaled = compose.ColumnTransformer([("n", preprocessing.StandardScaler(), ["a", "b"])])
    estimator = pipeline.make_pipeline(scaled, linear_model.LinearRegression()).fit(frame, frame["a"])
    other = pipeline.make_pipeline(scaled, linear_model.LinearRegression()).fit(frame, frame["b"])
    build = importer.build_model
    monkeypatch.setattr(importer, "make_convertible", lambda src: other)
    monkeypatch.setattr(importer, "build_model", lambda src, *rest: build(other, *rest))
    with pytest.raises(UnsupportedModel, match="other numbers"):
        bridge.load(estimator)


HISTOGRAM = ensemble.HistGradientBoostingClassifier(max_iter=2, random_state=0)
FLOWN = ensemble.HistGradientBoostingRegressor(max_iter=2, random_state=0)
NEAR = neighbors.KNeighborsClassifier(3)
PLAIN = linear_model.LogisticRegression(max_iter=200)
JOINED = {
    "soft votes": ensemble.VotingClassifier([("a", HISTOGRAM), ("b", PLAIN)], voting="soft", weights=[2, 1]),
    "hard votes": ensemble.VotingClassifier([("a", HISTOGRAM), ("b", NEAR), ("c", PLAIN)]),
    "bags": ensemble.BaggingClassifier(HISTOGRAM, n_estimators=3, max_features=0.7, random_state=0),
    "bags of votes": ensemble.BaggingClassifier(
        linear_model.RidgeClassifier(), n_estimators=3, random_state=0
    ),
    "stack passed through": ensemble.StackingClassifier(
        [("a", HISTOGRAM), ("b", NEAR)], cv=2, passthrough=True
    ),
    "stack of scores": ensemble.StackingClassifier(
        [("a", svm.LinearSVC(random_state=0)), ("b", linear_model.RidgeClassifier())], cv=2
    ),
    "mean": ensemble.VotingRegressor([("a", FLOWN), ("b", linear_model.Ridge())], weights=[1, 3]),
    "stack of numbers": ensemble.StackingRegressor(
        [("a", FLOWN), ("b", neighbors.KNeighborsRegressor(3))], linear_model.Ridge(), cv=2, passthrough=True
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_models_of_models_are_joined_where_the_converter_does_not(name):
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32).astype(np.float64)
    estimator = JOINED[name].fit(
        x, np.array(["a", "b", "c"])[y] if hasattr(JOINED[name], "predict_proba") else y
    )
    hub = bridge.load(estimator)
    found = list(bridge.run(hub, {"X": x.astype(hub.graph.inputs[0].dtype.numpy())}).values())
    if hasattr(estimator, "classes_"):
        assert found[0].ravel().tolist() == estimator.predict(x).tolist()
    else:
        np.testing.assert_allclose(found[0].ravel(), estimator.predict(x), rtol=1e-6)
    if hasattr(estimator, "predict_proba"):
        np.testing.assert_allclose(found[1], estimator.predict_proba(x), atol=1e-6)


def test_neighbours_at_no_distance_weigh_alone(tmp_path):
    x = load_iris().data
    x = np.unique(x, axis=0)
    estimator = neighbors.KNeighborsRegressor(2, weights="distance").fit(x, x @ [1, 2, 3, 4])
    path = save_as("pmml", estimator, tmp_path)
    for model in (bridge.load(estimator), path, bridge.load(path)):
        found = next(iter(bridge.run(model, {"X": x}).values())).ravel()
        np.testing.assert_allclose(found, estimator.predict(x), rtol=1e-9)


@pytest.mark.parametrize("encode", ["onehot", "ordinal"])
@pytest.mark.parametrize("final", [linear_model.LinearRegression(), tree.DecisionTreeRegressor(max_depth=3)])
def test_values_on_the_edge_of_a_bin_fall_as_they_do(encode, final, tmp_path):
    """Edges are quantiles, so training records lie on them."""
    x = np.random.default_rng(0).normal(size=(60, 3)).round(1)
    bins = preprocessing.KBinsDiscretizer([3, 2, 5], encode=encode, quantile_method="averaged_inverted_cdf")
    estimator = pipeline.make_pipeline(preprocessing.MinMaxScaler(), bins, final).fit(x, x.sum(axis=1))
    path = save_as("pmml", estimator, tmp_path)
    for model in (bridge.load(estimator), path, bridge.load(path)):
        found = next(iter(bridge.run(model, {"X": x}).values())).ravel()
        np.testing.assert_allclose(found, estimator.predict(x), rtol=1e-6, atol=1e-6)


def test_several_targets_of_neighbours(tmp_path):
    x, y = load_iris(return_X_y=True)
    estimator = neighbors.KNeighborsClassifier(4).fit(x, np.stack([y, y % 2], axis=1))
    label, *shares = outputs_of_document(estimator, save_as("pmml", estimator, tmp_path, verification=5), x)
    assert label.tolist() == estimator.predict(x).tolist()
    for found, expected in zip(shares, estimator.predict_proba(x), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_what_a_record_cannot_tell_is_refused(tmp_path):
    text = "(float[N,2] x) => (float[1,2] y) { y = ReduceMax <keepdims=1> (x, a) }"
    with pytest.raises(UnsupportedModel, match="ReduceMax"):
        save_as("pmml", hub_from_text(text, a=np.array([0])), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoder", ["OneHotEncoder", "OrdinalEncoder", "TargetEncoder"])
def test_categories_with_marks_of_xml_are_read_whole(encoder, tmp_path):
    categories = ["a&b", "b", "<x>", "x", "]y]", "y", "é&", "a  b", "a b", "]]"]
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"c": rng.choice(np.array(categories, object), 300), "n": rng.normal(size=300)})
    labels = np.array(["k&k", "<1>", "]z]", "ok"])[[categories.index(c) % 4 for c in frame.c]]
    columns = compose.ColumnTransformer(
        [("e", getattr(preprocessing, encoder)(), ["c"])], remainder="passthrough"
    )
    source = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(frame, labels)
    path = bridge.convert(source, tmp_path / "m.pmml").path
    found = bridge.run(path, {"c": frame[["c"]].to_numpy(object), "n": frame[["n"]].to_numpy()})
    assert found["label"].ravel().tolist() == source.predict(frame).tolist()
