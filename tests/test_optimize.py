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


def optimized(text, folder, opset=17, **weights):
    """Operators after, of a model that is verified."""
    result = bridge.optimize(
        saved(model_from_text(text, opset, **weights), folder), folder / "s.onnx", verify=True, keep=True
    )
    assert result.verification is not None
    return result.after


ROW = np.arange(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("(float[n,4] x) => (float[n,4] y) { a = MatMul (x, w) y = Add (r, a) }", {"Gemm": 1}),
        ("(float[n,4] x) => (float[n,4] y) { a = Gemm <transB = 1> (x, w) y = Add (a, r) }", {"Gemm": 1}),
        ("(float[n,4] x) => (float[n,4] y, float[n,4] a) { a = MatMul (x, w) y = Add (a, r) }", {"MatMul": 1, "Add": 1}),
        ("(float[2,n,4] x) => (float[2,n,4] y) { a = MatMul (x, w) y = Add (a, r) }", {"MatMul": 1, "Add": 1}),
        ("(float[4,4] x) => (float[4,4] y) { a = MatMul (x, w) y = Add (a, x) }", {"MatMul": 1, "Add": 1}),
        ("(float[2,n,4] x) => (float[2,n,4] y) { a = MatMul (x, w) b = Mul (a, o) y = Add (b, z) }", {"MatMul": 1}),
        ("(float[n,1] x) => (float[n,4] y) { b = Exp (x) y = Add (b, z) }", {"Exp": 1, "Add": 1}),
    ],
)  # fmt: skip
def test_what_is_added_to_a_product_is_part_of_it(text, after, tmp_path):
    used = {
        n: v
        for n, v in {"w": WEIGHTS, "r": ROW, "o": ROW * 0 + 1, "z": ROW * 0}.items()
        if f"{n})" in text or f"({n}," in text
    }
    assert optimized(text, tmp_path, **used) == after


def test_scales_and_biases_join_convolutions(tmp_path):
    text = "(float[1,2,5,5] x) => (float[1,3,3,3] y) { a = Conv (x, w) b = Mul (a, s) y = Add (b, t) }"
    kernel, by_channel = (
        np.random.default_rng(1).random((3, 2, 3, 3), np.float32),
        ROW[:3].reshape(1, 3, 1, 1),
    )
    assert optimized(text, tmp_path, w=kernel, s=by_channel, t=by_channel) == {"Conv": 1}
    turned = "(float[1,3,3,3] x) => (float[1,2,5,5] y) { a = ConvTranspose (x, w) y = Add (a, t) }"
    assert optimized(turned, tmp_path / "..", w=kernel, t=by_channel[:, :2]) == {"ConvTranspose": 1}


SHAPES = (
    "s = Shape (x) t = Shape (h) b = Gather <axis = 0> (s, zero) n = Gather <axis = 0> (t, one) "
    "c = Unsqueeze (b, ax) d = Unsqueeze (n, ax) "
)


@pytest.mark.parametrize(
    ("lengths", "result", "after"),
    [
        ("k = Concat <axis = 0> (c, d, two, two)", "[b,n,2,2]", {"Exp": 1, "Reshape": 1}),
        (
            "m = Mul (b, n) e = Unsqueeze (m, ax) k = Concat <axis = 0> (e, four)",
            "[m,4]",
            {"Exp": 1, "Reshape": 1},
        ),
        ("k = Concat <axis = 0> (c, d, four)", "[b,n,4]", {"Exp": 1}),
        ("k = Concat <axis = 0> (c, rest, two)", "[b,m,2]", {"Exp": 1, "Reshape": 1}),
        (
            "k = Concat <axis = 0> (d, c, four)",
            "[n,b,4]",
            {"Exp": 1, "Shape": 1, "Gather": 2, "Unsqueeze": 2, "Concat": 1, "Reshape": 1},
        ),
    ],
)
def test_lengths_of_a_reshape_that_follow_are_constants(lengths, result, after, tmp_path):
    text = f"(float[b,n,4] x) => (float{result} y) {{ h = Exp (x) {SHAPES} {lengths} y = Reshape (h, k) }}"
    numbers = {"zero": np.array(0), "one": np.array(1), "ax": np.array([0])}
    numbers |= {
        n: np.array([v])
        for n, v in (("two", 2), ("four", 4), ("rest", -1))
        if f"{n})" in lengths or f"{n}," in lengths
    }
    assert optimized(text, tmp_path, **numbers) == after


