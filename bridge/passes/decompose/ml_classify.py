"""Classifiers of ai.onnx.ml: scores by simpler operators, then the class; and support vector machines.

Where the specification is silent, ONNX Runtime decides: which of two classes a single score is for, and how
it is turned into two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape
from bridge.hub import attr, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML, numbers, post_transformed

ops = OpTable()

MATRIX = condition("a matrix of records", lambda n: rank_of(n.inputs[0]) == 2)
TREE = ("nodes_", "aggregate")


def labels_of(node: ir.Node) -> np.ndarray:
    """The classes: int64, or text."""
    for name in ("classlabels_int64s", "classlabels_ints"):
        if attr(node, name):
            return np.array(attr(node, name), np.int64)
    return np.array(attr(node, "classlabels_strings") or [], object)


def largest(op: Any, scores: ir.Value, labels: np.ndarray) -> ir.Value:
    """The class of the largest score of each row, the first of several."""
    return op.Gather(op.const(labels), op.ArgMax(scores, axis=1, keepdims=0), axis=0)


def either(op: Any, scores: ir.Value, bound: float, labels: np.ndarray) -> ir.Value:
    """The second of two classes where the only score is above a bound."""
    second = op.Greater(reshape(op, scores, lengths(op, scores)[:1]), op.const(bound, scores.dtype))
    return op.Gather(op.const(labels), op.Cast(second, to=7), axis=0)


def two_sided(op: Any, node: ir.Node, score: ir.Value, shares: bool) -> ir.Value:
    """Both classes' entries from the score of the second: logistic, complementary shares, or opposite
    signs."""
    if attr(node, "post_transform") == "LOGISTIC":
        return op.Concat(op.Sigmoid(op.Neg(score)), op.Sigmoid(score), axis=1)
    return op.Concat(op.Sub(1.0, score) if shares else op.Neg(score), score, axis=1)


def sides(node: ir.Node) -> set[int]:
    return set(attr(node, "class_ids"))


def leaves_weigh_both(node: ir.Node) -> bool:
    entries = set(
        zip(attr(node, "class_treeids"), attr(node, "class_nodeids"), attr(node, "class_ids"), strict=True)
    )
    leaves = {(t, n) for t, n, _ in entries}
    return len(entries) == 2 * len(leaves)


def decided(node: ir.Node) -> bool:
    """Several classes; or two whose leaves weigh the first alone, the second alone, or all of them both."""
    if len(labels_of(node)) != 2:
        return len(labels_of(node)) > 2
    post_transform, base = attr(node, "post_transform"), numbers(node, "base_values")
    if sides(node) == {0}:
        return len(base) < 2 and post_transform != "PROBIT"
    if sides(node) == {1}:
        return not len(base) and post_transform in ("NONE", "LOGISTIC", "SOFTMAX")
    return leaves_weigh_both(node) and len(base) < 2 and labels_of(node).dtype != object


@ops.op(
    f"{ML}::TreeEnsembleClassifier",
    needs=(MATRIX, condition("several classes, or two weighed one way throughout", decided)),
)
def tree_classifier(op, node, x):
    """The trees as a regression of a target per class."""
    labels = labels_of(node)
    single = len(labels) == 2 and len(sides(node)) == 1
    attributes = {
        n: a for n, a in node.attributes.items() if n.startswith(TREE) or n.startswith("base_values")
    }
    target_attributes = {
        n.replace("class_", "target_"): a for n, a in node.attributes.items() if n.startswith("class_")
    }
    regressor = ir.Node(
        ML,
        "TreeEnsembleRegressor",
        [x],
        [renamed(a, n) for n, a in {**attributes, **target_attributes}.items()],
    )
    if single:
        regressor.attributes["target_ids"] = ir.AttrInt64s("target_ids", [0] * len(attr(node, "class_ids")))
    elif len(labels) == 2 and len(numbers(node, "base_values")) == 1:
        base = [float(numbers(node, "base_values")[0]), 0.0]
        regressor.attributes.pop("base_values_as_tensor", None)
        regressor.attributes["base_values"] = ir.AttrFloat32s("base_values", base)
    regressor.attributes["n_targets"] = ir.AttrInt64("n_targets", 1 if single else len(labels))
    regressor.outputs[0].type, regressor.outputs[0].shape = (
        ir.TensorType(ir.DataType.FLOAT),
        ir.Shape([x.shape[0], 1 if single else len(labels)]),
    )
    scores = op.insert(regressor)
    if len(labels) > 2:
        return largest(op, scores, labels), op.Identity(post_transformed(op, node, scores))
    weights, base = numbers(node, "class_weights"), numbers(node, "base_values")
    positive = weights.min() >= 0 and (not len(base) or base.min() >= 0)
    if not single:
        second = op.Gather(scores, np.array([1]), axis=1)
        return either(op, second, 0.0, np.array([0, 1])), op.Identity(post_transformed(op, node, scores))
    label = either(op, scores, 0.5 if positive else 0.0, labels)
    if sides(node) == {0}:
        return label, two_sided(op, node, scores, bool(positive))
    both = op.Concat(op.Mul(scores, op.const(0.0, scores.dtype)), scores, axis=1)
    return label, op.Identity(post_transformed(op, node, both))


def renamed(attribute: ir.Attr, name: str) -> ir.Attr:
    return ir.Attr(name, attribute.type, attribute.value)


def has_supported_scores(node: ir.Node) -> bool:
    labels, count = len(labels_of(node)), len(attr(node, "intercepts") or [])
    return count == labels > 1 or (labels == 2 and count == 1 and attr(node, "post_transform") != "PROBIT")


@ops.op(
    f"{ML}::LinearClassifier",
    needs=(
        MATRIX,
        dtype("float", "double", "int32", "int64"),
        condition("a score per class, or one for two classes, each with its intercept", has_supported_scores),
    ),
)
def linear_classifier(op, node, x):
    labels, intercepts = labels_of(node), np.array(attr(node, "intercepts"), np.float32)
    weights = np.array(attr(node, "coefficients"), np.float32).reshape(len(intercepts), -1).T
    product = op.MatMul(op.Cast(x, to=1), op.const(np.ascontiguousarray(weights)))
    scores = op.Add(product, op.const(intercepts))
    if len(intercepts) == 1:
        return either(op, scores, 0.0, labels), two_sided(op, node, scores, True)
    return largest(op, scores, labels), op.Identity(post_transformed(op, node, scores))


def kernel_products(op: Any, node: ir.Node, x: ir.Value, vectors: np.ndarray) -> ir.Value:
    """The kernel of every row of x with every vector, [N, vectors]."""
    kernel_type = attr(node, "kernel_type")
    gamma, coef0, degree = (attr(node, "kernel_params") or [1.0, 0.0, 1.0])[:3]
    if kernel_type == "RBF":
        gaps = op.Sub(op.Unsqueeze(x, [1]), op.const(vectors[None]))
        return op.Exp(op.Mul(op.ReduceSum(op.Mul(gaps, gaps), [2], keepdims=0), -float(gamma)))
    product = op.MatMul(x, op.const(np.ascontiguousarray(vectors.T)))
    if kernel_type == "LINEAR":
        return product
    inner = op.Add(op.Mul(product, float(gamma)), float(coef0))
    return op.Tanh(inner) if kernel_type == "SIGMOID" else op.Pow(inner, float(degree))


@ops.op(
    f"{ML}::SVMRegressor",
    needs=(
        MATRIX,
        dtype("float"),
        condition(
            "one rho, and post_transform NONE, as ONNX Runtime leaves a single value whatever it says",
            lambda n: attr(n, "post_transform") == "NONE" and len(attr(n, "rho") or []) == 1,
        ),
    ),
)
def svm_regressor(op, node, x):
    """Σ coefficient · K(vector, x) + rho; of one class, 1 where that is positive and -1 elsewhere."""
    weights, count = np.array(attr(node, "coefficients"), np.float32), attr(node, "n_supports")
    if count:
        vectors = np.array(attr(node, "support_vectors"), np.float32).reshape(count, -1)
        value = op.MatMul(kernel_products(op, node, x, vectors), op.const(weights[:, None]))
    else:
        value = op.MatMul(x, op.const(weights[:, None]))
    value = op.Add(value, float(attr(node, "rho")[0]))
    if attr(node, "one_class"):
        return op.Where(op.Greater(value, 0.0), op.const(np.float32(1)), op.const(np.float32(-1)))
    return value


def voted(node: ir.Node) -> bool:
    two = len(labels_of(node)) == 2
    posts = ("NONE", "LOGISTIC") if two else ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
    known = attr(node, "post_transform") in posts
    return known and not attr(node, "prob_a") and bool(attr(node, "support_vectors"))


@ops.op(
    f"{ML}::SVMClassifier",
    needs=(
        MATRIX,
        dtype("float", "double", "int32", "int64"),
        condition(
            "support vectors, no fitted probabilities, and post_transform NONE or LOGISTIC (SOFTMAX)", voted
        ),
    ),
)
def svm_classifier(op, node, x):
    """A machine for each pair of classes; each votes, and the first class of most votes wins."""
    labels, counts = labels_of(node), attr(node, "vectors_per_class")
    starts = np.concatenate([[0], np.cumsum(counts)])
    vectors = np.array(attr(node, "support_vectors"), np.float32).reshape(starts[-1], -1)
    table = np.array(attr(node, "coefficients"), np.float32).reshape(len(counts) - 1, -1)
    x = op.Cast(x, to=1)
    values, votes, pair = [], None, 0
    for i in range(len(counts)):
        for j in range(i + 1, len(counts)):
            mine, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            weights = np.concatenate([table[j - 1, mine], table[i, other]])
            pair_vectors = np.concatenate([vectors[mine], vectors[other]])
            value = machine(op, node, x, pair_vectors, weights, attr(node, "rho")[pair])
            wins = op.Cast(op.Greater(value, op.const(np.float32(0))), to=1)
            first, second = (op.const(np.eye(len(counts), dtype=np.float32)[[k]]) for k in (i, j))
            vote = op.Add(op.Mul(wins, first), op.Mul(op.Sub(1.0, wins), second))
            votes = vote if votes is None else op.Add(votes, vote)
            values.append(value)
            pair += 1
    label = largest(op, votes, labels)
    if len(counts) == 2:
        return label, two_sided(op, node, values[0], False)
    return label, op.Identity(post_transformed(op, node, op.Concat(*values, axis=1)))


def machine(
    op: Any, node: ir.Node, x: ir.Value, vectors: np.ndarray, weights: np.ndarray, rho: float
) -> ir.Value:
    """One pair's value as a regression."""
    return op.node(
        "SVMRegressor",
        x,
        _domain=ML,
        _dtype=ir.DataType.FLOAT,
        _shape=[next(iter(x.shape or [None])), 1],
        kernel_type=attr(node, "kernel_type"),
        kernel_params=attr(node, "kernel_params"),
        support_vectors=vectors.ravel().tolist(),
        coefficients=weights.tolist(),
        n_supports=len(vectors),
        rho=[float(rho)],
    )


@ops.op(
    f"{ML}::FeatureVectorizer",
    needs=(
        condition(
            "numbers in rows",
            lambda n: all(
                rank_of(v) in (1, 2) and v.dtype is not None and v.dtype != ir.DataType.STRING
                for v in n.inputs
            ),
        ),
    ),
)
def feature_vectorizer(op, node, *inputs):
    """Inputs side by side as floats, each as many columns as its inputdimensions say."""
    widths = attr(node, "inputdimensions") or []
    columns = []
    for value, width in zip(inputs, widths, strict=False):
        wide = op.Cast(value, to=1)
        wide = op.Unsqueeze(wide, [1]) if rank_of(value) == 1 else wide
        own = wide.shape[1] if wide.shape is not None else None
        if not isinstance(own, int):
            return NotImplemented
        if own < width:
            return NotImplemented
        columns.append(wide if own == width else op.Slice(wide, [0], [width], [1]))
    return op.Concat(*columns, axis=1) if len(columns) == len(inputs) else NotImplemented
