"""Scorecard: partial scores added up, and the reasons that cost most."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import expressions, predicates
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, child, children, describe, flag, need_child, number, optional
from bridge_pmml.results import Result
from bridge_pmml.values import Columns, Val, logical_and, logical_not

ops = OpTable()


@ops.op("Scorecard")
def scorecard(scope: Scope, node: Element) -> Result:
    columns, op = scope.columns, scope.columns.op
    total = columns.constant(number(node, "initialScore", 0.0)).tensor
    characteristics = children(need_child(node, "Characteristics"), "Characteristic")
    parts = []
    for each in characteristics:
        score, reason = partial_score(scope, each)
        total = op.Add(total, score)
        parts.append((each, score, reason))
    result = Result("regression", columns.number(total))
    if flag(node, "useReasonCodes", True):
        codes = reason_codes(characteristics)
        wanted = max((int(number(f, "rank", 1)) for f in node.iterfind("Output/OutputField")), default=0)
        result.reasons = rank_reasons(columns, node, parts, codes, wanted)
        result.defaults = {}
    return result


def reason_codes(characteristics: list[Element]) -> list[str]:
    """Reason codes in the order of the document."""
    codes: dict[str, None] = {}
    for each in characteristics:
        for element in (each, *children(each, "Attribute")):
            if element.get("reasonCode"):
                codes.setdefault(element.get("reasonCode"))
    return list(codes)


def partial_score(scope: Scope, node: Element) -> tuple[Any, Val]:
    """Score and reason code of the first attribute that is true; missing when none is."""
    columns, op = scope.columns, scope.columns.op
    score, reason = columns.constant(math.nan), columns.constant("", "string")
    masks = []
    left: Any = True
    for attribute in children(node, "Attribute"):
        truth = predicates.evaluate(scope, predicates.predicate_of(attribute))
        masks.append((logical_and(left, truth.true, op), attribute))
        left = logical_and(left, logical_not(truth.true, op), op)
    for here, attribute in masks:
        complex_score = child(attribute, "ComplexPartialScore")
        points = (
            expressions.evaluate_column(scope, expressions.expression_of(complex_score))
            if complex_score is not None
            else columns.constant(number(attribute, "partialScore"))
        )
        score = columns.where(here, points, score)
        code = attribute.get("reasonCode") or node.get("reasonCode", "")
        reason = columns.where(here, columns.constant(code, "string"), reason)
    return score.tensor, reason


def rank_reasons(columns: Columns, node: Element, parts: list, codes: list[str], wanted: int) -> list[Val]:
    """Reason codes by how far their characteristics are from the baseline, farthest first; of equals the
    first listed.

    Those on the wrong side of the baseline explain nothing: the last that does stands in their place.
    """
    op = columns.op
    if not codes:
        return []
    total = None
    for each, score, reason in parts:
        baseline = optional(each, "baselineScore")
        baseline = optional(node, "baselineScore") if baseline is None else baseline
        if baseline is None:
            raise UnreadableFile(f"{describe(each)} has no baselineScore for its reason codes.")
        base = columns.scalar(baseline)
        below = node.get("reasonCodeAlgorithm", "pointsBelow") == "pointsBelow"
        lost = op.Sub(base, score) if below else op.Sub(score, base)
        row = op.Gather(
            op.const(np.eye(len(codes) + 1)),
            op.Squeeze(columns.category_index(reason, codes, len(codes)), np.array([1])),
            axis=0,
        )
        part = op.Mul(row, lost)
        total = part if total is None else op.Add(total, part)
    scores = op.Slice(total, np.array([0]), np.array([len(codes)]), np.array([1]))
    sizes, order = op.TopK(scores, np.array([len(codes)]), axis=1, largest=1, sorted=1, _outputs=2)
    names = columns.by_row(order, codes).tensor
    reasons: list[Val] = []
    for index in range(max(len(codes), wanted)):
        position = min(index, len(codes) - 1)
        val = Val(columns.gather_column(names, position), "string", checked=True)
        counts = op.Greater(columns.gather_column(sizes, position), columns.scalar(0.0))
        last = reasons[-1] if reasons else columns.constant("", "string")
        reasons.append(columns.where(counts, val, last) if index < len(codes) else reasons[-1])
    return reasons
