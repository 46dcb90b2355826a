"""Expressions and derived fields: FieldRef, Constant, NormContinuous, NormDiscrete, Discretize, MapValues,
Apply."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge.report import Blocker
from bridge_pmml.fields import Field, Scope, interval, interval_mask
from bridge_pmml.functions import NUMERIC, TOLERANT, WHOLE, functions
from bridge_pmml.reader import (
    Element,
    child,
    children,
    column,
    describe,
    flag,
    inline_table,
    need_child,
    number,
    text,
)
from bridge_pmml.text_index import count_hits
from bridge_pmml.values import Truth, Val, is_text, logical_and, logical_not, logical_or, parse

expressions = OpTable()
TAGS = (
    "FieldRef",
    "Constant",
    "NormContinuous",
    "NormDiscrete",
    "Discretize",
    "MapValues",
    "Apply",
    "TextIndex",
)
FOREIGN = ("Aggregate", "Lag")
WHY = {
    "Aggregate": "reads other records than the one scored",
    "Lag": "reads other records than the one scored",
}
DENSE = 10**6


def blockers(root: Element) -> Iterator[Blocker]:
    """Expressions and functions that cannot be read."""
    defined = {f.get("name") for f in root.iter("DefineFunction")}
    for node in root.iter(*FOREIGN):
        yield Blocker(node.tag, node.getparent().get("name", ""), "", WHY[node.tag])
    for node in root.iter("Apply"):
        name = text(node, "function")
        if name not in defined and name not in functions:
            yield Blocker(f"Apply {name}", describe(node), "", "is not supported")


def evaluate(scope: Scope, node: Element) -> Val | Truth:
    """The value of an expression in `scope`."""
    rule = expressions.find(node.tag, node)
    if rule is None:
        raise UnreadableFile(f"{describe(node)} is no expression.")
    return rule.apply(scope, node)


def evaluate_column(scope: Scope, node: Element) -> Val:
    result = evaluate(scope, node)
    return scope.columns.truth(result) if isinstance(result, Truth) else result


def expression_of(node: Element) -> Element:
    expression = child(node, *TAGS, *FOREIGN)
    if expression is None:
        raise UnreadableFile(f"{describe(node)} has no expression.")
    return expression


def define(scope: Scope, dictionary: Element | None) -> None:
    """The derived fields and functions of a TransformationDictionary or LocalTransformations, made when asked
    for."""
    for function in children(dictionary, "DefineFunction"):
        scope.functions = {**scope.functions, text(function, "name"): function}
    for node in children(dictionary, "DerivedField"):
        name = node.get("name")
        if name:
            scope.names.pop(name, None)
            scope.later[name] = functools.partial(derived, scope, node)


def derived(scope: Scope, node: Element) -> Val:
    """The value of a DerivedField under its data type."""
    val = evaluate_column(scope, expression_of(node))
    listed = Field.of(node) if children(node, "Value", "Interval") else None
    val = scope.columns.cast(val, node.get("dataType", ""))
    if listed and listed.valid:
        val = val.with_(values=listed.valid)
    return val.with_(checked=True, ordinal=node.get("optype") == "ordinal")


def parse_attribute(node: Element, name: str, data_type: str) -> Any:
    """An attribute as a value of the data type, None when absent."""
    value = node.get(name)
    return None if value is None else parse(value, data_type)


def untyped(text: str) -> Any:
    """Text as a number where it spells one."""
    try:
        return float(text)
    except ValueError:
        return text


def map_missing(scope: Scope, val: Val, missing: Any, node: Element) -> Val:
    """mapMissingTo where an argument is missing."""
    replacement = node.get("mapMissingTo")
    if replacement is None or missing is False:
        return val
    filler = parse(replacement, val.data_type)
    return scope.columns.where(missing, scope.columns.constant(filler, val.data_type), val)


@expressions.op("FieldRef")
def field_ref(scope: Scope, node: Element) -> Val:
    val = scope.get(text(node, "field"))
    filled = map_missing(scope, val, scope.columns.missing(val), node)
    return (
        val
        if filled is val
        else filled.with_(data_type=val.data_type, values=val.values, ordinal=val.ordinal)
    )


@expressions.op("Constant")
def constant(scope: Scope, node: Element) -> Val:
    data_type, content = node.get("dataType"), node.text or ""
    if flag(node, "missing"):
        return scope.columns.constant(
            "" if is_text(data_type or "string") else math.nan, data_type or "string"
        )
    if data_type:
        return scope.columns.constant(parse(content, data_type), data_type)
    value = untyped(content)
    is_integer = isinstance(value, float) and content.strip().lstrip("+-").isdigit()
    return scope.columns.constant(value, "integer" if is_integer else "")


@expressions.op("NormContinuous")
def norm_continuous(scope: Scope, node: Element) -> Val:
    """Linear between the points; beyond them as `outliers` says."""
    columns, op = scope.columns, scope.columns.op
    val = columns.to_number(scope.get(text(node, "field")))
    points = sorted((number(p, "orig"), number(p, "norm")) for p in children(node, "LinearNorm"))
    if len(points) < 2:
        raise UnreadableFile(f"{describe(node)} has fewer than two points.")
    orig, norm = np.array(points).T
    slope = np.diff(norm) / np.diff(orig)
    if not np.isfinite(slope).all():
        raise UnreadableFile(f"{describe(node)}: two points are at one place.")
    segment: Any = np.array([[0]], np.int64)
    if len(points) > 2:
        over = op.GreaterOrEqual(val.tensor, op.const(orig[None, 1:-1]))
        segment = op.ReduceSum(op.Cast(over, to=7), np.array([1]))
    start, gain, base = (op.Gather(op.const(v), segment, axis=0) for v in (orig[:-1], slope, norm[:-1]))
    tensor = op.Add(base, op.Mul(op.Sub(val.tensor, start), gain))
    outliers = node.get("outliers", "asIs")
    below = op.Less(val.tensor, columns.scalar(orig[0]))
    above = op.Greater(val.tensor, columns.scalar(orig[-1]))
    if outliers == "asMissingValues":
        tensor = op.Where(op.Or(below, above), columns.scalar(math.nan), tensor)
    elif outliers == "asExtremeValues":
        tensor = op.Where(below, columns.scalar(norm[0]), op.Where(above, columns.scalar(norm[-1]), tensor))
    return map_missing(scope, columns.number(tensor), columns.missing(val), node)


@expressions.op("NormDiscrete")
def norm_discrete(scope: Scope, node: Element) -> Val:
    """1 for one value, 0 for the others; missing stays missing unless mapped."""
    val = scope.get(text(node, "field"))
    key = parse(text(node, "value"), val.data_type)
    indicator = scope.columns.lookup(val, {key: 1.0}, 0.0)
    return map_missing(scope, indicator, scope.columns.missing(val), node)


@expressions.op("Discretize")
def discretize(scope: Scope, node: Element) -> Val:
    """The bin a number lies in; the first that takes it."""
    columns, data_type = scope.columns, node.get("dataType", "")
    val = columns.to_number(scope.get(text(node, "field")))
    bins = children(node, "DiscretizeBin")
    entries = [untyped(text(b, "binValue")) for b in bins]
    default = None if node.get("defaultValue") is None else untyped(node.get("defaultValue"))
    words = is_text(data_type) if data_type else any(isinstance(e, str) for e in (*entries, default))
    if words:
        entries = [text(b, "binValue") for b in bins]
        default = node.get("defaultValue")
    gap: Any = "" if words else math.nan
    binned = columns.constant(gap if default is None else default, "string" if words else "double")
    for node_bin, entry in reversed(list(zip(bins, entries, strict=True))):
        inside = interval_mask(columns, val, interval(need_child(node_bin, "Interval")))
        binned = columns.where(inside, columns.constant(entry), binned)
    missing = columns.missing(val)
    binned = columns.where(missing, columns.constant(gap), binned) if missing is not False else binned
    binned = binned.with_(values=declared_values(node, [text(b, "binValue") for b in bins]), checked=True)
    return map_missing(scope, binned.with_(data_type=data_type or binned.data_type), missing, node)


@expressions.op("MapValues")
def map_values(scope: Scope, node: Element) -> Val:
    """The output column of the first row whose cells equal the fields."""
    columns, op = scope.columns, scope.columns.op
    pairs = [(scope.get(text(p, "field")), column(p, "column")) for p in children(node, "FieldColumnPair")]
    rows, output = inline_table(node), column(node, "outputColumn")
    rows = [r for r in rows if output in r and all(c in r for _, c in pairs)]
    data_type = node.get("dataType") or "string"
    cells = [[parse(r[name], val.data_type) for r in rows] for val, name in pairs]
    keys = [{key: place for place, key in enumerate(dict.fromkeys(entries))} for entries in cells]
    size = math.prod(len(k) + 1 for k in keys)
    if not pairs or size > DENSE:
        raise UnreadableFile(f"{describe(node)}: its table is too large, or has no columns.")
    default = parse_attribute(node, "defaultValue", data_type)
    gap: Any = "" if is_text(data_type) else math.nan
    dense: list[Any] = [gap if default is None else default] * size
    for row in reversed(range(len(rows))):
        position = 0
        for key, entries in zip(keys, cells, strict=True):
            position = position * (len(key) + 1) + key[entries[row]]
        dense[position] = parse(rows[row][output], data_type)
    missing: Any = False
    index: ir.Value | None = None
    for (val, _), key in zip(pairs, keys, strict=True):
        part = columns.category_index(val, list(key), len(key))
        step = np.array([[len(key) + 1]], np.int64)
        index = part if index is None else op.Add(op.Mul(index, step), part)
        missing = logical_or(missing, columns.missing(val), op)
    assert index is not None
    mapped = columns.by_row(index, dense, data_type)
    mapped = columns.blank(mapped, logical_not(missing, op)).with_(data_type=data_type)
    return map_missing(scope, mapped, missing, node).with_(
        values=declared_values(node, [r[output] for r in rows])
    )


def declared_values(node: Element, entries: list[str]) -> tuple[str, ...]:
    """Every value an expression can give, as written."""
    attributes = [node.get(a) for a in ("defaultValue", "mapMissingTo")]
    return tuple(dict.fromkeys([*entries, *(g for g in attributes if g is not None)]))


@expressions.op("TextIndex")
def text_index(scope: Scope, node: Element) -> Val:
    """Number of times a term occurs in a text."""
    return count_hits(scope, node, evaluate_column(scope, expression_of(node)))


@expressions.op("Apply")
def apply(scope: Scope, node: Element) -> Val | Truth:
    """A built-in or defined function of its arguments."""
    name, columns = text(node, "function"), scope.columns
    columns.spend()
    arguments = [evaluate(scope, each) for each in node if each.tag in (*TAGS, *FOREIGN)]
    if name in scope.functions:
        val: Any = call_function(scope, scope.functions[name], arguments)
    else:
        rule = functions.find(name, node)
        if rule is None:
            raise UnreadableFile(f"{describe(node)}: the function {name!r} is unknown.")
        if name not in ("and", "or", "not", "if"):
            arguments = [columns.truth(v) if isinstance(v, Truth) else v for v in arguments]
        fitting(rule.handler, scope, node, arguments)
        val = rule.apply(scope, node, *arguments)
        if name in WHOLE or (
            name in "+-*" and all(isinstance(v, Val) and v.data_type == "integer" for v in arguments)
        ):
            val = val.with_(data_type="integer")
    tolerant = name in TOLERANT or name in scope.functions
    if not tolerant or node.get("mapMissingTo") is not None:
        val = _missing_arguments(scope, node, val, arguments, name)
    if node.get("defaultValue") is not None:
        val = columns.truth(val) if isinstance(val, Truth) else val
        filler = columns.constant(parse(node.get("defaultValue"), val.data_type), val.data_type)
        val = columns.where(columns.missing(val), filler, val)
    return val


signature = functools.cache(inspect.signature)


def fitting(handler: Any, scope: Scope, node: Element, arguments: list[Any]) -> None:
    """Raise UnreadableFile unless a function takes so many arguments."""
    try:
        signature(handler).bind(scope, node, *arguments)
    except TypeError:
        count = len(arguments)
        raise UnreadableFile(
            f"{describe(node)}: {node.get('function')} does not take {count} argument{'s' * (count != 1)}."
        ) from None


def _missing_arguments(scope: Scope, node: Element, val: Any, arguments: list[Any], name: str) -> Any:
    """Missing, or mapMissingTo, where an argument is missing."""
    columns, op = scope.columns, scope.columns.op
    missing: Any = False
    for each in arguments:
        absent = (
            logical_not(logical_or(each.true, each.false, op), op)
            if isinstance(each, Truth)
            else columns.missing(each)
        )
        missing = logical_or(missing, absent, op)
    there = logical_not(missing, op)
    tolerant = name in TOLERANT or name in scope.functions
    if isinstance(val, Truth):
        if not tolerant:
            val = Truth(logical_and(val.true, there, op), logical_and(val.false, there, op))
        if node.get("mapMissingTo") is None:
            return val
        val = columns.truth(val)
    elif not tolerant and (val.text or name not in NUMERIC):
        val = columns.blank(val, there)
    return map_missing(scope, val, missing, node)


def call_function(scope: Scope, function: Element, arguments: list[Any]) -> Val:
    """A DefineFunction's expression with its parameters bound."""
    inner = Scope(scope.columns, None)
    inner.functions = {k: v for k, v in scope.functions.items() if v is not function}
    parameters = children(function, "ParameterField")
    if len(parameters) != len(arguments):
        raise UnreadableFile(f"{describe(function)} takes {len(parameters)} arguments, not {len(arguments)}.")
    for parameter, argument in zip(parameters, arguments, strict=True):
        argument = scope.columns.truth(argument) if isinstance(argument, Truth) else argument
        inner.names[text(parameter, "name")] = scope.columns.cast(argument, parameter.get("dataType", ""))
    val = evaluate_column(inner, expression_of(function))
    return scope.columns.cast(val, function.get("dataType", ""))
