"""A Resize that a target has natively is native there, however its lengths are said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bridge

SUFFIXES = {"tflite": ".tflite", "savedmodel": "", "coreml": ".mlpackage"}
RESIZE = 'Resize <mode="linear", coordinate_transformation_mode="half_pixel"> (x, , s)'


def crossed(proto: onnx.ModelProto, target: str, folder, **options) -> None:
    """Converted with nothing expanded, and its numbers those of the source."""
    source = folder / "m.onnx"
    onnx.save(proto, source)
    result = bridge.convert(source, folder / f"m{SUFFIXES[target]}", to=target, verify=True, **options)
    assert [c.outcome for c in result.report.crossings if c.op == "Resize"] == ["native"], result.report


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("declared", ["float[1,2,h2,w2]", "float[1,2,12,12]", "float[a,b,c,d]"])
def test_lengths_given_are_those_of_an_output_declared_by_names(declared, target, tmp_path):
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 21]> g (float[1,2,h,w] x) => ({declared} y) '
        f"<float[4] s = {{1,1,2,2}}> {{ y = {RESIZE} }}"
    )
    crossed(proto, target, tmp_path, dims={"h": 6, "w": 6})


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize(("length", "to"), [(6, 10), (3, 5), (7, 3), (9, 12), (10, 7)])
def test_scales_that_float32_rounds_are_those_of_the_lengths(length, to, target, tmp_path):
    proto = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 21]> g (float[1,2,{length},{length}] x) => (float[a,b,c,d] y) '
        f"<float[4] s> {{ y = {RESIZE} }}"
    )
    scale = np.float32(to / length)
    scale = scale if int(np.floor(length * scale)) == to else np.nextafter(scale, np.float32(9))
    proto.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "s")
    )
    crossed(proto, target, tmp_path)


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_ratio_give_the_numbers_of_the_source(policy, target, tmp_path):
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 21]> g (float[1,2,6,6] x) => (float[a,b,c,d] y) <int64[2] n = {9, 11}> '
        f'{{ y = Resize <mode="linear", axes=[2,3], keep_aspect_ratio_policy="{policy}"> (x, , , n) }}'
    )
    source = tmp_path / "m.onnx"
    onnx.save(proto, source)
    assert bridge.convert(source, tmp_path / f"m{SUFFIXES[target]}", to=target, verify=True).verification.ok
