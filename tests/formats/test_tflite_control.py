"""Branches and loops run in LiteRT as subgraphs."""

from __future__ import annotations

import numpy as np
import pytest
from build import hub_from_text

import bridge

CASES = {
    "carried": (
        "g (int64 n, float x) => (float y) { y = Loop (n, , x) "
        "<body = b (int64 i, bool c, float a) => (bool d, float e) { d = Identity (c) "
        "e = Add (a, x) }> }"
    ),
    "collected": (
        "g (int64 n, float[1] x) => (float[1] y, float[k,1] z) { y, z = Loop (n, , x) "
        "<body = b (int64 i, bool c, float[1] a) => (bool d, float[1] e, float[1] f) { "
        "d = Identity (c) e = Add (a, x) f = Identity (e) }> }"
    ),
    "collected_scalar": (
        "g (int64 n, float x) => (float y, float[k] z) { y, z = Loop (n, , x) "
        "<body = b (int64 i, bool c, float a) => (bool d, float e, float f) { d = Identity (c) "
        "e = Add (a, x) f = Identity (a) }> }"
    ),
    "stopped_early": (
        "g (int64 n, float x) => (float y) { y = Loop (n, , x) "
        "<body = b (int64 i, bool c, float a) => (bool d, float e) { e = Add (a, x) "
        "d = Less (e, x) }> }"
    ),
    "while": (
        "g (bool g, float x) => (float y) <float l = {10}> { y = Loop (, g, x) "
        "<body = b (int64 i, bool c, float a) => (bool d, float e) { e = Add (a, a) "
        "d = Less (e, l) }> }"
    ),
    "branches": (
        "g (bool g, float[3] x) => (float[3] y) { y = If (g) <then_branch = t () => (float[3] a) { "
        "a = Neg (x) }, else_branch = e () => (float[3] b) { b = Identity (x) }> }"
    ),
    "grown": (
        "g (int64 n, float[1] x) => (float[k] y) { y = Loop (n, , x) "
        "<body = b (int64 i, bool c, float[p] a) => (bool d, float[q] e) { d = Identity (c) "
        "e = Concat <axis = 0> (a, x) }> }"
    ),
    "nested": (
        "g (int64 n, float x) => (float y) { y = Loop (n, , x) "
        "<body = b (int64 i, bool c, float a) => (bool d, float e) { d = Identity (c) s = Less (a, x) "
        "e = If (s) <then_branch = t () => (float p) { p = Mul (a, x) }, "
        "else_branch = q () => (float r) { r = Sub (a, x) }> }> }"
    ),
    "scan": (
        "g (float[t,2] x, float[2] h) => (float[2] y, float[t,2] z) "
        "{ y, z = Scan <num_scan_inputs = 1, body = b (float[2] s, float[2] v) => (float[2] o, float[2] w) "
        "{ o = Add (s, v) w = Mul (o, v) }> (h, x) }"
    ),
    "lstm": (
        "g (float[t,n,3] x, float[1,16,3] w, float[1,16,4] r) => (float[t,1,n,4] y) { "
        "y = LSTM <hidden_size: int = 4> (x, w, r) }"
    ),
    "gru": (
        "g (float[t,2,3] x, float[2,12,3] w, float[2,12,4] r) => (float[t,2,2,4] y) { "
        'y = GRU <hidden_size: int = 4, direction: string = "bidirectional"> (x, w, r) }'
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [0, 1, 4])
def test_control_flow_computes_the_same_in_litert(case, count, tmp_path):
    model = hub_from_text(CASES[case])
    rng = np.random.default_rng(count)
    fixed = {"n": np.array(count), "g": np.array(count > 0)}
    inputs = {}
    for value in model.graph.inputs:
        if value.shape is not None and not value.shape.is_static():
            if count == 0:
                pytest.skip("LiteRT resizes no input to nothing")
            shape = [d if isinstance(d, int) else count for d in value.shape]
            inputs[value.name] = rng.standard_normal(shape).astype(np.float32)
        else:
            shape = [int(d) for d in value.shape]
            inputs[value.name] = fixed.get(
                value.name, rng.standard_normal(shape).astype(np.float32) if shape else np.float32(2)
            )
    if (case == "collected_scalar" and count == 0) or (case == "collected" and count == 0):
        pytest.skip("LiteRT's interface returns no empty tensor")
    inputs = {k: np.asarray(v) for k, v in inputs.items()}
    path = bridge.save(model, tmp_path / "m.tflite").path
    result = bridge.verify(model, path, inputs)
    assert result.ok, str(result)
