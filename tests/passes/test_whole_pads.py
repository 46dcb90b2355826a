"""Pads along some axes, which name an amount for each dimension before ONNX Runtime reads them."""

from __future__ import annotations

import numpy as np
import pytest
from build import hub_from_text

import bridge
from bridge.passes.opset.down import for_runtime

X = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)


@pytest.mark.parametrize("amounts", ["", ", int64[4] p"], ids=["constant", "computed"])
def test_amounts_along_axes_are_those_of_the_axes(amounts: str) -> None:
    stored = "" if amounts else "int64[4] p = {1, 0, 0, 2}, "
    model = hub_from_text(
        f"(float[N,2,3,4] x{amounts}) => (float[N,A,B,2] y) <{stored}int64[2] a = {{-2, 3}}, float z = {{9.}}> "
        "{ t = Pad (x, p, z, a) y = Transpose <perm = [0,2,3,1]> (t) }"
    )
    given = {"x": X} | ({"p": np.array([1, 0, 0, 2])} if amounts else {})
    expected = np.pad(X, ((0, 0), (0, 0), (1, 0), (0, 2)), constant_values=9).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(bridge.run(model, given)["y"], expected)
    (pad,) = [node for node in for_runtime(model).graph if node.op_type == "Pad"]
    assert len(pad.inputs) == 3


def test_lengths_known_at_run_time_alone() -> None:
    model = hub_from_text(
        "(float[N,C,H,W] x, int64[2] p) => (float[N,A,B,C] y) <int64[1] a = {2}> "
        "{ s = Transpose <perm = [0,3,1,2]> (x) t = Pad (s, p, , a) y = Transpose <perm = [0,2,3,1]> (t) }"
    )
    given = {"x": X, "p": np.array([2, 1])}
    expected = np.pad(X, ((0, 0), (2, 1), (0, 0), (0, 0)))
    np.testing.assert_array_equal(bridge.run(model, given)["y"], expected)
