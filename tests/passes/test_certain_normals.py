"""Normal numbers without a deviation, and bounds that are none, which end the process in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bridge

KINDS = [
    ("RandomNormal", {"shape": [2, 3], "scale": 0.0, "mean": 3.0}),
    ("RandomNormalLike", {"scale": 0.0, "mean": 3.0, "dtype": TensorProto.DOUBLE}),
    ("RandomNormalLike", {"scale": 0.0, "mean": 3.0}),
]
BROKEN = [
    ("RandomNormal", {"shape": [4], "scale": -1.0}),
    ("RandomNormalLike", {"scale": float("nan")}),
    ("RandomUniform", {"shape": [4], "low": 1.0, "high": 0.0}),
    ("RandomUniformLike", {"low": 1.0, "high": 0.0}),
]


def written(path, operator, attributes):
    named = ["x"] if operator.endswith("Like") else []
    nodes = [helper.make_node(operator, named, ["y"], **attributes), helper.make_node("Neg", ["x"], ["z"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", attributes.get("dtype", TensorProto.FLOAT), None)
    graph = helper.make_graph(
        nodes, "g", [x], [y, helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3])]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize("target", ["onnx", "tflite", "torchscript", "coreml"])
@pytest.mark.parametrize(("operator", "attributes"), KINDS)
def test_they_are_their_mean(operator, attributes, target, tmp_path):
    source = written(tmp_path / "m.onnx", operator, attributes)
    made = bridge.convert(source, tmp_path / "out", to=target, verify=True).path
    found = bridge.run(made, {"x": np.zeros((2, 3), np.float32)}, source=target)["y"]
    assert found.tolist() == [[3.0] * 3] * 2


@pytest.mark.parametrize(("operator", "attributes"), BROKEN)
def test_bounds_that_are_none_end_no_process(operator, attributes, tmp_path):
    source = written(tmp_path / "m.onnx", operator, attributes)
    outputs = bridge.run(source, {"x": np.zeros((2, 3), np.float32)})
    assert operator in outputs.refusal
    assert outputs["z"].shape == (2, 3)
