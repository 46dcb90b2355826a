"""What differs between two models is told, and nothing else."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from build import SUFFIXES, hub_from_text, model_from_text

import bridge

TEXT = (
    "(float[n,3] x) => (float[n,2] y) <float[3,2] w = {1,2,3,4,5,6}, float[2] b = {7,8}> "
    "{ m = MatMul (x, w) a = Add (m, b) y = Relu (a) }"
)


def test_what_is_within_may_be_called_anything():
    renamed = (
        "(float[n,3] x) => (float[n,2] y) <float[3,2] kernel = {1,2,3,4,5,6}, float[2] bias = {7,8}> "
        "{ product = MatMul (x, kernel) sum = Add (product, bias) y = Relu (sum) }"
    )
    difference = bridge.diff(hub_from_text(TEXT), hub_from_text(renamed))
    assert difference.same
    assert {(w.kind, w.first, w.second) for w in difference.weights} == {
        ("renamed", "w", "kernel"),
        ("renamed", "b", "bias"),
    }


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("4,5,6}", "4,5,6.5}", "changed: w [3,2], by 0.5 (8.33% of its largest element)"),
        ("{1,2,3,4,5,6}", "{2,1,3,4,5,6}", "rearranged: w [3,2]"),
        ("Relu", "Tanh", "1 → 0     Relu"),
        ("Relu (a)", "Relu (m)", "Where the second computes what the other does not"),
        ("float[n,3]", "float[4,3]", "input x: float[n,3] → x: float[4,3]"),
    ],
)
def test_what_differs_is_told(old, new, told):
    difference = bridge.diff(hub_from_text(TEXT), hub_from_text(TEXT.replace(old, new)))
    assert not difference.same
    assert told in str(difference)


def test_a_weight_that_one_model_lacks_is_told():
    difference = bridge.diff(
        hub_from_text(TEXT), hub_from_text(TEXT.replace("a = Add (m, b)", "a = Identity (m)"))
    )
    assert [(w.kind, w.first, w.second) for w in difference.weights] == [("missing", "b", "")]


def test_a_weight_that_one_model_has_once_is_not_missing():
    text = "(float[2] x) => (float[2] y) <float[2] v = {1,2}, float[2] w = {1,2}> { a = Add (x, v) y = Mul (a, w) }"
    once = text.replace("float[2] w = {1,2}", "float[2] w = {3,4}").replace("Mul (a, w)", "Mul (a, v)")
    difference = bridge.diff(hub_from_text(text), hub_from_text(once))
    assert difference.same
    assert [(w.kind, w.first, w.second) for w in difference.weights] == [("renamed", "w", "v")]


@pytest.mark.parametrize("to", ["coreml", "torchscript"])
def test_a_round_trip_that_changes_nothing_is_the_same(to, mnist, tmp_path):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.convert(mnist, path, to=to)
    assert bridge.diff(mnist, path, second_source=to).same


@pytest.mark.parametrize("to", ["onnx", "savedmodel", "tflite"])
def test_a_round_trip_tells_what_it_changed(to, mnist, tmp_path):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.convert(mnist, path, to=to)
    difference = bridge.diff(mnist, path, second_source=to)
    assert not difference.interface
    assert difference.metadata.keys() <= {"bridge.provenance"}
    assert not [w for w in difference.weights if w.kind == "changed"]
    assert all(op in ("Add", "Gemm", "MatMul", "Pad", "Reshape", "Transpose") for op in difference.operators)


@pytest.mark.parametrize(
    ("spelled", "short"),
    [
        (
            "y = Conv <kernel_shape = [1,1], strides = [1,1], pads = [0,0,0,0], group = 1> (x, w)",
            "y = Conv (x, w)",
        ),
        (
            "y = MaxPool <kernel_shape = [2,2], ceil_mode = 0, dilations = [1,1]> (x)",
            "y = MaxPool <kernel_shape = [2,2]> (x)",
        ),
        ("y = LeakyRelu <alpha = 0.01> (x)", "y = LeakyRelu (x)"),
        ("y = Softmax <axis = -1> (x)", "y = Softmax (x)"),
    ],
)
def test_an_attribute_that_says_what_its_absence_does_is_no_difference(spelled, short):
    text = "(float[1,2,4,4] x) => (float[a,b,c,d] y) {{ {} }}"
    w = np.ones((2, 2, 1, 1), np.float32)
    first, second = (hub_from_text(text.format(body), w=w) for body in (spelled, short))
    assert bridge.diff(first, second).same


def test_an_attribute_and_a_body_are_looked_into():
    text = "(float[2,2] x) => (float[2] y) { y = ArgMax <axis = 0, keepdims = 0> (x) }".replace(
        "float[2] y", "int64[2] y"
    )
    assert not bridge.diff(hub_from_text(text), hub_from_text(text.replace("axis = 0", "axis = 1"))).same
    body = (
        "(float[2] x, bool c) => (float[2] y) { y = If (c) <then_branch = t () => (float[2] p) { p = Relu (x) }, "
        "else_branch = e () => (float[2] q) { q = Neg (x) }> }"
    )
    assert bridge.diff(hub_from_text(body), hub_from_text(body)).same
    assert not bridge.diff(hub_from_text(body), hub_from_text(body.replace("Neg", "Abs"))).same


def test_two_outputs_that_change_places_are_no_longer_the_same():
    text = "(float[2] x) => (float[2] y, float[2] z) { y = Relu (x) z = Neg (x) }"
    swapped = "(float[2] x) => (float[2] y, float[2] z) { z = Relu (x) y = Neg (x) }"
    difference = bridge.diff(hub_from_text(text), hub_from_text(swapped))
    assert not difference.same
    assert "the output y" in str(difference)


@pytest.mark.parametrize("target", ["onnx", "tflite", "torchscript", "savedmodel", "coreml"])
def test_a_round_trip_keeps_every_weight(target, tmp_path):
    onnx.save(model_from_text(TEXT), tmp_path / "source.onnx")
    done = bridge.convert(tmp_path / "source.onnx", tmp_path / f"m{SUFFIXES[target]}", to=target)
    difference = bridge.diff(tmp_path / "source.onnx", done.path, weights_only=True)
    assert not [w for w in difference.weights if w.kind in ("changed", "missing") and w.first in ("w", "b")]


def test_text_is_compared_as_text():
    text = '(string[1] x) => (bool[1] y) <string[1] k = {"a"}> { y = Equal (x, k) }'
    assert bridge.diff(hub_from_text(text), hub_from_text(text)).same
    assert not bridge.diff(hub_from_text(text), hub_from_text(text.replace('"a"', '"b"'))).same


def test_a_number_that_became_none_is_infinitely_far():
    other = hub_from_text(TEXT)
    other.graph.initializers["w"].const_value = ir.tensor(np.full([3, 2], np.nan, np.float32))
    (change,) = bridge.diff(hub_from_text(TEXT), other).weights
    assert (change.kind, change.largest) == ("changed", np.inf)
