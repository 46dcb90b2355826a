"""Trees of scikit-learn → one TreeEnsemble, in double: single trees, forests, gradient boosting, isolation
forests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import DOUBLE, Outputs, PartBuilder, Unwritten, classify, gather_labels

NODE = [
    ("is_leaf", bool),
    ("value", np.float64),
    ("left", np.int64),
    ("right", np.int64),
    ("feature_idx", np.int64),
    ("num_threshold", np.float64),
    ("missing_go_to_left", bool),
]
LEQ, MEMBER = 0, 6


def tree_nodes(tree: Any, values: np.ndarray, columns: Any = None) -> np.ndarray:
    """Nodes of a scikit-learn tree with the values of its leaves, [nodes]. Thresholds are rounded down to
    float32, which splits the same floats. A split between leaves of one value is one leaf. `columns` are the
    places of the features it reads."""
    nodes = np.zeros(tree.node_count, NODE)
    left, right = tree.children_left, tree.children_right
    low, high = np.array(values, np.float64), np.array(values, np.float64)
    for parents in levels(left, right)[::-1]:
        inner = parents[left[parents] >= 0]
        low[inner] = np.minimum(low[left[inner]], low[right[inner]])
        high[inner] = np.maximum(high[left[inner]], high[right[inner]])
    nodes["left"], nodes["right"] = left, right
    nodes["is_leaf"], nodes["value"] = low == high, low
    nodes["feature_idx"] = tree.feature if columns is None else np.asarray(columns)[tree.feature]
    narrow = tree.threshold.astype(np.float32)
    narrow = np.where(narrow > tree.threshold, np.nextafter(narrow, np.float32(-np.inf)), narrow)
    nodes["num_threshold"] = narrow
    nodes["missing_go_to_left"] = tree.missing_go_to_left
    return nodes


def levels(left: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    """The nodes of a tree by their depth; leaves have no children, -1."""
    found, level = [], np.array([0])
    while len(level):
        found.append(level)
        inner = level[left[level] >= 0]
        level = np.concatenate([left[inner], right[inner]])
    return found


def tree_ensemble_attributes(
    trees: Sequence[tuple[int, np.ndarray]], width: int, members: Sequence[dict[int, np.ndarray]] = ()
) -> dict[str, Any]:
    """Attributes of a TreeEnsemble that adds up trees, each with the target it counts for; missing values
    follow the branch each node records. `members` are the values that lead to the left in nodes that test a
    set, by tree and node."""
    parts: dict[str, list[np.ndarray]] = {}
    sets: list[np.ndarray] = []
    roots, inners, leaves = [], 0, 0
    for number, (target, nodes) in enumerate(trees):
        own = members[number] if members else {}
        inner, leaf = reached(nodes)
        place = np.zeros(len(nodes), np.int64)
        place[inner], place[leaf] = inners + np.arange(len(inner)), leaves + np.arange(len(leaf))
        roots.append(inners)
        rows = {
            "columns": nodes["feature_idx"][inner],
            "splits": nodes["num_threshold"][inner],
            "tracks": nodes["missing_go_to_left"][inner],
            "modes": np.array([MEMBER if i in own else LEQ for i in inner.tolist()], np.uint8),
            "targets": np.full(len(leaf), target),
            "weights": nodes["value"][leaf],
        }
        for name, side in (("true", "left"), ("false", "right")):
            below = nodes[side][inner].astype(np.int64)
            rows[name], rows[f"{name}_leaf"] = place[below], nodes["is_leaf"][below]
        if not len(inner):
            zero, one = np.zeros(1, np.int64), np.ones(1, np.int64)
            only = {"true": place[leaf], "true_leaf": one, "false": place[leaf], "false_leaf": one}
            rows |= {"columns": zero, "splits": zero, "tracks": zero, "modes": zero.astype(np.uint8), **only}
        sets += [np.append(own[i], np.nan) for i in inner.tolist() if i in own]
        inners, leaves = inners + max(1, len(inner)), leaves + len(leaf)
        for name, array in rows.items():
            parts.setdefault(name, []).append(array)
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return {
        "aggregate_function": 1,
        "post_transform": 0,
        "n_targets": width,
        "tree_roots": np.array(roots),
        "nodes_featureids": joined["columns"],
        "nodes_modes": ir.tensor(joined["modes"].astype(np.uint8)),
        "nodes_splits": ir.tensor(joined["splits"].astype(np.float64)),
        "nodes_truenodeids": joined["true"],
        "nodes_trueleafs": joined["true_leaf"],
        "nodes_falsenodeids": joined["false"],
        "nodes_falseleafs": joined["false_leaf"],
        "nodes_missing_value_tracks_true": joined["tracks"],
        "leaf_targetids": joined["targets"],
        "leaf_weights": ir.tensor(joined["weights"].astype(np.float64)),
        "membership_values": ir.tensor(np.concatenate(sets).astype(np.float64)) if sets else None,
    }


def reached(nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The splits and the leaves of a tree that its root leads to, in order."""
    split = nodes["is_leaf"] == 0
    if 2 * split.sum() + 1 == len(nodes):
        return np.flatnonzero(split), np.flatnonzero(~split)
    left = np.where(split, nodes["left"].astype(np.int64), -1)
    right = np.where(split, nodes["right"].astype(np.int64), -1)
    found = np.sort(np.concatenate(levels(left, right)))
    return found[split[found]], found[~split[found]]


