"""RegressionModel: sums of terms, and the normalizations that turn them into probabilities."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import special
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, children, describe, number, text
from bridge_pmml.results import Result, classified, target_labels, target_name
from bridge_pmml.values import Columns, parse

ops = OpTable()
LINKS = ("logit", "probit", "cloglog", "loglog", "cauchit")


def sigmoid(op: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)), as PMML writes it."""
    one = special.double(op, 1.0)
    return op.Div(one, op.Add(one, special.exp(op, op.Neg(x))))


def inverse_link(columns: Columns, name: str, x: Any, node: Element) -> Any:
    """The inverse of a link function, of a double column or matrix."""
    op, one = columns.op, columns.scalar(1.0)
    if name in ("none", "identity"):
        return x
    if name in ("logit", "softmax"):
        return sigmoid(op, x)
    if name == "exp":
        return special.exp(op, x)
    if name == "probit":
        return special.normal_cdf(op, x)
    if name == "cloglog":
        return op.Sub(one, special.exp(op, op.Neg(special.exp(op, x))))
    if name == "loglog":
        return special.exp(op, op.Neg(special.exp(op, op.Neg(x))))
    if name == "cauchit":
        return op.Add(columns.scalar(0.5), op.Mul(columns.scalar(1 / math.pi), special.atan(op, x)))
    raise UnreadableFile(f"{describe(node)}: the normalization {name!r} is unknown.")


def softmax(op: Any, matrix: Any) -> Any:
    """exp(y_i) / Σ exp(y_j), the largest taken off first."""
    top = op.ReduceMax(matrix, np.array([1]))
    raised = special.exp(op, op.Sub(matrix, top))
    return op.Div(raised, op.ReduceSum(raised, np.array([1])))


def table_score(scope: Scope, table: Element) -> Any:
    """A RegressionTable's sum, double [N, 1]; missing where a numeric predictor is."""
    columns, op = scope.columns, scope.columns.op
    total = columns.constant(number(table, "intercept", 0.0)).tensor
    simple = [p for p in children(table, "NumericPredictor") if number(p, "exponent", 1.0) == 1.0]
    if simple:
        weights = np.array([[number(p, "coefficient")] for p in simple])
        matrix = columns.concat_numbers([scope.get(text(p, "name")) for p in simple])
        total = op.Add(total, op.MatMul(matrix, op.const(weights)))
    for predictor in children(table, "NumericPredictor"):
        exponent = number(predictor, "exponent", 1.0)
        if exponent != 1.0:
            x = columns.to_number(scope.get(text(predictor, "name"))).tensor
            raised = op.Where(op.IsNaN(x), x, op.Pow(x, columns.scalar(exponent)))
            total = op.Add(total, op.Mul(columns.scalar(number(predictor, "coefficient")), raised))
    groups: dict[str, dict[Any, float]] = {}
    for predictor in children(table, "CategoricalPredictor"):
        name = text(predictor, "name")
        entries = groups.setdefault(name, {})
        key = parse(text(predictor, "value"), scope.get(name).data_type)
        entries[key] = entries.get(key, 0.0) + number(predictor, "coefficient")
    for name, entries in groups.items():
        total = op.Add(total, columns.lookup(scope.get(name), entries, 0.0, 0.0).tensor)
    for term in children(table, "PredictorTerm"):
        product = columns.scalar(number(term, "coefficient"))
        for ref in children(term, "FieldRef"):
            product = op.Mul(product, columns.to_number(scope.get(text(ref, "field"))).tensor)
        total = op.Add(total, product)
    return total


def is_zero_table(table: Element) -> bool:
    """A table that is 0 whatever the record."""
    return not len(table) and number(table, "intercept", 0.0) == 0.0


@ops.op("RegressionModel")
def regression_model(scope: Scope, node: Element) -> Result:
    columns, tables = scope.columns, children(node, "RegressionTable")
    method = node.get("normalizationMethod", "none")
    if not tables:
        raise UnreadableFile(f"{describe(node)} has no RegressionTable.")
    if node.get("functionName") != "classification":
        if method == "simplemax":
            raise UnreadableFile(f"{describe(node)}: simplemax normalizes classes alone.")
        return Result(
            "regression", columns.number(inverse_link(columns, method, table_score(scope, tables[0]), node))
        )
    categories = [text(t, "targetCategory") for t in tables]
    labels, data_type = target_labels(scope, node, categories)
    name = target_name(node)
    declared = scope.declared(name) if name else None
    if len(tables) < 2:
        raise UnreadableFile(f"{describe(node)} has one RegressionTable for its classes.")
    if len(tables) == 2 and is_zero_table(tables[0]) and not is_zero_table(tables[1]):
        tables, categories = tables[::-1], categories[::-1]
    scores = [table_score(scope, t) for t in tables]
    probabilities = normalize_scores(columns, node, method, scores, bool(declared and declared.ordinal))
    matrix = reorder_columns(columns, probabilities, categories, labels, data_type)
    return classified(columns, matrix, labels, data_type)


def normalize_scores(columns: Columns, node: Element, method: str, scores: list[Any], ordinal: bool) -> Any:
    """Probabilities of the tables' categories, [N, tables]."""
    op = columns.op
    if ordinal and method not in ("softmax", "simplemax"):
        raised = [inverse_link(columns, method, s, node) for s in scores[:-1]]
        steps = [raised[0], *(op.Sub(b, a) for a, b in itertools.pairwise(raised))]
        return op.Concat(*steps, op.Sub(columns.scalar(1.0), raised[-1]), axis=1)
    if method == "softmax":
        return softmax(op, op.Concat(*scores, axis=1))
    if method == "simplemax":
        matrix = op.Concat(*scores, axis=1)
        return op.Div(matrix, op.ReduceSum(matrix, np.array([1])))
    if len(scores) == 2:
        first = inverse_link(columns, method, scores[0], node)
        if method == "none":
            first = special.clamped(op, first, 0.0, 1.0)
        return op.Concat(first, op.Sub(columns.scalar(1.0), first), axis=1)
    if method == "none":
        rest = scores[0]
        for each in scores[1:-1]:
            rest = op.Add(rest, each)
        return op.Concat(*scores[:-1], op.Sub(columns.scalar(1.0), rest), axis=1)
    raised_all = op.Concat(*(inverse_link(columns, method, s, node) for s in scores), axis=1)
    return op.Div(raised_all, op.ReduceSum(raised_all, np.array([1])))


def reorder_columns(
    columns: Columns, matrix: Any, categories: list[str], labels: tuple[str, ...], data_type: str
) -> Any:
    """Columns of `categories` put in the order of `labels`; labels without a column get 0."""
    column_of = {parse(c, data_type): i for i, c in enumerate(categories)}
    wanted = [column_of.get(parse(label, data_type)) for label in labels]
    if wanted == list(range(len(categories))):
        return matrix
    zero = columns.op.Mul(columns.gather_column(matrix, 0), columns.scalar(0.0))
    return columns.op.Concat(
        *(zero if i is None else columns.gather_column(matrix, i) for i in wanted), axis=1
    )
