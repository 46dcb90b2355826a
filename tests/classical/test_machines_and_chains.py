"""Support vector machines with probabilities, chains of models, and calibration of any scores."""

from __future__ import annotations

import numpy as np
import pytest

import bridge
from bridge.classical.records import Records
from bridge.errors import UnsupportedModel
from bridge.load import reader
from bridge.runtime import open_session

pytest.importorskip("skl2onnx")

from bridge_sklearn.answers import decided_records
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer, StandardScaler
from sklearn.svm import SVC, NuSVC
from sklearn.tree import DecisionTreeRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 4))
UNSEEN = np.concatenate([RNG.normal(size=(60, 4)), np.zeros((1, 4)), np.eye(4) * 30])
SCORE = X[:, 0] + X[:, 1] * X[:, 2]
THREE = np.array(["a", "b", "c"])[np.digitize(SCORE, [-0.5, 0.5])]
pytestmark = pytest.mark.filterwarnings("ignore")


def outputs(source, target, folder, records=UNSEEN):
    path = bridge.convert(source, folder / f"m.{target}", to=target).path
    dtype = bridge.load(source).graph.inputs[0].dtype.numpy()
    return open_session(reader(path, target)).run({"X": records.astype(dtype)})


@pytest.mark.parametrize("target", ["onnx", "pmml"])
@pytest.mark.parametrize("labels", [THREE, SCORE > 0, np.arange(160) % 5], ids=["three", "two", "five"])
@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
def test_probabilities_of_machines_are_coupled_as_libsvm_does(kernel, labels, target, tmp_path):
    source = SVC(kernel=kernel, probability=True, random_state=0).fit(X, labels)
    found = outputs(source, target, tmp_path)
    assert np.asarray(found["label"]).ravel().tolist() == source.predict(UNSEEN).tolist()
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(UNSEEN), rtol=1e-6, atol=1e-9)


def test_no_probability_of_two_classes_takes_longer_to_couple(tmp_path):
    source = SVC(kernel="linear", probability=True, random_state=0).fit(X[:, :1], X[:, 0] > 0)
    records = np.linspace(-20, 20, 40001)[:, None]
    found = outputs(source, "onnx", tmp_path, records)["probabilities"]
    expected = source.predict_proba(records)
    assert expected.min() < 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("target", ["torchscript", "savedmodel", "coreml", "tflite"])
def test_probabilities_of_machines_reach_every_target(target, tmp_path):
    machine = NuSVC(nu=0.2, probability=True, random_state=0)
    source = make_pipeline(StandardScaler(), machine).fit(X, THREE)
    found = outputs(source, target, tmp_path, X)
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("target", ["onnx", "pmml"])
@pytest.mark.parametrize("model", [Ridge(), DecisionTreeRegressor(max_depth=4, random_state=0)])
def test_regressors_read_what_those_before_them_answered(model, target, tmp_path):
    targets = np.stack([SCORE, X[:, 3] + SCORE, X[:, 0]], axis=1)
    source = RegressorChain(model, order=[2, 0, 1]).fit(X, targets)
    found = next(iter(outputs(source, target, tmp_path).values()))
    np.testing.assert_allclose(found, source.predict(UNSEEN), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("target", ["onnx", "pmml"])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_classifiers_read_what_those_before_them_answered(method, target, tmp_path):
    targets = np.stack([SCORE > 0, X[:, 3] > 0, X[:, 0] > SCORE], axis=1).astype(int)
    source = ClassifierChain(LogisticRegression(), order=[1, 2, 0], chain_method=method).fit(X, targets)
    found = outputs(source, target, tmp_path)
    assert np.asarray(found["label"]).reshape(len(UNSEEN), -1).tolist() == source.predict(UNSEEN).tolist()
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(UNSEEN), rtol=1e-6, atol=1e-9)


