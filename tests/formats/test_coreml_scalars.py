"""Numbers without dimensions stay so, through a file that holds them in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from build import model_from_text

import bridge

pytest.importorskip("coremltools")


def test_two_scalars_and_a_constant_answer_a_scalar(tmp_path: Path) -> None:
    graph = """(float x, float y) => (float z) <float two = {2.0}> {
        small = Less(x, two)
        other = Div(two, y)
        z = Where(small, other, y)
    }"""
    onnx.save(model_from_text(graph), tmp_path / "m.onnx")
    path = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.mlpackage").path
    found = bridge.run(path, {"x": np.float32(1), "y": np.float32(4)})["z"]
    assert (found.shape, float(found)) == ((), 0.5)


def test_a_single_scale_and_zero_point_stay_scalars(tmp_path: Path) -> None:
    graph = """(float[3] x) => (float[3] z) <float scale = {0.5}, int8 zero = {3}> {
        q = QuantizeLinear(x, scale, zero)
        z = DequantizeLinear(q, scale, zero)
    }"""
    onnx.save(model_from_text(graph), tmp_path / "m.onnx")
    made = bridge.convert(tmp_path / "m.onnx", tmp_path / "m.mlpackage", minimum_deployment_target="iOS17")
    for node in bridge.load(made.path).graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert all(not v.shape for v in node.inputs[1:])
    found = bridge.run(made.path, {"x": np.float32([0.3, 1.2, 9])})["z"]
    np.testing.assert_array_equal(found, np.float32([0.5, 1.0, 9.0]))
