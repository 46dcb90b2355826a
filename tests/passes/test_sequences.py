"""Sequences and optionals of known contents become tensors, and the numbers stay."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from build import assert_unchanged, hub_from_text, operators, save_as

import bridge
from bridge.passes import settle
from bridge.passes.sequences import ResolveSequences

CASES = {
    "construct_at": "(float[2] x, float[3] y) => (float[n] z) <int64 i = {-1}> { s = SequenceConstruct (x, y) "
        "z = SequenceAt (s, i) }",
    "at_run_time": "(float[2] x, float[2] y, int64 k) => (float[2] z) { s = SequenceConstruct (x, y) z = "
        "SequenceAt (s, k) }",
    "insert_erase": "(float[2] x, float[2] y) => (float[n] z, int64 l) <int64 i = {0}> { e = SequenceEmpty () "
        "s = SequenceInsert (e, x) t = SequenceInsert (s, y, i) u = SequenceInsert (t, y) v = "
        "SequenceErase (u) z = ConcatFromSequence <axis: int = 0> (v) l = SequenceLength (v) }",
    "erase_first": "(float[2] x, float[2] y) => (float[n] z) <int64 i = {-2}> { s = SequenceConstruct (x, y) "
        "v = SequenceErase (s, i) z = ConcatFromSequence <axis: int = 0> (v) }",
    "stack": "(float[2] x, float[2] y) => (float[2,2] z) { s = SequenceConstruct (x, y) z = "
        "ConcatFromSequence <axis: int = -1, new_axis: int = 1> (s) }",
    "split_each": "(float[3,2] x) => (float[n] z) <int64 i = {1}> { s = SplitToSequence <keepdims: int = 0> "
        "(x) z = SequenceAt (s, i) }",
    "split_uneven": "(float[5,2] x) => (float[m,n] z) <int64 k = {2}, int64 i = {2}> { s = SplitToSequence "
        "(x, k) z = SequenceAt (s, i) }",
    "split_given": "(float[a,3] x) => (float[m,n] z) <int64[2] k = {1, 2}, int64 i = {1}> { s = "
        "SplitToSequence <axis: int = 1> (x, k) z = SequenceAt (s, i) }",
    "map": "(float[2] x, float[3] y) => (float[n] z) { s = SequenceConstruct (x, y) t = SequenceMap <body = "
        "b (float[p] a) => (float[p] c) { c = Neg (a) }> (s) z = ConcatFromSequence <axis: int = 0> (t) }",
    "branches": "(bool g, float[2] x, float[2] y) => (float[n] z) { s = If (g) <then_branch = t () => "
        "(seq(float[2]) a) { a = SequenceConstruct (x, y) }, else_branch = e () => (seq(float[2]) b) "
        "{ b = SequenceConstruct (y, x) }> z = ConcatFromSequence <axis: int = 0> (s) }",
    "loop": "(float[2] x) => (float[n] z) <int64 n = {3}> { e = SequenceConstruct (x) s = Loop (n, , e) <body "
        "= b (int64 i, bool c, seq(float[2]) a) => (bool d, seq(float[2]) f) { d = Identity (c) y = Neg "
        "(x) f = SequenceInsert (a, y) }> z = ConcatFromSequence <axis: int = 0> (s) }",
    "optional": "(float[2] x) => (float[2] z, bool h) { o = Optional (x) z = OptionalGetElement (o) h = "
        "OptionalHasElement (o) }",
    "optional_tensor": "(float[2] x) => (float[2] z, bool h) { z = OptionalGetElement (x) h = "
        "OptionalHasElement (x) }",
}  # fmt: skip


def inputs_of(model: ir.Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    fixed = {"g": np.array(False), "k": np.array(1, np.int64)}
    return {
        v.name: fixed.get(
            v.name,
            rng.standard_normal([d if isinstance(d, int) else 2 for d in v.shape]).astype(np.float32),
        )
        for v in model.graph.inputs
    }


@pytest.mark.parametrize("case", CASES)
def test_known_containers_become_tensors(case):
    model = hub_from_text(CASES[case])
    assert_unchanged(model, ResolveSequences(), settle, inputs=inputs_of(model), rtol=0, atol=0)
    left = set(operators(model))
    assert not [name for name in left if "Sequence" in name or "Optional" in name], left


@pytest.mark.parametrize("case", CASES)
def test_they_run_in_litert(case, tmp_path):
    model = hub_from_text(CASES[case])
    inputs = inputs_of(model)
    result = bridge.verify(model, save_as("tflite", model, tmp_path), inputs)
    assert result.ok, str(result)


def test_a_list_of_one_empty_tensor_is_no_tensor():
    model = hub_from_text(
        """g (int64[2,3] x) => (seq(int64[n,3]) y)
        <int64[0,3] nothing = {}>
        { s = SequenceConstruct (nothing)  y = SequenceInsert (s, x) }"""
    )
    x = np.arange(6).reshape(2, 3)
    (found,) = bridge.run(model, {"x": x}).values()
    assert [each.shape for each in found] == [(0, 3), (2, 3)]
