"""Slices that go backwards from before the first element."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from build import hub_from_builder, hub_from_text
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge import hub
from bridge.passes.slices import python_slice

FAR = 2**31 - 1
PLACE = st.one_of(st.integers(-9, 9), st.sampled_from([FAR, -FAR]))


@given(st.integers(0, 6), PLACE, PLACE, st.sampled_from([-3, -2, -1, 1, 2]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_python_slices_take_what_numpy_takes(length, start, end, step, constant):
    x, places = np.arange(length), np.array([start, end])

    def build(op: hub.Builder, x: ir.Value, places: ir.Value) -> ir.Value:
        bounds = (
            [np.array([start]), np.array([end])]
            if constant
            else [op.Slice(places, [i], [i + 1], [0]) for i in (0, 1)]
        )
        return python_slice(op, x, *bounds, [0], [step])

    model = hub_from_builder(build, {"x": (np.int64, ["n"]), "places": (np.int64, [2])})
    found = bridge.run(model, {"x": x, "places": places})["y"]
    np.testing.assert_array_equal(found, x[start:end:step])


def test_falling_ranges_gather_to_the_first_element():
    model = hub_from_text(
        "(float[n] x) => (float[n] y) <int64 one = {1}, int64 end = {-1}, int64[0] none = {}> "
        "{ s = Shape (x) n = Reshape (s, none) last = Sub (n, one) i = Range (last, end, end) y = Gather "
        "(x, i) }"
    )
    found = bridge.run(model, {"x": np.arange(4, dtype=np.float32)})["y"]
    assert found.tolist() == [3, 2, 1, 0]