CALIBRATED = {
    "adaboost": AdaBoostClassifier(n_estimators=4),
    "bayes": GaussianNB(),
    "forest": RandomForestClassifier(4, random_state=0),
    "machine": SVC(),
    "xgboost": None,
}


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("name", CALIBRATED)
def test_any_scores_are_calibrated(name, method, tmp_path):
    records = RNG.normal(size=(60, 4)).astype(np.float32).astype(float)
    model, atol = CALIBRATED[name], 1e-9
    if name == "xgboost":
        model, atol = pytest.importorskip("xgboost").XGBClassifier(n_estimators=4), 1e-5
    for count, labels in enumerate((THREE, SCORE > 0)):
        source = CalibratedClassifierCV(model, method=method, cv=2).fit(
            X, np.unique(labels, return_inverse=True)[1]
        )
        (tmp_path / str(count)).mkdir()
        found = outputs(source, "onnx", tmp_path / str(count), records)
        np.testing.assert_allclose(
            found["probabilities"], source.predict_proba(records), rtol=1e-6, atol=atol
        )


COMPARED = {
    "logistic, of floats": (LogisticRegression(), "isotonic", np.float32),
    "bayes, of floats": (GaussianNB(), "isotonic", np.float32),
    "forest, of floats": (RandomForestClassifier(6, max_depth=4, random_state=0), "temperature", np.float32),
}


@pytest.mark.parametrize("name", COMPARED)
def test_every_record_of_two_calibrated_classes_is_compared(name):
    model, method, dtype = COMPARED[name]
    source = CalibratedClassifierCV(model, method=method, cv=2).fit(X.astype(dtype), SCORE > 0)
    read = bridge.load(source)
    decided = decided_records(source, read)
    assert decided is not None
    assert all(decided(table).all() for _, table in Records(read).groups())


@pytest.mark.parametrize("labels", [THREE, SCORE > 0], ids=["three", "two"])
def test_steps_of_floats_are_computed_in_floats(labels, tmp_path):
    model = CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2)
    source = model.fit(X.astype(np.float32), labels)
    found = outputs(source, "onnx", tmp_path, X)
    assert found["label"].tolist() == source.predict(X).tolist()
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", [GaussianNB(), QuadraticDiscriminantAnalysis()])
def test_models_of_floats_answer_doubles(model, tmp_path):
    source = model.fit(X.astype(np.float32), THREE)
    found = outputs(source, "onnx", tmp_path)
    np.testing.assert_allclose(found["probabilities"], source.predict_proba(UNSEEN), rtol=1e-9, atol=1e-12)


COUNTS = RNG.integers(0, 6, (160, 4)).astype(float)
STEPS = {
    "bins": KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
    "quantiles": QuantileTransformer(n_quantiles=20),
}


@pytest.mark.parametrize("target", ["tflite", "coreml"])
@pytest.mark.parametrize("name", STEPS)
def test_steps_met_exactly_by_what_is_computed_are_not_narrowed(name, target, tmp_path):
    scaled = make_pipeline(StandardScaler(), STEPS[name], LogisticRegression()).fit(COUNTS, THREE)
    with pytest.raises(UnsupportedModel, match="double precision"):
        outputs(scaled, target, tmp_path, COUNTS)
    plain = make_pipeline(STEPS[name], LogisticRegression()).fit(COUNTS, THREE)
    found = outputs(plain, target, tmp_path, COUNTS)
    np.testing.assert_allclose(found["probabilities"], plain.predict_proba(COUNTS), rtol=1e-3, atol=1e-5)


def process(factor, length):
    kernel = ConstantKernel(factor, "fixed") * RBF(length, "fixed")
    return GaussianProcessRegressor(kernel, alpha=0.1).fit(X, SCORE)


@pytest.mark.parametrize("target", ["tflite", "coreml"])
def test_sums_whose_terms_cancel_are_not_narrowed(target, tmp_path):
    """Of 400 times a kernel near 1, weighed by either sign, floats leave no digit."""
    with pytest.raises(UnsupportedModel, match="double precision"):
        outputs(process(400, 10), target, tmp_path)
    found = outputs(process(1, 1), target, tmp_path)
    np.testing.assert_allclose(
        np.ravel(found["variable"]), process(1, 1).predict(UNSEEN), rtol=1e-3, atol=1e-4
    )
