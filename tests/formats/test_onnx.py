"""ONNX holds what every format must hold."""

import onnx
from build import model_from_text

import bridge
from bridge.testing import FormatTests


class TestOnnx(FormatTests):
    format = "onnx"


def test_a_model_in_the_text_of_protobuf_is_read_and_run(tmp_path):
    model = model_from_text("(float[3] x) => (float[3] y) { y = Neg (x) }")
    (tmp_path / "m.onnxtxt").write_text(str(model))
    assert bridge.convert(tmp_path / "m.onnxtxt", tmp_path / "m.onnx", verify=True).verification.ok


def test_what_has_no_form_at_the_best_opset_is_written_at_one_that_onnx_runtime_runs(tmp_path):
    """QuantizeLinear runs best at opset 20, where GroupNormalization has scales for each group."""
    text = """(float[2,4,3] x) => (uint8[2,4,3] y) <float[4] s = {1, 2, -1, 0.5}, float[4] b = {0, 1, 0, 2},
        float q = {0.05}, uint8 z = {12}> {
        g = GroupNormalization <num_groups = 2> (x, s, b) y = QuantizeLinear (g, q, z) }"""
    source = tmp_path / "m.onnx"
    onnx.save(model_from_text(text, opset=22), source)
    assert bridge.convert(source, tmp_path / "n.onnx", verify=True).verification.ok
    assert onnx.load(tmp_path / "n.onnx").opset_import[0].version == 26
