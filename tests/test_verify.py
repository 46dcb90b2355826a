"""Comparison of outputs."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir
import pytest
from build import hub_from_text, model_from_text
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import bridge
from bridge.comparison import compare, quanta
from bridge.errors import VerificationFailed
from bridge.runtime import Outputs, run_reference


def row(a, b):
    return compare(Outputs({"y": a}, "A"), Outputs({"y": b}, "B")).outputs[0]


F = np.array([1.0, -2.0, 3.0], np.float32)
AGREE = {
    "the same": (F, F),
    "within float32 tolerance": (F, F * np.float32(1.0005)),
    "within float16 tolerance": (F.astype(np.float16), (F * 1.005).astype(np.float16)),
    "NaN and infinity in place": (np.float32([np.nan, np.inf]), np.float32([np.nan, np.inf])),
    "strings": (np.array(["a", "b"], object), np.array(["a", "b"])),
    "empty": (F[:0], F[:0]),
    "sequences": ([F, F[:1]], [F, F[:1]]),
    "absent optionals": (None, None),
}
DIFFER = {
    "beyond tolerance": (F, F * np.float32(1.01), "differs"),
    "opposite sign": (F, -F, "differs"),
    "integers by one": (np.int64([2**60]), np.int64([2**60 + 1]), "differs"),
    "booleans": (np.array([True]), np.array([False]), "differs"),
    "NaN elsewhere": (np.float32([np.nan, 1]), np.float32([1, np.nan]), "NaN"),
    "infinity of other sign": (np.float32([np.inf]), np.float32([-np.inf]), "infinity"),
    "permuted axes": (np.ones((2, 3), np.float32), np.ones((3, 2), np.float32), "shape"),
    "another dtype": (F, F.astype(np.float64), "dtype"),
    "numbers for strings": (np.array(["1"], object), np.array([1]), "dtype"),
    "a shorter sequence": ([F, F], [F], "sequence"),
    "a sequence for a tensor": (F, [F, F[:1]], "sequence"),
    "an absent optional": (F, None, "absent"),
}


@pytest.mark.parametrize("name", AGREE)
def test_agrees(name):
    assert row(*AGREE[name]).problem == ""


@pytest.mark.parametrize("name", DIFFER)
def test_differs(name):
    a, b, word = DIFFER[name]
    assert word in row(a, b).problem


def test_cosine_tells_opposite_from_equal():
    assert row(F, -F).cosine == pytest.approx(-1)
    assert row(F, F).cosine == pytest.approx(1)


def test_the_first_diverging_output_is_named(tmp_path):
    found = compare(Outputs({"a": F, "b": F}, "A"), Outputs({"a": F, "b": -F, "c": F}, "B"))
    assert found.first_diverging == "b"
    assert [o.ok for o in found.outputs] == [True, False, False]
    with pytest.raises(VerificationFailed, match=r"first diverging output is b(.|\n)*max abs"):
        found.require(tmp_path)


@pytest.fixture
def wrong(monkeypatch):
    """An ONNX exporter that negates the first initializer."""
    from bridge_onnx import exporter

    right = exporter.exporter.write

    def write(model, path, report, options):
        value = next(v for v in model.graph.initializers.values() if v.dtype.is_floating_point())
        value.const_value = ir.tensor(-value.const_value.numpy())
        right(model, path, report, options)

    monkeypatch.setattr(exporter, "exporter", dataclasses.replace(exporter.exporter, write=write))


def test_what_fails_verification_is_not_written(wrong, mnist, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_text("mine")
    with pytest.raises(VerificationFailed, match="was not written") as failed:
        bridge.convert(mnist, path, verify=True, overwrite=True)
    assert f"bridge bisect {mnist} {path}" in failed.value.hint
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_verification_is_written_when_it_is_to_be_kept(wrong, mnist, tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(VerificationFailed, match="was written but disagrees") as failed:
        bridge.convert(mnist, path, verify=True, keep=True)
    assert f"bridge bisect {mnist} {path}" in failed.value.hint
    assert not bridge.bisect(mnist, path).ok
    assert path.stat().st_size > 1000


@st.composite
def floats(draw):
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    width = np.dtype(dtype).itemsize * 8
    shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    return draw(hnp.arrays(dtype, draw(shape), elements=st.floats(width=width)))


@given(floats())
def test_anything_agrees_with_itself(a):
    found = row(a, a.copy())
    assert found.ok
    assert found.max_abs == 0


@given(floats(), floats())
def test_the_verdict_is_that_of_numpy(a, b):
    rtol, atol = (1e-2, 1e-2) if a.dtype == np.float16 else (1e-3, 1e-4)
    same = a.dtype == b.dtype and a.shape == b.shape
    wide = (a.astype(np.float64), b.astype(np.float64))
    assert row(a, b).ok == (
        same and bool(np.allclose(wide[1], wide[0], rtol=rtol, atol=atol, equal_nan=True))
    )


@given(
    hnp.arrays(st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.bool_]), (3,)), st.integers(0, 2)
)
def test_one_integer_changed_is_seen(a, index):
    b = a.copy()
    b[index] = not b[index] if a.dtype == np.bool_ else b[index] ^ 1
    assert row(a, a).ok
    assert not row(a, b).ok


def test_native_layout_is_compared_as_the_source_has_it(tmp_path):
    pool = "y = MaxPool <kernel_shape: ints = [2,2]> (x)"
    model = model_from_text(f"(float[1,2,4,5] x) => (float[1,2,3,4] y) {{ {pool} }}")
    done = bridge.convert(model, tmp_path / "m.tflite", layout="native", verify=True)
    assert done.verification.ok
    assert bridge.run(done.path, {"x": np.ones((1, 4, 5, 2), np.float32)})["y"].shape == (1, 3, 4, 2)


QUANTIZED = (
    "(float[4] x) => (float[2,2] y, int8[4] q, float[4] z) <float s = {0.5}, int8 p = {3}, int64[2] "
    "to = {2, 2}> "
    "{ q = QuantizeLinear (x, s, p) d = DequantizeLinear (q, s, p) y = Reshape (d, to) z = Neg (x) }"
)


def test_the_quanta_of_a_model_are_the_steps_of_its_quantized_outputs():
    assert quanta(hub_from_text(QUANTIZED)) == {"y": 0.5, "q": 1.0}


@pytest.mark.parametrize(("off", "ok"), [(0.5, True), (1.0, False)])
def test_a_quantized_output_agrees_within_one_step(off, ok):
    result = compare(Outputs({"y": F}, "A"), Outputs({"y": F + np.float32(off)}, "B"), steps={"y": 0.5})
    assert result.ok is ok
    assert ("quantum of 0.5" in str(result)) is ok


def test_lossy_options_are_held_to_a_part_of_the_largest_element():
    large = np.float32([100.0, 0.0, np.inf])
    moved = large + np.float32([0.5, 0.5, 0])
    assert not compare(Outputs({"y": large}, "A"), Outputs({"y": moved}, "B")).ok
    assert compare(Outputs({"y": large}, "A"), Outputs({"y": moved}, "B"), lossy=1e-2).ok
    assert not compare(
        Outputs({"y": large}, "A"), Outputs({"y": large + np.float32([2, 0, 0])}, "B"), lossy=1e-2
    ).ok


def test_onnx_runtime_does_not_quantize_what_meets_dequantized_weights():
    """Left to itself it computes such a product in 8 bits."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 64)).astype(np.float32), rng.integers(-128, 128, (64, 16)).astype(np.int8)
    model = hub_from_text(
        "(float[4,64] x) => (float[4,16] y) <float s = {0.01}, int8 p = {3}> "
        "{ d = DequantizeLinear (w, s, p) y = MatMul (x, d) }",
        w=w,
    )
    exact = x.astype(float) @ ((w.astype(float) - 3) * np.float32(0.01))
    np.testing.assert_allclose(bridge.run(model, {"x": x})["y"], exact, 1e-4, 1e-4)


def test_the_reference_evaluator_runs_loops_without_a_condition():
    """Left to itself it takes none for one that does not hold."""
    proto = model_from_text(
        "(float[2] x, int64 n) => (float[2] y) { y = Loop (n, , x) "
        "<body = b (int64 i, bool go, float[2] s) => (bool on, float[2] t) { on = Identity (go) "
        "k = Constant <value_int = 2> () t = Loop (k, , s) "
        "<body = c (int64 j, bool g2, float[2] u) => (bool o2, float[2] v) { o2 = Identity (g2) v = Add "
        "(u, x) }> }> }"
    )
    found = run_reference(proto, {"x": np.float32([1, 2]), "n": np.array(3)})["y"]
    np.testing.assert_array_equal(found, np.float32([7, 14]))
