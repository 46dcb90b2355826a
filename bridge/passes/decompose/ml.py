"""Operators of ai.onnx.ml as tensor operators. Thresholds are compared in float32, as ONNX Runtime does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import attribute, condition, dtype, rank
from bridge.ops import OpTable
from bridge.passes.decompose.common import arange, lengths

ops = OpTable("decomposition: ml")

ML = "ai.onnx.ml"
FLOAT, INT64 = int(ir.DataType.FLOAT), int(ir.DataType.INT64)
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")
COMPARED = dtype("float", "int32", "int64")
TABLE = rank(2)
NO_TENSORS = condition(
    "thresholds and weights of float32",
    lambda n: not any(name.endswith("_as_tensor") for name in n.attributes),
)


@dataclass
class Forest:
    """Nodes of all trees one after another; a leaf leads to itself. `weights` is [nodes, targets], `held` where it has one."""

    feature: np.ndarray
    value: np.ndarray
    mode: np.ndarray
    true: np.ndarray
    false: np.ndarray
    missing: np.ndarray
    roots: np.ndarray
    depth: int
    weights: np.ndarray
    held: np.ndarray


def forest(node: ir.Node, prefix: str, targets: int) -> Forest:
    """The trees of TreeEnsembleRegressor or TreeEnsembleClassifier."""
    trees, ids = attr(node, "nodes_treeids"), attr(node, "nodes_nodeids")
    place = {key: i for i, key in enumerate(zip(trees, ids, strict=True))}
    count = len(place)
    modes = [str(m) for m in attr(node, "nodes_modes")]
    leaf = np.array([m == "LEAF" for m in modes])
    own = np.arange(count)
    branches = {}
    for name in ("true", "false"):
        named = attr(node, f"nodes_{name}nodeids")
        branches[name] = np.array([i if leaf[i] else place[trees[i], named[i]] for i in range(count)])
    weights, held = np.zeros((count, targets), np.float64), np.zeros((count, targets), bool)
    columns = (attr(node, f"{prefix}_{n}") for n in ("treeids", "nodeids", "ids", "weights"))
    for tree, at, target, weight in zip(*columns, strict=True):
        weights[place[tree, at], target] += weight
        held[place[tree, at], target] = True
    children = {int(c) for name in branches for c in branches[name][~leaf]}
    roots = np.array([i for i in own if i not in children])
    return Forest(
        np.array(attr(node, "nodes_featureids")),
        np.array(attr(node, "nodes_values"), np.float32),
        np.array([0 if m == "LEAF" else MODES.index(m) for m in modes]),
        branches["true"],
        branches["false"],
        np.array(attr(node, "nodes_missing_value_tracks_true") or [0] * count, bool) & ~leaf,
        roots,
        _depth(roots, branches["true"], branches["false"], leaf),
        weights.astype(np.float32),
        held,
    )


def _depth(roots: np.ndarray, true: np.ndarray, false: np.ndarray, leaf: np.ndarray) -> int:
    level, depth = set(roots.tolist()), 0
    while inner := [i for i in level if not leaf[i]]:
        level, depth = {int(c[i]) for i in inner for c in (true, false)}, depth + 1
        if depth > len(leaf):
            raise ValueError("the nodes of a tree form a circle")
    return depth


def leaves(op: Any, x: ir.Value, trees: Forest) -> Any:
    """The node each row of `x` ends at in each tree, [rows, trees]: one level of all trees at a time."""
    x = x if x.dtype == ir.DataType.FLOAT else op.Cast(x, to=FLOAT)
    rows, width = lengths(op, x)
    first = op.Unsqueeze(op.Mul(arange(op, rows), width), [1])
    flat = op.Reshape(x, [-1])
    zero = op.Mul(first, op.const(np.array(0, np.int64)))
    at = op.Add(zero, op.const(trees.roots[None].astype(np.int64)))
    table = {name: op.const(getattr(trees, name)) for name in ("value", "feature", "true", "false")}
    for _ in range(trees.depth):
        feature = op.Gather(flat, op.Add(first, op.Gather(table["feature"], at)))
        taken = _compared(op, feature, op.Gather(table["value"], at), trees, at)
        at = op.Where(taken, op.Gather(table["true"], at), op.Gather(table["false"], at))
    return at


def _compared(op: Any, x: Any, threshold: Any, trees: Forest, at: Any) -> Any:
    tests = (
        op.LessOrEqual,
        op.Less,
        op.GreaterOrEqual,
        op.Greater,
        op.Equal,
        lambda a, b: op.Not(op.Equal(a, b)),
    )
    inner = trees.mode[trees.true != trees.false]
    modes = sorted(set(inner.tolist())) or [0]
    result = tests[modes[0]](x, threshold)
    mode = op.Gather(op.const(trees.mode.astype(np.int64)), at) if len(modes) > 1 else None
    for other in modes[1:]:
        chosen = op.Equal(mode, op.const(np.array(other, np.int64)))
        result = op.Where(chosen, tests[other](x, threshold), result)
    if trees.missing.any():
        tracks = op.Equal(
            op.Gather(op.const(trees.missing.astype(np.int64)), at), op.const(np.array(1, np.int64))
        )
        result = op.Or(result, op.And(tracks, op.Not(op.Equal(x, x))))
    return result


def scores(op: Any, x: ir.Value, trees: Forest, aggregate: str, base: list[float]) -> Any:
    """[rows, targets]: what the leaves give each target together, and the base values."""
    at = leaves(op, x, trees)
    given = trees.weights
    if aggregate in ("MIN", "MAX"):
        given = np.where(trees.held, given, np.float32(np.inf if aggregate == "MIN" else -np.inf))
        reduced = op.node(f"Reduce{aggregate.title()}", op.Gather(op.const(given), at), [1], keepdims=0)
        total = op.Where(op.IsInf(reduced), op.const(np.array(0, np.float32)), reduced)
    else:
        total = op.ReduceSum(op.Gather(op.const(given), at), [1], keepdims=0)
        if aggregate == "AVERAGE":
            total = op.Div(total, float(len(trees.roots)))
    return op.Add(total, op.const(np.array(base, np.float32))) if base and any(base) else total


def transformed(op: Any, value: Any, name: str) -> Any:
    """The post transform of scores [rows, targets]."""
    if name == "LOGISTIC":
        return op.Sigmoid(value)
    if name == "SOFTMAX":
        return op.Softmax(value, axis=-1)
    if name == "SOFTMAX_ZERO":
        absent = op.Equal(value, op.const(np.array(0, np.float32)))
        powers = op.Exp(op.Sub(value, op.ReduceMax(value, [1])))
        kept = op.Where(absent, op.const(np.array(0, np.float32)), powers)
        return op.Div(kept, op.ReduceSum(kept, [1]))
    return value


@ops.op(
    f"{ML}::TreeEnsembleRegressor",
    needs=(
        TABLE,
        COMPARED,
        NO_TENSORS,
        attribute("post_transform", "NONE"),
        attribute("aggregate_function", "SUM", "AVERAGE", "MIN", "MAX"),
    ),
)
def tree_regressor(op, node, x):
    targets = attr(node, "n_targets", 1)
    base = attr(node, "base_values") or []
    if len(base) not in (0, targets):
        return NotImplemented
    return scores(op, x, forest(node, "target", targets), attr(node, "aggregate_function", "SUM"), base)


def several_classes(node: ir.Node) -> bool:
    labels = attr(node, "classlabels_int64s") or []
    base = attr(node, "base_values") or []
    return len(labels) > 2 and len(base) in (0, len(labels))


def one_of_two(node: ir.Node) -> bool:
    """Two classes, of which the weights speak of one."""
    labels = attr(node, "classlabels_int64s") or []
    one = len(set(attr(node, "class_ids") or [])) == 1 and len(attr(node, "base_values") or []) < 2
    return len(labels) == 2 and one and attr(node, "post_transform", "NONE") in ("NONE", "LOGISTIC")


CLASSIFIED = (TABLE, COMPARED, NO_TENSORS)


@ops.op(
    f"{ML}::TreeEnsembleClassifier",
    needs=(
        *CLASSIFIED,
        condition("three or more integer classes", several_classes),
        attribute("post_transform", "NONE", "SOFTMAX", "LOGISTIC"),
    ),
)
def tree_classifier(op, node, x):
    labels = attr(node, "classlabels_int64s")
    trees = forest(node, "class", len(labels))
    total = scores(op, x, trees, "SUM", attr(node, "base_values") or [])
    best = op.ArgMax(total, axis=1, keepdims=0)
    return op.Gather(op.const(np.array(labels, np.int64)), best), transformed(
        op, total, attr(node, "post_transform", "NONE")
    )


@ops.op(
    f"{ML}::TreeEnsembleClassifier",
    needs=(*CLASSIFIED, condition("two integer classes, one of them weighed, and no softmax", one_of_two)),
)
def binary_classifier(op, node, x):
    """The score s of one class says both: [1 - s, s] where no weight is negative, else [-s, s]."""
    weighed = attr(node, "class_ids")[0]
    trees = forest(node, "class", 2)
    trees.weights = trees.weights[:, weighed : weighed + 1]
    total = scores(op, x, trees, "SUM", attr(node, "base_values") or [])
    positive = bool((np.array(attr(node, "class_weights")) >= 0).all())
    second = op.Squeeze(op.Greater(total, 0.5 if positive else 0.0), [1])
    labels = [op.const(np.array(v, np.int64)) for v in attr(node, "classlabels_int64s")]
    label = op.Where(second, labels[1], labels[0])
    logistic = attr(node, "post_transform", "NONE") == "LOGISTIC"
    if logistic and positive:
        return NotImplemented
    both = op.Concat(op.Sub(1.0, total) if positive else op.Neg(total), total, axis=1)
    return label, op.Sigmoid(both) if logistic else both


@ops.op(
    f"{ML}::ArrayFeatureExtractor", needs=(condition("a known rank", lambda n: bool(rank_of(n.inputs[0]))),)
)
def array_feature_extractor(op, node, x, indices):
    """The named places of the last axis; a vector is one row."""
    row = op.Unsqueeze(x, [0]) if rank_of(x) == 1 else x
    return op.Gather(row, op.Reshape(indices, [-1]), axis=rank_of(row) - 1)


@ops.op(f"{ML}::Binarizer")
def binarizer(op, node, x):
    return op.Cast(op.Greater(x, op.const(attr(node, "threshold", 0.0), x.dtype)), to=int(x.dtype))


@ops.op(f"{ML}::Scaler", needs=(COMPARED,))
def scaler(op, node, x):
    """(x - offset) · scale."""
    x = x if x.dtype == ir.DataType.FLOAT else op.Cast(x, to=FLOAT)
    offset, scale = (np.array(attr(node, name), np.float32) for name in ("offset", "scale"))
    return op.Mul(op.Sub(x, op.const(offset)), op.const(scale))


@ops.op(f"{ML}::LinearRegressor", needs=(TABLE, COMPARED, attribute("post_transform", "NONE")))
def linear_regressor(op, node, x):
    x = x if x.dtype == ir.DataType.FLOAT else op.Cast(x, to=FLOAT)
    targets = attr(node, "targets", 1)
    table = np.array(attr(node, "coefficients"), np.float32).reshape(targets, -1)
    result = op.MatMul(x, op.const(np.ascontiguousarray(table.T)))
    bias = attr(node, "intercepts")
    return op.Add(result, op.const(np.array(bias, np.float32))) if bias else result
