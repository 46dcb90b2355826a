"""Scans and loops spelled out compute what ONNX Runtime computes, whatever their directions and axes."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest

import bridge
from bridge import hub
from bridge.passes import settle
from bridge.passes.decompose import Decompose

BODY = "(float[2] s, float[2] v) => (float[2] o, float[2] w) { o = Add (s, v) w = Mul (o, v) }"


def loaded(graph: str):
    return bridge.load(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> g {graph}'))


def spelled_out(model, *operators: str) -> None:
    Decompose(lambda node: node.op_type not in operators)(model)
    settle(model)
    hub.verify(model)


def assert_same(model, inputs, *operators: str) -> None:
    expected = bridge.run(model, inputs)
    spelled_out(model, *operators)
    assert not [node for node in hub.all_nodes(model) if node.op_type in operators]
    for name, value in bridge.run(model, inputs).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("operators", [("Scan",), ("Scan", "Loop")])
@pytest.mark.parametrize(
    ("back", "out", "axis", "put"), list(itertools.product((0, 1), (0, 1), (0, 1), (0, -1)))
)
def test_scans_of_every_direction_and_axis(operators, back, out, axis, put):
    attributes = (
        f"num_scan_inputs = 1, scan_input_directions = [{back}], scan_output_directions = [{out}], "
        f"scan_input_axes = [{axis}], scan_output_axes = [{put}]"
    )
    shape = "3,2" if axis == 0 else "2,3"
    model = loaded(
        f"(float[{shape}] x, float[2] h) => (float[2] y, float[m,n] z) {{ y, z = Scan <{attributes}, body = b {BODY}> (h, x) }}"
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2) if axis == 0 else (2, 3)).astype(np.float32)
    assert_same(model, {"x": x, "h": np.ones(2, np.float32)}, *operators)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_loops_of_few_known_steps_are_their_steps(steps):
    model = loaded(
        f"(float[2] x) => (float[2] y, float[m,2] z) <int64 n = {{{steps}}}> {{ y, z = Loop (n, , x) <body = b (int64 i, bool c, float[2] a)"
        " => (bool d, float[2] e, float[2] f) { d = Identity (c) j = CastLike (i, a) e = Add (a, j) f = Mul (e, x) }> }"
    )
    assert_same(model, {"x": np.array([1, 2], np.float32)}, "Loop")


@pytest.mark.parametrize("condition", ["d = Identity (c)", "d = Less (i, k)"])
def test_loops_of_many_or_unknown_steps_stay(condition):
    model = loaded(
        f"(float[2] x, int64 k) => (float[2] y) <int64 n = {{{65 if 'Identity' in condition else 3}}}> {{ y = Loop (n, , x) <body = b "
        f"(int64 i, bool c, float[2] a) => (bool d, float[2] e) {{ {condition} e = Add (a, x) }}> }}"
    )
    spelled_out(model, "Loop")
    assert [node.op_type for node in model.graph] == ["Loop"]
