"""TFLite files mean in the hub what LiteRT computes for them; broken files give typed errors."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import conftest
import numpy as np
import pytest
from bridge_tflite.cases import CASES
from bridge_tflite.cases.file import Op, Sub, T, const, write

import bridge
from bridge.errors import BridgeError, InvalidOption, SeveralModels, UnreadableFile, UnsupportedModel
from bridge.inputs import random_inputs

SHARED = conftest.SHARED / "tflite"

AGREEING = [
    "google-ai-edge_LiteRT/add_quantized.bin",
    "google-ai-edge_LiteRT/add_quantized_int8.bin",
    "google-ai-edge_LiteRT/multi_subgraphs_while.bin",
    "google-ai-edge_LiteRT/nested_while.bin",
    "google-ai-edge_mediapipe/iris_landmark.tflite",
    "google-coral_test_data/mobilenet_v1_0.25_128_quant.tflite",
    "mlcommons_tiny/vww_96_float.tflite",
    "mlcommons_tiny/vww_96_int8.tflite",
    *(
        f"pytorch_glow/{name}.tflite"
        for name in [
            "concat",
            "depthwise_conv2d_c2_m2",
            "depth_to_space",
            "fully_connected",
            "gather_axis1",
            "gather_nd",
            "mean_multiple_axis_keep_dims",
            "prelu",
            "space_to_depth",
            "split",
            "strided_slice_test1",
            "tile",
            "unpack",
        ]
    ),
]
AUDIO = (
    "tensorflow_tflite-micro/"
    "tensorflow_lite_micro_examples_micro_speech_models_audio_preprocessor_float.tflite"
)


def fixture(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the shared models")
    return path


@pytest.mark.parametrize("name", AGREEING)
def test_hub_equals_litert(name: str) -> None:
    path = fixture(name)
    model = bridge.load(path, source="tflite")
    inputs = random_inputs(model)
    expected = bridge.run(path, inputs, source="tflite")
    outputs = bridge.run(model, inputs)
    assert set(outputs) == set(expected)
    for key, value in expected.items():
        assert outputs[key].dtype == value.dtype
        if value.dtype.kind in "iu":
            assert np.abs(outputs[key].astype(int) - value.astype(int)).max(initial=0) <= 1
        else:
            np.testing.assert_allclose(outputs[key], value, rtol=1e-3, atol=1e-4)


def test_transposes_cancel() -> None:
    model = bridge.load(fixture("mlcommons_tiny/vww_96_float.tflite"))
    assert sum(node.op_type == "Transpose" for node in model.graph) <= 2


def two_signatures(path: Path) -> Path:
    """`add` and `multiply` of two inputs, in two subgraphs."""

    def sub(op: str) -> Sub:
        x, y, z = (T(np.zeros(3, np.float32)) for _ in range(3))
        return Sub([x, y], [z], [Op(op, [x, y], [z])])

    return write(path, sub("ADD"), sub("MUL"), signatures={"add": 0, "multiply": 1})


@pytest.mark.parametrize(("key", "operator"), [("add", "Add"), ("multiply", "Mul")])
def test_a_signature_is_chosen_by_name(key: str, operator: str, tmp_path: Path) -> None:
    path = two_signatures(tmp_path / "two.tflite")
    assert [n.op_type for n in bridge.load(path, signature=key).graph] == [operator]
    result = bridge.convert(path, tmp_path / "one.onnx", signature=key, verify=True)
    assert result.verification is not None
    assert result.verification.engines[0].startswith("LiteRT")


def test_a_file_of_several_signatures_lists_them(tmp_path: Path) -> None:
    path = two_signatures(tmp_path / "two.tflite")
    with pytest.raises(SeveralModels, match="2 signatures: add, multiply"):
        bridge.load(path)
    with pytest.raises(InvalidOption, match="has no signature 'other'"):
        bridge.load(path, signature="other")


def test_inputs_and_outputs_a_signature_leaves_nameless_have_names(tmp_path: Path) -> None:
    path = two_signatures(tmp_path / "two.tflite")
    path.write_bytes(path.read_bytes().replace(b"\2\0\0\0y0", b"\0\0\0\0y0"))
    (output,) = bridge.load(path, signature="add").graph.outputs
    assert output.name == "output_0"


def test_metadata_says_what_inputs_and_outputs_are() -> None:
    model = bridge.load(fixture("google-coral_test_data/mobilenet_v1_0.25_128_quant.tflite"))
    assert model.metadata_props["tflite.file:imagenet_labels.txt"].splitlines()[1] == "tench, Tinca tinca"
    facts = json.loads(model.graph.inputs[0].metadata_props["tflite.tensor"])
    assert facts["normalization"] == {"mean": [127.5], "std": [127.5]}


@pytest.mark.parametrize(
    "name",
    [
        "google-ai-edge_mediapipe/face_landmark.tflite",
        "google-ai-edge_mediapipe/pose_detection.tflite",
        "google-coral_test_data/mobilenet_v1_0.25_128_quant.tflite",
    ],
)
def test_metadata_and_associated_files_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    path = fixture(name)
    model = bridge.load(path)
    back = bridge.load(bridge.convert(path, tmp_path / "back.tflite").path)
    changing = ("bridge.provenance", "bridge.sha256", "min_runtime_version")
    written, expected = (
        {k: v for k, v in m.metadata_props.items() if k not in changing} for m in (back, model)
    )
    assert written == expected
    for before, after in zip(
        (*model.graph.inputs, *model.graph.outputs), (*back.graph.inputs, *back.graph.outputs), strict=True
    ):
        assert after.metadata_props["tflite.tensor"] == before.metadata_props["tflite.tensor"]


def test_every_unknown_operator_is_named_at_once() -> None:
    with pytest.raises(UnsupportedModel) as refusal:
        bridge.load(fixture(AUDIO))
    assert {b.op for b in refusal.value.blockers} >= {"SignalWindow", "SignalRfft", "SignalPCAN"}


def test_unknown_custom_operators_are_kept_when_asked() -> None:
    path = fixture(AUDIO)
    custom = [n for n in bridge.load(path, allow_custom=True).graph if n.domain == "tflite.custom"]
    assert {n.op_type for n in custom} >= {"SignalWindow", "SignalRfft", "SignalPCAN"}
    assert all(n.attributes["custom_options"].value.numpy().size for n in custom)


MUTATED = sorted(CASES)[::27]


@pytest.mark.parametrize("name", MUTATED)
def test_mutated_files_give_typed_errors(name: str, tmp_path: Path) -> None:
    """20 each here; benchmarks/fuzz.py makes thousands."""
    content = CASES[name].file(tmp_path / "content.tflite").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutated.tflite"
    for mutation in ("flip", "truncate", "splice", "number") * 5:
        raw = bytearray(content)
        at, start = (int(v) for v in rng.integers(len(raw), size=2))
        if mutation == "flip":
            for index in rng.integers(len(raw), size=4):
                raw[index] = int(rng.integers(256))
        elif mutation == "truncate":
            del raw[at:]
        elif mutation == "splice":
            raw[at : at + 32] = raw[start : start + 32]
        else:
            raw[at - at % 4 : at - at % 4 + 4] = rng.choice([b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(4)])
        path.write_bytes(raw)
        with contextlib.suppress(BridgeError):
            bridge.load(path, source="tflite")


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_a_result_of_more_than_16_bits_with_a_scale_is_refused(dtype: type, tmp_path: Path) -> None:
    """LiteRT computes its integers without the scale; they are no bytes."""
    x, y = (T(np.zeros(3, dtype_), scale=0.5) for dtype_ in (np.int8, dtype))
    path = write(tmp_path / "neg.tflite", Sub([x], [y], [Op("NEG", [x], [y])]))
    with pytest.raises(UnreadableFile, match="bits and has a scale"):
        bridge.load(path)


def test_an_axis_beyond_its_tensor_is_an_unreadable_file(tmp_path: Path) -> None:
    """Errors of the hub's passes on a read file are BridgeErrors."""
    x, y = (T(np.zeros((2, 3), np.float32)) for _ in range(2))
    path = write(
        tmp_path / "reverse.tflite", Sub([x], [y], [Op("REVERSE_V2", [x, const([5], np.int32)], [y])])
    )
    with pytest.raises(BridgeError):
        bridge.load(path)


