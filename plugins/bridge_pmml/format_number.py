"""formatNumber: whole numbers by a pattern of printf."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, describe, refuse_expression
from bridge_pmml.values import DOUBLE, INT64, STRING, Val, logical_not, parse

PATTERN = re.compile(
    r"(?P<before>(?:[^%]|%%)*)%(?P<flags>[-+ 0]*)(?P<width>\d{0,2})(?:\.(?P<precision>\d{0,2}))?"
    r"(?P<kind>[diufFeEgG])(?P<after>(?:[^%]|%%)*)",
    re.DOTALL,
)


def spell_number(scope: Scope, node: Element, val: Val, pattern: str) -> Val:
    """A number by a printf pattern of one directive: of declared values any, of integers also %d, %i, %u and
    %f.

    Raises UnreadableFile for a pattern that is none, UnsupportedModel for real numbers, which would have to
    be rounded.
    """
    columns = scope.columns
    match = PATTERN.fullmatch(pattern)
    if match is None or val.text:
        raise UnreadableFile(f"{describe(node)}: {pattern!r} is no pattern for this.")
    if val.values and val.checked:
        table = {}
        for value in val.values:
            number = parse(value, val.data_type)
            table[number] = pattern % (int(number) if match["kind"] in "diu" else number)
        return columns.lookup(val, table).with_(values=tuple(dict.fromkeys(table.values())), checked=True)
    if val.data_type != "integer" or match["kind"] not in "diufF":
        raise refuse_expression(node, "spells real numbers, which no tensor operator rounds to digits")
    text = spell_integer(scope, val, match)
    return columns.blank(Val(text, "string", checked=True), logical_not(columns.missing(val), columns.op))


def spell_integer(scope: Scope, val: Val, pattern: re.Match[str]) -> Any:
    """The digits of an integer column, its sign, and what pads them to the width."""
    columns, op = scope.columns, scope.columns.op
    number = columns.blank_zero(val)
    size = op.Abs(number)
    digits = op.Cast(op.Cast(size, to=INT64), to=STRING)
    powers = op.const(10.0 ** np.arange(1, 19)[None])
    length = op.Add(count_true(op, op.GreaterOrEqual(size, powers)), columns.scalar(1.0))
    flags, precision = pattern["flags"], pattern["precision"]
    width = int(pattern["width"] or 0)
    fraction = ""
    if pattern["kind"] in "fF":
        decimals = 6 if precision is None else int(precision or 0)
        fraction = "." + "0" * decimals if decimals else ""
    elif precision is not None:
        zeros = pad_characters(columns, "0", int(precision or 0), length)
        digits = op.StringConcat(zeros, digits)
        length = op.Max(length, columns.scalar(float(int(precision or 0))))
    below = op.Less(number, columns.scalar(0.0))
    mark = "+" if "+" in flags else " " if " " in flags else ""
    sign = op.Where(below, columns.scalar("-"), columns.scalar(mark))
    signed = columns.scalar(1.0) if mark else op.Cast(below, to=DOUBLE)
    body = op.StringConcat(digits, columns.scalar(fraction)) if fraction else digits
    length = op.Add(op.Add(length, signed), columns.scalar(float(len(fraction))))
    zeroed = "0" in flags and "-" not in flags and not (precision is not None and pattern["kind"] in "diu")
    fill = pad_characters(columns, "0" if zeroed else " ", width, length)
    parts = [sign, fill, body] if zeroed else [sign, body, fill] if "-" in flags else [fill, sign, body]
    texts = [pattern["before"].replace("%%", "%"), *parts, pattern["after"].replace("%%", "%")]
    columns_of_text = [
        columns.scalar(t) if isinstance(t, str) else t for t in texts if not isinstance(t, str) or t
    ]
    joined = columns_of_text[0]
    for part in columns_of_text[1:]:
        joined = op.StringConcat(joined, part)
    return joined


def count_true(op: Any, mask: Any) -> Any:
    return op.ReduceSum(op.Cast(mask, to=DOUBLE), np.array([1]))


def pad_characters(columns: Any, by: str, width: int, length: Any) -> Any:
    """Characters `by` that fill `length` up to `width`."""
    op = columns.op
    lacking = op.Max(op.Sub(columns.scalar(float(width)), length), columns.scalar(0.0))
    return columns.by_row(op.Cast(lacking, to=INT64), [by * i for i in range(width + 1)]).tensor
