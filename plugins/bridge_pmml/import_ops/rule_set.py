"""RuleSetModel: the rules that hold, and the first, the heaviest, or the class of most weight among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import predicates
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, child, children, describe, need_child, number, text
from bridge_pmml.results import Result, target_labels
from bridge_pmml.values import logical_and, parse

ops = OpTable()


def flatten_rules(scope: Scope, node: Element, above: Any = True) -> list[tuple[Any, Element]]:
    """Simple rules in order, each with where it and the compound rules around it are true."""
    rules = []
    for rule in children(node, "SimpleRule", "CompoundRule"):
        mask = logical_and(
            above, predicates.evaluate(scope, predicates.predicate_of(rule)).true, scope.columns.op
        )
        rules += [(mask, rule)] if rule.tag == "SimpleRule" else flatten_rules(scope, rule, mask)
    return rules


@ops.op("RuleSetModel")
def rule_set(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    element = need_child(node, "RuleSet")
    method = child(element, "RuleSelectionMethod")
    criterion = method.get("criterion", "firstHit") if method is not None else "firstHit"
    rules = flatten_rules(scope, element)
    scores = [text(r, "score") for _, r in rules]
    default = element.get("defaultScore")
    labels, data_type = target_labels(scope, node, [*scores, *([default] if default is not None else [])])
    fired = op.Concat(*(op.Cast(columns.mask_column(m), to=11) for m, _ in rules), axis=1)
    weights = np.array([number(r, "weight", 1.0) for _, r in rules])
    confidences = [number(r, "confidence", 1.0) for _, r in rules]
    some = op.Greater(op.ReduceMax(fired, np.array([1])), columns.scalar(0.0))
    if criterion == "weightedSum":
        winning_score, sure = sum_weights(scope, fired, weights, scores, labels, data_type)
        ids = None
    elif criterion in ("firstHit", "weightedMax"):
        rule_weights = (
            fired if criterion == "firstHit" else op.Mul(fired, op.const(weights[None] - weights.min() + 1.0))
        )
        best = op.ArgMax(rule_weights, axis=1, keepdims=1)
        winning_score = columns.by_row(best, [parse(s, data_type) for s in scores], data_type)
        sure = columns.by_row(best, confidences)
        ids = columns.by_row(best, [r.get("id", "") for _, r in rules])
    else:
        raise UnreadableFile(f"{describe(element)}: the criterion {criterion!r} is unknown.")
    gap: Any = "" if winning_score.text else math.nan
    other = columns.constant(gap if default is None else parse(default, data_type), data_type)
    value = columns.where(some, winning_score, other).with_(values=labels, data_type=data_type)
    confidence = columns.where(some, sure, columns.constant(number(element, "defaultConfidence", math.nan)))
    result = Result(
        node.get("functionName", "classification"),
        value,
        labels=labels,
        data_type=data_type,
        confidence=confidence,
    )
    result.entities = [] if ids is None else [columns.blank(ids, some)]
    result.defaults = {}
    return result


def sum_weights(
    scope: Scope, fired: Any, weights: np.ndarray, scores: list[str], labels: tuple[str, ...], data_type: str
) -> Any:
    """The class of most weight, and that weight over the number of rules that hold."""
    columns, op = scope.columns, scope.columns.op
    index_of_class = {parse(v, data_type): i for i, v in enumerate(labels)}
    table = np.zeros((len(scores), len(labels)))
    for row, score in enumerate(scores):
        table[row, index_of_class[parse(score, data_type)]] = weights[row]
    totals = op.MatMul(fired, op.const(table))
    best = op.ArgMax(totals, axis=1, keepdims=1)
    count = op.ReduceSum(fired, np.array([1]))
    sure = op.Div(op.ReduceMax(totals, np.array([1])), count)
    return columns.by_row(best, [parse(v, data_type) for v in labels], data_type), columns.number(sure)
