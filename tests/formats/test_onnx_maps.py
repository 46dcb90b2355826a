"""ONNX models whose edges are maps are read as tensors, and run as ONNX Runtime runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from build import Spec, model_of_nodes
from onnx import TensorProto, helper

import bridge
from bridge.errors import UnsupportedModel

ML = "ai.onnx.ml"
MATRIX = (TensorProto.FLOAT, ["N", 2])


def onnx_file(folder: Path, nodes: Any, given: Spec, outputs: dict[str, Spec | None]) -> Path:
    """An ONNX file of these nodes, whose input is `x`."""
    path = folder / "model.onnx"
    onnx.save(model_of_nodes(nodes, {"x": given}, outputs, opsets={"": 15, ML: 1}), path)
    return path


def map_of(key: int, value: int) -> onnx.TypeProto:
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))


def classifier(labels: dict[str, list]) -> list[onnx.NodeProto]:
    own = {name.replace("int64s", "ints"): value for name, value in labels.items()}
    return [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain=ML,
            coefficients=[1.0, -2, 0.5, 0, 1, 2],
            intercepts=[0.1, 0.2, 0.3],
            post_transform="SOFTMAX",
            **own,
        ),
        helper.make_node("ZipMap", ["scores"], ["zipped"], domain=ML, **labels),
    ]


@pytest.mark.parametrize(
    "labels",
    [{"classlabels_strings": ["z", "a", "m"]}, {"classlabels_int64s": [7, 3, 5]}],
    ids=["text", "ints"],
)
def test_a_map_of_classes_is_its_scores_in_their_order(labels, tmp_path):
    names = next(iter(labels.values()))
    text = "classlabels_strings" in labels
    kind = TensorProto.STRING if text else TensorProto.INT64
    zipped = helper.make_sequence_type_proto(map_of(kind, TensorProto.FLOAT))
    nodes = classifier(labels)
    outputs = {"label": (kind, ["N"]), "zipped": zipped}
    path = onnx_file(tmp_path, nodes, MATRIX, outputs)
    model = bridge.load(path)
    assert json.loads(model.metadata_props["bridge.classes.zipped"]) == names
    done = bridge.convert(path, tmp_path / "again.onnx", verify=True)
    assert done.verification.ok, str(done.verification)
    assert any("scores of its 3 classes" in note for note in done.report.notes)
    x = {"x": np.array([[0.5, -1], [2, 0.1]], np.float32)}
    live = bridge.run(bridge.load(onnx.load(path)), x)
    np.testing.assert_allclose(bridge.run(path, x)["zipped"], live["zipped"], rtol=1e-6)
    assert live["zipped"].shape == (2, 3)


def test_class_names_reach_pmml(tmp_path):
    pytest.importorskip("pypmml")
    zipped = helper.make_sequence_type_proto(map_of(TensorProto.STRING, TensorProto.FLOAT))
    outputs = {"zipped": zipped}
    nodes = classifier({"classlabels_strings": ["z", "a", "m"]})
    path = onnx_file(tmp_path, nodes, MATRIX, outputs)
    done = bridge.convert(path, tmp_path / "model.pmml", verify=True)
    text = done.path.read_text()
    assert 'name="zipped(a)"' in text
    assert '<RegressionTable intercept="0.20000000298023224" targetCategory="a">' in text


WORDS = map_of(TensorProto.STRING, TensorProto.FLOAT)
NUMBERS = map_of(TensorProto.INT64, TensorProto.FLOAT)


@pytest.mark.parametrize(
    ("node", "map_type", "dtype", "width"),
    [
        ({"op_type": "DictVectorizer", "string_vocabulary": ["b", "a", "c"]}, WORDS, TensorProto.FLOAT, 3),
        ({"op_type": "DictVectorizer", "int64_vocabulary": [3, 1]}, NUMBERS, TensorProto.FLOAT, 2),
        ({"op_type": "CastMap", "map_form": "SPARSE", "max_map": 4}, NUMBERS, TensorProto.FLOAT, 4),
        (
            {"op_type": "CastMap", "map_form": "SPARSE", "max_map": 3, "cast_to": "TO_INT64"},
            NUMBERS,
            TensorProto.INT64,
            3,
        ),
    ],
    ids=["words", "numbers", "sparse", "cast"],
)
def test_a_map_of_listed_keys_is_its_columns(node, map_type, dtype, width, tmp_path):
    vectorizer = helper.make_node(inputs=["x"], outputs=["y"], domain=ML, **node)
    path = onnx_file(tmp_path, [vectorizer], map_type, {"y": (dtype, [1, width])})
    model = bridge.load(path)
    assert [list(v.shape) for v in model.graph.inputs] == [[1, width]]
    assert len(json.loads(model.metadata_props["bridge.feature_names"])) == width
    x = {"x": (1.5 * np.arange(1, width + 1, dtype=np.float32))[None]}
    found, expected = bridge.run(model, x)["y"], bridge.run(path, x)["y"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


WORDS = {"map_form": "SPARSE", "max_map": 2, "cast_to": "TO_STRING"}
REFUSED = {
    "dense": (
        helper.make_node("CastMap", ["x"], ["y"], domain=ML),
        map_of(TensorProto.INT64, TensorProto.FLOAT),
        {"y": (TensorProto.FLOAT, None)},
    ),
    "spelled": (
        helper.make_node("CastMap", ["x"], ["y"], domain=ML, **WORDS),
        map_of(TensorProto.INT64, TensorProto.STRING),
        {"y": (TensorProto.STRING, None)},
    ),
    "inner": (
        [
            *classifier({"classlabels_strings": ["z", "a", "m"]}),
            helper.make_node("SequenceLength", ["zipped"], ["y"]),
        ],
        MATRIX,
        {"y": (TensorProto.INT64, [])},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_maps_elsewhere_are_refused_by_name(name, tmp_path):
    with pytest.raises(UnsupportedModel, match=r"CastMap|ZipMap"):
        bridge.load(onnx_file(tmp_path, *REFUSED[name]))
