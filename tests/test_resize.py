"""A Resize that a target has natively is native there, however its lengths are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import SUFFIXES, model_from_text

import bridge
from bridge.runtime import run_onnxruntime

TARGETS = ("tflite", "savedmodel", "coreml")
RESIZE = 'Resize <mode="linear", coordinate_transformation_mode="half_pixel"> (x, , s)'


def converted(proto: onnx.ModelProto, target: str, folder: Path, **options: Any) -> bridge.Conversion:
    """The conversion of an ONNX file, whose numbers are those of the file."""
    source = folder / "m.onnx"
    onnx.save(proto, source)
    result = bridge.convert(source, folder / f"m{SUFFIXES[target]}", to=target, verify=True, **options)
    assert result.verification.ok
    return result


def assert_native(result: bridge.Conversion) -> None:
    assert [c.outcome for c in result.report.crossings if c.op == "Resize"] == ["native"], result.report


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("declared", ["float[1,2,h2,w2]", "float[1,2,12,12]", "float[a,b,c,d]"])
def test_lengths_given_are_those_of_an_output_declared_by_names(declared, target, tmp_path):
    proto = model_from_text(
        f"(float[1,2,h,w] x) => ({declared} y) <float[4] s = {{1,1,2,2}}> {{ y = {RESIZE} }}"
    )
    assert_native(converted(proto, target, tmp_path, dims={"h": 6, "w": 6}))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("length", "to"), [(6, 10), (3, 5), (7, 3), (9, 12), (10, 7)])
def test_scales_that_float32_rounds_are_those_of_the_lengths(length, to, target, tmp_path):
    scale = np.float32(to / length)
    scale = scale if int(np.floor(length * scale)) == to else np.nextafter(scale, np.float32(9))
    proto = model_from_text(
        f"(float[1,2,{length},{length}] x) => (float[a,b,c,d] y) {{ y = {RESIZE} }}",
        s=np.array([1, 1, scale, scale], np.float32),
    )
    assert_native(converted(proto, target, tmp_path))


@pytest.mark.parametrize("target", [*TARGETS, "torchscript"])
@pytest.mark.parametrize(
    ("length", "scale"), [(6, 1.6666665), (7, 1.2857141), (3, 2.3333331), (5, 1.4000001)]
)
def test_scales_next_to_a_quotient_give_the_length_of_the_source(length, scale, target, tmp_path):
    proto = model_from_text(
        f"(float[1,2,{length},{length}] x) => (float[a,b,c,d] y) {{ y = {RESIZE} }}",
        s=np.array([1, 1, scale, scale], np.float32),
    )
    converted(proto, target, tmp_path)


@pytest.mark.parametrize("target", [*TARGETS, "torchscript"])
@pytest.mark.parametrize("scale", [2, np.nextafter(np.float32(2), np.float32(3)), 2.0000005])
def test_a_scale_just_above_a_quotient_takes_the_nearest_elements_of_the_source(scale, target, tmp_path):
    resize = (
        'Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , s)'
    )
    proto = model_from_text(
        f"(float[1,2,6,6] x) => (float[a,b,c,d] y) {{ y = {resize} }}",
        s=np.array([1, 1, scale, scale], np.float32),
    )
    converted(proto, target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_ratio_give_the_numbers_of_the_source(policy, target, tmp_path):
    proto = model_from_text(
        "(float[1,2,6,6] x) => (float[a,b,c,d] y) <int64[2] n = {9, 11}> "
        f'{{ y = Resize <mode="linear", axes=[2,3], keep_aspect_ratio_policy="{policy}"> (x, , , n) }}'
    )
    converted(proto, target, tmp_path)


FACTORS = [0.7, 5 / 3, 0.6, 1.2, 0.3, 4 / 3]
PLACES = {
    "nearest": ["asymmetric", "half_pixel", "tf_half_pixel_for_nn"],
    "linear": ["align_corners", "asymmetric", "pytorch_half_pixel"],
}


@pytest.mark.parametrize("lengths", ["20,9", "h,w"])
@pytest.mark.parametrize("target", ["tflite", "torchscript"])
@pytest.mark.parametrize("mode", PLACES)
def test_factors_that_are_no_binary_fractions_take_the_elements_onnx_runtime_takes(
    mode, target, lengths, tmp_path
):
    x = np.arange(1000, 1360, dtype=np.float32).reshape(1, 2, 20, 9)
    for factor, place in zip(FACTORS, PLACES[mode] * 2, strict=True):
        attributes = f'mode="{mode}", coordinate_transformation_mode="{place}", nearest_mode="floor"'
        proto = model_from_text(
            f"(float[1,2,{lengths}] x) => (float[a,b,c,d] y) {{ y = Resize <{attributes}> (x, , s) }}",
            s=np.array([1, 1, factor, factor], np.float32),
        )
        want = run_onnxruntime(proto.SerializeToString(), ["y"], {"x": x})["y"]
        bridge.save(bridge.load(proto), path := tmp_path / f"m{SUFFIXES[target]}", to=target, overwrite=True)
        (got,) = bridge.run(path, {"x": x}).values()
        np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=f"{place} {factor}")


@pytest.mark.parametrize("target", [*TARGETS, "onnx", "torchscript"])
@pytest.mark.parametrize("opset", [11, 13, 15])
@pytest.mark.parametrize(
    ("place", "rounding"), [("tf_half_pixel_for_nn", "floor"), ("half_pixel", "round_prefer_ceil")]
)
def test_pixels_are_repeated_as_tf2onnx_writes_it_beside_empty_tensors(
    place, rounding, opset, target, tmp_path
):
    attributes = f'mode="nearest", coordinate_transformation_mode="{place}", nearest_mode="{rounding}"'
    proto = model_from_text(
        f"(float[1,1,3,3] x) => (float[1,1,6,6] y) {{ y = Resize <{attributes}> (x, e, e, n) }}",
        opset=opset,
        e=np.zeros(0, np.float32),
        n=np.array([1, 1, 6, 6]),
    )
    x = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    bridge.save(bridge.load(proto), path := tmp_path / f"m{SUFFIXES[target]}", to=target)
    (got,) = bridge.run(path, {"x": x}).values()
    np.testing.assert_array_equal(got, x.repeat(2, 2).repeat(2, 3))


@pytest.mark.parametrize(("length", "to"), [(2, 82), (20, 12), (20, 24), (2, 94), (7, 3)])
@pytest.mark.parametrize("known", [True, False])
def test_tensorflow_multiplies_positions_where_onnx_runtime_divides(length, to, known, tmp_path):
    tf = pytest.importorskip("tensorflow")
    module = tf.Module()
    spec = tf.TensorSpec([1, length if known else None, length, 1], tf.float32, name="x")
    module.f = tf.function(
        lambda x: {"y": tf.raw_ops.ResizeNearestNeighbor(images=x, size=[to, to])}, input_signature=[spec]
    )
    tf.saved_model.save(module, tmp_path / "sm", signatures=module.f.get_concrete_function())
    x = np.arange(length * length, dtype=np.float32).reshape(1, length, length, 1)
    bridge.convert(tmp_path / "sm", tmp_path / "m.onnx")
    np.testing.assert_array_equal(bridge.run(tmp_path / "m.onnx", {"x": x})["y"], module.f(x)["y"].numpy())
