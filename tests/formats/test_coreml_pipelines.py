"""Core ML models made of models: pipelines with programs in them, and links to models in files of their
own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge.errors import BridgeError, InvalidOption, UnreadableFile, UnsupportedModel

pytest.importorskip("coremltools")

from bridge_coreml.cases.ml import empty_message
from bridge_coreml.coremltools_import import coremltools
from bridge_coreml.proto import model as message
from coreml_programs import model_of_apple

WEIGHTS = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(2, 64)).astype(np.float32)
ROW = np.array([0.5, -1.0, 2.0])


@pytest.fixture(scope="module")
def dense() -> Any:
    from coremltools.converters.mil.mil import Builder as mb

    return model_of_apple(lambda x: mb.matmul(x=x, y=WEIGHTS, name="mid"), (2, 64))


@pytest.fixture(scope="module")
def classifier() -> Any:
    from coremltools.converters.mil.mil import Builder as mb

    def build(mid: Any) -> Any:
        total = mb.reduce_sum(x=mb.matmul(x=mid, y=WEIGHTS[:, :3]), axes=[0], keep_dims=False)
        return mb.softmax(x=total, axis=-1, name="p")

    labels = coremltools().ClassifierConfig(["cat", "dog", "eel"], predicted_feature_name="animal")
    return model_of_apple(build, (2, 64), classifier_config=labels)


def test_programs_follow_one_another(dense: Any, classifier: Any, tmp_path: Path) -> None:
    coremltools().utils.make_pipeline(dense, classifier).save(str(tmp_path / "m.mlpackage"))
    scores = (X @ WEIGHTS @ WEIGHTS[:, :3]).sum(0)
    chances = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    found = bridge.run(tmp_path / "m.mlpackage", {"x": X})
    assert list(found) == ["animal_probs"]
    np.testing.assert_allclose(found["animal_probs"], chances, 1e-3, 1e-5)
    model = bridge.load(tmp_path / "m.mlpackage", labels="output")
    assert json.loads(model.metadata_props["coreml.classes"]) == ["cat", "dog", "eel"]
    label = bridge.run(model, {"x": X})["animal"]
    assert label.tolist() == [["cat", "dog", "eel"][int(chances.argmax())]]


def test_a_detector_is_a_program_and_its_suppression(tmp_path: Path) -> None:
    """As detectors are published: boxes and confidences out of a program, chosen by the pipeline's last
    step."""
    from coremltools.converters.mil.mil import Builder as mb

    scores = np.float32([[0.6, 0.1], [0.9, 0.0], [0.2, 0.7]])

    def build(x: Any) -> Any:
        return mb.identity(x=x, name="boxes"), mb.mul(
            x=mb.reduce_max(x=x, axes=[1], keep_dims=True), y=scores, name="scores"
        )

    detector = model_of_apple(build, (3, 4))
    path = tmp_path / "m.mlpackage"
    detector.save(str(path))
    place = path / "Data/com.apple.CoreML/model.mlmodel"
    whole, step = message(), message()
    step.ParseFromString(place.read_bytes())
    nms = empty_message("nonMaximumSuppression", {"scores": scores, "boxes": np.zeros((3, 4))}, "confidence")
    held = nms.nonMaximumSuppression
    held.iouThreshold, held.confidenceThreshold = 0.5, 0.3
    held.pickTop.SetInParent()
    held.confidenceInputFeatureName, held.coordinatesInputFeatureName = "scores", "boxes"
    held.confidenceOutputFeatureName, held.coordinatesOutputFeatureName = "confidence", "coordinates"
    nms.description.output.add(name="coordinates").type.multiArrayType.dataType = 65600
    whole.specificationVersion = 6
    whole.description.input.extend(step.description.input)
    whole.description.output.extend(nms.description.output)
    whole.pipeline.models.extend([step, nms])
    place.write_bytes(whole.SerializeToString())
    boxes = np.float32([[1, 1, 1, 1], [1, 1, 1, 1], [0.2, 0.3, 0.1, 1]])
    found = bridge.run(path, {"x": boxes})
    np.testing.assert_allclose(found["confidence"], scores[[1, 2]], 1e-6)
    np.testing.assert_allclose(found["coordinates"], boxes[[1, 2]], 1e-6)
    with pytest.raises(InvalidOption, match="one record at a time"):
        bridge.load(path, rows="many")


def link(name: str, search: str = "") -> Any:
    made = message()
    made.specificationVersion = 4
    made.linkedModel.linkedModelFile.linkedModelFileName.defaultValue = name
    made.linkedModel.linkedModelFile.linkedModelSearchPath.defaultValue = search
    return made


def linked(folder: Path, *searched: Any) -> Path:
    """A pipeline of a scaler and of the model that is linked to."""
    made = message()
    made.specificationVersion = 4
    scaler = empty_message("scaler", {"x": ROW}, "a")
    scaler.scaler.scaleValue.extend([1.0, 2.0, 3.0])
    made.description.input.extend(scaler.description.input)
    made.description.output.add(name="y").type.multiArrayType.dataType = 65600
    made.pipeline.models.extend([scaler, link(*searched)])
    (folder / "m.mlmodel").write_bytes(made.SerializeToString())
    return folder / "m.mlmodel"


def line(folder: Path) -> None:
    """A linear model in a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    made = empty_message("glmRegressor", {"a": ROW}, "y")
    made.glmRegressor.weights.add().value.extend([1.0, -2.0, 0.5])
    (folder / "Line.mlmodel").write_bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("place", "search"), [("", ""), ("", "."), ("parts", "$BUNDLE_MAIN:parts"), ("a/b", "none:a/b")]
)
def test_a_linked_model_is_read_from_beside_the_file(place: str, search: str, tmp_path: Path) -> None:
    line(tmp_path / place)
    path = linked(tmp_path, "Line.mlmodelc", search)
    np.testing.assert_allclose(bridge.run(path, {"x": ROW})["y"], [ROW @ [1, -4, 1.5]], 1e-6)


