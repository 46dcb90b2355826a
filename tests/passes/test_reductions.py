"""Reductions in simpler operators keep what large numbers and infinities give."""

from __future__ import annotations

import numpy as np
import pytest
from build import assert_unchanged, hub_from_text, operators, without


def assert_decomposed(graph: str, operator: str, inputs: dict[str, np.ndarray], rtol: float) -> None:
    model = hub_from_text(graph)
    assert_unchanged(model, without(operator), inputs=inputs, rtol=rtol, atol=0)
    assert operator not in operators(model)


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("axes", ["{1}", "{0}", "{0, 1}", "{-1}"])
def test_log_sum_exp_does_not_overflow(axes, kept):
    count = axes.count(",") + 1
    shape = "" if kept == 0 and count == 2 else "n" if kept == 0 else "n,m"
    text = (
        f"(double[3,4] x) => (double[{shape}] y) <int64[{count}] a = {axes}> {{ y = ReduceLogSumExp "
        f"<keepdims = {kept}> (x, a) }}"
    )
    inf = np.inf
    x = np.array([[1000.0, 999, -5, 0], [-2000, -2001, -inf, -2000], [inf, 1, 2, 3]])
    assert_decomposed(text, "ReduceLogSumExp", {"x": x}, 1e-12)


def test_stacked_matrices_are_averaged_side_by_side():
    text = """(float[n,3] x, float[n,3] z) => (float[n,3] y) <int64[3] s = {1, -1, 3}, int64[1] a = {0}> {
        p = Reshape (x, s) q = Reshape (z, s) c = Concat <axis = 0> (p, q) y = ReduceMean <keepdims = 0> (c, a) }"""
    rng = np.random.default_rng(0)
    given = {n: rng.normal(size=(5, 3)).astype(np.float32) for n in "xz"}
    assert_decomposed(text, "ReduceMean", given, 1e-6)
