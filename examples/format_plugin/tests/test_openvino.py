"""OpenVINO IR holds what every format must hold, and files that OpenVINO itself writes are read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bridge
from bridge.errors import ExecutionFailed, InvalidInput, UnreadableFile, UnsupportedModel
from bridge.testing import FormatTests

openvino = pytest.importorskip("openvino")

ADD = '<ir_version: 10, opset_import: ["" : 21]> g (float[N,3] x) => (float[N,3] y) { y = Add (x, x) }'


class TestOpenVINO(FormatTests):
    format = "openvino"


def saved(text: str, folder, name: str = "model.xml"):
    model = bridge.load(onnx.parser.parse_model(text))
    return model, bridge.save(model, folder / name, to="openvino").path


def test_a_branch_and_a_loop_are_written_and_read(tmp_path):
    model, path = saved(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x, bool c, int64 n) => (float[2] y, float[M,2] z) {
          a = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) }, else_branch = e () => (float[2] q) { q = Neg (x) }>
          y, z = Loop (n, , a) <body = b (int64 i, bool k, float[2] s) => (bool k2, float[2] r, float[2] r2) {
            k2 = Identity (k) r = Add (s, x) r2 = Mul (r, r) }> }""",
        tmp_path,
    )
    inputs = {"x": np.float32([1, -2]), "c": np.array(False), "n": np.array(3)}
    expected = bridge.run(model, inputs)
    for found in (bridge.run(path, inputs), bridge.run(bridge.load(path, source="openvino"), inputs)):
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-6)


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_integers_cross_exactly(op, tmp_path):
    """OpenVINO's CPU divides integers as float32; what is written does not."""
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> g (int32[N] x, int32[N] y) => (int32[N] z) {{ z = '
        f"{op} (x, y) }}"
    )
    model, path = saved(text, tmp_path)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.integers(-(2**31), 2**31 - 1, 500), [2**31 - 1, -(2**31) + 1, 7, -7]]).astype(
        np.int32
    )
    y = np.concatenate([rng.integers(1, 2**16, 500) * rng.choice([-1, 1], 500), [1, 2, -2, 2]]).astype(
        np.int32
    )
    np.testing.assert_array_equal(
        bridge.run(path, {"x": x, "y": y})["z"], bridge.run(model, {"x": x, "y": y})["z"]
    )


def test_files_that_openvino_writes_are_read(tmp_path):
    opset = openvino.opset8
    x = opset.parameter([-1, 3, 8, 8], np.float32, name="x")
    weights = opset.constant(np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32))
    made = opset.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    made = opset.clamp(opset.reduce_mean(made, np.array([2, 3]), keep_dims=False), 0.0, 6.0)
    made.output(0).set_names({"y"})
    x.output(0).set_names({"x"})
    path = tmp_path / "model.xml"
    openvino.save_model(openvino.Model([made], [x], "model"), path, compress_to_fp16=False)
    inputs = {"x": np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    assert bridge.inspect(path).format == "openvino"
    found = bridge.run(bridge.load(path), inputs)
    np.testing.assert_allclose(found["y"], bridge.run(path, inputs)["y"], rtol=1e-4, atol=1e-5)


def test_a_conversion_both_ways_verifies(tmp_path):
    _, path = saved(ADD, tmp_path)
    assert bridge.convert(path, tmp_path / "back.onnx", verify=True).verification.ok


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<?xml", "<!DOCTYPE net [<!ENTITY a 'a'>]><?xml"),
        ("<net ", "<!DOCTYPE net [<!ENTITY a 'a'>]><net "),
        ('version="11"', 'version="4"'),
        ('from-layer="0"', 'from-layer="99"'),
        ('from-layer="0"', 'from-layer="1"'),
        ('element_type="f32"', 'element_type="q7"'),
        ('shape="?,3"', 'shape="..."'),
        ('type="Add"', 'type="NoSuch"'),
    ],
)
def test_a_broken_document_gives_a_typed_error(before, after, tmp_path):
    _, path = saved(ADD, tmp_path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises((UnreadableFile, UnsupportedModel)):
        bridge.load(path, source="openvino")


def test_constants_outside_the_bin_are_refused(tmp_path):
    text = (
        '<ir_version: 10, opset_import: ["" : 21]> g (float[3] x) => (float[3] y) <float[3] w = '
        "{1.0,2.0,3.0}> { y = Mul (x, w) }"
    )
    _, path = saved(text, tmp_path)
    path.with_suffix(".bin").write_bytes(b"abc")
    with pytest.raises(UnreadableFile, match=r"does not lie in the \.bin"):
        bridge.load(path, source="openvino")


def test_what_the_cpu_does_not_hold_is_refused(tmp_path):
    text = '<ir_version: 10, opset_import: ["" : 21]> g (uint64[3] x) => (uint64[3] y) { y = Add (x, x) }'
    with pytest.raises(UnsupportedModel, match=r"of a dtype OpenVINO's CPU computes|input 0 of dtype"):
        saved(text, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_integers_beyond_32_bits_are_not_run(tmp_path):
    _, path = saved(
        '<ir_version: 10, opset_import: ["" : 21]> g (int64[2] x) => (int64[2] y) { y = Neg (x) }', tmp_path
    )
    with pytest.raises(InvalidInput, match="beyond 32 bits"):
        bridge.run(path, {"x": np.array([2**40, 1])})
    with pytest.raises((ExecutionFailed, InvalidInput)):
        bridge.run(path, {"z": np.array([1, 2])})
