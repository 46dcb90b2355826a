"""ONNX files with fewer operators: the same numbers under the same names, never larger."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from build import model_from_text

import bridge
from bridge.workbench.optimize import counted

WEIGHTS = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
CHAIN = (
    "(float[n,4] x) => (float[n,4] y, float[n,4] z) { a = MatMul (x, w) b = Identity (a) c = MatMul (x, w) "
    "two = Constant <value_float = 2.0> () four = Mul (two, two) y = Mul (b, four) z = Add (c, y) dead = Exp (a) }"
)


def saved(model, folder):
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def test_what_is_computed_stays_and_what_is_not_needed_goes(tmp_path):
    source = saved(model_from_text(CHAIN, 17, w=WEIGHTS), tmp_path)
    result = bridge.optimize(source, tmp_path / "s.onnx", verify=True)
    written = onnx.load(result.path)
    assert counted(written) == {"MatMul": 1, "Mul": 1, "Add": 1}
    assert result.operators["MatMul"] == (2, 1)
    assert result.sizes[1] == result.path.stat().st_size <= result.sizes[0]
    assert [v.name for v in written.graph.output] == ["y", "z"]
    assert [(o.domain, o.version) for o in written.opset_import] == [("", 17)]
    assert result.verification is not None
    assert not written.graph.value_info


def test_what_would_grow_is_written_as_it_is(tmp_path):
    text = (
        "(float[4,4] x) => (float[4,4] y) { s = Constant <value_ints = [200, 4]> () o = ConstantOfShape (s) "
    )
    text += "t = Transpose <perm = [1, 0]> (o) p = MatMul (x, t) q = MatMul (p, o) y = Add (q, w) }"
    source = saved(model_from_text(text, w=WEIGHTS), tmp_path)
    result = bridge.optimize(source, tmp_path / "s.onnx")
    assert result.kept
    assert result.path.read_bytes() == source.read_bytes()
    assert "nothing was gained" in str(result)
    larger = bridge.optimize(source, tmp_path / "l.onnx", keep=True)
    assert not larger.kept
    assert larger.sizes[1] > larger.sizes[0]


def test_weights_beside_a_file_come_along_where_it_is_kept(tmp_path):
    model = model_from_text("(float[n,4] x) => (float[n,4] y) { y = MatMul (x, w) }", w=WEIGHTS)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    (tmp_path / "out").mkdir()
    result = bridge.optimize(tmp_path / "m.onnx", tmp_path / "out" / "s.onnx")
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(bridge.run(result.path, {"x": x})["y"], WEIGHTS)


def test_another_opset_brings_its_operators(tmp_path):
    text = (
        "(float[n,4] x) => (float[n,4] y) { m = ReduceMean <axes = [-1]> (x) d = Sub (x, m) q = Mul (d, d) "
    )
    text += "v = ReduceMean <axes = [-1]> (q) e = Add (v, eps) r = Sqrt (e) n = Div (d, r) s = Mul (n, g) y = Add (s, b) }"
    row = np.ones(4, np.float32)
    source = saved(model_from_text(text, 13, eps=np.float32(1e-5), g=row, b=row), tmp_path)
    result = bridge.optimize(source, tmp_path / "s.onnx", opset=17, verify=True)
    assert result.after == {"LayerNormalization": 1}


def test_a_model_of_another_format_is_refused(tmp_path):
    path = bridge.convert(model_from_text(CHAIN, 17, w=WEIGHTS), tmp_path / "m.tflite").path
    with pytest.raises(bridge.BridgeError, match="optimize reads ONNX files"):
        bridge.optimize(path, tmp_path / "s.onnx")
