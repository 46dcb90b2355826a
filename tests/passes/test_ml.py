"""Classical models as tensor operators answer as ONNX Runtime does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from build import Spec, assert_unchanged, is_tensor_operator, model_of_nodes, spec_of
from onnx import helper

import bridge
from bridge import hub
from bridge.matrix.cases import node_cases
from bridge.passes.decompose import Decompose, ml


@pytest.fixture(params=[0, 9], ids=["walked", "products"], autouse=True)
def way(request, monkeypatch):
    """Trees are expanded both ways, whatever their depth."""
    monkeypatch.setattr(ml, "SHALLOW", request.param)


def forest(
    rng: np.random.Generator, modes: list[str], depth: int = 3, trees: int = 4, features: int = 5
) -> tuple[dict[str, list], list[tuple[int, int]]]:
    """Attributes of complete trees with random splits, some thresholds met exactly by the inputs."""
    found = {
        name: []
        for name in (
            "treeids",
            "nodeids",
            "featureids",
            "values",
            "modes",
            "truenodeids",
            "falsenodeids",
            "missing_value_tracks_true",
        )
    }
    leaves = []
    for tree in range(trees):
        for node in range(2 ** (depth + 1) - 1):
            leaf = node >= 2**depth - 1
            row = (
                tree,
                node,
                rng.integers(features),
                np.round(rng.standard_normal(), 1),
                "LEAF" if leaf else rng.choice(modes),
                0 if leaf else 2 * node + 1,
                0 if leaf else 2 * node + 2,
                rng.integers(2),
            )
            for name, value in zip(found, row, strict=True):
                found[name].append(
                    str(value) if name == "modes" else value.item() if hasattr(value, "item") else value
                )
            leaves += [(tree, node)] if leaf else []
    return {f"nodes_{k}": v for k, v in found.items()}, leaves


def assert_decomposed(
    op_type: str, attributes: dict[str, Any], outputs: dict[str, Spec], x: np.ndarray
) -> None:
    """A classical operator of `x` becomes tensor operators that compute the same."""
    node = helper.make_node(op_type, ["x"], list(outputs), domain="ai.onnx.ml", **attributes)
    model = bridge.load(model_of_nodes(node, {"x": spec_of(x, "n")}, outputs))
    assert_unchanged(model, Decompose(is_tensor_operator), inputs={"x": x}, rtol=1e-5, atol=1e-6)
    assert all(map(is_tensor_operator, hub.all_nodes(model)))


def floats(name: str, *shape: int) -> dict[str, Spec]:
    """An output of floats, [n, *shape]."""
    return {name: (np.float32, ["n", *shape])}


MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


@pytest.mark.parametrize("modes", [["BRANCH_LEQ"], ["BRANCH_LT"], MODES], ids=["leq", "lt", "all"])
@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize(("post", "count"), [("NONE", 1), ("NONE", 2), ("LOGISTIC", 2)])
def test_tree_regressors_branch_and_add_up_alike(modes, how, post, count):
    rng = np.random.default_rng(3)
    nodes, leaves = forest(rng, modes)
    inputs = np.round(rng.standard_normal((50, 5)), 1).astype(np.float32)
    inputs[0, 0] = np.nan
    leaves = [(t, n, c) for t, n in leaves for c in range(count)]
    targets = {
        "target_treeids": [t for t, _, _ in leaves],
        "target_nodeids": [n for _, n, _ in leaves],
        "target_ids": [c for _, _, c in leaves],
        "target_weights": rng.standard_normal(len(leaves)).tolist(),
    }
    extra = {"n_targets": count, "aggregate_function": how, "post_transform": post}
    base = {"base_values": [0.25] * count}
    assert_decomposed(
        "TreeEnsembleRegressor", {**nodes, **targets, **extra, **base}, floats("y", count), inputs
    )


@pytest.mark.parametrize(
    ("classes", "ids", "post", "positive"),
    [
        (3, 3, "NONE", False),
        (3, 3, "SOFTMAX", False),
        (2, 1, "LOGISTIC", False),
        (2, 1, "NONE", False),
        (2, 1, "NONE", True),
    ],
)
def test_tree_classifiers_decide_alike(classes, ids, post, positive):
    rng = np.random.default_rng(5)
    nodes, leaves = forest(rng, ["BRANCH_LEQ"])
    weights = rng.standard_normal(len(leaves) * ids)
    pairs = [(t, n, c) for t, n in leaves for c in range(ids)]
    attributes = {
        **nodes,
        "class_treeids": [t for t, _, _ in pairs],
        "class_nodeids": [n for _, n, _ in pairs],
        "class_ids": [c for _, _, c in pairs],
        "class_weights": (np.abs(weights) / 4 if positive else weights).tolist(),
        "classlabels_int64s": list(range(10, 10 + classes)),
        "post_transform": post,
    }
    inputs = np.round(rng.standard_normal((50, 5)), 1).astype(np.float32)
    assert_decomposed(
        "TreeEnsembleClassifier", attributes, {"l": (np.int64, ["n"]), **floats("p", classes)}, inputs
    )


@pytest.mark.parametrize(
    ("op_type", "attributes", "width"),
    [
        ("Scaler", {"offset": [1.0, 2, 3], "scale": [0.5, 2, 4]}, 3),
        ("Normalizer", {"norm": "L2"}, 3),
        ("Normalizer", {"norm": "L1"}, 3),
        ("Binarizer", {"threshold": 0.2}, 3),
        ("LinearRegressor", {"coefficients": [1.0, 2, 3, 4, 5, 6], "intercepts": [0.5, 1], "targets": 2}, 2),
    ],
)
def test_linear_operators_compute_alike(op_type, attributes, width):
    inputs = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    assert_decomposed(op_type, attributes, floats("y", width), inputs)


def test_a_tree_ensemble_tests_membership():
    (case,) = (c for name, c in node_cases().items() if name.endswith("tree_ensemble_set_membership"))
    model = bridge.load(case.model)
    Decompose(is_tensor_operator)(model)
    assert all(map(is_tensor_operator, hub.all_nodes(model)))
    for given, expected in zip(case.inputs, case.expected, strict=True):
        found = bridge.run(model, given)
        np.testing.assert_allclose(next(iter(found.values())), expected[0], rtol=1e-6)


NAN = float("nan")


@pytest.mark.parametrize(
    ("op_type", "attributes", "shape"),
    [
        ("Imputer", {"imputed_value_floats": [1.0, 2, 3], "replaced_value_float": NAN}, [3]),
        ("Imputer", {"imputed_value_floats": [9.0], "replaced_value_float": 2.0}, [3]),
        ("OneHotEncoder", {"cats_int64s": [0, 2, 1]}, [3, 3]),
        (
            "LabelEncoder",
            {"keys_floats": [0.0, 2, NAN], "values_floats": [5.0, 6, 7], "default_float": -2.0},
            [3],
        ),
        ("LabelEncoder", {"keys_floats": [0.0, 2], "values_floats": [5.0, 6]}, [3]),
    ],
)
def test_encoders_and_imputers_compute_alike(op_type, attributes, shape):
    inputs = np.array([[0, 1, 2], [2, 7, 0], [3, 3, 1]], np.float32)
    if "OneHot" not in op_type:
        inputs[0, 1] = np.nan
    assert_decomposed(op_type, attributes, floats("y", *shape), inputs)
