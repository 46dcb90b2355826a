"""Comparison of outputs."""

from __future__ import annotations

import numpy as np
import pytest

import bridge
from bridge.errors import InvalidOption, VerificationFailed
from bridge.runtime import Outputs
from bridge.verify import compare


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


def test_native_layout_is_not_verified_and_nothing_is_written(parse, tmp_path):
    pool = "y = MaxPool <kernel_shape: ints = [2,2]> (x)"
    model = parse(f"g (float[1,2,4,5] x) => (float[1,2,3,4] y) {{ {pool} }}")
    with pytest.raises(InvalidOption, match="layout=source"):
        bridge.convert(model, tmp_path / "m.tflite", layout="native", verify=True)
    assert list(tmp_path.iterdir()) == []