def test_an_empty_batch_is_reshaped_as_before(tmp_path):
    text = f"(float[b,n,4] x) => (float[b,m,2] y) {{ h = Exp (x) {SHAPES} two = Add (n, n) e = Unsqueeze (two, ax) "
    text += "k = Concat <axis = 0> (c, e, w) y = Reshape (h, k) }"
    source = saved(
        model_from_text(text, 17, zero=np.array(0), one=np.array(1), ax=np.array([0]), w=np.array([2])),
        tmp_path,
    )
    path = bridge.optimize(source, tmp_path / "s.onnx", verify=True).path
    assert bridge.run(path, {"x": np.zeros((0, 3, 4), np.float32)})["y"].shape == (0, 6, 2)


def test_moves_in_a_row_are_one(tmp_path):
    text = "(float[a,b] x) => (float y) { u = Unsqueeze (x, i) v = Unsqueeze (u, j) t = Transpose <perm = [3, 1, 0, 2]> (v) "
    text += "y = Transpose <perm = [2, 0, 3, 1]> (t) }"
    after = optimized(text, tmp_path, i=np.array([-1]), j=np.array([0]))
    assert after == {"Unsqueeze": 1, "Transpose": 1}


def test_a_recurrence_begins_at_zero_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    weights = {"w": rng.random((1, 8, 3), np.float32), "r": rng.random((1, 8, 2), np.float32)}
    text = "(float[5,n,3] x) => (float y) { s = Shape (x) b = Slice (s, one, two) l = Concat <axis = 0> (one, b, two) "
    text += 'z = ConstantOfShape (l) y = LSTM <hidden_size = 2> (x, w, r, "", "", z, z) }'
    assert optimized(text.replace('""', ""), tmp_path, one=np.array([1]), two=np.array([2]), **weights) == {
        "LSTM": 1
    }


def test_constants_that_only_branches_read_are_dropped_with_them(tmp_path):
    text = "(bool p, float[4,4] x) => (float[4,4] y) { y = If (p) <then_branch = t () => (float[4,4] a) { "
    text += (
        "i = Constant <value_ints = [1, 0]> () c = ConstantOfShape (l) d = Add (c, c) a = MatMul (x, d) }, "
    )
    text += "else_branch = e () => (float[4,4] b) { b = Neg (x) }> }"
    source = saved(model_from_text(text, 17, l=np.array([4, 4])), tmp_path)
    written = onnx.load(bridge.optimize(source, tmp_path / "s.onnx", keep=True, verify=True).path)
    bodies = [a.g for n in written.graph.node for a in n.attribute if a.g.node]
    read = {name for body in bodies for n in body.node for name in n.input}
    assert bodies
    assert {i.name for body in bodies for i in body.initializer} <= read


def test_outputs_that_are_maps_stay_maps(tmp_path):
    text = "(float[n,3] x) => (seq(map(int64, float)) y) { s = Softmax (x) d = Identity (s) "
    text += "y = ai.onnx.ml.ZipMap <classlabels_int64s = [0, 1, 2]> (d) }"
    model = model_from_text(text, 17)
    source = saved(model, tmp_path)
    result = bridge.optimize(source, tmp_path / "s.onnx", keep=True)
    assert result.kept
    assert onnx.load(result.path).graph.output[0].type.HasField("sequence_type")
