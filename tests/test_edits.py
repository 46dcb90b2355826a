"""Interfaces changed while a model is converted: names, dimensions, constants, dtypes, layouts, what comes before
and after."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from build import hub_from_text, model_from_text, save_as

import bridge
from bridge.edits import Edits, Picture, Suppression, edited

RNG = np.random.default_rng(3)
FORMATS = ("onnx", "tflite", "savedmodel", "torchscript", "coreml")
KERNELS = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
COLUMNS = RNG.standard_normal((4, 5)).astype(np.float32)
CLASSIFIER = (
    "(float[n,3,8,8] x) => (float[n,5] y) { c = Conv <strides = [2, 2]> (x, w) r = Relu (c) "
    "g = GlobalAveragePool (r) f = Flatten (g) y = MatMul (f, k) }"
)
PICTURES = RNG.integers(0, 255, (2, 8, 8, 3)).astype(np.uint8)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
X = ((PICTURES / 255 - MEAN) / STD).astype(np.float32).transpose(0, 3, 1, 2)


def classifier() -> Any:
    return model_from_text(CLASSIFIER, w=KERNELS, k=COLUMNS)


def answers(x: np.ndarray) -> np.ndarray:
    return bridge.run(bridge.load(classifier()), {"x": x})["y"]


def softmax(y: np.ndarray) -> np.ndarray:
    return np.exp(y) / np.exp(y).sum(-1, keepdims=True)


Y = answers(X)
EDITS: dict[str, tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]] = {
    "names": ({"rename": {"x": "image", "y": "scores"}}, {"image": X}, {"scores": Y}),
    "a dimension named": ({"dims": {"n": "batch"}}, {"x": X}, {"y": Y}),
    "a dimension fixed": ({"dims": {"n": 2}}, {"x": X}, {"y": Y}),
    "a dimension freed": ({"dims": {"x:2": "h", "x:-1": 8}}, {"x": X}, {"y": Y}),
    "a dtype of an input": (
        {"dtypes": {"x": "int32"}},
        {"x": PICTURES.transpose(0, 3, 1, 2).astype(np.int32)},
        {"y": answers(PICTURES.transpose(0, 3, 1, 2).astype(np.float32))},
    ),
    "a dtype of an output": ({"dtypes": {"y": "int32"}}, {"x": X}, {"y": Y.astype(np.int32)}),
    "a layout": ({"layouts": {"x": "NHWC"}}, {"x": X.transpose(0, 2, 3, 1).copy()}, {"y": Y}),
    "a picture": ({"pictures": {"x": Picture(mean=MEAN, std=STD)}}, {"x": PICTURES}, {"y": Y}),
    "a picture of another size": (
        {"pictures": {"x": Picture(mean=MEAN, std=STD, size=(8, 8))}},
        {"x": PICTURES.repeat(3, 1).repeat(3, 2)},
        {"y": Y},
    ),
    "a picture turned round": (
        {"pictures": {"x": Picture(mean=MEAN, std=STD, reverse=True)}},
        {"x": PICTURES[..., ::-1].copy()},
        {"y": Y},
    ),
    "a softmax": ({"heads": {"y": "softmax"}}, {"x": X}, {"y": softmax(Y)}),
    "the place of the greatest": ({"heads": {"y": "argmax"}}, {"x": X}, {"y": Y.argmax(-1)}),
    "several": (
        {
            "pictures": {"x": Picture(mean=MEAN, std=STD)},
            "heads": {"y": "softmax"},
            "rename": {"x": "image", "y": "scores"},
            "dims": {"n": "batch"},
        },
        {"image": PICTURES},
        {"scores": softmax(Y)},
    ),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", EDITS)
def test_an_edit_holds_in_every_format(name: str, format: str, tmp_path: Any) -> None:
    options, inputs, outputs = EDITS[name]
    path = save_as(format, classifier(), tmp_path, verify=True, **options)
    found = bridge.run(path, inputs, source=format)
    assert list(found) == list(outputs)
    for key, value in outputs.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("format", ["onnx", "savedmodel"])
def test_the_class_is_told_by_its_name(format: str, tmp_path: Any) -> None:
    path = save_as(format, classifier(), tmp_path, verify=True, heads={"y": list("abcde")})
    found = bridge.run(path, {"x": X}, source=format)["y"]
    assert [str(text) for text in found] == ["abcde"[place] for place in Y.argmax(-1)]


@pytest.mark.parametrize("format", FORMATS)
def test_an_input_is_a_constant(format: str, tmp_path: Any) -> None:
    model = model_from_text(
        "(float[n,3] x, float[3] b, float rate) => (float[n,3] y) { s = Add (x, b) y = Mul (s, rate) }"
    )
    path = save_as(format, model, tmp_path, verify=True, constants={"b": 2, "rate": 0.1})
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(bridge.run(path, {"x": x}, source=format)["y"], x * 0.3, rtol=1e-6)


@pytest.mark.parametrize("format", ["onnx", "tflite", "savedmodel", "torchscript"])
def test_what_lies_within_is_an_output_and_what_was_one_is_none(format: str, tmp_path: Any) -> None:
    model = model_from_text(
        "(float[n,3] x) => (float[n,3] y, float[n,3] z) { s = Exp (x) y = Neg (s) z = Abs (y) }"
    )
    path = save_as(format, model, tmp_path, verify=True, add_outputs=["s"], drop_outputs=["y"])
    x = np.ones((2, 3), np.float32)
    found = bridge.run(path, {"x": x}, source=format)
    assert sorted(found) == ["s", "z"]
    np.testing.assert_allclose(found["s"], np.exp(x), rtol=1e-6)


def test_boxes_are_suppressed(tmp_path: Any) -> None:
    text = "(float[1,3,4] x, float[1,1,3] s) => (float[1,3,4] boxes, float[1,1,3] scores) { boxes = Identity (x) scores = Identity (s) }"
    boxes = np.array([[[0, 0, 1, 1], [0, 0, 1, 0.95], [2, 2, 3, 3]]], np.float32)
    scores = np.array([[[0.9, 0.8, 0.7]]], np.float32)
    for format in ("onnx", "tflite", "torchscript"):
        path = save_as(
            format, model_from_text(text), tmp_path, suppression=Suppression("boxes", "scores", 0.5, 0.1, 10)
        )
        found = bridge.run(path, {"x": boxes, "s": scores}, source=format)["selected"]
        np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0, 2]])


def test_a_model_is_edited_in_the_hub_and_stays_as_it_was() -> None:
    loaded = hub_from_text(CLASSIFIER, w=KERNELS, k=COLUMNS)
    made = bridge.edit(loaded, rename={"x": "image"}, dims={"n": 1})
    assert [v.name for v in made.graph.inputs] == ["image"]
    assert list(made.graph.outputs[0].shape) == [1, 5]
    assert [v.name for v in loaded.graph.inputs] == ["x"]


WRONG: dict[str, tuple[Edits, str]] = {
    "a name that nothing has": (Edits(rename={"z": "image"}), "no input or output 'z'"),
    "two of one name": (Edits(rename={"x": "y"}), "called 'y'"),
    "a dimension that is none": (Edits(dims={"m": "batch"}), "no input has a dimension 'm'"),
    "a length that is none": (Edits(dims={"x:0": -2}), "-2 is no length of x:0"),
    "a name that is none": (Edits(dims={"n": "1 + 1"}), "'1 + 1' is no length of n"),
    "an axis that is none": (Edits(dims={"x:4": "h"}), "x has 4 dimensions"),
    "a constant of another shape": (Edits(constants={"x": np.ones((1, 2))}), "shape [1, 2]"),
    "a dtype that is none": (Edits(dtypes={"x": "float33"}), "'float33' is no dtype"),
    "a layout of another rank": (Edits(layouts={"y": "NHWC"}), "no layout of y"),
    "a picture of other channels": (Edits(pictures={"x": Picture(mean=(1, 2))}), "3 channels"),
    "a head that is none": (Edits(heads={"y": "sigmoid"}), "'sigmoid' is neither"),
    "names of other classes": (Edits(heads={"y": ["a"]}), "5 classes"),
    "boxes that are none": (Edits(suppression=Suppression("y", "y")), "need the shapes"),
    "no output left": (Edits(drop_outputs=["y"]), "Nothing is left"),
    "an output already": (Edits(add_outputs=["y"]), "an output already"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_told(name: str) -> None:
    edits, words = WRONG[name]
    with pytest.raises(bridge.BridgeError) as caught:
        edited(hub_from_text(CLASSIFIER, w=KERNELS, k=COLUMNS), edits)
    assert words.lower() in str(caught.value).lower()
