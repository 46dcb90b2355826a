"""Opset steps keep what a model computes, or refuse by name."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bridge
from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.inputs import random_inputs
from bridge.passes.opset import lower
from bridge.verify import compare


def load(graph: str, opset: int = 26):
    return bridge.load(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> {graph}'))


ROI = "g (float[1,1,4,4] x, float[1,4] r, int64[1] b) => (float[1,1,2,2] y) "


@pytest.mark.parametrize(
    ("graph", "target", "word"),
    [
        (ROI + "{ y = RoiAlign <output_height: int = 2, output_width: int = 2> (x, r, b) }", 11, "half_pixel"),
        ("g (float[2] x, bool t) => (float[2] y) { r = Constant <value_float: float = 0.5> () y = Dropout (x, r, t) }", 11, "inputs"),
        ('g (float[4] x) => (float[6] y) { p = Constant <value_ints: ints = [1, 1]> () y = Pad <mode: string = "wrap"> (x, p) }', 18, "wrap"),
        ("g (float[2] x, double[2] e) => (float[2] y) { y = Pow (x, e) }", 11, "double"),
        ("g (float[2,3] x, float[3] s) => (int8[2,3] y) <int8[3] z = {0, 0, 0}> { y = QuantizeLinear (x, s, z) }", 12, "per tensor"),
    ],
)  # fmt: skip
def test_what_an_older_opset_cannot_say_is_refused(graph, target, word):
    with pytest.raises(UnsupportedModel, match=word):
        lower(load(graph), target)


@pytest.mark.parametrize(
    "graph",
    [
        ROI
        + '{ y = RoiAlign <output_height: int = 2, output_width: int = 2, coordinate_transformation_mode: string = "output_half_pixel"> (x, r, b) }',
        "g (float[2,3,4] x) => (float[2,3,4] y) { y = Softmax <axis: int = 1> (x) }",
        "g (float[2,3,4] x) => (float[2,3,4] y) { y = Hardmax <axis: int = -3> (x) }",
        "g (float[2,6] x) => (float[2,2] a, float[2,2] b, float[2,2] c) { a, b, c = Split <axis: int = 1, num_outputs: int = 3> (x) }",
        "g (float[2,6] x) => (float[2,1] y) { i = Constant <value_ints: ints = [-1]> () y = ReduceMean (x, i) }",
        "g (float[2,6] x) => (float[2,6] y) { y = Gelu (x) }",
        "g (float[2,4,3] x, float[4] s, float[4] b) => (float[2,4,3] y) { y = GroupNormalization <num_groups: int = 2> (x, s, b) }",
    ],
)
@pytest.mark.parametrize("target", [11, 13, 17, 21])
def test_lowering_keeps_the_numbers(graph, target, tmp_path):
    model = load(graph)
    inputs = random_inputs(model)
    before = bridge.run(model, inputs)
    path = bridge.save(model, tmp_path / "m.onnx", opset=target).path
    assert onnx.load(path).opset_import[0].version == target
    result = compare(before, bridge.run(path, inputs))
    assert result.ok, str(result)


@pytest.mark.parametrize("live", [True, False])
def test_a_constant_may_not_read_outside_the_folder(tmp_path, live):
    (tmp_path / "secret").write_bytes(np.ones(2, np.float32).tobytes())
    tensor = onnx.TensorProto(data_type=1, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    node = onnx.helper.make_node("Constant", [], ["y"], value=tensor)
    output = onnx.helper.make_tensor_value_info("y", 1, [2])
    proto = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [output]))
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(UnreadableFile):
        bridge.load(proto if live else path)
