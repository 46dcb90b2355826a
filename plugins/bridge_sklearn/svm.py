"""Support vector machines of libsvm: kernels against the support vectors, in double."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_sklearn.graphs import Outputs, PartBuilder, Unwritten, gather_labels, side_by_side
from bridge_sklearn.linear import fine_sigmoid
from bridge_sklearn.trees import inliers

ROUNDS, ROUNDS_OF_TWO, MOST_CLASSES = 8, 2, 16
"""Steps of the coupling that are written out; that of two classes ends within two, wherever it starts."""


def kernel_values(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """The kernel of each record with each support vector, [N, vectors]. Distances are sums of squared
    differences, as libsvm's. Raises Unwritten for kernels that are functions or matrices."""
    if not isinstance(src.kernel, str) or src.kernel == "precomputed":
        raise Unwritten("its kernel is a function or a matrix of the user's")
    vectors = src.support_vectors_
    vectors = np.asarray(vectors.todense() if hasattr(vectors, "todense") else vectors, np.float64)
    if src.kernel == "rbf":
        gaps = op.Sub(op.Unsqueeze(x, np.array([1])), op.const(vectors[None]))
        square = op.ReduceSum(op.Mul(gaps, gaps), np.array([2]), keepdims=0)
        return op.Exp(op.Mul(square, op.const(np.array(-float(src._gamma)))))
    products = op.MatMul(x, op.const(np.ascontiguousarray(vectors.T)))
    if src.kernel == "linear":
        return products
    scaled = op.Add(op.Mul(products, op.const(np.array(float(src._gamma)))), op.const(np.array(src.coef0)))
    return (
        op.Tanh(scaled) if src.kernel == "sigmoid" else op.Pow(scaled, op.const(np.array(float(src.degree))))
    )


