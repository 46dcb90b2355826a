"""Networks and classical models built with coremltools' own builders mean in the hub what their formulas
say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge
from bridge.errors import UnsupportedModel


@pytest.fixture(scope="module")
def ct() -> Any:
    pytest.importorskip("coremltools")
    from bridge_coreml.coremltools_import import coremltools

    return coremltools()


def file_of_spec(spec: Any, folder: Path) -> Path:
    path = folder / "model.mlmodel"
    path.write_bytes(spec.SerializeToString())
    return path


def network_builder(
    ct: Any, inputs: dict[str, tuple], outputs: dict[str, tuple], exact: bool, **more: Any
) -> Any:
    arrays = ct.models.datatypes.Array
    return ct.models.neural_network.NeuralNetworkBuilder(
        [(n, arrays(*s)) for n, s in inputs.items()],
        [(n, arrays(*s)) for n, s in outputs.items()],
        disable_rank5_shape_mapping=exact,
        **more,
    )


def test_a_legacy_network_of_images(ct: Any, tmp_path: Path) -> None:
    """Convolution, scale, pooling with same padding, flattening channels last, a dense layer, softmax: shapes
    of rank 5."""
    rng = np.random.default_rng(0)
    kernel, dense = (
        rng.standard_normal((3, 3, 2, 4)).astype(np.float32),
        rng.standard_normal((3, 16)).astype(np.float32),
    )
    builder = network_builder(ct, {"x": (2, 6, 6)}, {"y": (3,)}, False)
    builder.add_convolution(
        "c", 2, 4, 3, 3, 1, 1, "valid", 1, kernel, np.ones(4), True, input_name="x", output_name="a"
    )
    builder.add_activation("r", "LEAKYRELU", "a", "b", [0.2])
    builder.add_pooling("p", 2, 2, 2, 2, "MAX", "VALID", "b", "d")
    builder.add_flatten("f", 1, "d", "e")
    builder.add_inner_product("i", dense, None, 16, 3, False, "e", "g")
    builder.add_softmax("s", "g", "y")
    x = rng.standard_normal((2, 6, 6)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    z = np.einsum("cijkl,klco->oij", windows, kernel) + 1
    z = np.where(z < 0, 0.2 * z, z).reshape(4, 2, 2, 2, 2).max((2, 4))
    z = dense @ z.transpose(1, 2, 0).ravel()
    expected = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    found = bridge.run(file_of_spec(builder.spec, tmp_path), {"x": x.astype(np.float64)})["y"]
    np.testing.assert_allclose(found, expected, 1e-4, 1e-5)


@pytest.mark.parametrize("bits", [1, 4, 8, 16])
def test_quantized_weights_of_a_network(ct: Any, tmp_path: Path, bits: int) -> None:
    from coremltools.models.neural_network.quantization_utils import quantize_weights

    weights = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    builder = network_builder(ct, {"x": (8,)}, {"y": (4,)}, True)
    builder.add_inner_product("i", weights, None, 8, 4, False, "x", "y")
    spec = quantize_weights(ct.models.MLModel(builder.spec), bits, "linear")
    spec = spec if hasattr(spec, "SerializeToString") else spec.get_spec()
    x = np.eye(8)[2]
    found = bridge.run(file_of_spec(spec, tmp_path), {"x": x})["y"]
    span = weights.max() - weights.min()
    np.testing.assert_allclose(found, weights[:, 2], atol=1e-2 if bits == 16 else span / (2**bits - 1))


def test_image_preprocessing_is_part_of_the_graph(ct: Any, tmp_path: Path) -> None:
    builder = network_builder(ct, {"x": (3, 2, 2)}, {"y": (3, 2, 2)}, True)
    builder.add_activation("l", "LINEAR", "x", "y", [1.0, 0.0])
    builder.set_pre_processing_parameters(
        image_input_names=["x"], is_bgr=True, red_bias=1.0, green_bias=2.0, blue_bias=3.0, image_scale=0.5
    )
    model = bridge.load(file_of_spec(builder.spec, tmp_path))
    assert model.metadata_props["coreml.image.x"] == "BGR 2x2"
    x = np.full((1, 3, 2, 2), 10, np.float32)
    found = next(iter(bridge.run(model, {"x": x}).values()))
    np.testing.assert_allclose(np.unique(found), [6, 7, 8])
    np.testing.assert_allclose(found.reshape(3, 4)[:, 0], [8, 7, 6])


def test_a_blob_that_grows_in_a_loop(ct: Any, tmp_path: Path) -> None:
    builder = network_builder(ct, {"x": (1, 2)}, {"y": (3, 2)}, True)
    builder.add_copy("start", "x", "v")
    loop = builder.add_loop("loop", max_iterations=3)
    body = ct.models.neural_network.NeuralNetworkBuilder(
        input_features=None, output_features=None, spec=None, nn_spec=loop.loop.bodyNetwork
    )
    body.add_get_shape("shape", "v", "sizes")
    body.add_slice_static("length", "sizes", "length", [0], [1], [1], [False], [False])
    body.add_multiply_broadcastable("times", ["x", "length"], "row")
    body.add_concat_nd("grown", ["v", "row"], "longer", axis=0)
    body.add_copy("back", "longer", "v")
    builder.add_load_constant_nd("from", "from", np.array([1, 0]), (2,))
    builder.add_load_constant_nd("to", "to", np.array([4, 2]), (2,))
    builder.add_slice_dynamic("end", ["v", "from", "to"], "y")
    found = bridge.run(file_of_spec(builder.spec, tmp_path), {"x": np.array([[1.0, 2.0]])})["y"]
    np.testing.assert_allclose(found, [[1, 2], [2, 4], [3, 6]])


def empty_message(ct: Any, inputs: dict[str, int], output: str, kind: str) -> Any:
    from coremltools.proto import Model_pb2

    made = Model_pb2.Model(specificationVersion=1)
    for name, size in inputs.items():
        array = made.description.input.add(name=name).type.multiArrayType
        array.shape.append(size)
        array.dataType = 65600
    made.description.output.add(name=output).type.multiArrayType.dataType = 65600
    getattr(made, kind).SetInParent()
    return made


def test_a_pipeline_of_feature_steps(ct: Any, tmp_path: Path) -> None:
    """A scaler, an imputer, a normalizer and an extractor, one after another."""
    made = empty_message(ct, {"x": 3}, "y", "pipeline")
    names = ["x", "a", "b", "c", "y"]
    for kind, source, result in zip(
        ("imputer", "scaler", "normalizer", "arrayFeatureExtractor"), names[:-1], names[1:], strict=True
    ):
        made.pipeline.models.append(empty_message(ct, {source: 3}, result, kind))
    imputer, scaler, normalizer, extractor = made.pipeline.models
    imputer.imputer.imputedDoubleValue, imputer.imputer.replaceDoubleValue = 2.0, float("nan")
    scaler.scaler.shiftValue.extend([1.0, 1.0, 1.0])
    scaler.scaler.scaleValue.extend([1.0, 2.0, 3.0])
    normalizer.normalizer.normType = 2
    extractor.arrayFeatureExtractor.extractIndex.extend([2, 0])
    row = (np.array([1.0, 2.0, 4.0]) + 1) * [1, 2, 3]
    found = bridge.run(file_of_spec(made, tmp_path), {"x": np.array([1.0, np.nan, 4.0])})["y"]
    np.testing.assert_allclose(found, (row / np.linalg.norm(row))[[2, 0]], 1e-6)


@pytest.mark.parametrize(
    "kind", ["textClassifier", "wordTagger", "gazetteer", "visionFeaturePrint", "customModel"]
)
def test_what_only_apple_runs_is_refused_by_name(ct: Any, tmp_path: Path, kind: str) -> None:
    made = empty_message(ct, {"x": 2}, "y", kind)
    with pytest.raises(UnsupportedModel, match=r"is an? "):
        bridge.load(file_of_spec(made, tmp_path), source="coreml")
