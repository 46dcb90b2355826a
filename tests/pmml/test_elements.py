"""Models are written as the elements PMML has for them, keep its schema, and score the same everywhere."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest
from build import hub_from_text, save_as

import bridge
from bridge.errors import UnsupportedModel

pytest.importorskip("skl2onnx")
pytest.importorskip("pypmml")

from schema import assert_valid
from sklearn import (
    cluster,
    decomposition,
    ensemble,
    linear_model,
    multioutput,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn.datasets import load_diabetes, load_iris

warnings.filterwarnings("ignore")
IRIS, KIND = load_iris(return_X_y=True)
SUGAR, LEVEL = load_diabetes(return_X_y=True)
PAIR = np.stack([LEVEL, -LEVEL], axis=1)


class Model(NamedTuple):
    """An estimator and its target, None for iris without one; an element or attribute of its document, and
    how often."""

    estimator: Any
    target: np.ndarray | None
    written: str
    count: int


MODELS = {
    "linear": Model(linear_model.LinearRegression(), LEVEL, "<RegressionModel ", 1),
    "two targets": Model(linear_model.LinearRegression(), PAIR, "<RegressionModel ", 3),
    "poisson": Model(linear_model.PoissonRegressor(), LEVEL, 'normalizationMethod="exp"', 1),
    "logistic": Model(linear_model.LogisticRegression(), KIND, 'normalizationMethod="softmax"', 1),
    "logistic of two": Model(linear_model.LogisticRegression(), KIND > 0, 'normalizationMethod="logit"', 1),
    "scores": Model(svm.LinearSVC(), KIND, "<RegressionModel ", 4),
    "scaled": Model(
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
        KIND,
        'normalizationMethod="softmax"',
        1,
    ),
    "network": Model(
        neural_network.MLPRegressor(hidden_layer_sizes=(4, 3), max_iter=5), LEVEL, "<NeuralNetwork ", 1
    ),
    "network of two targets": Model(
        neural_network.MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=5),
        PAIR,
        "<NeuralNetwork ",
        1,
    ),
    "network of classes": Model(
        neural_network.MLPClassifier((4,), activation="logistic", max_iter=5),
        KIND,
        'normalizationMethod="softmax"',
        1,
    ),
    "network of two": Model(neural_network.MLPClassifier((4,), max_iter=5), KIND > 0, "<NeuralNetwork ", 1),
    "clusters": Model(cluster.KMeans(4, n_init=1), None, "<ClusteringModel ", 1),
    "batch clusters": Model(cluster.MiniBatchKMeans(4, n_init=1), None, "<ClusteringModel ", 1),
    "machine": Model(svm.SVR(), LEVEL, "<SupportVectorMachineModel ", 1),
    "machines": Model(svm.SVC(kernel="poly"), KIND, "<SupportVectorMachineModel ", 3),
    "machines of sigmoids": Model(svm.SVC(kernel="sigmoid", coef0=0.5), KIND, "<SigmoidKernelType ", 3),
    "likely machines": Model(svm.SVC(probability=True), KIND, "<RadialBasisKernelType ", 3),
    "tree": Model(tree.DecisionTreeRegressor(max_depth=3), LEVEL, "<TreeModel ", 1),
    "forest": Model(ensemble.RandomForestRegressor(4, max_depth=3), LEVEL, "<TreeModel ", 4),
    "tree of components": Model(
        pipeline.make_pipeline(decomposition.PCA(2), tree.DecisionTreeRegressor(max_depth=3)),
        LEVEL,
        "<TreeModel ",
        1,
    ),
    "trees for two": Model(
        multioutput.MultiOutputRegressor(tree.DecisionTreeRegressor(max_depth=2)), PAIR, "<TreeModel ", 2
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_have_elements_of_their_own(name, tmp_path):
    estimator, target, written, count = MODELS[name]
    x = IRIS if target is None or len(target) == len(IRIS) else SUGAR
    estimator.fit(x, target)
    done = bridge.convert(estimator, tmp_path / "model.pmml", to="pmml", verification=6, verify=True)
    assert done.verification.ok, str(done.verification)
    assert done.path.read_text().count(written) == count
    assert_valid(done.path)
    hub, back = bridge.load(estimator), bridge.load(done.path)
    given = {"X": np.concatenate([x[::7], -10 * x[::9]]).astype(hub.graph.inputs[0].dtype.numpy())}
    before, after, scored = (bridge.run(m, given) for m in (hub, back, done.path))
    for key in before:
        np.testing.assert_allclose(after[key], before[key], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scored[key], before[key], rtol=1e-5, atol=1e-5)


WEIGHTS = "float[2,2] w = {1, -2, 0.5, 3}, float[2] b = {0.1, -0.2}"
DENSE = {
    "relu": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ p = MatMul (x, w) s = "
    "Add (p, b) r = Relu (s) q "
    f"= MatMul (r, w) y = Add (b, q) }}",
    "the same row for every record": "(float[2,2] x) => (float[2,2] y, float[2,2] z) <float[2,2] w = {1, -2, "
    "0.5, 3}, float[2,2] c = {1, 2, 1, 2}> { y = Gemm (x, w, c) z = Add (c, "
    "x) }",
    "read twice": f"(float[N,2] x) => (float[N,2] y, float[N,2] r) <{WEIGHTS}> {{ p = MatMul (x, w) s = Add "
    f"(p, b) r = Relu (s) q = MatMul (r, w) y = Add (b, q) }}",
    "gemm": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm <alpha = 2., beta = 3., transB = 1> "
    f"(x, w, b) r = Tanh (s) y = Gemm (r, w) }}",
    "softmax of scores": f"(float[N,2] x) => (float[N,2] y, float[N,2] s) <{WEIGHTS}> {{ "
    "s = Gemm (x, w, b) y "
    f"= Softmax (s) }}",
    "sigmoids": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) y = Sigmoid (s) }}",
    "one after another": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, "
    "w, b) t = Gemm (s, w, "
    f"b) y = Abs (t) }}",
    "formula between": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) r = Relu (s) t = "
    f"Gemm (r, w, b) a = Abs (t) y = Gemm (a, w) }}",
    "three layers": f"(float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, "
    "b) r = Exp (s) t = Gemm "
    f"(r, w, b) u = Sigmoid (t) v = Gemm (u, w) y = Softmax (v) }}",
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_layers_keep_what_they_compute(name, tmp_path):
    hub = hub_from_text(DENSE[name])
    path = save_as("pmml", hub, tmp_path)
    assert_valid(path)
    count = hub.graph.inputs[0].shape[0]
    rows = count if isinstance(count, int) else 20
    given = {"x": np.random.default_rng(1).normal(size=(rows, 2)).astype(np.float32)}
    before = bridge.run(hub, given)
    for found in (bridge.run(path, given), bridge.run(bridge.load(path), given)):
        for key in before:
            np.testing.assert_allclose(found[key], before[key], rtol=1e-4, atol=1e-5)


def test_a_missing_value_makes_the_answer_missing(tmp_path):
    estimator = linear_model.Lasso(alpha=1.0).fit(SUGAR, LEVEL)
    path = save_as("pmml", estimator, tmp_path)
    given = {"X": np.array([[np.nan, *SUGAR[0, 1:]]])}
    assert np.isnan(bridge.run(path, given)["variable"]).all()
    assert np.isnan(bridge.run(bridge.load(path), given)["variable"]).all()


def test_what_pmml_has_no_words_for_is_refused_in_a_sentence(tmp_path):
    text = "(float[1,1,4,4] x, float[1,1,2,2] w) => (float[1,1,3,3] y) { y = Conv (x, w) }"
    with pytest.raises(UnsupportedModel, match="Conv"):
        save_as("pmml", text, tmp_path)
    assert not list(tmp_path.iterdir())