def pair_scores(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """Score of each machine, [N, pairs of classes]: above zero for the first of them; or one machine's
    prediction, [N, 1]."""
    duals = src._dual_coef_
    duals = np.asarray(duals.todense() if hasattr(duals, "todense") else duals, np.float64)
    weights = pair_weights(duals, src._n_support) if hasattr(src, "classes_") else duals.T
    offsets = np.asarray(src._intercept_, np.float64).reshape(1, -1)
    return op.Add(op.MatMul(kernel_values(op, src, x), op.const(weights)), op.const(offsets))


def pair_weights(duals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of the support vectors in the machine of each pair of classes, [vectors, pairs]."""
    ends = np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    weights = np.zeros((int(ends[-1]), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        weights[parts[i], column] = duals[j - 1, parts[i]]
        weights[parts[j], column] = duals[i, parts[j]]
    return weights


def pair_signs(count: int) -> np.ndarray:
    """For each pair of classes 1 for its first and -1 for its second, [pairs, classes]."""
    pairs = list(itertools.combinations(range(count), 2))
    signs = np.zeros((len(pairs), count))
    for row, (low, high) in enumerate(pairs):
        signs[row, low], signs[row, high] = 1.0, -1.0
    return signs


def votes_of(op: hub.Builder, pairs: ir.Value, count: int) -> ir.Value:
    """Number of machines that choose each class, [N, classes]: the first of a pair above zero."""
    signs = pair_signs(count)
    first = op.Cast(op.Greater(pairs, op.const(np.array(0.0))), to=int(ir.DataType.DOUBLE))
    base = (signs < 0).sum(axis=0, keepdims=True).astype(np.float64)
    return op.Add(op.MatMul(first, op.const(signs)), op.const(base))


def svm_scores(op: hub.Builder, src: Any, x: ir.Value) -> ir.Value:
    """The decision function: [N, 1] of two classes, above zero for the second; by pairs of classes, or the
    votes of each with the sum of its confidences."""
    pairs = pair_scores(op, src, x)
    if not hasattr(src, "classes_"):
        return pairs
    count = len(src.classes_)
    if count == 2:
        return op.Neg(pairs)
    return pairs if src.decision_function_shape == "ovo" else ranked_votes(op, pairs, count)


def ranked_votes(op: hub.Builder, pairs: ir.Value, count: int) -> ir.Value:
    """Votes of each class, plus c / 3 (|c| + 1) of the sum c of its confidences, [N, classes]."""
    total = op.MatMul(pairs, op.const(pair_signs(count)))
    scale = op.Mul(op.Add(op.Abs(total), op.const(np.array(1.0))), op.const(np.array(3.0)))
    against = op.Cast(op.Less(pairs, op.const(np.array(0.0))), to=int(ir.DataType.DOUBLE))
    signs = pair_signs(count)
    base = op.const((signs > 0).sum(axis=0, keepdims=True).astype(np.float64))
    return op.Add(op.Add(op.MatMul(against, op.const(-signs)), base), op.Div(total, scale))


def svc(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """The class most machines choose, the first of those, and the decision function, or the probabilities."""
    count = len(src.classes_)
    pairs = pair_scores(op, src, x)
    shares = {"probabilities": coupled(op, src, pairs)} if src._effective_probability else None
    if count == 2:
        second = op.Cast(op.LessOrEqual(pairs, op.const(np.array(0.0))), to=int(ir.DataType.INT64))
        label = gather_labels(op, src.classes_, op.Squeeze(second, np.array([1])))
        return {"label": label, **(shares or {"scores": side_by_side(op, op.Neg(pairs))})}
    scores = pairs if src.decision_function_shape == "ovo" else ranked_votes(op, pairs, count)
    votes = scores if src.break_ties else votes_of(op, pairs, count)
    label = gather_labels(op, src.classes_, op.ArgMax(votes, axis=1, keepdims=0))
    return {"label": label, **(shares or {"scores": scores})}


def coupled(op: hub.Builder, src: Any, pairs: ir.Value) -> ir.Value:
    """Probabilities of the classes from those of each pair, [N, classes]: the minimum of p·Q·p, as far as
    libsvm's iteration goes (Wu, Lin and Weng 2004, algorithm 2). A record for which it takes longer than
    what is written out is answered by NaN."""
    count = len(src.classes_)
    if count > MOST_CLASSES:
        raise Unwritten(f"it couples the probabilities of {count} classes, of at most {MOST_CLASSES}")
    scaled = op.Add(op.Mul(pairs, op.const(row(src.probA_))), op.const(row(src.probB_)))
    first = op.Clip(fine_sigmoid(op, op.Neg(scaled)), op.const(np.array(1e-7)), op.const(np.array(1 - 1e-7)))
    tables = coupling(op, first, count)
    p: Any = op.Add(
        op.Mul(op.ReduceSum(first, np.array([1]), keepdims=1), op.const(np.array(0.0))),
        op.const(np.full((1, count), 1 / count)),
    )
    for _ in range(ROUNDS_OF_TWO if count == 2 else ROUNDS):
        settled, moved = coupling_step(op, tables, p)
        p = op.Where(settled, p, moved)
    settled, _ = coupling_step(op, tables, p)
    return op.Where(settled, p, op.const(np.array(np.nan)))


def coupling(op: hub.Builder, first: ir.Value, count: int) -> list[ir.Value]:
    """The rows of Q, [N, classes] each, from the probability of the first class of each pair."""
    second = op.Sub(op.const(np.array(1.0)), first)
    parts = op.Concat(op.Mul(first, second), op.Mul(second, second), op.Mul(first, first), axis=1)
    pairs = list(itertools.combinations(range(count), 2))
    rows = []
    for t in range(count):
        weights = np.zeros((3 * len(pairs), count))
        for index, (i, j) in enumerate(pairs):
            if t in (i, j):
                weights[index, i + j - t] = -1.0
                weights[(1 if t == i else 2) * len(pairs) + index, t] = 1.0
        rows.append(op.MatMul(parts, op.const(weights)))
    return rows


def coupling_step(op: hub.Builder, rows: list[ir.Value], p: Any) -> tuple[ir.Value, ir.Value]:
    """True if the iteration ends at `p`, [N, 1], and where it goes else."""
    count = len(rows)
    columns = [op.Mul(op.Gather(p, np.array([t]), axis=1), each) for t, each in enumerate(rows)]
    qp: Any = op.Sum(*columns)
    total: Any = op.ReduceSum(op.Mul(p, qp), np.array([1]), keepdims=1)
    error = op.ReduceMax(op.Abs(op.Sub(qp, total)), np.array([1]), keepdims=1)
    settled = op.Less(error, op.const(np.array(0.005 / count)))
    one = op.const(np.array(1.0))
    for t, each in enumerate(rows):
        own, at = op.Gather(each, np.array([t]), axis=1), op.Gather(qp, np.array([t]), axis=1)
        step = op.Div(op.Sub(total, at), own)
        scale = op.Add(one, step)
        p = op.Div(op.Add(p, op.Mul(step, op.const(np.eye(count)[t : t + 1]))), scale)
        twice = op.Mul(at, op.const(np.array(2.0)))
        grown = op.Add(total, op.Mul(step, op.Add(op.Mul(step, own), twice)))
        total = op.Div(op.Div(grown, scale), scale)
        qp = op.Div(op.Add(qp, op.Mul(step, each)), scale)
    return settled, p


def row(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(1, -1)


def svr(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    return {"variable": pair_scores(op, src, x)}


def one_class(op: PartBuilder, src: Any, x: ir.Value) -> Outputs:
    """-1 for an outlier, whose score is not above zero, else 1."""
    scores = pair_scores(op, src, x)
    return {"label": inliers(op, scores), "scores": scores}
