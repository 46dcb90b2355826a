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


def tree_nodes(
    trees: Sequence[Any], values: Sequence[np.ndarray], columns: Sequence[Any] | None = None
) -> list[np.ndarray]:
    """Nodes of scikit-learn trees with the values of their leaves, [nodes] each. Thresholds are rounded down
    to float32, which splits the same floats. A split between leaves of one value is one leaf. `columns` are
    the places of the features that each tree reads."""
    firsts = starts([len(each) for each in values])
    lefts, rights = [tree.children_left for tree in trees], [tree.children_right for tree in trees]
    left, right = offset(lefts, firsts), offset(rights, firsts)
    low = np.concatenate(values).astype(np.float64)
    high = low.copy()
    for parents in levels(firsts, left, right)[::-1]:
        inner = parents[left[parents] >= 0]
        low[inner] = np.minimum(low[left[inner]], low[right[inner]])
        high[inner] = np.maximum(high[left[inner]], high[right[inner]])
    features = [tree.feature for tree in trees]
    if columns is not None:
        features = [np.asarray(own)[each] for own, each in zip(columns, features, strict=True)]
    nodes = np.zeros(len(low), NODE)
    nodes["left"], nodes["right"] = np.concatenate(lefts), np.concatenate(rights)
    nodes["is_leaf"], nodes["value"] = low == high, low
    nodes["feature_idx"] = np.concatenate(features)
    nodes["num_threshold"] = rounded_down(np.concatenate([tree.threshold for tree in trees]))
    nodes["missing_go_to_left"] = np.concatenate([tree.missing_go_to_left for tree in trees])
    return np.split(nodes, firsts[1:])


def rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """The largest float32 numbers that are not above."""
    narrow = thresholds.astype(np.float32)
    return np.where(narrow > thresholds, np.nextafter(narrow, np.float32(-np.inf)), narrow)


def starts(sizes: Sequence[int]) -> np.ndarray:
    """The place of the first node of each tree, where nodes of all are numbered through."""
    counts = np.asarray(sizes, np.int64)
    return np.cumsum(counts) - counts


def offset(sides: Sequence[np.ndarray], firsts: np.ndarray) -> np.ndarray:
    """Children by tree, numbered through; -1 where there are none."""
    places = np.repeat(firsts, [len(side) for side in sides])
    joined = np.concatenate(sides).astype(np.int64)
    return np.where(joined < 0, -1, joined + places)


def levels(roots: np.ndarray, left: np.ndarray, right: np.ndarray) -> list[np.ndarray]:
    """The nodes of trees by their depth; leaves have no children, -1."""
    found, level = [], roots
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
    parts = [nodes for _, nodes in trees]
    sizes = [len(each) for each in parts]
    firsts, nodes = starts(sizes), np.concatenate(parts)
    is_leaf = nodes["is_leaf"].astype(bool)
    left, right = (offset([each[side] for each in parts], firsts) for side in ("left", "right"))
    inner, leaf = reached(firsts, np.where(is_leaf, -1, left), right)
    sets = {first + at: own[at] for first, own in zip(firsts.tolist(), members, strict=False) for at in own}
    of_sets = np.zeros(len(nodes), bool)
    of_sets[list(sets)] = True
    # A tree of one leaf is a test between two such
    alone = firsts[is_leaf[firsts]]
    place = np.zeros(len(nodes), np.int64)
    place[inner], place[leaf] = np.arange(len(inner)), np.arange(len(leaf))
    roots = place[firsts]
    roots[is_leaf[firsts]] = len(inner) + np.arange(len(alone))
    tests = nodes[inner]
    true, false = np.concatenate([left[inner], alone]), np.concatenate([right[inner], alone])
    nothing, modes = np.zeros(len(alone), np.int64), np.where(of_sets[inner], MEMBER, LEQ)
    return {
        "aggregate_function": 1,
        "post_transform": 0,
        "n_targets": width,
        "tree_roots": roots,
        "nodes_featureids": np.concatenate([tests["feature_idx"], nothing]),
        "nodes_modes": ir.tensor(np.concatenate([modes, nothing]).astype(np.uint8)),
        "nodes_splits": ir.tensor(np.concatenate([tests["num_threshold"], nothing]).astype(np.float64)),
        "nodes_truenodeids": place[true],
        "nodes_trueleafs": is_leaf[true],
        "nodes_falsenodeids": place[false],
        "nodes_falseleafs": is_leaf[false],
        "nodes_missing_value_tracks_true": np.concatenate([tests["missing_go_to_left"], nothing]),
        "leaf_targetids": np.repeat([target for target, _ in trees], sizes)[leaf],
        "leaf_weights": ir.tensor(nodes["value"][leaf].astype(np.float64)),
        "membership_values": members_of([sets[at] for at in inner[of_sets[inner]].tolist()]),
    }


