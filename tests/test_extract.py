"""Parts of models: by values, by operators, in every format; and what cannot be cut."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import onnx
import pytest
from build import SUFFIXES, hub_from_text, model_from_text
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bridge
from bridge.comparison import compare
from bridge.errors import InvalidOption
from bridge.session import Outputs
from bridge.testing.graphs import random_case
from bridge.workbench.extract import part_of

CHAIN = (
    "(float[n,3] x, float[n,3] z) => (float[n,3] y, float[n,6] w) {"
    "[first] a = Relu (x) [second] b = Add (a, z) [third] c = Tanh (b) [fourth] y = Mul (c, a)"
    "[joined] w = Concat <axis = 1> (c, z) }"
)


def ports(model):
    return [v.name for v in model.graph.inputs], [v.name for v in model.graph.outputs]


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ({"from_values": ["a", "z"], "to_values": ["c"]}, (["a", "z"], ["c"])),
        ({"to_values": ["b"]}, (["x", "z"], ["b"])),
        ({"to_values": ["a"]}, (["x"], ["a"])),
        ({"from_values": ["c", "a", "z"]}, (["c", "a", "z"], ["y", "w"])),
        ({"from_values": ["first", "second"], "to_values": ["fourth"]}, (["first", "second"], ["fourth"])),
        ({"operators": ["second", "third"]}, (["a", "z"], ["c"])),
        ({"operators": ["Tanh"]}, (["b"], ["c"])),
        ({"operators": ["f*"]}, (["x", "c"], ["a", "y"])),
        ({"operators": ["first", "second", "third", "joined"]}, (["x", "z"], ["a", "c", "w"])),
        ({"from_values": ["a"], "to_values": ["a"]}, (["a"], ["a_output"])),
    ],
)
def test_a_part_lies_between_values_or_is_operators_by_name_or_kind(cut, expected):
    assert ports(part_of(hub_from_text(CHAIN), **cut)) == expected


def test_a_part_computes_what_the_whole_does_there():
    x, z = np.float32([[1, -2, 3]]), np.float32([[0.5, 0.5, -9]])
    part = part_of(hub_from_text(CHAIN), ["first", "z"], ["third"])
    got = bridge.run(part, {"first": np.maximum(x, 0), "z": z})
    np.testing.assert_allclose(got["third"], np.tanh(np.maximum(x, 0) + z), rtol=1e-6)


def test_what_bodies_read_is_cut_off_with_them():
    model = hub_from_text(
        "(float[2] x, bool c) => (float[2] y) { a = Relu (x) b = Neg (a) y = If (c) "
        "<then_branch = t () => (float[2] p) { p = Add (a, b) }, else_branch = e () => (float[2] q) { q = Identity (b) }> }"
    )
    part = part_of(model, ["a", "b", "c"])
    assert ports(part) == (["a", "b", "c"], ["y"])
    a, b = np.float32([1, 2]), np.float32([5, 5])
    np.testing.assert_array_equal(bridge.run(part, {"a": a, "b": b, "c": np.array(True)})["y"], [6, 7])
    assert ports(part_of(model, operators=["If"]))[0] == ["c", "a", "b"]
    assert ports(part_of(model, operators=["Relu", "Neg"])) == (["x"], ["a", "b"])
    with pytest.raises(InvalidOption, match="needs x as well"):
        part_of(model, ["b", "c"])


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ({"to_values": ["thrd"]}, "Did you mean 'third'"),
        ({"operators": ["Than"]}, "Did you mean 'Tanh'"),
        ({"from_values": ["c"], "to_values": ["b"]}, "needs x, z as well"),
        ({"from_values": ["a"], "to_values": ["c"]}, "--from-values z"),
        ({"from_values": ["x", "w"], "to_values": ["a"]}, "w does not lead"),
        ({"from_values": ["a"], "operators": ["Tanh"]}, "not by both"),
    ],
)
def test_what_cannot_be_cut_is_told_with_the_way_out(cut, told):
    with pytest.raises(InvalidOption, match=told):
        part_of(hub_from_text(CHAIN), **cut)


@pytest.mark.parametrize("target", ["onnx", "tflite", "torchscript", "savedmodel", "coreml"])
def test_a_part_is_written_in_every_format_and_verified(target, tmp_path):
    onnx.save(model_from_text(CHAIN), tmp_path / "m.onnx")
    done = bridge.extract(
        tmp_path / "m.onnx",
        tmp_path / f"p{SUFFIXES[target]}",
        to=target,
        from_values=["b"],
        to_values=["c"],
        verify=True,
    )
    assert done.verification.ok
    assert [port.name for port in bridge.inspect(done.path).inputs] == ["b"]


def cut_between(model, begin, end):
    """The part from one value, and whatever inputs it needs, to another; None where there is no such part."""
    inputs = [v.name for v in model.graph.inputs]
    for count in range(len(inputs) + 1):
        for more in itertools.combinations(inputs, count):
            with contextlib.suppress(InvalidOption):
                return part_of(model, [begin, *more], [end])
    return None


def run_on(model, known):
    return bridge.run(model, {v.name: known[v.name] for v in model.graph.inputs})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500), st.data())
def test_any_part_of_any_graph_gives_the_value_the_whole_has_there(number, data):
    case = random_case(5, number)
    model = bridge.load(case.model)
    values = [v for node in model.graph for v in node.outputs if v.type is not None]
    begin, end = sorted(data.draw(st.sets(st.sampled_from(range(len(values))), min_size=2, max_size=2)))
    begin, end = values[begin].name, values[end].name
    part = cut_between(model, begin, end)
    assume(part is not None)
    whole = part_of(model, to_values=[begin, end])
    known = case.inputs[0] | run_on(whole, case.inputs[0])
    got = run_on(part, known)
    assert compare(Outputs({end: known[end]}, ""), got).ok
