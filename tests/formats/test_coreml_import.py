"""Core ML files package_of_product by Apple's converter mean in the hub what their source computes; broken ones give
typed errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import conftest
import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError, InvalidOption, UnreadableFile, UnsupportedModel

pytest.importorskip("coremltools")

from bridge_coreml.coremltools_import import coremltools
from coreml_programs import model_of_apple

SHARED = conftest.SHARED / "coreml"


@pytest.fixture(scope="module")
def ct() -> Any:
    pytest.importorskip("coremltools")

    return coremltools()


def package_of_apple(
    folder: Path, build: Callable, shapes: list, target: str = "iOS15", **options: Any
) -> Path:
    """A package that coremltools makes of a program, half precision left out."""
    path = folder / "model.mlpackage"
    model_of_apple(build, *shapes, target=target, **options).save(str(path))
    return path


def outputs_of(path: Path, *arrays: np.ndarray) -> list[np.ndarray]:
    model = bridge.load(path)
    named = {v.name: a for v, a in zip(model.graph.inputs, arrays, strict=True)}
    return list(bridge.run(model, named).values())


def test_a_torch_network_answers_as_torch(ct: Any, tmp_path: Path) -> None:
    """A network package_of_product straight in MIL with torch's weights: convolution, pooling, recurrence,
    attention-like products."""
    torch = pytest.importorskip("torch")
    from coremltools.converters.mil.mil import Builder as mb

    torch.manual_seed(0)
    conv, lstm, head = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.LSTM(16, 8), torch.nn.Linear(8, 5)
    x = torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        y = torch.relu(conv(x)).reshape(4, 1, 16)
        expected = torch.softmax(head(lstm(y)[0]), -1).numpy()
    order = [0, 1, 3, 2]
    w, r = (
        p.detach().numpy().reshape(4, 8, -1)[order].reshape(32, -1)
        for p in (lstm.weight_ih_l0, lstm.weight_hh_l0)
    )
    b = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().numpy().reshape(4, 8)[order].ravel()

    def build(x: Any) -> Any:
        y = mb.conv(
            x=x, weight=conv.weight.detach().numpy(), bias=conv.bias.detach().numpy(), strides=[2, 2],
            pad_type="custom", pad=[1, 1, 1, 1],
        )  # fmt: skip
        y = mb.reshape(x=mb.relu(x=y), shape=[4, 1, 16])
        zero = np.zeros((1, 8), np.float32)
        y, _, _ = mb.lstm(
            x=y, initial_h=zero, initial_c=zero, weight_ih=w, weight_hh=r, bias=b, output_sequence=True
        )
        y = mb.linear(x=y, weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())
        return mb.softmax(x=y, axis=-1)

    found = outputs_of(package_of_apple(tmp_path, build, [(1, 3, 8, 8)]), x.numpy())
    np.testing.assert_allclose(found[0], expected, 1e-4, 1e-5)


def test_states_are_inputs_and_outputs(ct: Any, tmp_path: Path) -> None:
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    def build(x: Any, state: Any) -> Any:
        value = mb.read_state(input=state)
        value = mb.coreml_update_state(state=state, value=mb.add(x=value, y=x))
        return mb.mul(x=value, y=np.float16(2))

    specs = [mb.TensorSpec((2,), types.fp16), mb.StateTensorSpec((2,), types.fp16)]
    model = bridge.load(package_of_apple(tmp_path, build, specs, "iOS18"))
    names = [v.name for v in model.graph.inputs]
    assert [v.name for v in model.graph.outputs][1:] == [f"{names[1]}_out"]
    found = bridge.run(
        model, {names[0]: np.array([1, 2], np.float16), names[1]: np.array([3, 4], np.float16)}
    )
    np.testing.assert_array_equal(found[f"{names[1]}_out"], np.array([4, 6], np.float16))


@pytest.mark.parametrize("kind", ["affine", "palette", "sparse", "blockwise"])
def test_compressed_weights(ct: Any, tmp_path: Path, kind: str) -> None:
    """What coremltools makes of the weights, against the same compressed weights as it decompresses them."""
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.optimize import coreml as cto

    weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    target = "iOS18" if kind == "blockwise" else "iOS16"
    made = mb.program(input_specs=[mb.TensorSpec((2, 32))], opset_version=getattr(ct.target, target))(
        lambda x: mb.linear(x=x, weight=weights)
    )
    model = ct.convert(
        made, convert_to="mlprogram", minimum_deployment_target=getattr(ct.target, target),
        compute_precision=ct.precision.FLOAT32,
    )  # fmt: skip
    affine = cto.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=1)
    blocks = cto.OpLinearQuantizerConfig(
        mode="linear_symmetric", weight_threshold=1, granularity="per_block", block_size=8, dtype="int4"
    )
    small = {
        "affine": lambda: cto.linear_quantize_weights(model, cto.OptimizationConfig(affine)),
        "blockwise": lambda: cto.linear_quantize_weights(model, cto.OptimizationConfig(blocks)),
        "palette": lambda: cto.palettize_weights(
            model, cto.OptimizationConfig(cto.OpPalettizerConfig(mode="uniform", nbits=4, weight_threshold=1))
        ),
        "sparse": lambda: cto.prune_weights(
            model,
            cto.OptimizationConfig(cto.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=1)),
        ),
    }[kind]()
    plain = cto.decompress_weights(small)
    for name, each in (("small", small), ("plain", plain)):
        each.save(str(tmp_path / f"{name}.mlpackage"))
    x = np.random.default_rng(1).standard_normal((2, 32)).astype(np.float32)
    found, expected = (outputs_of(tmp_path / f"{n}.mlpackage", x)[0] for n in ("small", "plain"))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


def test_flexible_shapes_are_symbolic_and_keep_their_range(ct: Any, tmp_path: Path) -> None:
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import get_new_symbol

    shape = ct.Shape((ct.RangeDim(2, 6), 3))
    path = package_of_apple(
        tmp_path, lambda x: mb.relu(x=x, name="y"), [mb.TensorSpec((get_new_symbol(), 3))],
        inputs=[ct.TensorType(name="x", shape=shape)],
    )  # fmt: skip
    model = bridge.load(path)
    assert str(model.graph.inputs[0].shape[0].value) == "x_0"
    assert model.metadata_props["coreml.range.x_0"] == "2..6"
    assert bridge.run(model, {"x": np.ones((4, 3), np.float32)})["y"].shape == (4, 3)


@pytest.mark.parametrize("labels", ["metadata", "output"])
def test_classifier_labels(ct: Any, tmp_path: Path, labels: str) -> None:
    from coremltools.converters.mil.mil import Builder as mb

    path = package_of_apple(
        tmp_path, lambda x: mb.softmax(x=x, axis=-1, name="p"), [(1, 3)],
        classifier_config=ct.ClassifierConfig(["cat", "dog", "eel"], predicted_feature_name="animal"),
    )  # fmt: skip
    model = bridge.load(path, labels=labels)
    assert json.loads(model.metadata_props["coreml.classes"]) == ["cat", "dog", "eel"]
    found = bridge.run(model, {model.graph.inputs[0].name: np.array([[0, 2, 1]], np.float32)})
    assert list(found) == (["animal", "animal_probs"] if labels == "output" else ["animal_probs"])
    if labels == "output":
        assert found["animal"].tolist() == ["dog"]


@pytest.fixture(scope="module")
def package_of_product(ct: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from coremltools.converters.mil.mil import Builder as mb

    weights = np.arange(64, dtype=np.float32).reshape(8, 8)
    return package_of_apple(tmp_path_factory.mktemp("p"), lambda x: mb.matmul(x=x, y=weights), [(2, 8)])


def copy_to_damage(package_of_product: Path, folder: Path) -> Path:
    return Path(shutil.copytree(package_of_product, folder / "broken.mlpackage"))


DATA = "Data/com.apple.CoreML"


def test_a_missing_weights_file(package_of_product: Path, tmp_path: Path) -> None:
    path = copy_to_damage(package_of_product, tmp_path)
    shutil.rmtree(path / DATA / "weights")
    with pytest.raises(UnreadableFile, match=r"weights/weight\.bin is missing"):
        bridge.load(path)


@pytest.mark.parametrize("keep", [0, 10, 64, 100, 150])
def test_weights_that_are_cut_short(package_of_product: Path, tmp_path: Path, keep: int) -> None:
    path = copy_to_damage(package_of_product, tmp_path)
    blob = path / DATA / "weights" / "weight.bin"
    blob.write_bytes(blob.read_bytes()[:keep])
    with pytest.raises(UnreadableFile):
        bridge.load(path)


@pytest.mark.parametrize("place", ["../../outside", "/etc/passwd", "com.apple.CoreML/none.mlmodel", 7])
def test_a_manifest_that_points_outside(package_of_product: Path, tmp_path: Path, place: Any) -> None:
    path = copy_to_damage(package_of_product, tmp_path)
    (tmp_path / "outside").write_bytes(b"x")
    manifest = json.loads((path / "Manifest.json").read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = place
    (path / "Manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnreadableFile):
        bridge.load(path)


@pytest.mark.parametrize("manifest", ["", "[]", "{}", "null", '{"rootModelIdentifier": 1}'])
def test_a_broken_manifest(package_of_product: Path, tmp_path: Path, manifest: str) -> None:
    path = copy_to_damage(package_of_product, tmp_path)
    (path / "Manifest.json").write_text(manifest)
    with pytest.raises(BridgeError):
        bridge.load(path, source="coreml")


def message_of(path: Path) -> Any:
    from bridge_coreml.reader import read

    return read(path).message


def changed_copy(package_of_product: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    path, held = copy_to_damage(package_of_product, folder), message_of(package_of_product)
    change(held)
    (path / DATA / "model.mlmodel").write_bytes(held.SerializeToString())
    return path


def operation_of_kind(held: Any, kind: str) -> Any:
    function = held.mlProgram.functions["main"]
    return next(o for o in function.block_specializations[function.opset].operations if o.type == kind)


def test_a_version_from_the_future(package_of_product: Path, tmp_path: Path) -> None:
    path = changed_copy(package_of_product, tmp_path, lambda m: setattr(m, "specificationVersion", 99))
    with pytest.raises(UnreadableFile, match="specification version 99"):
        bridge.load(path)


def test_an_unknown_operator_is_named(package_of_product: Path, tmp_path: Path) -> None:
    path = changed_copy(
        package_of_product, tmp_path, lambda m: setattr(operation_of_kind(m, "matmul"), "type", "levitate")
    )
    with pytest.raises(UnsupportedModel, match="levitate"):
        bridge.load(path)


def test_weights_outside_the_package(package_of_product: Path, tmp_path: Path) -> None:
    def change(held: Any) -> None:
        function = held.mlProgram.functions["main"]
        for each in function.block_specializations[function.opset].operations:
            if each.attributes["val"].HasField("blobFileValue"):
                each.attributes["val"].blobFileValue.fileName = "@model_path/../../../secret"

    path = changed_copy(package_of_product, tmp_path, change)
    with pytest.raises(UnreadableFile, match="outside the package"):
        bridge.load(path)


def test_a_function_that_is_not_there(package_of_product: Path) -> None:
    with pytest.raises(InvalidOption, match="It has: main"):
        bridge.load(package_of_product, function="second")


def test_mutated_models_give_typed_errors(package_of_product: Path, tmp_path: Path) -> None:
    path, rng = copy_to_damage(package_of_product, tmp_path), np.random.default_rng(0)
    place = path / DATA / "model.mlmodel"
    whole = place.read_bytes()
    for _ in range(60):
        raw = bytearray(whole)
        for at in rng.integers(0, len(raw), 3):
            raw[at] = rng.integers(0, 256)
        place.write_bytes(bytes(raw))
        try:
            bridge.load(path)
        except BridgeError:
            continue


def test_a_shared_package_with_loops_runs() -> None:
    path = SHARED / "adamsro_dtln-aec-coreml" / "DTLN_AEC_128_Part1.mlpackage"
    if not path.is_dir():
        pytest.skip("the shared models are not here")
    inputs = {
        "lpb_magnitude": np.full((2, 1, 257), 0.5, np.float32),
        "mic_magnitude": np.full((2, 1, 257), 0.25, np.float32),
        "states_in": np.zeros((2, 2, 128, 2), np.float32),
    }
    both = bridge.run(path, inputs)
    one = bridge.run(path, {n: a[:1] for n, a in inputs.items()})
    np.testing.assert_allclose(both["Identity"][:1], one["Identity"], 1e-5, 1e-6)
    assert 0 < both["Identity"].mean() < 1


@pytest.mark.parametrize("corners", ["STRICT_ALIGN_ENDPOINTS_MODE", "ROI_ALIGN_MODE"])
def test_a_layer_that_samples_within_the_corners_needs_an_image_of_known_size(
    corners: str, tmp_path: Path
) -> None:
    coremltools()
    from coremltools import models
    from coremltools.models.neural_network import flexible_shape_utils as utils

    builder = models.neural_network.NeuralNetworkBuilder(
        [("x", models.datatypes.Array(1, 3, 4, 5))], [("y", None)], disable_rank5_shape_mapping=True
    )
    builder.add_resize_bilinear("resize", "x", "y", 9, 5, corners)
    utils.set_multiarray_ndshape_range(builder.spec, "x", [1, 3, 4, 5], [1, 3, 8, 9])
    models.utils.save_spec(builder.spec, str(tmp_path / "m.mlmodel"))
    if corners == "ROI_ALIGN_MODE":
        with pytest.raises(UnsupportedModel, match="shapes and parameters known before run time"):
            bridge.load(tmp_path / "m.mlmodel")
    else:
        assert [n.op_type for n in bridge.load(tmp_path / "m.mlmodel").graph].count("Resize") == 1
