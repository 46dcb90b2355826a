"""Trees gathered into one TreeEnsemble, and where it goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import bridge
from bridge import hub
from bridge.classical.trees import GT, LEQ, LT, MEMBER, Trees, walk

T = ir.DataType


def model_of(trees: Trees, dtype: T = T.FLOAT) -> ir.Model:
    opsets = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    graph = ir.Graph([], [], nodes=[], name="g", opset_imports=opsets)
    x = ir.Value(name="X", type=ir.TensorType(dtype), shape=ir.Shape(["N", 2]))
    graph.inputs.append(x)
    y = trees.build(hub.Builder(graph), x)
    y.name = "y"
    graph.outputs.append(y)
    return ir.Model(graph, ir_version=hub.IR_VERSION)


def root_last() -> Trees:
    """A tree whose root was made after the test below it."""
    trees = Trees()
    below, root = trees.test(1, GT, 0.0), trees.test(0, LT, 1.0, tracks=True)
    trees.lead(below, trees.leaf(1.0), trees.leaf(2.0))
    trees.lead(root, below, trees.leaf(3.0))
    trees.root(root)
    return trees


RECORDS = np.array([[0, 1], [0, -1], [1, 1], [np.nan, 1], [0, 0]], np.float32)


@pytest.mark.parametrize("suffix", [".onnx", ".mlmodel", ".mlpackage", ".tflite", ".pmml"])
def test_a_root_is_told_whatever_its_number(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    bridge.save(model_of(root_last()), path)
    found = np.ravel(next(iter(bridge.run(path, {"X": RECORDS}).values())))
    np.testing.assert_allclose(found, [1, 2, 3, 1, 2])


def test_leaves_alone_and_sets() -> None:
    trees = Trees()
    trees.root(trees.leaf(10.0))
    test = trees.test(0, MEMBER, members=[0.0, 40.0, 1e6])
    trees.lead(test, trees.leaf(1.0), trees.leaf(2.0))
    trees.root(test)
    records = np.array([[0, 0], [40, 0], [1e6, 0], [3, 0], [np.nan, 0]], np.float32)
    found = bridge.run(model_of(trees), {"X": records})["y"][:, 0]
    assert found.tolist() == [11, 11, 11, 12, 12]


def test_floats_run_where_doubles_are_read() -> None:
    model = model_of(root_last(), T.DOUBLE)
    assert (
        bridge.run(model, {"X": RECORDS})["y"].tolist()
        == bridge.run(model, {"X": RECORDS.astype(np.float64)})["y"].tolist()
    )
    with pytest.raises(bridge.errors.InvalidInput):
        bridge.run(model_of(root_last()), {"X": RECORDS.astype(np.float64)})


def test_what_is_no_tree_is_refused() -> None:
    assert walk([1, -1, -1], [2, -1, -1]) == [0, 1, 2]
    chain = [*range(1, 4000), -1]
    for left, right in (([0], [0]), ([1, -1], [1, -1]), ([5], [6]), (chain, chain)):
        with pytest.raises(ValueError, match=r"tree"):
            walk(left, right)
    trees = Trees()
    for broken in (lambda: trees.leaf(np.inf), lambda: trees.test(0, LEQ, np.nan)):
        with pytest.raises(ValueError, match=r"a leaf is|a threshold is"):
            broken()
