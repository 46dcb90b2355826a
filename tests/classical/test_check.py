"""The comparison of a converted model with its estimator sees what differs, wherever that is."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from sklearn.tree import DecisionTreeRegressor

import bridge
from bridge import hub
from bridge.classical.check import Disagreement, check, close
from bridge.classical.records import FEWEST, MOST, Records
from bridge.classical.splits import splits
from bridge.errors import ExecutionFailed

SPLIT, LOW, HIGH = 0.75, 1.0, 2.0


def stump(split: float = SPLIT, tracks: int = 0, dtype: ir.DataType = ir.DataType.DOUBLE) -> ir.Model:
    """One test of column 1 of three."""
    graph = ir.Graph(
        [], [], nodes=[], name="stump", opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    x = ir.Value(name="X", type=ir.TensorType(dtype), shape=ir.Shape(["N", 3]))
    graph.inputs.append(x)
    op = hub.Builder(graph)
    attributes = {"nodes_featureids": [1], "nodes_truenodeids": [0], "nodes_falsenodeids": [1]}
    leaves = {"nodes_trueleafs": [1], "nodes_falseleafs": [1], "leaf_targetids": [0, 0], "tree_roots": [0]}
    number = dtype.numpy()
    y = op.node(
        "TreeEnsemble",
        x,
        _domain="ai.onnx.ml",
        aggregate_function=1,
        post_transform=0,
        n_targets=1,
        nodes_modes=ir.tensor(np.zeros(1, np.uint8)),
        nodes_splits=ir.tensor(np.array([split], number)),
        nodes_missing_value_tracks_true=[tracks],
        leaf_weights=ir.tensor(np.array([LOW, HIGH], number)),
        **attributes,
        **leaves,
    )
    y.name = "variable"
    graph.outputs.append(y)
    return ir.Model(graph, ir_version=hub.IR_VERSION)


def answer(x: np.ndarray, split: float = SPLIT, missing: float = HIGH) -> np.ndarray:
    return np.where(np.isnan(x[:, 1]), missing, np.where(x[:, 1] <= split, LOW, HIGH))[:, None]


def test_a_model_that_is_right_passes():
    assert check(stump(), lambda table: [[answer(table["X"])]]) > FEWEST


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT, ir.DataType.DOUBLE])
@pytest.mark.parametrize("side", [-np.inf, np.inf])
def test_a_threshold_one_unit_in_the_last_place_away_is_seen(dtype, side):
    other = np.nextafter(dtype.numpy().type(SPLIT), dtype.numpy().type(side))
    with pytest.raises(Disagreement, match="threshold"):
        check(stump(dtype=dtype), lambda table: [[answer(table["X"], other)]])


def test_the_way_of_a_missing_value_is_seen():
    with pytest.raises(Disagreement, match="missing"):
        check(stump(), lambda table: [[answer(table["X"], missing=LOW)]])


@pytest.mark.parametrize("value", [0.0, 1e9, 1_700_000_000.0, np.inf])
def test_one_value_of_one_column_is_seen(value):
    def ask(table):
        right = answer(table["X"])
        right[table["X"][:, 2] == value] += 1
        return [[right]]

    with pytest.raises(Disagreement):
        check(stump(), ask)


def test_the_zero_below_zero_is_seen():
    def ask(table):
        x = table["X"]
        return [[answer(x) + ((x[:, 0] == 0) & np.signbit(x[:, 0]))[:, None]]]

    with pytest.raises(Disagreement, match="zero"):
        check(stump(), ask)


def test_what_is_not_taken_is_left_out_alone():
    def ask(table):
        if not np.isfinite(table["X"][:, [0, 2]]).all():
            raise ValueError("only column 1 may be missing")
        return [[answer(table["X"])]]

    assert check(stump(), ask)
    with pytest.raises(Disagreement, match="missing"):
        check(stump(tracks=1), ask)


def test_a_model_that_takes_nothing_is_not_believed():
    def refuse(table):
        raise ValueError("no")

    with pytest.raises(ExecutionFailed, match="none of the records"):
        check(stump(), refuse)


def test_labels_that_are_no_numbers_differ_by_any_letter():
    def ask(table):
        return [[answer(table["X"]).astype(str)]]

    with pytest.raises(Disagreement):
        check(stump(), lambda table: [[np.char.add(a, "x") for a in ask(table)[0]]])


def test_one_candidate_has_to_fit_in_all_records():
    wrong = [
        lambda x: np.where(x < 0, answer(x[:, None].repeat(3, 1)).ravel(), 0.0),
        lambda x: np.where(x >= 0, answer(x[:, None].repeat(3, 1)).ravel(), 0.0),
    ]
    with pytest.raises(Disagreement):
        check(stump(), lambda table: [[w(table["X"][:, 1])[:, None] for w in wrong]])
    assert check(stump(), lambda table: [[answer(table["X"]) + 1, answer(table["X"])]])


def test_tolerance_is_relative_to_the_record():
    expected = np.array([[1.0, 1e-9], [1e-3, 1e-3], [np.nan, np.inf]])
    assert close(expected * (1 + 1e-7), expected, 0.0).all()
    small, wrong = expected.copy(), expected.copy()
    small[0, 1] += 1e-7
    wrong[1, 0] += 1e-7
    assert close(small, expected, 0.0).all()
    assert close(wrong, expected, 0.0).tolist() == [True, False, True]
    assert close(wrong, expected, 1.0).all()
    assert not close(-expected, expected, 0.0).any()


def test_records_grow_with_the_model_up_to_a_bound():
    assert Records(stump()).limit == MOST
    wide = stump()
    hub.Builder(wide.graph).const(np.zeros((2000, 2000)))
    assert Records(wide).limit == FEWEST


def test_splits_say_which_column_of_an_input_they_read():
    [tests] = splits(stump())
    assert [tests.places[i] for i in tests.place] == [("X", 1)]
    assert (tests.threshold.tolist(), tests.parent.tolist()) == ([SPLIT], [-1])
    assert tests.bounds(np.array([0])) == {("X", 1): (-np.inf, np.inf)}


def test_records_on_paths_lead_to_their_splits():
    x = np.random.default_rng(0).uniform(0, 4, (200, 3))
    tree = DecisionTreeRegressor(max_depth=4).fit(x, x[:, 0] * x[:, 1])
    [tests] = splits(bridge.load(tree))
    bounds = tests.bounds(np.arange(len(tests)))
    for index in range(len(tests)):
        node = index
        while (above := tests.parent[node]) >= 0:
            low, high = (part[index] for part in bounds[tests.places[tests.place[above]]])
            threshold = tests.threshold[above]
            assert high <= threshold if tests.holds[node] else low >= threshold
            node = above