def members_of(sets: Sequence[np.ndarray]) -> ir.Tensor | None:
    """Sets one behind the other, NaN after each; None of no set."""
    ended = [np.append(each, np.nan) for each in sets]
    return ir.Tensor(np.concatenate(ended).astype(np.float64)) if ended else None


def reached(roots: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The splits and the leaves of trees that their roots lead to, in order; leaves have no left child,
    -1."""
    split = left >= 0
    if 2 * split.sum() + len(roots) == len(left):
        return np.flatnonzero(split), np.flatnonzero(~split)
    found = np.sort(np.concatenate(levels(roots, left, right)))
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
    count = len(tables[0])
    grown = [each.tree_ for each in trees_of(src) for _ in range(count)]
    nodes = tree_nodes(grown, [values for table in tables for values in table])
    trees = [(index % count, each) for index, each in enumerate(nodes)]
    total = sum_float_trees(op, x, trees, count)
    return total if len(tables) == 1 else op.Div(total, op.const(np.array(float(len(tables)))))


def class_shares(op: hub.Builder, src: Any, x: ir.Value, output: int, count: int) -> ir.Value:
    """The mean share of each class among the leaves, [N, classes].

    Where each leaf is of one of two classes, the sums of their shares are whole numbers: that of the first is
    what the second's leaves of the number of trees, to the last digit.
    """
    tables = [[t.tree_.value[:, output, c] for c in range(count)] for t in trees_of(src)]
    if count != 2 or len(tables) == 1 or not all(map(is_pure, trees_of(src), tables)):
        return mean_by_target(op, src, x, tables)
    trees = tree_nodes([t.tree_ for t in trees_of(src)], [second for _, second in tables])
    second = sum_float_trees(op, x, [(0, nodes) for nodes in trees], 1)
    number = op.const(np.array(float(len(tables))))
    return op.Div(op.Concat(op.Sub(number, second), second, axis=1), number)


def is_pure(grown: Any, shares: Sequence[np.ndarray]) -> bool:
    """True if each leaf of a fitted tree is of one class: `shares` are those of its nodes, by class."""
    leaves = np.stack([each[grown.tree_.children_left < 0] for each in shares])
    return bool(((leaves == 0) | (leaves == 1)).all() and (leaves.sum(axis=0) == 1).all())


def forest_classifier(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class of the highest mean share among the leaves; of several targets, their labels side by side
    and the shares of each."""
    if src.n_outputs_ == 1:
        shares = class_shares(op, src, x, 0, len(src.classes_))
        return classify(op, src, shares, op.Identity(shares))
    labels, outputs = [], {}
    for index, classes in enumerate(src.classes_):
        shares = class_shares(op, src, x, index, len(classes))
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
    grown, count = [each.tree_ for each in src.estimators_.ravel()], src.estimators_.shape[1]
    nodes = tree_nodes(grown, [src.learning_rate * tree.value[:, 0, 0] for tree in grown])
    total = sum_float_trees(op, x, [(index % count, each) for index, each in enumerate(nodes)], count)
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

    pairs = zip(src._decision_path_lengths, src._average_path_length_per_tree, strict=True)
    lengths = [depth + rest - 1.0 for depth, rest in pairs]
    nodes = tree_nodes([each.tree_ for each in src.estimators_], lengths, src.estimators_features_)
    paths = sum_float_trees(op, x, [(0, each) for each in nodes], 1)
    expected = len(nodes) * float(_average_path_length([src._max_samples])[0])
    if not expected:
        raise Unwritten("it was fitted on a single record")
    share = op.Pow(op.const(np.array(2.0)), op.Neg(op.Div(paths, op.const(np.array(expected)))))
    scores = op.Sub(op.Neg(share), op.const(np.array(float(src.offset_))))
    return {"label": inliers(op, scores), "scores": scores}


def inliers(op: hub.Builder, scores: ir.Value) -> ir.Value:
    """-1 where a score, [N, 1], is below zero, else 1, [N]."""
    below = op.Squeeze(op.Less(scores, op.const(np.array(0.0))), np.array([1]))
    return op.Where(below, op.const(np.array(-1)), op.const(np.array(1)))
