"""NaiveBayesModel: logarithms of counts and densities, added up by class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import expressions, special
from bridge_pmml.fields import Scope
from bridge_pmml.import_ops.regression import softmax
from bridge_pmml.reader import Element, child, children, describe, need_child, number, text
from bridge_pmml.results import Result, classified, target_labels
from bridge_pmml.values import Val, parse

ops = OpTable()


def read_counts(node: Element) -> dict[str, float]:
    return {
        text(c, "value"): number(c, "count")
        for c in children(need_child(node, "TargetValueCounts"), "TargetValueCount")
    }


@ops.op("NaiveBayesModel")
def naive_bayes(scope: Scope, node: Element) -> Result:
    """P(class) · Π P(input | class), in logarithms; an input that is missing is left out."""
    columns, op = scope.columns, scope.columns.op
    threshold = number(node, "threshold")
    output = child(node, "BayesOutput")
    inputs = children(need_child(node, "BayesInputs"), "BayesInput")
    totals = (
        read_counts(output) if output is not None and child(output, "TargetValueCounts") is not None else {}
    )
    labels, data_type = target_labels(scope, node, [*totals, *_target_values(inputs)])
    keys = [parse(v, data_type) for v in labels]
    totals = totals or target_counts(node, inputs)
    prior = {parse(v, data_type): c for v, c in totals.items()}
    with np.errstate(divide="ignore"):
        total = op.const(np.log(np.array([[prior.get(k, 0.0) for k in keys]])))
    for each in inputs:
        val = _input_column(scope, each)
        stats = child(each, "TargetValueStats")
        part = (
            _log_densities(scope, val, stats, keys, data_type, threshold)
            if stats is not None
            else _log_probabilities(scope, val, each, keys, data_type, threshold)
        )
        gone = columns.missing(val)
        if gone is not False:
            part = op.Where(columns.mask_column(gone), columns.scalar(0.0), part)
        total = op.Add(total, part)
    if total.shape is not None and total.shape[0] == 1:
        total = op.Add(columns.constant(0.0).tensor, total)
    return classified(columns, softmax(op, total), labels, data_type)


def target_counts(node: Element, inputs: list[Element]) -> dict[str, float]:
    """Counts of the target, where BayesOutput lacks them: every discrete input counts each record once.

    Raises UnreadableFile where there is none, or they disagree.
    """
    counts_by_input: list[dict[str, float]] = []
    for each in inputs:
        pairs = [read_counts(p) for p in children(each, "PairCounts")]
        if pairs:
            counts_by_input.append(
                {v: sum(p.get(v, 0.0) for p in pairs) for v in dict.fromkeys(v for p in pairs for v in p)}
            )
    if not counts_by_input or any(f != counts_by_input[0] for f in counts_by_input):
        raise UnreadableFile(f"{describe(node)} has no counts of its target.")
    return counts_by_input[0]


def _target_values(inputs: list[Element]) -> list[str]:
    return [
        c.get("value")
        for i in inputs
        for c in i.iter("TargetValueCount", "TargetValueStat")
        if c.get("value")
    ]


def _input_column(scope: Scope, node: Element) -> Val:
    derived = child(node, "DerivedField")
    return scope.get(text(node, "fieldName")) if derived is None else expressions.derived(scope, derived)


def _log_probabilities(
    scope: Scope, val: Val, node: Element, keys: list[Any], data_type: str, threshold: float
) -> Any:
    """log P(value | class) by counts; the threshold for what never occurred."""
    columns, op = scope.columns, scope.columns.op
    pairs = children(node, "PairCounts")
    table = np.zeros((len(pairs), len(keys)))
    for row, pair in enumerate(pairs):
        counts = {parse(v, data_type): c for v, c in read_counts(pair).items()}
        table[row] = [counts.get(k, 0.0) for k in keys]
    with np.errstate(divide="ignore", invalid="ignore"):
        probabilities = np.where(table > 0, table / table.sum(axis=0), threshold)
        logs = np.log(np.concatenate([probabilities, np.full((1, len(keys)), threshold)]))
    indices = columns.category_index(val, [parse(text(p, "value"), val.data_type) for p in pairs], len(pairs))
    return op.Gather(op.const(logs), op.Squeeze(indices, np.array([1])), axis=0)


def _log_densities(
    scope: Scope, val: Val, stats: Element, keys: list[Any], data_type: str, threshold: float
) -> Any:
    """log of the density of each class; at least the threshold since PMML 4.2, which defined continuous
    inputs."""
    columns, op = scope.columns, scope.columns.op
    stats_of_class = {parse(text(s, "value"), data_type): s for s in children(stats, "TargetValueStat")}
    x, parts = columns.to_number(val).tensor, []
    for key in keys:
        if key not in stats_of_class:
            raise UnreadableFile(f"{describe(stats)} has no distribution for the class {key!r}.")
        parts.append(density(columns, x, stats_of_class[key]))
    densities = op.Concat(*parts, axis=1)
    version = stats.getroottree().getroot().get("version", "4.4")
    if version < "4.2":
        return op.Log(densities)
    floor = columns.scalar(threshold)
    return op.Log(op.Where(op.Less(densities, floor), floor, densities))


def density(columns: Any, x: Any, node: Element) -> Any:
    """Gaussian or Poisson density of a column."""
    op = columns.op
    normal, poisson = child(node, "GaussianDistribution"), child(node, "PoissonDistribution")
    if normal is not None:
        mean, variance = number(normal, "mean"), number(normal, "variance")
        gap = op.Sub(x, columns.scalar(mean))
        bell = special.exp(op, op.Mul(op.Mul(gap, gap), columns.scalar(-0.5 / variance)))
        return op.Mul(bell, columns.scalar(1 / math.sqrt(2 * math.pi * variance)))
    if poisson is not None:
        mean = number(poisson, "mean")
        table = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(1024)]
        in_table = op.And(
            op.Equal(op.Floor(x), x),
            op.And(op.GreaterOrEqual(x, columns.scalar(0.0)), op.Less(x, columns.scalar(1024.0))),
        )
        indices = op.Cast(op.Where(in_table, x, columns.scalar(0.0)), to=7)
        return op.Where(in_table, op.Gather(op.const(np.array(table)), indices, axis=0), columns.scalar(0.0))
    raise UnreadableFile(f"{describe(node)} has no distribution that naive Bayes takes.")