def sum_trees(
    op: hub.Builder,
    x: ir.Value,
    trees: Sequence[tuple[int, np.ndarray]],
    width: int,
    members: Sequence[dict[int, np.ndarray]] = (),
) -> ir.Value:
    """The sums of trees by target, [N, width], in double."""
    attributes = tree_ensemble_attributes(trees, width, members)
    return op.node("TreeEnsemble", x, _domain="ai.onnx.ml", _dtype=DOUBLE, _shape=["N", width], **attributes)


def sum_float_trees(
    op: hub.Builder, x: ir.Value, trees: Sequence[tuple[int, np.ndarray]], width: int
) -> ir.Value:
    """The sums of trees that round records to float32, as scikit-learn's do. Doubles are not rounded:
    thresholds are the last of those that round to no more."""
    node = x.producer()
    read = node.inputs[0] if node is not None and node.op_type == "Cast" else None
    if read is None or read.dtype != ir.DataType.FLOAT:
        for _, nodes in trees:
            nodes["num_threshold"] = last_doubles(nodes["num_threshold"])
    return sum_trees(op, x, trees, width)


def last_doubles(floats: np.ndarray) -> np.ndarray:
    """The largest doubles that round to float32 numbers: halfway to the next one where that rounds to the
    even one."""
    near = floats.astype(np.float32)
    with np.errstate(over="ignore"):
        after = np.nextafter(near, np.float32(np.inf))
    middle = near.astype(np.float64) + (after.astype(np.float64) - near) / 2
    even = near.view(np.int32) % 2 == 0
    return np.where(np.isfinite(after), np.where(even, middle, np.nextafter(middle, near)), near)


def trees_of(src: Any) -> list[Any]:
    return list(getattr(src, "estimators_", [src]))


def mean_by_target(op: hub.Builder, src: Any, x: ir.Value, tables: list[list[np.ndarray]]) -> ir.Value:
    """The mean over trees of the values of their leaves, [N, targets]; `tables` has arrays [nodes] by tree
    and target."""
    trees = [
        (target, tree_nodes(each.tree_, values))
        for each, table in zip(trees_of(src), tables, strict=True)
        for target, values in enumerate(table)
    ]
    total = sum_float_trees(op, x, trees, len(tables[0]))
    return total if len(tables) == 1 else op.Div(total, op.const(np.array(float(len(tables)))))


