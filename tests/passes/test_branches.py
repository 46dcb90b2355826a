"""An If whose branches differ in rank becomes the branch that what follows can take, and no other one does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from build import SUFFIXES, hub_from_text, model_from_text, operators

import bridge

LENGTH = "s = Shape (x) l = Gather <axis = 0> (s, last) c = Equal (l, one)"
SQUEEZED = (
    "h = If (c) <then_branch = a () => (float[p,q] p) { p = Squeeze (x, last) }, "
    "else_branch = b () => (float[i,j,k] q) { q = Identity (x) }>"
)
CONSTANTS = {"last": np.array([-1], np.int64), "one": np.array([1], np.int64)}
ROWS = {"w": np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)}
FILTERS = {"w": np.random.default_rng(0).standard_normal((5, 4, 1)).astype(np.float32)}


def graph(then: str, opening: str = LENGTH, inputs: str = "float[n,4,t] x") -> str:
    return f"({inputs}) => (float y) {{ {opening} {SQUEEZED} {then} }}"


def test_an_operator_of_two_dimensions_needs_what_was_squeezed():
    model = hub_from_text(graph("y = Gemm (h, w)"), **CONSTANTS, **ROWS)
    assert "If" not in operators(model)
    assert "Squeeze" in operators(model)


def test_an_operator_of_three_dimensions_needs_what_was_not_squeezed():
    model = hub_from_text(graph("y = Conv (h, w)"), **CONSTANTS, **FILTERS)
    assert not {"If", "Squeeze"} & set(operators(model))


def test_a_rank_is_followed_through_what_asks_for_it():
    """As exporters write modules that take one sample or a batch: by the rank of what they are given."""
    asks = (
        "r = Shape (h) z = Size (r) d = Equal (z, two) m = Not (d) "
        "k = If (m) <then_branch = e () => (float[i,j,k,l] u) { u = Unsqueeze (h, last) }, "
        "else_branch = f () => (float[g,h] v) { v = Identity (h) }> y = Gemm (k, w)"
    )
    model = hub_from_text(graph(asks), **CONSTANTS, **ROWS, two=np.array(2, np.int64))
    assert not {"If", "Unsqueeze"} & set(operators(model))


@pytest.mark.parametrize("then", ["y = Relu (h)", "y = MatMul (h, v)", "y = Add (h, v)"])
def test_both_branches_stay_where_either_may_run(then):
    square = {"v": np.ones((4, 4), np.float32)}
    assert "If" in operators(hub_from_text(graph(then), **CONSTANTS, **square))


def test_what_may_not_run_decides_nothing():
    """The operator that would refuse one branch stands in a branch itself."""
    inner = (
        "y = If (other) <then_branch = e () => (float[i,j] u) { u = Gemm (h, w) }, "
        "else_branch = f () => (float[g,h] v) { v = Identity (w) }>"
    )
    text = graph(inner, inputs="float[n,4,t] x, bool other")
    assert operators(hub_from_text(text, **CONSTANTS, **ROWS)).count("If") == 2


def test_a_condition_is_not_decided_for_ifs_that_run_without_what_decides_it():
    """One If stands in a branch beside what decides it; the other, with the same condition, always runs."""
    inner = (
        f"y = If (other) <then_branch = e () => (float[i,j] u) {{ {SQUEEZED} u = Gemm (h, w) }}, "
        "else_branch = f () => (float[g,h] v) { v = Identity (w) }> "
        "z = If (c) <then_branch = k () => (float[p,q] t) { t = Squeeze (x, last) }, "
        "else_branch = l () => (float[i,j,k] o) { o = Identity (x) }>"
    )
    text = f"(float[n,4,t] x, bool other) => (float y, float z) {{ {LENGTH} {inner} }}"
    assert operators(hub_from_text(text, **CONSTANTS, **ROWS)).count("If") == 2


def test_declared_results_decide_nothing():
    """A model declares what one run had; the other branch is as good."""
    text = f"(float[n,4,t] x) => (float[n,4] y) {{ {LENGTH} {SQUEEZED} y = Relu (h) }}"
    model = model_from_text(text, **CONSTANTS)
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("h", 1, ["n", 4]))
    assert "If" in operators(bridge.load(model))


@pytest.mark.parametrize("to", ["onnx", "tflite", "torchscript", "coreml"])
def test_a_decided_branch_is_written_and_right(to, tmp_path):
    onnx.save(model_from_text(graph("y = Gemm (h, w)"), **CONSTANTS, **ROWS), tmp_path / "m.onnx")
    bridge.convert(tmp_path / "m.onnx", tmp_path / f"w{SUFFIXES[to]}", to=to, verify=True)
    x = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    (found,) = bridge.run(tmp_path / f"w{SUFFIXES[to]}", {"x": x}).values()
    np.testing.assert_allclose(found, x[..., 0] @ ROWS["w"], rtol=1e-5, atol=1e-5)
