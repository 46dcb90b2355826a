"""Classifiers and support vector machines as simpler operators answer as ONNX Runtime does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from build import Spec, assert_unchanged, is_tensor_operator, model_of_nodes
from onnx import helper

import bridge
from bridge import hub
from bridge.passes.decompose import Decompose

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")


def left_over(
    op_type: str, attributes: dict[str, Any], outputs: dict[str, Spec], atol: float = 1e-6
) -> set[str]:
    """Classical operators that decomposing leaves, once the answers have been compared."""
    node = helper.make_node(op_type, ["x"], list(outputs), domain="ai.onnx.ml", **attributes)
    model = bridge.load(model_of_nodes(node, {"x": (np.float32, ["n", 3])}, outputs))
    assert bridge.run(model, {"x": X}).engine.startswith("ONNX Runtime")
    assert_unchanged(model, Decompose(is_tensor_operator), inputs={"x": X}, rtol=1e-5, atol=atol)
    return {node.op_type for node in hub.all_nodes(model) if node.domain}


def answers(classes: int, columns: int | None = None, text: bool = False) -> dict[str, Spec]:
    """The outputs of a classifier: labels, [n], and scores, [n, columns]."""
    return {"l": (str if text else np.int64, ["n"]), "p": (np.float32, ["n", columns or classes])}


def labels(classes: int, text: bool = False, ints: str = "classlabels_ints") -> dict[str, list]:
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
    assert not left_over("LinearClassifier", attributes, answers(classes, text=text))


def test_probit_is_that_of_onnx_runtime_away_from_one_half():
    rng = np.random.default_rng(3)
    attributes = {"coefficients": (rng.normal(size=9) * 0.03).tolist(), "intercepts": [0.2, 0.25, 0.8]}
    assert not left_over(
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
    assert not left_over("SVMClassifier", attributes, answers(classes, 2 if classes == 2 else pairs), 1e-5)


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
    assert not left_over("SVMRegressor", attributes, {"p": (np.float32, ["n", 1])}, 1e-5)


def stumps(sides: Sequence[int], positive: bool) -> dict[str, list]:
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
    left = left_over("TreeEnsembleClassifier", attributes, answers(classes))
    refused = sides == (1,) and (bool(base) or post == "SOFTMAX_ZERO")
    assert left == ({"TreeEnsembleClassifier"} if refused else set())


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1, 2)])
def test_tree_classifiers_of_text(sides):
    classes = max(2, len(sides))
    attributes = {**stumps(sides, False), **labels(classes, True)}
    assert not left_over("TreeEnsembleClassifier", attributes, answers(classes, text=True))


@pytest.mark.parametrize("post", POSTS)
def test_linear_regressors_of_two_targets(post):
    attributes = {"coefficients": [0.5, -1.0, 2.0, 1.0, 0.25, -0.5], "intercepts": [0.1, -0.2], "targets": 2}
    outputs = {"y": (np.float32, ["n", 2])}
    assert not left_over("LinearRegressor", {**attributes, "post_transform": post}, outputs)


def test_feature_vectorizers_put_columns_side_by_side():
    node = helper.make_node(
        "FeatureVectorizer", ["a", "b"], ["y"], domain="ai.onnx.ml", inputdimensions=[2, 1]
    )
    given = {"a": (np.float32, ["n", 2]), "b": (np.float32, ["n", 1])}
    model = bridge.load(model_of_nodes(node, given, {"y": (np.float32, ["n", 3])}))
    inputs = {"a": X[:, :2], "b": X[:, 2:]}
    assert_unchanged(model, Decompose(is_tensor_operator), inputs=inputs, rtol=0, atol=0)
    assert all(map(is_tensor_operator, hub.all_nodes(model)))
