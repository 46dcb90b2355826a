"""Predicates of three values: SimplePredicate, SimpleSetPredicate, CompoundPredicate, True, False."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, child, describe, text, words
from bridge_pmml.values import NO, UNKNOWN, YES, Truth, Val, logical_and, logical_not, logical_or, parse

PREDICATES = ("SimplePredicate", "SimpleSetPredicate", "CompoundPredicate", "True", "False")
COMPARED = {
    "equal": ("Equal", ""),
    "notEqual": ("", "Equal"),
    "lessThan": ("Less", "GreaterOrEqual"),
    "lessOrEqual": ("LessOrEqual", "Greater"),
    "greaterThan": ("Greater", "LessOrEqual"),
    "greaterOrEqual": ("GreaterOrEqual", "Less"),
}


def predicate_of(node: Element) -> Element:
    """The predicate of a Node, Segment, rule or attribute. Raises UnreadableFile without one."""
    if len(node) and node[0].tag in PREDICATES:
        return node[0]
    predicate = child(node, *PREDICATES)
    if predicate is None:
        raise UnreadableFile(f"{describe(node)} has no predicate.")
    return predicate


def evaluate(scope: Scope, node: Element) -> Truth:
    """A predicate on the fields of `scope`."""
    if node.tag in ("True", "False"):
        return YES if node.tag == "True" else NO
    if node.tag == "SimplePredicate":
        return simple_predicate(scope, node)
    if node.tag == "SimpleSetPredicate":
        return membership(scope, node)
    if node.tag == "CompoundPredicate":
        parts = [evaluate(scope, part) for part in node if part.tag in PREDICATES]
        return compound(scope.columns.op, text(node, "booleanOperator"), parts)
    raise UnreadableFile(f"{describe(node)} is no predicate.")


def simple_predicate(scope: Scope, node: Element) -> Truth:
    operator, val = text(node, "operator"), scope.get(text(node, "field"))
    if operator in ("isMissing", "isNotMissing"):
        missing = scope.columns.missing(val)
        there = logical_not(missing, scope.columns.op)
        return Truth(missing, there) if operator == "isMissing" else Truth(there, missing)
    if operator not in COMPARED:
        raise UnreadableFile(f"{describe(node)}: the operator {operator!r} is unknown.")
    return compare_literal(scope, operator, val, text(node, "value"))


def compare_literal(scope: Scope, operator: str, val: Val, literal: str) -> Truth:
    """A value against a literal of its own type; unknown where it is missing."""
    columns = scope.columns
    if val.missing:
        return UNKNOWN
    if val.text and operator not in ("equal", "notEqual"):
        if literal not in val.values:
            raise UnreadableFile(
                f"{literal!r} has no place in an order of {', '.join(val.values) or 'no values'}."
            )
        rank = {v: float(i) for i, v in enumerate(val.values)}
        val, value = columns.lookup(val, rank), rank[literal]
    else:
        value = parse(literal, val.data_type)
    return compare_tensor(columns, operator, val, columns.scalar(value))


def compare_tensor(columns: Any, operator: str, val: Val, other: Any) -> Truth:
    """A column compared with a tensor that is nowhere missing."""
    op = columns.op
    if operator in ("equal", "notEqual"):
        same = op.Equal(val.tensor, other)
        differs = logical_and(op.Not(same), logical_not(columns.missing(val), op), op)
        return Truth(same, differs) if operator == "equal" else Truth(differs, same)
    yes, no = COMPARED[operator]
    return Truth(op.node(yes, val.tensor, other), op.node(no, val.tensor, other))


def membership(scope: Scope, node: Element) -> Truth:
    val, inside = scope.get(text(node, "field")), text(node, "booleanOperator") == "isIn"
    return is_among(scope, val, set_items(node), inside)


def set_items(node: Element) -> list[str]:
    array = child(node, "Array")
    if array is None:
        raise UnreadableFile(f"{describe(node)} has no Array.")
    return (
        words(array)
        if array.get("type") == "string" or '"' in (array.text or "")
        else (array.text or "").split()
    )


def is_among(scope: Scope, val: Val, items: list[str], inside: bool) -> Truth:
    """Check that a value is one of the literals; unknown where it is missing."""
    columns, op = scope.columns, scope.columns.op
    if val.missing:
        return UNKNOWN
    hits = columns.category_index(val, list(dict.fromkeys(parse(i, val.data_type) for i in items)))
    hit = op.GreaterOrEqual(hits, np.array([[0]], np.int64))
    there = logical_not(columns.missing(val), op)
    hit, miss = logical_and(hit, there, op), logical_and(op.Not(hit), there, op)
    return Truth(hit, miss) if inside else Truth(miss, hit)


def compound(op: Any, operator: str, parts: list[Truth]) -> Truth:
    """Kleene's and, or, xor; surrogate takes the first part that is known."""
    if not parts:
        raise UnreadableFile("A CompoundPredicate has no parts.")
    result = parts[0]
    for part in parts[1:]:
        a, b = result, part
        if operator == "and":
            result = Truth(logical_and(a.true, b.true, op), logical_or(a.false, b.false, op))
        elif operator == "or":
            result = Truth(logical_or(a.true, b.true, op), logical_and(a.false, b.false, op))
        elif operator == "xor":
            result = Truth(
                logical_or(logical_and(a.true, b.false, op), logical_and(a.false, b.true, op), op),
                logical_or(logical_and(a.true, b.true, op), logical_and(a.false, b.false, op), op),
            )
        elif operator == "surrogate":
            unknown = logical_not(logical_or(a.true, a.false, op), op)
            result = Truth(
                logical_or(a.true, logical_and(unknown, b.true, op), op),
                logical_or(a.false, logical_and(unknown, b.false, op), op),
            )
        else:
            raise UnreadableFile(f"The booleanOperator {operator!r} is unknown.")
    return result