def forest_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class of the highest mean share among the leaves; of several targets, their labels side by side
    and the shares of each."""
    if src.n_outputs_ == 1:
        count = len(src.classes_)
        tables = [[t.tree_.value[:, 0, c] for c in range(count)] for t in trees_of(src)]
        shares = mean_by_target(op, src, x, tables)
        return classify(op, src, shares, op.Identity(shares))
    labels, outputs = [], {}
    for index, classes in enumerate(src.classes_):
        tables = [[t.tree_.value[:, index, c] for c in range(len(classes))] for t in trees_of(src)]
        shares = mean_by_target(op, src, x, tables)
        labels.append(gather_labels(op, classes, op.ArgMax(shares, axis=1, keepdims=1)))
        outputs[f"probabilities_{index + 1}"] = op.Identity(shares)
    return {"label": op.Concat(*labels, axis=1), **outputs}


def forest_regressor(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    tables = [[t.tree_.value[:, o, 0] for o in range(src.n_outputs_)] for t in trees_of(src)]
    return {"variable": op.Identity(mean_by_target(op, src, x, tables))}


def gradient_boosting(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """Sum of the trees times the learning rate, on what the first estimator says. Raises Unwritten for one
    that is no constant."""
    raw = boosting_scores(op, src, x)
    if not hasattr(src, "classes_"):
        return {"variable": raw}
    if len(src.classes_) > 2:
        return classify(op, src, raw, op.Softmax(raw, axis=-1))
    loss = type(src._loss).__name__
    positive = op.Sigmoid(op.Mul(raw, op.const(np.array(2.0))) if loss == "ExponentialLoss" else raw)
    second = op.Squeeze(op.Cast(op.GreaterOrEqual(raw, op.const(np.array(0.0))), to=7), np.array([1]))
    shares = op.Concat(op.Sub(op.const(np.array(1.0)), positive), positive, axis=1)
    return {"label": gather_labels(op, src.classes_, second), "probabilities": shares}


def boosting_scores(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """The sums before any link, [N, targets]."""
    trees = [
        (k, tree_nodes(t.tree_, src.learning_rate * t.tree_.value[:, 0, 0]))
        for row in src.estimators_
        for k, t in enumerate(row)
    ]
    total = sum_float_trees(op, x, trees, src.estimators_.shape[1])
    return op.Add(total, op.const(boosting_start(src)))


def boosting_start(src: Any) -> np.ndarray:
    """Start of gradient boosting, [1, targets]."""
    if not isinstance(src.init_, str) and not type(src.init_).__name__.startswith("Dummy"):
        raise Unwritten("it starts from the predictions of another model")
    start = src._raw_predict_init(np.zeros((1, src.n_features_in_), np.float32))
    return np.asarray(start, np.float64).reshape(1, -1)


def isolation_forest(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """2^(-mean path / expected path), negated, less the offset: what is below zero is an outlier, -1.

    A path is as long as the splits passed and what its leaf's records would take on average.
    """
    from sklearn.ensemble._iforest import _average_path_length

    trees = []
    for each, columns, depth, rest in zip(
        src.estimators_,
        src.estimators_features_,
        src._decision_path_lengths,
        src._average_path_length_per_tree,
        strict=True,
    ):
        trees.append((0, tree_nodes(each.tree_, depth + rest - 1.0, columns)))
    paths = sum_float_trees(op, x, trees, 1)
    expected = len(trees) * float(_average_path_length([src._max_samples])[0])
    if not expected:
        raise Unwritten("it was fitted on a single record")
    share = op.Pow(op.const(np.array(2.0)), op.Neg(op.Div(paths, op.const(np.array(expected)))))
    scores = op.Sub(op.Neg(share), op.const(np.array(float(src.offset_))))
    return {"label": inliers(op, scores), "scores": scores}


def inliers(op: hub.Builder, scores: ir.Value) -> ir.Value:
    """-1 where a score, [N, 1], is below zero, else 1, [N]."""
    below = op.Squeeze(op.Less(scores, op.const(np.array(0.0))), np.array([1]))
    return op.Where(below, op.const(np.array(-1)), op.const(np.array(1)))
