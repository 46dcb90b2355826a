"""PMML goes on to other formats, and what is written carries what it is asked to carry."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from bridge_pmml.cases import cases
from build import model_from_text, model_of_nodes, save_as
from documents import MODELS, document, rows, schema, scores, segmented_model, tree_model, write
from lxml import etree
from onnx import helper, numpy_helper

import bridge
from bridge.errors import VerificationFailed

NEEDS = {
    "tflite": "ai_edge_litert",
    "torchscript": "torch",
    "savedmodel": "tensorflow",
    "coreml": "coremltools",
}


@pytest.mark.parametrize("target", NEEDS)
@pytest.mark.parametrize("name", MODELS)
def test_numbers_reach_every_format(name, target, tmp_path):
    pytest.importorskip(NEEDS[target])
    text = document(MODELS[name].replace('<MiningField name="c"/>', ""))
    model = bridge.load(write(tmp_path, text), outputs="numbers")
    path = save_as(target, model, tmp_path)
    rng = np.random.default_rng(3)
    inputs = {v.name: rng.normal(size=(9, 1)) for v in model.graph.inputs}
    before = bridge.run(model, inputs)
    found = bridge.run(
        path, {k: v.astype(input_dtype(path, target)) for k, v in inputs.items()}, source=target
    )
    for key, expected in before.items():
        value = next(v for k, v in found.items() if is_same_output(k, key))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


# One of each of the other elements, by its native case; all of them reach SavedModel and Core ML too
NATIVE = (
    "AnomalyDetectionModel iforest",
    "ClusteringModel binarySimilarity",
    "GaussianProcessModel RadialBasisKernel",
    "GeneralRegressionModel link cloglog",
    "NaiveBayesModel of both",
    "NearestNeighborModel weightedMajorityVote",
    "RuleSetModel firstHit",
    "Scorecard reason codes pointsBelow",
)


@pytest.mark.parametrize("target", ["tflite", "torchscript"])
@pytest.mark.parametrize("name", NATIVE)
def test_every_kind_of_model_reaches_other_formats(name, target, tmp_path):
    pytest.importorskip(NEEDS[target])
    made = cases()[name].make(tmp_path)
    model = bridge.load(made.source, outputs="numbers")
    path = save_as(target, model, tmp_path)
    before = bridge.run(model, made.inputs)
    found = bridge.run(
        path, {k: np.asarray(v).astype(input_dtype(path, target)) for k, v in made.inputs.items()}
    )
    for key, expected in before.items():
        value = next(v for k, v in found.items() if is_same_output(k, key))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


def input_dtype(path: Path, target: str) -> np.dtype:
    """Dtype of inputs that were double."""
    return bridge.load(path, source=target).graph.inputs[0].dtype.numpy()


def is_same_output(found: str, name: str) -> bool:
    """Formats whose names are identifiers write others with underscores."""
    return re.sub(r"\W", "_", found) == re.sub(r"\W", "_", name)


def test_outputs_of_text_can_be_left_out(tmp_path):
    text = document(tree_model(target="k", function="classification", left="yes", right="no"))
    model = bridge.load(write(tmp_path, text))
    assert [o.name for o in model.graph.outputs] == ["predicted_k", "node_id"]
    table = (
        "<RegressionTable targetCategory='yes' intercept='0.5'/><RegressionTable targetCategory='no' "
        "intercept='0'/>"
    )
    classes = (
        '<RegressionModel functionName="classification" '
        f'normalizationMethod="softmax">{schema(target="k")}{table}</RegressionModel>'
    )
    path = write(tmp_path, document(classes), "classes.pmml")
    kept = bridge.load(path, outputs="numbers")
    assert [o.name for o in kept.graph.outputs] == ["probability", "probability_no", "probability_yes"]


def test_a_document_read_and_written_again_gives_the_same_numbers(tmp_path):
    path = write(
        tmp_path,
        document(tree_model("missingValueStrategy='defaultChild'").replace('<MiningField name="c"/>', "")),
    )
    again = tmp_path / "again.pmml"
    bridge.convert(path, again, to="pmml")
    inputs = rows([0.0, 0.1, 0.2, None])
    assert scores(again, inputs) == scores(path, inputs)


def test_verification_records_are_written_on_request(tmp_path):
    path = write(tmp_path, document(segmented_model("sum").replace('<MiningField name="c"/>', "")))
    again = tmp_path / "again.pmml"
    bridge.convert(path, again, to="pmml", verification=5)
    text = again.read_text()
    assert text.count("<row>") == 5
    bridge.load(again)
    start = text.index("<c3>") + 4
    broken = write(tmp_path, text[:start] + "12345" + text[text.index("</c3>") :], "broken.pmml")
    with pytest.raises(VerificationFailed):
        bridge.load(broken)


def test_matrices_become_named_fields_and_come_back(tmp_path):
    proto = bridge.load(__file__.replace("test_routes.py", "linear.onnxtxt"))
    path = bridge.save(proto, tmp_path / "model.pmml", feature_names="a,b,c").path
    text = path.read_text()
    assert all(f'<DataField name="{n}"' in text for n in "abc")
    back = bridge.load(path)
    assert [(v.name, v.dtype, str(v.shape)) for v in back.graph.inputs] == [
        (v.name, v.dtype, str(v.shape)) for v in proto.graph.inputs
    ]
    inputs = {"X": np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)}
    np.testing.assert_allclose(bridge.run(back, inputs)["y"], bridge.run(proto, inputs)["y"], rtol=1e-5)
    np.testing.assert_allclose(bridge.run(path, inputs)["y"], bridge.run(proto, inputs)["y"], rtol=1e-5)


def test_integers_are_equal_to_real_numbers(tmp_path):
    graph = """(int32[N, 2] x, float[N, 2] z) => (bool[N, 2] one, bool[N, 2] same, bool[N, 2] some) {
        number = Constant<value_float = 1.0>()
        real = Cast<to = 1>(x)
        one = Equal(real, number)
        same = Equal(real, z)
        some = Cast<to = 9>(x)
    }"""
    path = save_as("pmml", graph, tmp_path)
    x, z = np.array([[0, 1], [2, 1]], np.int32), np.array([[0, 1], [1, 2]], np.float32)
    found = bridge.run(path, {"x": x, "z": z})
    for name, expected in {"one": x == 1, "same": x == z, "some": x != 0}.items():
        assert (found[name] == expected).all(), name


def test_infinite_constants_are_written_as_pmml4s_reads_them(tmp_path):
    graph = """(double[N] x) => (bool[N] y, double[N] z) <double high = {inf}, double low = {-inf}>
        { y = Equal (x, high) z = Max (x, low) }"""
    path = save_as("pmml", graph, tmp_path)
    x = {"x": np.array([-np.inf, -1.0, 0.0, np.inf])}
    for found in (bridge.run(path, x), bridge.run(bridge.load(path), x)):
        assert found["y"].tolist() == [False, False, False, True]
        np.testing.assert_array_equal(found["z"], x["x"])


def test_infinity_and_the_zero_below_zero_pass_pmml4s_both_ways(tmp_path):
    path = save_as("pmml", "(double[N] x, double[N] y) => (double[N] z) { z = Div (x, y) }", tmp_path)
    records = {"x": np.array([1, -1, 0, 2, 1e300, 3]), "y": np.array([0, 0, 0, -0.0, 1e-300, 2])}
    for found in (bridge.run(path, records), bridge.run(bridge.load(path), records)):
        np.testing.assert_array_equal(
            found["z"], [np.inf, -np.inf, np.nan, -np.inf, 1e300 / np.float64(1e-300), 1.5]
        )


def test_equal_to_infinity_is_beyond_the_largest_double(tmp_path):
    infinite = np.array(np.inf, np.float32)
    proto = model_from_text("(float[4] x) => (bool[4] y) { y = Equal (x, i) }", i=infinite)
    path = save_as("pmml", proto, tmp_path)
    found = bridge.run(path, {"x": np.array([1, np.inf, -np.inf, 2.5], np.float32)})
    assert found["y"].tolist() == [False, True, False, False]


@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"])
@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
def test_trees_of_every_aggregation_are_written(how, mode, tmp_path):
    nodes = {
        "nodes_treeids": [0, 0, 0, 1, 1, 1, 2, 2, 2],
        "nodes_nodeids": [0, 1, 2] * 3,
        "nodes_featureids": [0, 0, 0, 1, 0, 0, 0, 0, 0],
        "nodes_values": [0.5, 0, 0, -1, 0, 0, 1.5, 0, 0],
        "nodes_modes": [f"BRANCH_{mode}", "LEAF", "LEAF"] * 3,
        "nodes_truenodeids": [1, 0, 0] * 3,
        "nodes_falsenodeids": [2, 0, 0] * 3,
        "target_treeids": [0, 0, 1, 1, 2, 2],
        "target_nodeids": [1, 2] * 3,
        "target_ids": [0] * 6,
        "target_weights": [0.25, -0.75, 0.5, 1.25, -1.5, 0.125],
        "base_values": [0.25],
        "n_targets": 1,
    }
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", aggregate_function=how, **nodes
    )
    specs = {name: (np.float32, ["n", width]) for name, width in (("x", 2), ("y", 1))}
    model = bridge.load(model_of_nodes(node, {"x": specs["x"]}, {"y": specs["y"]}))
    path = save_as("pmml", model, tmp_path)
    grid = np.array([[a, b] for a in (0, 0.5, 1, 1.5, 2) for b in (-2, -1, 0)], np.float32)
    found, again = (bridge.run(m, {"x": grid})["y"] for m in (path, bridge.load(path)))
    expected = bridge.run(model, {"x": grid})["y"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(again, expected, rtol=1e-6)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_trees_are_laid_out_as_the_rest_of_the_document(count, missing, tmp_path):
    """Deep trees of missing values and sets, of fields whose names look like a place for one."""
    rng = np.random.default_rng(count)
    depth, trees = 40, np.arange(count)
    tests, leaves = depth * count, (depth + 1) * count
    modes = rng.choice([0, 1, 3, 6], tests)
    chain = (np.arange(depth) + 1)[None] + depth * trees[:, None]
    chain[:, -1] = (depth + 1) * trees + depth
    ends = np.arange(depth)[None] + (depth + 1) * trees[:, None]
    deepest = np.tile(np.arange(depth) == depth - 1, count).astype(int)
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        aggregate_function=1,
        n_targets=1,
        tree_roots=depth * trees,
        nodes_featureids=rng.integers(0, 3, tests),
        nodes_modes=numpy_helper.from_array(modes.astype(np.uint8)),
        nodes_splits=numpy_helper.from_array(rng.normal(size=tests)),
        membership_values=numpy_helper.from_array(
            np.tile([0.5, -1.0, np.nan], (modes == 6).sum()).astype(np.float64)
        ),
        nodes_truenodeids=chain.ravel(),
        nodes_trueleafs=deepest,
        nodes_falsenodeids=ends.ravel(),
        nodes_falseleafs=np.ones(tests, int),
        nodes_missing_value_tracks_true=[int(missing)] * tests,
        leaf_targetids=np.zeros(leaves, int),
        leaf_weights=numpy_helper.from_array(rng.normal(size=leaves)),
    )
    specs = {name: (np.float64, ["n", width]) for name, width in (("x", 3), ("y", 1))}
    model = bridge.load(model_of_nodes(node, {"x": specs["x"]}, {"y": specs["y"]}))
    names = ["<?deferred 0]]>?>", 'a "b" & c', "länge"]
    path = bridge.save(model, tmp_path / "m.pmml", feature_names=names).path
    parser = etree.XMLParser(remove_blank_text=True, strip_cdata=False)
    again = etree.tostring(
        etree.parse(path, parser), xml_declaration=True, encoding="UTF-8", pretty_print=True
    )
    assert path.read_bytes() == again
    x = np.concatenate([rng.normal(size=(50, 3)), [[0.5, -1.0, np.nan], [np.nan] * 3]])
    expected = bridge.run(model, {"x": x})["y"]
    np.testing.assert_allclose(bridge.run(path, {"x": x})["y"], expected)
    np.testing.assert_allclose(bridge.run(bridge.load(path), {"x": x})["y"], expected)
