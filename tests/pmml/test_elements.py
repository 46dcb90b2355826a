"""Models are written as the elements PMML has for them, keep its schema, and score the same everywhere."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

import bridge
from bridge.errors import UnsupportedModel

pytest.importorskip("skl2onnx")
pytest.importorskip("pypmml")

from schema import assert_valid
from sklearn import (  # fmt: skip
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

MODELS = {
    "linear": (linear_model.LinearRegression(), LEVEL, "<RegressionModel ", 1),
    "two targets": (linear_model.LinearRegression(), PAIR, "<RegressionModel ", 3),
    "poisson": (linear_model.PoissonRegressor(), LEVEL, 'normalizationMethod="exp"', 1),
    "logistic": (linear_model.LogisticRegression(), KIND, 'normalizationMethod="softmax"', 1),
    "logistic of two": (linear_model.LogisticRegression(), KIND > 0, 'normalizationMethod="logit"', 1),
    "scores": (svm.LinearSVC(), KIND, "<RegressionModel ", 4),
    "scaled": (pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()), KIND, 'normalizationMethod="softmax"', 1),
    "network": (neural_network.MLPRegressor(hidden_layer_sizes=(4, 3), max_iter=5), LEVEL, "<NeuralNetwork ", 1),
    "network of two targets": (neural_network.MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=5), PAIR, "<NeuralNetwork ", 1),
    "network of classes": (neural_network.MLPClassifier((4,), activation="logistic", max_iter=5), KIND, 'normalizationMethod="softmax"', 1),
    "network of two": (neural_network.MLPClassifier((4,), max_iter=5), KIND > 0, "<NeuralNetwork ", 1),
    "clusters": (cluster.KMeans(4, n_init=1), None, "<ClusteringModel ", 1),
    "batch clusters": (cluster.MiniBatchKMeans(4, n_init=1), None, "<ClusteringModel ", 1),
    "machine": (svm.SVR(), LEVEL, "<SupportVectorMachineModel ", 1),
    "machines": (svm.SVC(kernel="poly"), KIND, "<SupportVectorMachineModel ", 3),
    "tree": (tree.DecisionTreeRegressor(max_depth=3), LEVEL, "<TreeModel ", 1),
    "forest": (ensemble.RandomForestRegressor(4, max_depth=3), LEVEL, "<TreeModel ", 4),
    "tree of components": (pipeline.make_pipeline(decomposition.PCA(2), tree.DecisionTreeRegressor(max_depth=3)), LEVEL, "<TreeModel ", 1),
    "trees for two": (multioutput.MultiOutputRegressor(tree.DecisionTreeRegressor(max_depth=2)), PAIR, "<TreeModel ", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models_have_elements_of_their_own(name, tmp_path):
    estimator, target, element, count = MODELS[name]
    x = IRIS if target is None or len(target) == len(IRIS) else SUGAR
    estimator.fit(x, target)
    done = bridge.convert(estimator, tmp_path / "model.pmml", to="pmml", verification=6, verify=True)
    assert done.verification.ok, str(done.verification)
    assert done.path.read_text().count(element) == count
    assert_valid(done.path)
    hub, back = bridge.load(estimator), bridge.load(done.path)
    given = {"X": np.concatenate([x[::7], -10 * x[::9]]).astype(hub.graph.inputs[0].dtype.numpy())}
    before, after, scored = (bridge.run(m, given) for m in (hub, back, done.path))
    for key in before:
        np.testing.assert_allclose(after[key], before[key], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(scored[key], before[key], rtol=1e-5, atol=1e-5)


def graph(text: str):
    return bridge.load(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}'))


WEIGHTS = "float[2,2] w = {1, -2, 0.5, 3}, float[2] b = {0.1, -0.2}"
DENSE = {
    "relu": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ p = MatMul (x, w) s = Add (p, b) r = Relu (s) q = MatMul (r, w) y = Add (b, q) }}",
    "read twice": f"g (float[N,2] x) => (float[N,2] y, float[N,2] r) <{WEIGHTS}> {{ p = MatMul (x, w) s = Add (p, b) r = Relu (s) q = MatMul (r, w) y = Add (b, q) }}",
    "gemm": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm <alpha = 2., beta = 3., transB = 1> (x, w, b) r = Tanh (s) y = Gemm (r, w) }}",
    "softmax of scores": f"g (float[N,2] x) => (float[N,2] y, float[N,2] s) <{WEIGHTS}> {{ s = Gemm (x, w, b) y = Softmax (s) }}",
    "sigmoids": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) y = Sigmoid (s) }}",
    "one after another": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) t = Gemm (s, w, b) y = Abs (t) }}",
    "formula between": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) r = Relu (s) t = Gemm (r, w, b) a = Abs (t) y = Gemm (a, w) }}",
    "three layers": f"g (float[N,2] x) => (float[N,2] y) <{WEIGHTS}> {{ s = Gemm (x, w, b) r = Exp (s) t = Gemm (r, w, b) u = Sigmoid (t) v = Gemm (u, w) y = Softmax (v) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_dense_layers_keep_what_they_compute(name, tmp_path):
    hub = graph(DENSE[name])
    done = bridge.save(hub, tmp_path / "model.pmml")
    assert_valid(done.path)
    given = {"x": np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)}
    before = bridge.run(hub, given)
    for found in (bridge.run(done.path, given), bridge.run(bridge.load(done.path), given)):
        for key in before:
            np.testing.assert_allclose(found[key], before[key], rtol=1e-4, atol=1e-5)


def test_a_missing_value_makes_the_answer_missing(tmp_path):
    estimator = linear_model.Lasso(alpha=1.0).fit(SUGAR, LEVEL)
    path = bridge.convert(estimator, tmp_path / "model.pmml", to="pmml").path
    given = {"X": np.array([[np.nan, *SUGAR[0, 1:]]])}
    assert np.isnan(bridge.run(path, given)["variable"]).all()
    assert np.isnan(bridge.run(bridge.load(path), given)["variable"]).all()


def test_what_pmml_has_no_words_for_is_refused_in_a_sentence(tmp_path):
    text = "g (float[1,1,4,4] x, float[1,1,2,2] w) => (float[1,1,3,3] y) { y = Conv (x, w) }"
    with pytest.raises(UnsupportedModel, match="Conv"):
        bridge.save(graph(text), tmp_path / "model.pmml")
    assert not list(tmp_path.iterdir())
