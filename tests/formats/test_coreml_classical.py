"""Trees, linear models, support vectors and feature steps as Core ML's own models, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bridge_coreml.proto import model as message
from build import model_from_text

import bridge
from bridge.errors import BridgeError, InvalidOption, UnsupportedModel

skl2onnx = pytest.importorskip("skl2onnx")

from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType  # noqa: E402
from sklearn import ensemble, linear_model, preprocessing, svm, tree  # noqa: E402
from sklearn.compose import make_column_transformer  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
NUMBER = X[:, 0] * 2 - X[:, 1]
TWO, THREE = (NUMBER > 0).astype(int), np.digitize(NUMBER, [-1, 1])
NAMES = np.array(["low", "middle", "high"])[THREE]

MODELS: dict[str, tuple[Any, Any, str]] = {
    "tree": (tree.DecisionTreeRegressor(max_depth=4), NUMBER, "treeEnsembleRegressor"),
    "forest": (ensemble.RandomForestRegressor(4, max_depth=3), NUMBER, "treeEnsembleRegressor"),
    "boosted": (ensemble.GradientBoostingRegressor(n_estimators=4), NUMBER, "treeEnsembleRegressor"),
    "tree of names": (tree.DecisionTreeClassifier(max_depth=3), NAMES, "treeEnsembleClassifier"),
    "forest of two": (ensemble.RandomForestClassifier(4, max_depth=3), TWO, "treeEnsembleClassifier"),
    "boosted of two": (ensemble.GradientBoostingClassifier(n_estimators=4), TWO, "treeEnsembleClassifier"),
    "boosted of three": (
        ensemble.GradientBoostingClassifier(n_estimators=4),
        THREE,
        "treeEnsembleClassifier",
    ),
    "line": (linear_model.LinearRegression(), NUMBER, "glmRegressor"),
    "lines": (linear_model.LinearRegression(), np.stack([NUMBER, -NUMBER], 1), "glmRegressor"),
    "logistic of two": (linear_model.LogisticRegression(), TWO, "glmClassifier"),
    "logistic of names": (linear_model.LogisticRegression(), NAMES, "glmClassifier"),
    "machine": (svm.SVR(), NUMBER, "supportVectorRegressor"),
    "polynomial machine": (svm.NuSVR(kernel="poly"), NUMBER, "supportVectorRegressor"),
    "scaler": (preprocessing.StandardScaler(), None, "scaler"),
    "minmax": (preprocessing.MinMaxScaler(), None, "pipeline"),
    "steps": (
        make_pipeline(SimpleImputer(), preprocessing.Normalizer("l1"), linear_model.LinearRegression()),
        NUMBER,
        "pipelineRegressor",
    ),
}


def onnx_and_coreml_of(
    fitted: Any, folder: Path, kinds: list[Any] | None = None, **options: Any
) -> tuple[Path, Path]:
    """An ONNX file of a scikit-learn model, and the .mlmodel made of it."""
    kinds = kinds or [("X", FloatTensorType([None, 4]))]
    choices = {id(fitted): {"zipmap": False}} if hasattr(fitted, "classes_") else None
    made = skl2onnx.to_onnx(fitted, initial_types=kinds, options=choices)
    onnx.save(made, folder / "m.onnx")
    return folder / "m.onnx", bridge.convert(folder / "m.onnx", folder / "m.mlmodel", **options).path


def message_of(path: Path) -> Any:
    held = message()
    held.ParseFromString(path.read_bytes())
    return held


@pytest.mark.parametrize("name", MODELS)
def test_models_keep_their_kind_and_their_numbers(name: str, tmp_path: Path) -> None:
    untrained, target, kind = MODELS[name]
    source, path = onnx_and_coreml_of(untrained.fit(X, target), tmp_path)
    assert message_of(path).WhichOneof("Type") == kind
    expected, found = bridge.run(source, {"X": X}), bridge.run(path, {"X": X})
    assert list(found) == list(expected)
    for output, array in expected.items():
        assert (found[output].dtype, found[output].shape) == (array.dtype, array.shape)
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[output], array, 1e-4, 1e-5)
        else:
            assert (found[output] == array).all()


def test_columns_of_text_and_numbers(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"c": RNG.choice(["red", "green"], 60), "k": RNG.integers(0, 3, 60), "n": X[:, 0]}
    )
    columns = make_column_transformer(
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["c", "k"]),
        (preprocessing.StandardScaler(), ["n"]),
    )
    fitted = make_pipeline(columns, linear_model.LinearRegression()).fit(frame, NUMBER)
    kinds = [
        ("c", StringTensorType([None, 1])),
        ("k", Int64TensorType([None, 1])),
        ("n", FloatTensorType([None, 1])),
    ]
    source, path = onnx_and_coreml_of(fitted, tmp_path, kinds)
    used = [s.WhichOneof("Type") for s in message_of(path).pipelineRegressor.pipeline.models]
    assert used.count("oneHotEncoder") == 2
    assert {"featureVectorizer", "scaler", "glmRegressor"} <= set(used)
    given = {"c": np.array([["red"], ["blue"]], object), "k": np.array([[2], [9]]), "n": X[:2, :1]}
    np.testing.assert_allclose(*(next(iter(bridge.run(p, given).values())) for p in (source, path)), 1e-4)


def test_fitted_probabilities_of_machines(tmp_path: Path) -> None:
    graph = """(float[N, 2] X) => (int64[N] label, float[N, 2] scores) {
        label, scores = ai.onnx.ml.SVMClassifier <
            classlabels_ints = [3, 5], kernel_type = "RBF", kernel_params = [0.5, 0.0, 3.0], vectors_per_class = [1, 1],
            support_vectors = [0.0, 0.0, 1.0, 1.0], coefficients = [1.0, -1.0], rho = [0.25],
            prob_a = [-2.0], prob_b = [0.125] > (X)
    }"""
    onnx.save(model_from_text(graph, 18, ml=3), tmp_path / "m.onnx")
    path = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.mlmodel", verify=True).path
    held = message_of(path).supportVectorClassifier
    assert (list(held.rho), list(held.probA), list(held.int64ClassLabels.vector)) == ([-0.25], [-2.0], [3, 5])


def test_a_file_of_rows_is_one_of_records_to_core_ml(tmp_path: Path) -> None:
    _, path = onnx_and_coreml_of(tree.DecisionTreeRegressor(max_depth=2).fit(X, NUMBER), tmp_path)
    described = message_of(path).description
    assert list(described.input[0].type.multiArrayType.shape) == [4]
    assert described.output[0].type.WhichOneof("Type") == "doubleType"


def test_models_of_others_take_many_rows_when_asked(tmp_path: Path) -> None:
    source, path = onnx_and_coreml_of(ensemble.RandomForestRegressor(3, max_depth=3).fit(X, NUMBER), tmp_path)
    held = message_of(path)
    held.description.metadata.Clear()
    path.write_bytes(held.SerializeToString())
    one, many = bridge.load(path), bridge.load(path, rows="many")
    assert [list(m.graph.inputs[0].shape)[-1] for m in (one, many)] == [4, 4]
    expected = next(iter(bridge.run(source, {"X": X}).values()))
    np.testing.assert_allclose(bridge.run(many, {"X": X.astype(float)})["variable"], expected, 1e-5)
    single = bridge.run(one, {"X": X[0].astype(float)})["variable"]
    np.testing.assert_allclose(single, expected[0], 1e-5)


def test_on_a_mac_records_are_predicted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge_coreml import runtime
    from bridge_coreml.coremltools_import import coremltools

    source, path = onnx_and_coreml_of(ensemble.RandomForestClassifier(3, max_depth=3).fit(X, NAMES), tmp_path)
    one = bridge.load(path, rows="one")
    classes = ["high", "low", "middle"]
    expected = bridge.run(source, {"X": X[:5]})

    class Model:
        def __init__(self, *given: Any, **more: Any) -> None:
            self.at = -1

        def predict(self, given: dict[str, Any]) -> dict[str, Any]:
            self.at += 1
            assert given["X"].shape == (4,)
            shares = expected["probabilities"][self.at]
            return {
                "label": expected["label"][self.at],
                "probabilities": dict(zip(classes, shares, strict=True)),
            }

    monkeypatch.setattr(coremltools().models, "MLModel", Model)
    found = runtime.Apple(path, one).run({"X": X[:5]})
    assert (found["label"] == expected["label"]).all()
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])


def test_what_core_ml_has_no_model_of_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModel, match="Binarizer") as caught:
        onnx_and_coreml_of(preprocessing.Binarizer().fit(X), tmp_path)
    assert "name the destination .mlpackage" in str(caught.value)
    with pytest.raises(InvalidOption, match="which a file"):
        onnx_and_coreml_of(preprocessing.StandardScaler().fit(X), tmp_path, kind="program")
    package = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.mlpackage", verify=True)
    assert package.path.is_dir()


def test_a_package_may_hold_a_classical_model(tmp_path: Path) -> None:
    source, _ = onnx_and_coreml_of(linear_model.LinearRegression().fit(X, NUMBER), tmp_path)
    path = bridge.convert(source, tmp_path / "p.mlpackage", kind="classical", verify=True).path
    assert bridge.load(path).metadata_props["bridge.format"] == "coreml"


@pytest.mark.parametrize("name", ["forest of two", "machine", "steps"])
def test_mutated_files_give_typed_errors(name: str, tmp_path: Path) -> None:
    _, path = onnx_and_coreml_of(MODELS[name][0].fit(X, MODELS[name][1]), tmp_path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(40):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.integers(0, 256)
        path.write_bytes(bytes(raw[: rng.integers(1, len(raw) + 1)] if rng.random() < 0.3 else raw))
        try:
            bridge.load(path, source="coreml")
        except BridgeError:
            continue


def test_a_normalizer_without_a_norm_divides_by_the_largest_which_core_ml_does_otherwise(
    tmp_path: Path,
) -> None:
    graph = """(float[N, 2] X) => (float[N, 2] y) { y = ai.onnx.ml.Normalizer (X) }"""
    with pytest.raises(UnsupportedModel, match="needs norm L1 or L2"):
        bridge.convert(model_from_text(graph, 18, ml=3), tmp_path / "m.mlmodel")
