"""Reductions in simpler operators keep what large numbers and infinities give."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import bridge
from bridge.passes.decompose import Decompose


def load(graph: str):
    return bridge.load(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 21]> {graph}'))


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("axes", ["{1}", "{0}", "{0, 1}", "{-1}"])
def test_log_sum_exp_does_not_overflow(axes, kept):
    count = axes.count(",") + 1
    shape = "" if kept == 0 and count == 2 else "n" if kept == 0 else "n,m"
    text = f"g (double[3,4] x) => (double[{shape}] y) <int64[{count}] a = {axes}> {{ y = ReduceLogSumExp <keepdims = {kept}> (x, a) }}"
    model = load(text)
    inf = np.inf
    x = np.array([[1000.0, 999, -5, 0], [-2000, -2001, -inf, -2000], [inf, 1, 2, 3]])
    before = bridge.run(model, {"x": x})["y"]
    Decompose(lambda node: node.op_type != "ReduceLogSumExp")(model)
    assert "ReduceLogSumExp" not in [n.op_type for n in model.graph]
    np.testing.assert_allclose(bridge.run(model, {"x": x})["y"], before, rtol=1e-12)


def test_stacked_matrices_are_averaged_side_by_side():
    text = """g (float[n,3] x, float[n,3] z) => (float[n,3] y) <int64[3] s = {1, -1, 3}, int64[1] a = {0}> {
        p = Reshape (x, s) q = Reshape (z, s) c = Concat <axis = 0> (p, q) y = ReduceMean <keepdims = 0> (c, a) }"""
    model = load(text)
    rng = np.random.default_rng(0)
    given = {n: rng.normal(size=(5, 3)).astype(np.float32) for n in "xz"}
    before = bridge.run(model, given)["y"]
    Decompose(lambda node: node.op_type != "ReduceMean")(model)
    assert "ReduceMean" not in [n.op_type for n in model.graph]
    np.testing.assert_allclose(bridge.run(model, given)["y"], before, rtol=1e-6)
