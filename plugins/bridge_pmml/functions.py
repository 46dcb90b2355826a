"""The built-in functions of PMML expressions, by name: handlers take (scope, node, *arguments), columns all
of them.

A result is missing where an argument is, unless a function is listed in TOLERANT.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml import datetimes, free_text, predicates, special
from bridge_pmml.fields import Scope
from bridge_pmml.format_number import spell_number
from bridge_pmml.reader import Element, describe, refuse_expression
from bridge_pmml.values import (
    BOOL,
    DOUBLE,
    INT64,
    Columns,
    Truth,
    Val,
    logical_and,
    logical_not,
    logical_or,
    parse,
)

functions = OpTable()
DECLARED = 10_000
LONGEST_PART = 64
AGGREGATES = ("min", "max", "sum", "avg", "median", "product")
TOLERANT = ("isMissing", "isNotMissing", "isValid", "isNotValid", "and", "or", "not", "if", *AGGREGATES)


def register_numeric(name: str, build: Callable, count: int) -> None:
    """A function of `count` numbers."""

    @functions.op(name)
    def handler(scope: Scope, node: Element, *arguments: Val) -> Val:
        check_argument_count(node, arguments, count)
        columns = scope.columns
        return columns.number(build(columns.op, *(columns.to_number(v).tensor for v in arguments)))


def check_argument_count(node: Element, arguments: tuple, low: int, high: int | None = None) -> None:
    if not low <= len(arguments) <= (low if high is None else high):
        raise UnreadableFile(
            f"{describe(node)}: {node.get('function')} does not take {len(arguments)} arguments."
        )


def double_constant(op: Any, value: float) -> Any:
    return special.double(op, value)


def round_half_up(op: Any, x: Any) -> Any:
    """Nearest integer, halves up."""
    low = op.Floor(x)
    return op.Where(
        op.GreaterOrEqual(op.Sub(x, low), double_constant(op, 0.5)),
        op.Add(low, double_constant(op, 1.0)),
        low,
    )


def modulo(op: Any, x: Any, y: Any) -> Any:
    """x - y · floor(x / y)."""
    rest = op.Mod(x, y, fmod=1)
    other = op.Less(op.Mul(rest, y), double_constant(op, 0.0))
    return op.Where(other, op.Add(rest, y), rest)


def nan_safe_pow(op: Any, x: Any, y: Any) -> Any:
    return op.Where(op.Or(op.IsNaN(x), op.IsNaN(y)), double_constant(op, math.nan), op.Pow(x, y))


NUMERIC: dict[str, tuple[Callable, int]] = {
    "+": (lambda op, x, y: op.Add(x, y), 2),
    "-": (lambda op, x, y: op.Sub(x, y), 2),
    "*": (lambda op, x, y: op.Mul(x, y), 2),
    "/": (lambda op, x, y: op.Div(x, y), 2),
    "log10": (lambda op, x: op.Div(op.Log(x), double_constant(op, math.log(10.0))), 1),
    "ln": (lambda op, x: op.Log(x), 1),
    "sqrt": (lambda op, x: op.Sqrt(x), 1),
    "abs": (lambda op, x: op.Abs(x), 1),
    "exp": (special.exp, 1),
    "pow": (nan_safe_pow, 2),
    "floor": (lambda op, x: op.Floor(x), 1),
    "ceil": (lambda op, x: op.Ceil(x), 1),
    "round": (round_half_up, 1),
    "rint": (lambda op, x: op.Round(x), 1),
    "modulo": (modulo, 2),
    "sin": (lambda op, x: op.Sin(x), 1),
    "cos": (lambda op, x: op.Cos(x), 1),
    "tanh": (lambda op, x: op.Tanh(x), 1),
    "tan": (special.tan, 1),
    "asin": (special.asin, 1),
    "acos": (special.acos, 1),
    "atan": (special.atan, 1),
    "sinh": (special.sinh, 1),
    "cosh": (special.cosh, 1),
    "expm1": (special.expm1, 1),
    "ln1p": (special.log1p, 1),
    "hypot": (lambda op, x, y: op.Sqrt(op.Add(op.Mul(x, x), op.Mul(y, y))), 2),
    "erf": (special.erf, 1),
    "stdNormalCDF": (special.normal_cdf, 1),
    "stdNormalPDF": (special.normal_pdf, 1),
    "stdNormalIDF": (special.normal_idf, 1),
    "normalCDF": (lambda op, x, m, s: special.normal_cdf(op, op.Div(op.Sub(x, m), s)), 3),
    "normalPDF": (lambda op, x, m, s: op.Div(special.normal_pdf(op, op.Div(op.Sub(x, m), s)), s), 3),
    "normalIDF": (lambda op, p, m, s: op.Add(m, op.Mul(s, special.normal_idf(op, p))), 3),
}
for _name, (_build, _count) in NUMERIC.items():
    register_numeric(_name, _build, _count)

WHOLE = ("floor", "ceil", "round")


@functions.op("threshold")
def threshold(scope: Scope, node: Element, x: Val, y: Val) -> Val:
    above = scope.columns.op.Greater(x.tensor, y.tensor)
    return scope.columns.number(scope.columns.op.Cast(above, to=DOUBLE))


@functions.op(*AGGREGATES)
def aggregate(scope: Scope, node: Element, *arguments: Val) -> Val:
    """Aggregate of the arguments that are not missing; missing when all are."""
    columns, op, name = scope.columns, scope.columns.op, node.get("function")
    check_argument_count(node, arguments, 1, 10_000)
    matrix = columns.concat_numbers(arguments)
    missing_mask = op.IsNaN(matrix)
    count = op.ReduceSum(op.Cast(op.Not(missing_mask), to=DOUBLE), np.array([1]))
    filler = {"min": math.inf, "max": -math.inf, "median": math.inf, "product": 1.0}.get(name, 0.0)
    filled = op.Where(missing_mask, double_constant(op, filler), matrix)
    if name == "median":
        result = median(op, filled, count, len(arguments))
    else:
        op_type = {"min": "ReduceMin", "max": "ReduceMax", "product": "ReduceProd"}.get(name, "ReduceSum")
        result = op.node(op_type, filled, np.array([1]))
        result = op.Div(result, count) if name == "avg" else result
    none = op.Equal(count, double_constant(op, 0.0))
    return columns.number(op.Where(none, double_constant(op, math.nan), result))


def median(op: Any, values: Any, count: Any, width: int) -> Any:
    """Median of the `count` smallest values of each row; the other values are infinite."""
    ordered, _ = op.TopK(values, np.array([width]), axis=1, largest=0, sorted=1, _outputs=2)
    last = op.Max(op.Sub(count, double_constant(op, 1.0)), double_constant(op, 0.0))
    half = double_constant(op, 0.5)
    picks = [op.Cast(each(op.Mul(last, half)), to=INT64) for each in (op.Floor, op.Ceil)]
    low, high = (op.GatherElements(ordered, p, axis=1) for p in picks)
    return op.Mul(op.Add(low, high), half)


@functions.op("isMissing", "isNotMissing", "isValid", "isNotValid")
def missing(scope: Scope, node: Element, x: Val) -> Truth:
    """A value that reached an expression is valid unless its treatment let it through; what is missing is not
    valid."""
    columns, name = scope.columns, node.get("function")
    gone = columns.missing(x)
    if name.endswith("Valid") and not x.checked and x.values:
        known = columns.op.GreaterOrEqual(columns.category_index(x, _literals(x)), np.array([[0]], np.int64))
        gone = logical_or(gone, logical_not(known, columns.op), columns.op)
    if name in ("isMissing", "isNotValid"):
        return Truth(gone, logical_not(gone, columns.op))
    return Truth(logical_not(gone, columns.op), gone)


def _literals(val: Val) -> list[Any]:
    return [parse(v, val.data_type) for v in val.values]


RELATIONS = {
    "equal": "equal",
    "notEqual": "notEqual",
    "lessThan": "lessThan",
    "lessOrEqual": "lessOrEqual",
    "greaterThan": "greaterThan",
    "greaterOrEqual": "greaterOrEqual",
}


@functions.op(*RELATIONS)
def relation(scope: Scope, node: Element, x: Val, y: Val) -> Truth:
    columns, name = scope.columns, node.get("function")
    x, y = common_type(columns, x, y)
    if x.text and name not in ("equal", "notEqual"):
        order = next((v.values for v in (x, y) if v.ordinal), ())
        if not order:
            raise UnreadableFile(f"{describe(node)}: text has no order.")
        rank = {v: float(i) for i, v in enumerate(order)}
        x, y = columns.lookup(x, rank), columns.lookup(y, rank)
    truth = predicates.compare_tensor(columns, name, x, y.tensor)
    there = logical_not(columns.missing(y), columns.op)
    return Truth(logical_and(truth.true, there, columns.op), logical_and(truth.false, there, columns.op))


def common_type(columns: Columns, x: Val, y: Val) -> tuple[Val, Val]:
    """Two values to be compared, both as text or both as numbers: text that spells numbers gives way."""
    if x.text == y.text:
        return x, y
    if any(v.data_type == "boolean" for v in (x, y)):
        return columns.to_text(x), columns.to_text(y)
    return columns.to_number(x), columns.to_number(y)


@functions.op("and", "or")
def connective(scope: Scope, node: Element, *arguments: Any) -> Truth:
    parts = [as_truth(scope, v) for v in arguments]
    return predicates.compound(scope.columns.op, node.get("function"), parts)


@functions.op("not")
def invert_truth(scope: Scope, node: Element, x: Val | Truth) -> Truth:
    truth = as_truth(scope, x)
    return Truth(truth.false, truth.true)


def as_truth(scope: Scope, argument: Val | Truth) -> Truth:
    return argument if isinstance(argument, Truth) else scope.columns.as_truth(argument)


@functions.op("isIn", "isNotIn")
def is_in(scope: Scope, node: Element, x: Val, *others: Any) -> Truth:
    columns, op, hit = scope.columns, scope.columns.op, False
    for other in others:
        a, b = common_type(columns, x, other)
        hit = logical_or(hit, op.Equal(a.tensor, b.tensor), op)
    there = logical_not(columns.missing(x), op)
    inside = Truth(logical_and(hit, there, op), logical_and(logical_not(hit, op), there, op))
    return inside if node.get("function") == "isIn" else Truth(inside.false, inside.true)


@functions.op("if")
def choice(
    scope: Scope,
    node: Element,
    condition: Val | Truth,
    then: Val | Truth,
    otherwise: Val | Truth | None = None,
) -> Val:
    """Missing where the condition is unknown."""
    columns = scope.columns
    truth = as_truth(scope, condition)
    yes = columns.truth(then) if isinstance(then, Truth) else then
    gap = columns.constant("" if yes.text else math.nan, yes.data_type)
    no = columns.truth(otherwise) if isinstance(otherwise, Truth) else otherwise or gap
    return columns.where(truth.true, yes, columns.where(truth.false, no, gap))


@functions.op("dateDaysSinceYear", "dateSecondsSinceYear", "dateSecondsSinceMidnight")
def since(scope: Scope, node: Element, x: Val, year: Val | None = None) -> Val:
    name = node.get("function")
    check_argument_count(node, (x,) if year is None else (x, year), 1 if name.endswith("Midnight") else 2)
    return datetimes.since(scope, node, name, x, year)


@functions.op("concat")
def concat(scope: Scope, node: Element, *arguments: Val) -> Val:
    columns = scope.columns
    texts = [columns.to_text(v) for v in arguments]
    tensor, possible = texts[0].tensor, spellings(columns, texts[0])
    for each in texts[1:]:
        tensor, others = columns.op.StringConcat(tensor, each.tensor), spellings(columns, each)
        few = len(possible) * len(others) <= DECLARED
        possible = tuple(dict.fromkeys(a + b for a in possible for b in others)) if few else ()
    return Val(tensor, "string", possible, checked=True)


def spellings(columns: Columns, val: Val) -> tuple[str, ...]:
    """Every text a column can hold, empty where that is not known."""
    known = columns.constant_value(val)
    return (known,) if isinstance(known, str) else val.values if val.checked else ()


@functions.op("formatDatetime")
def format_datetime(scope: Scope, node: Element, x: Val, pattern: Val) -> Val:
    return datetimes.format_datetime(scope, node, x, constant_argument(node, pattern, 1))


@functions.op("formatNumber")
def format_number(scope: Scope, node: Element, x: Val, pattern: Val) -> Val:
    return spell_number(scope, node, x, constant_argument(node, pattern, 1))


@functions.op("matches")
def matches(scope: Scope, node: Element, x: Val, pattern: Val) -> Truth:
    """True if the regular expression matches anywhere in the text."""
    op = scope.columns.op
    hit = op.RegexFullMatch(
        scope.columns.to_text(x).tensor, pattern=f"(?s).*(?:{constant_argument(node, pattern, 1)}).*"
    )
    return Truth(hit, op.Not(hit))


def constant_argument(node: Element, val: Val, index: int) -> Any:
    """The text or number of an argument that is a Constant. Raises UnreadableFile."""
    argument = list(node)[index]
    if argument.tag != "Constant":
        raise UnreadableFile(
            f"{describe(node)}: {node.get('function')} needs a constant as argument {index + 1}."
        )
    return argument.text or ""


def register_text(
    name: str, compute: Callable[..., Any], build: Callable[..., Any], data_type: str = "string"
) -> None:
    """A function of text with constants: computed for each declared value, or built of tensor operators for
    any text."""

    @functions.op(name)
    def handler(scope: Scope, node: Element, x: Val, *others: Val) -> Val:
        columns, x = scope.columns, scope.columns.to_text(x)
        extras = [constant_argument(node, other, i + 1) for i, other in enumerate(others)]
        if not (x.values and x.checked):
            tensor = build(columns, node, x.tensor, *extras)
            result = Val(tensor, data_type, checked=True)
            return columns.blank(result, logical_not(columns.missing(x), columns.op))
        table = {value: compute(value, *extras) for value in x.values}
        val = columns.lookup(x, table).with_(data_type=data_type)
        possible = tuple(dict.fromkeys(v for v in table.values() if v)) if data_type == "string" else ()
        return val.with_(values=possible, checked=True)


def substring(value: str, start: str, length: str) -> str:
    return value[int(start) - 1 : int(start) - 1 + int(length)]


def replace_matches(value: str, pattern: str, by: str) -> str:
    """All matches replaced, where $1 stands for a group, and a backslash makes the next character plain."""
    parts = re.findall(r"\\(.)|\$(\d)|([^\\$]+)", by, re.DOTALL)
    written = "".join(rf"\g<{g}>" if g else re.sub(r"\\", r"\\\\", plain or rest) for plain, g, rest in parts)
    return re.sub(pattern, written, value)


def build_substring(columns: Columns, node: Element, text: Any, start: str, length: str) -> Any:
    begin, count = int(start) - 1, int(length)
    if begin < 0 or not 0 < count <= LONGEST_PART or begin > LONGEST_PART:
        raise refuse_expression(node, f"takes {length} characters from {start} on of any text")
    return free_text.substring(columns, text, begin, count)


def build_replace(columns: Columns, node: Element, text: Any, pattern: str, by: str) -> Any:
    found = free_text.literals(pattern)
    in_order = sorted(found or (), key=lambda literal: literal not in by)
    several = len(in_order) > 1 and in_order[1] in by
    if not found or several or "$" in by or "\\" in by:
        raise refuse_expression(
            node, f"replaces {pattern!r} in any text, which is no text or set of characters"
        )
    return free_text.replace_literals(columns, text, in_order, by)


register_text(
    "uppercase", str.upper, lambda columns, node, text: free_text.change_case(columns, text, "UPPER")
)
register_text(
    "lowercase", str.lower, lambda columns, node, text: free_text.change_case(columns, text, "LOWER")
)
register_text("trimBlanks", str.strip, lambda columns, node, text: free_text.trim(columns, text))
register_text(
    "stringLength",
    lambda value: float(len(value)),
    lambda columns, node, text: free_text.length(columns, text),
    "integer",
)
register_text("substring", substring, build_substring)
register_text("replace", replace_matches, build_replace)

__all__ = ["BOOL", "TOLERANT", "WHOLE", "functions", "round_half_up"]
