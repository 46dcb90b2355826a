"""ONNX models whose edges are maps are read as tensors, and run as ONNX Runtime runs them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bridge
from bridge.errors import UnsupportedModel

ML = "ai.onnx.ml"


def written(folder, nodes, given, outputs):
    graph = helper.make_graph(nodes, "g", [helper.make_value_info("x", given)], outputs)
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid(ML, 1)]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def tensor(kind, *shape):
    return helper.make_tensor_type_proto(kind, shape)


def map_of(key, value):
    return helper.make_map_type_proto(key, tensor(value))


def classifier(labels: dict):
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
    "labels", [{"classlabels_strings": ["z", "a", "m"]}, {"classlabels_int64s": [7, 3, 5]}], ids=["text", "ints"]
)  # fmt: skip
def test_a_map_of_classes_is_its_scores_in_their_order(labels, tmp_path):
    names = next(iter(labels.values()))
    text = "classlabels_strings" in labels
    kind = TensorProto.STRING if text else TensorProto.INT64
    zipped = helper.make_sequence_type_proto(map_of(kind, TensorProto.FLOAT))
    nodes = classifier(labels)
    outputs = [helper.make_tensor_value_info("label", kind, ["N"]), helper.make_value_info("zipped", zipped)]
    path = written(tmp_path, nodes, tensor(TensorProto.FLOAT, "N", 2), outputs)
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
    outputs = [helper.make_value_info("zipped", zipped)]
    nodes = classifier({"classlabels_strings": ["z", "a", "m"]})
    path = written(tmp_path, nodes, tensor(TensorProto.FLOAT, "N", 2), outputs)
    done = bridge.convert(path, tmp_path / "model.pmml", verify=True)
    text = done.path.read_text()
    assert 'name="zipped(a)"' in text
    assert '<RegressionTable intercept="0.20000000298023224" targetCategory="a">' in text


@pytest.mark.parametrize(
    ("node", "given", "kind", "width"),
    [
        ({"op_type": "DictVectorizer", "string_vocabulary": ["b", "a", "c"]}, map_of(TensorProto.STRING, TensorProto.FLOAT), TensorProto.FLOAT, 3),
        ({"op_type": "DictVectorizer", "int64_vocabulary": [3, 1]}, map_of(TensorProto.INT64, TensorProto.FLOAT), TensorProto.FLOAT, 2),
        ({"op_type": "CastMap", "map_form": "SPARSE", "max_map": 4}, map_of(TensorProto.INT64, TensorProto.FLOAT), TensorProto.FLOAT, 4),
        ({"op_type": "CastMap", "map_form": "SPARSE", "max_map": 3, "cast_to": "TO_INT64"}, map_of(TensorProto.INT64, TensorProto.FLOAT), TensorProto.INT64, 3),
    ],
    ids=["words", "numbers", "sparse", "cast"],
)  # fmt: skip
def test_a_map_of_listed_keys_is_its_columns(node, given, kind, width, tmp_path):
    made = helper.make_node(inputs=["x"], outputs=["y"], domain=ML, **node)
    path = written(tmp_path, [made], given, [helper.make_tensor_value_info("y", kind, [1, width])])
    model = bridge.load(path)
    assert [list(v.shape) for v in model.graph.inputs] == [[1, width]]
    assert len(json.loads(model.metadata_props["bridge.feature_names"])) == width
    x = {"x": (1.5 * np.arange(1, width + 1, dtype=np.float32))[None]}
    found, expected = bridge.run(model, x)["y"], bridge.run(path, x)["y"]
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def refused():
    dense = helper.make_node("CastMap", ["x"], ["y"], domain=ML)
    yield (
        [dense],
        map_of(TensorProto.INT64, TensorProto.FLOAT),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    spelled = helper.make_node(
        "CastMap", ["x"], ["y"], domain=ML, map_form="SPARSE", max_map=2, cast_to="TO_STRING"
    )
    yield (
        [spelled],
        map_of(TensorProto.INT64, TensorProto.STRING),
        [helper.make_tensor_value_info("y", TensorProto.STRING, None)],
    )
    inner = [
        *classifier({"classlabels_strings": ["z", "a", "m"]}),
        helper.make_node("SequenceLength", ["zipped"], ["y"]),
    ]
    yield (
        inner,
        tensor(TensorProto.FLOAT, "N", 2),
        [helper.make_tensor_value_info("y", TensorProto.INT64, [])],
    )


@pytest.mark.parametrize("parts", list(refused()), ids=["dense", "spelled", "inner"])
def test_maps_elsewhere_are_refused_by_name(parts, tmp_path):
    with pytest.raises(UnsupportedModel, match=r"CastMap|ZipMap"):
        bridge.load(written(tmp_path, *parts))
