"""TFLite files mean in the hub what LiteRT computes for them; broken files give typed errors."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError, InvalidOption, UnsupportedModel
from bridge.inputs import random_inputs

SHARED = Path(__file__).parents[3] / "shared" / "models" / "tflite"
if not SHARED.is_dir():
    SHARED = Path(__file__).parents[4] / "shared" / "models" / "tflite"

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
AUDIO = "tensorflow_tflite-micro/tensorflow_lite_micro_examples_micro_speech_models_audio_preprocessor_float.tflite"


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
    found = bridge.run(model, inputs)
    assert set(found) == set(expected)
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        if value.dtype.kind in "iu":
            assert np.abs(found[key].astype(int) - value.astype(int)).max(initial=0) <= 1
        else:
            np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-4)


def test_transposes_cancel() -> None:
    model = bridge.load(fixture("mlcommons_tiny/vww_96_float.tflite"))
    assert sum(node.op_type == "Transpose" for node in model.graph) <= 2


def test_a_signature_is_chosen_by_name() -> None:
    path = fixture("google-ai-edge_LiteRT/multi_signatures.bin")
    for key in ("add", "sub"):
        ops = [n.op_type for n in bridge.load(path, source="tflite", signature=key).graph]
        assert ops == [key.title()]
    with pytest.raises(InvalidOption, match="has no signature 'other'"):
        bridge.load(path, source="tflite", signature="other")


def test_every_unknown_operator_is_named_at_once() -> None:
    with pytest.raises(UnsupportedModel) as refusal:
        bridge.load(fixture(AUDIO))
    assert {b.op for b in refusal.value.blockers} >= {"SignalWindow", "SignalRfft", "SignalPCAN"}


def test_unknown_custom_operators_are_kept_when_asked() -> None:
    path = fixture(AUDIO)
    kept = [n for n in bridge.load(path, allow_custom=True).graph if n.domain == "tflite.custom"]
    assert {n.op_type for n in kept} >= {"SignalWindow", "SignalRfft", "SignalPCAN"}
    assert all(n.attributes["custom_options"].value.numpy().size for n in kept)


@pytest.mark.parametrize("how", ["flip", "truncate", "splice"])
def test_mutated_files_give_typed_errors(how: str, tmp_path: Path) -> None:
    whole = fixture("pytorch_glow/depthwise_conv2d_c2_m2.tflite").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutated.tflite"
    for _ in range(170):
        raw = bytearray(whole)
        at = int(rng.integers(len(raw)))
        if how == "flip":
            for place in rng.integers(len(raw), size=4):
                raw[place] = int(rng.integers(256))
        elif how == "truncate":
            del raw[at:]
        else:
            start = int(rng.integers(len(raw)))
            raw[at : at + 32] = raw[start : start + 32]
        path.write_bytes(raw)
        with contextlib.suppress(BridgeError):
            bridge.load(path, source="tflite")
