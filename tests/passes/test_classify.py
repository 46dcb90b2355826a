"""Classifiers and support vector machines as simpler operators answer as ONNX Runtime does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bridge
from bridge import hub
from bridge.passes.decompose import Decompose
from bridge.verify import compare

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def kept(op_type, attributes, outputs, atol=1e-6):
    """The operators left after decomposing, once the answers have been compared."""
    node = helper.make_node(op_type, ["x"], [o.name for o in outputs], domain="ai.onnx.ml", **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([node], "g", [x], outputs)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = bridge.load(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    before = bridge.run(model, {"x": X})
    assert before.engine.startswith("ONNX Runtime")
    Decompose(lambda node: node.domain == "")(model)
    result = compare(before, bridge.run(model, {"x": X}), 1e-5, atol)
    assert result.ok, str(result)
    return {node.op_type for node in hub.all_nodes(model) if node.domain}


def value(name, kind, *shape):
    return helper.make_tensor_value_info(name, kind, ["n", *shape])


def answers(classes, columns=None, text=False):
    kind = onnx.TensorProto.STRING if text else onnx.TensorProto.INT64
    return [value("l", kind), value("p", onnx.TensorProto.FLOAT, columns or classes)]


def labels(classes, text=False, ints="classlabels_ints"):
    return {"classlabels_strings": ["a", "b", "c"][:classes]} if text else {ints: [10, 20, 30][:classes]}


@pytest.mark.parametrize("text", [False, True], ids=["ints", "text"])
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize(("scores", "classes"), [(1, 2), (2, 2), (3, 3)])
def test_linear_classifiers(scores, classes, post, text):
    rng = np.random.default_rng(scores)
    attributes = {
        "coefficients": rng.normal(size=scores * 3).tolist(),
        "intercepts": rng.normal(size=scores).tolist(),
        "post_transform": post,
        **labels(classes, text),
    }
    assert not kept("LinearClassifier", attributes, answers(classes, text=text))


def test_probit_is_that_of_onnx_runtime_away_from_one_half():
    rng = np.random.default_rng(3)
    attributes = {"coefficients": (rng.normal(size=9) * 0.03).tolist(), "intercepts": [0.2, 0.25, 0.8]}
    assert not kept(
        "LinearClassifier", {**attributes, **labels(3), "post_transform": "PROBIT"}, answers(3), 1e-5
    )


@pytest.mark.parametrize("post", ["NONE", "LOGISTIC"])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("classes", [2, 3])
def test_support_vector_classifiers_vote(classes, kernel, post):
    rng = np.random.default_rng(classes)
    counts = [3, 2, 4][:classes]
    pairs = classes * (classes - 1) // 2
    attributes = {
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.2, 2.0],
        "support_vectors": rng.normal(size=sum(counts) * 3).tolist(),
        "vectors_per_class": counts,
        "coefficients": rng.normal(size=sum(counts) * (classes - 1)).tolist(),
        "rho": rng.normal(size=pairs).tolist(),
        "post_transform": post,
        **labels(classes),
    }
    assert not kept("SVMClassifier", attributes, answers(classes, 2 if classes == 2 else pairs), 1e-5)


@pytest.mark.parametrize("one_class", [0, 1])
@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vector_regressors(kernel, one_class):
    rng = np.random.default_rng(1)
    attributes = {
        "kernel_type": kernel,
        "kernel_params": [0.3, 0.2, 2.0],
        "support_vectors": rng.normal(size=12).tolist(),
        "n_supports": 4,
        "coefficients": rng.normal(size=4).tolist(),
        "rho": [0.1],
        "one_class": one_class,
    }
    assert not kept("SVMRegressor", attributes, [value("p", onnx.TensorProto.FLOAT, 1)], 1e-5)


def stumps(sides, positive):
    """Three trees of one split whose leaves weigh the classes `sides`."""
    rng = np.random.default_rng(7)
    nodes = {
        n: [] for n in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    leaves = {n: [] for n in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(3):
        split = (tree, 0, tree, float(rng.normal() * 0.3), "BRANCH_LEQ", 1, 2)
        for row in (split, (tree, 1, 0, 0.0, "LEAF", 0, 0), (tree, 2, 0, 0.0, "LEAF", 0, 0)):
            for name, entry in zip(nodes, row, strict=True):
                nodes[name].append(entry)
        for leaf in (1, 2):
            for side in sides:
                weight = abs(rng.normal()) * 0.15 if positive else rng.normal() * 0.4
                for name, entry in zip(leaves, (tree, leaf, side, float(weight)), strict=True):
                    leaves[name].append(entry)
    return {f"nodes_{k}": v for k, v in nodes.items()} | {f"class_{k}": v for k, v in leaves.items()}


@pytest.mark.parametrize("base", [[], [0.1]], ids=["plain", "base"])
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("positive", [False, True], ids=["signed", "positive"])
@pytest.mark.parametrize("sides", [(0, 1), (0,), (1,), (0, 1, 2)])
def test_tree_classifiers_of_every_kind(sides, positive, post, base):
    classes = max(2, len(sides))
    base = base * 3 if classes == 3 else base
    attributes = {
        **stumps(sides, positive),
        **labels(classes, ints="classlabels_int64s"),
        "post_transform": post,
        **({"base_values": base} if base else {}),
    }
    left = kept("TreeEnsembleClassifier", attributes, answers(classes))
    refused = sides == (1,) and (bool(base) or post == "SOFTMAX_ZERO")
    assert left == ({"TreeEnsembleClassifier"} if refused else set())


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1, 2)])
def test_tree_classifiers_of_text(sides):
    classes = max(2, len(sides))
    attributes = {**stumps(sides, False), **labels(classes, True)}
    assert not kept("TreeEnsembleClassifier", attributes, answers(classes, text=True))


@pytest.mark.parametrize("post", POSTS)
def test_linear_regressors_of_two_targets(post):
    attributes = {"coefficients": [0.5, -1.0, 2.0, 1.0, 0.25, -0.5], "intercepts": [0.1, -0.2], "targets": 2}
    outputs = [value("y", onnx.TensorProto.FLOAT, 2)]
    assert not kept("LinearRegressor", {**attributes, "post_transform": post}, outputs)


def test_feature_vectorizers_put_columns_side_by_side():
    node = helper.make_node(
        "FeatureVectorizer", ["a", "b"], ["y"], domain="ai.onnx.ml", inputdimensions=[2, 1]
    )
    a = helper.make_tensor_value_info("a", TensorProto.FLOAT, ["n", 2])
    b = helper.make_tensor_value_info("b", TensorProto.FLOAT, ["n", 1])
    graph = helper.make_graph([node], "g", [a, b], [value("y", TensorProto.FLOAT, 3)])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = bridge.load(helper.make_model(graph, opset_imports=opsets, ir_version=8))
    inputs = {"a": X[:, :2], "b": X[:, 2:]}
    before = bridge.run(model, inputs)
    Decompose(lambda node: node.domain == "")(model)
    assert all(node.domain == "" for node in hub.all_nodes(model))
    result = compare(before, bridge.run(model, inputs), 0, 0)
    assert result.ok, str(result)
