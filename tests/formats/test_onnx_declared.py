"""What an ONNX file declares besides its operators, and what they say to it."""

import numpy as np
import onnx
import pytest
from build import model_from_text, save_as

import bridge
from bridge import hub
from bridge.errors import UnreadableFile


def test_lengths_below_zero_vary(tmp_path):
    proto = model_from_text("(float[N,3] x) => (float[N,3] y) { y = Relu (x) }")
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_value = -1
    bridge.save(bridge.load(proto), tmp_path / "m.tflite")
    for length in (1, 5):
        x = np.linspace(-1, 1, 3 * length, dtype=np.float32).reshape(length, 3)
        (got,) = bridge.run(tmp_path / "m.tflite", {"x": x}).values()
        np.testing.assert_array_equal(got, np.maximum(x, 0))


@pytest.mark.parametrize(
    ("given", "declared", "steps", "right"),
    [
        ("float[2,3]", "float[6]", "y = Unsqueeze (x, zero)", [1, 2, 3]),
        ("float[2,3]", "float[2,4]", "y = Relu (x)", [2, 3]),
        ("float[N,3]", "float[1,3]", "y = Relu (x)", ["N", 3]),
        ("float[N,3]", "float[batch,3]", "y = Relu (x)", ["batch", 3]),
    ],
)
def test_what_is_computed_wins_over_what_is_declared(given, declared, steps, right):
    proto = model_from_text(f"({given} x) => ({declared} y) <int64[1] zero = {{0}}> {{ {steps} }}")
    model = bridge.load(proto)
    assert [d if isinstance(d, int) else d.value for d in model.graph.outputs[0].shape] == right
    assert bool(hub.noted(model)) == ("batch" not in declared)


def test_lengths_declared_inside_do_not_outlive_a_batch_made_variable(tmp_path):
    proto = model_from_text(
        "(float[N,4] x) => (float[N,4] y) <int64[1] rest = {4}, int64[1] a = {0}, int64[1] b = {1}> {"
        " m = Relu (x) s = Shape (m) n = Slice (s, a, b) t = Concat <axis=0> (n, rest) y = Reshape (m, t) }"
    )
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("m", onnx.TensorProto.FLOAT, [1, 4]))
    bridge.save(bridge.load(proto), tmp_path / "m.tflite")
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(bridge.run(tmp_path / "m.tflite", {"x": x})["y"], x)


@pytest.mark.parametrize("ir_version", [3, 4, 8])
def test_initializers_among_the_inputs_are_constants_unless_asked_for(ir_version):
    proto = model_from_text(
        "(float[2] x, float[2] w) => (float[2] y) { y = Add (x, w) }", w=np.ones(2, np.float32)
    )
    proto.ir_version = ir_version
    assert [v.name for v in bridge.load(proto).graph.inputs] == ["x"]
    if ir_version > 3:
        assert [v.name for v in bridge.load(proto, defaults="inputs").graph.inputs] == ["x", "w"]


def test_a_weight_without_data_is_refused():
    proto = model_from_text("(float[2] x) => (float[2] y) { y = Add (x, w) }", w=np.ones(2, np.float32))
    proto.graph.initializer[0].ClearField("raw_data")
    with pytest.raises(UnreadableFile, match="no data"):
        bridge.load(proto)


def test_weights_beside_a_file_are_held_by_the_one_that_is_written(tmp_path):
    proto = model_from_text("(float[64] x) => (float[64] y) { y = Add (x, w) }", w=np.ones(64, np.float32))
    onnx.save(proto, tmp_path / "a.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    bridge.convert(tmp_path / "a.onnx", tmp_path / "b.onnx")
    (tmp_path / "w.bin").unlink()
    assert bridge.run(tmp_path / "b.onnx", {"x": np.ones(64, np.float32)})["y"].tolist() == [2.0] * 64


def test_a_graph_without_a_name_is_written_under_one(tmp_path):
    model = model_from_text("(float[2] x) => (float[2] y) { y = Neg (x) }")
    model.graph.ClearField("name")
    path = save_as("onnx", model, tmp_path)
    assert onnx.load(path).graph.name