def test_tensors_that_state_no_shape_have_the_one_inferred(tmp_path):
    tf = pytest.importorskip("tensorflow")
    utils = pytest.importorskip("tensorflow.lite.tools.flatbuffer_utils")
    kernel = tf.constant(np.arange(48, dtype=np.float32).reshape(2, 2, 3, 4) / 24)
    padded = [[0, 0], [1, 1], [1, 1], [0, 0]]
    module = tf.Module()
    module.f = tf.function(
        lambda x: tf.nn.conv2d(tf.pad(x, padded, mode="REFLECT"), kernel, 1, "VALID"),
        input_signature=[tf.TensorSpec([1, 8, 8, 3])],
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.f.get_concrete_function()], module)
    content = utils.convert_bytearray_to_object(bytearray(converter.convert()))
    graph = content.subgraphs[0]
    for index in {i for operator in graph.operators for i in operator.outputs} - {*graph.outputs}:
        graph.tensors[index].shape, graph.tensors[index].shapeSignature = [], None
    utils.write_model(content, str(tmp_path / "m.tflite"))
    x = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)
    bridge.convert(tmp_path / "m.tflite", tmp_path / "m.onnx")
    name = bridge.load(tmp_path / "m.onnx").graph.inputs[0].name
    (got,) = bridge.run(tmp_path / "m.onnx", {name: x}).values()
    np.testing.assert_allclose(got, module.f(x).numpy(), rtol=1e-4, atol=1e-5)