def test_a_link_alone_is_the_model_it_names(tmp_path: Path) -> None:
    line(tmp_path)
    (tmp_path / "m.mlmodel").write_bytes(link("Line.mlmodelc").SerializeToString())
    found = bridge.run(bridge.load(tmp_path / "m.mlmodel", source="coreml"), {"a": ROW})
    np.testing.assert_allclose(found["y"], [ROW @ [1, -2, 0.5]], 1e-6)


def test_a_linked_package_brings_its_weights(dense: Any, tmp_path: Path) -> None:
    dense.save(str(tmp_path / "Dense.mlpackage"))
    (tmp_path / "m.mlmodel").write_bytes(link("Dense.mlmodelc").SerializeToString())
    found = bridge.run(bridge.load(tmp_path / "m.mlmodel", source="coreml"), {"x": X})
    np.testing.assert_allclose(found["mid"], X @ WEIGHTS, 1e-4, 1e-4)
    shutil.rmtree(tmp_path / "Dense.mlpackage/Data/com.apple.CoreML/weights")
    with pytest.raises(UnreadableFile, match="is missing"):
        bridge.load(tmp_path / "m.mlmodel", source="coreml")


@pytest.mark.parametrize(
    "name", ["Line.mlmodelc", "../inner/../Line.mlmodelc", "/etc/passwd", "..", "", "a\0b", "x" * 5000]
)
@pytest.mark.parametrize("search", ["..", "/", "parts:..", "a\0b"])
def test_a_link_that_leads_outside_is_refused(name: str, search: str, tmp_path: Path) -> None:
    line(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(UnreadableFile):
        bridge.load(linked(inner, name, search))


def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    line(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "Line.mlmodel").symlink_to(tmp_path / "Line.mlmodel")
    with pytest.raises(UnreadableFile, match="outside its folder"):
        bridge.load(linked(inner, "Line.mlmodelc"))


def test_a_link_to_a_compiled_model_tells_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "Line.mlmodelc").mkdir()
    with pytest.raises(UnsupportedModel, match=r"compiled model(.|\n)*Line\.mlmodel or Line\.mlpackage"):
        bridge.load(linked(tmp_path, "Line.mlmodelc"))


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.mlmodel").write_bytes(link(f"{other}.mlmodelc").SerializeToString())
    with pytest.raises(BridgeError, match="more than 8 deep"):
        bridge.load(tmp_path / "a.mlmodel", source="coreml")


def test_a_probit_regressor_is_refused_for_what_its_format_leaves_out(tmp_path: Path) -> None:
    made = empty_message("bayesianProbitRegressor", {"x": ROW}, "y")
    (tmp_path / "m.mlmodel").write_bytes(made.SerializeToString())
    with pytest.raises(UnsupportedModel, match="no field of its format holds β"):
        bridge.load(tmp_path / "m.mlmodel")


@given(st.randoms(use_true_random=False), st.sampled_from(["model.mlmodel", "Manifest.json", "weight.bin"]))
@settings(max_examples=60, deadline=None)
def test_damaged_packages_give_typed_errors(packed: Path, random: Any, name: str) -> None:
    """Bytes changed, put in, left out or cut off, anywhere in a pipeline of programs."""
    place = random.choice(sorted(packed.rglob(f"*{name}")))
    whole = place.read_bytes()
    raw = bytearray(whole)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(raw))
        change = random.choice(("set", "insert", "delete", "cut"))
        if change == "cut":
            del raw[at + 1 :]
        elif change == "delete":
            del raw[at : at + random.randint(1, min(8, max(len(raw) - 1, 1)))]
        else:
            raw[at : at + (change == "set")] = bytes(
                [random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))]
            )
        raw = raw or bytearray(1)
    place.write_bytes(bytes(raw))
    try:
        bridge.load(packed, source="coreml")
    except BridgeError:
        pass
    finally:
        place.write_bytes(whole)


@pytest.fixture(scope="module")
def packed(dense: Any, classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "m.mlpackage"
    coremltools().utils.make_pipeline(dense, classifier).save(str(path))
    return path
