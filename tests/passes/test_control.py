"""Scans and loops spelled out compute what ONNX Runtime computes, whatever their directions and axes."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir
import pytest
from build import assert_unchanged, hub_from_text, operators, without

from bridge import hub
from bridge.passes import settle

BODY = "(float[2] s, float[2] v) => (float[2] o, float[2] w) { o = Add (s, v) w = Mul (o, v) }"


def assert_spelled_out(model: ir.Model, inputs: dict[str, np.ndarray], *names: str) -> None:
    assert_unchanged(model, without(*names), settle, inputs=inputs, rtol=1e-5, atol=1e-6)
    assert not set(names) & set(operators(model))


@pytest.mark.parametrize("names", [("Scan",), ("Scan", "Loop")])
@pytest.mark.parametrize(
    ("back", "out", "axis", "put"), list(itertools.product((0, 1), (0, 1), (0, 1), (0, -1)))
)
def test_scans_of_every_direction_and_axis(names, back, out, axis, put):
    attributes = (
        f"num_scan_inputs = 1, scan_input_directions = [{back}], scan_output_directions = [{out}], "
        f"scan_input_axes = [{axis}], scan_output_axes = [{put}]"
    )
    shape = "3,2" if axis == 0 else "2,3"
    model = hub_from_text(
        f"(float[{shape}] x, float[2] h) => (float[2] y, float[m,n] z) {{ y, z = Scan <{attributes}, body "
        f"= b {BODY}> (h, x) }}"
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2) if axis == 0 else (2, 3)).astype(np.float32)
    assert_spelled_out(model, {"x": x, "h": np.ones(2, np.float32)}, *names)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_loops_of_few_known_steps_are_their_steps(steps):
    model = hub_from_text(
        f"(float[2] x) => (float[2] y, float[m,2] z) <int64 n = {{{steps}}}> {{ y, z = Loop (n, , x) "
        "<body = b (int64 i, bool c, float[2] a)"
        " => (bool d, float[2] e, float[2] f) { d = Identity (c) j = CastLike (i, a) e = Add (a, j) f = "
        "Mul (e, x) }> }"
    )
    assert_spelled_out(model, {"x": np.array([1, 2], np.float32)}, "Loop")


@pytest.mark.parametrize("condition", ["d = Identity (c)", "d = Less (i, k)"])
def test_loops_of_many_or_unknown_steps_stay(condition):
    model = hub_from_text(
        f"(float[2] x, int64 k) => (float[2] y) <int64 n = {{{65 if 'Identity' in condition else 3}}}> {{ "
        "y = Loop (n, , x) <body = b "
        f"(int64 i, bool c, float[2] a) => (bool d, float[2] e) {{ {condition} e = Add (a, x) }}> }}"
    )
    for step in (without("Loop"), settle, hub.verify):
        step(model)
    assert [node.op_type for node in model.graph] == ["Loop"]
