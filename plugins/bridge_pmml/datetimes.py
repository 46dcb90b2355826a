"""Dates and times of ISO 8601: their parts, days and seconds since a year, and other spellings of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, describe, refuse_expression
from bridge_pmml.values import DOUBLE, Val

DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d"


class Moment:
    """A date, time or both as numbers, double [N, 1]; where the text is none, `good` is false."""

    def __init__(self, scope: Scope, node: Element, val: Val) -> None:
        self.columns, self.op = scope.columns, scope.columns.op
        if not val.text:
            raise UnreadableFile(f"{describe(node)} needs a date or a time, which a {val.data_type} is not.")
        op = self.op
        dated = op.RegexFullMatch(val.tensor, pattern=rf"{DATE}(T{TIME})?")
        timed = op.RegexFullMatch(val.tensor, pattern=TIME)
        day = self.columns.scalar("1970-01-01T")
        is_datetime = op.RegexFullMatch(val.tensor, pattern=rf"{DATE}T{TIME}")
        midnight = op.StringConcat(
            op.Where(dated, val.tensor, self.columns.scalar("1970-01-01")), self.columns.scalar("T00:00:00")
        )
        clock = op.StringConcat(day, op.Where(timed, val.tensor, self.columns.scalar("00:00:00")))
        text = op.Where(is_datetime, val.tensor, op.Where(timed, clock, midnight))
        halves, _ = op.StringSplit(text, delimiter="T", _outputs=2)
        self.dated, self.good = dated, op.Or(dated, timed)
        self.spelled = dict(
            zip(
                "YmdHMS",
                [*self._split_fields(halves, 0, "-"), *self._split_fields(halves, 1, ":")],
                strict=True,
            )
        )
        numbers = [op.Cast(part, to=DOUBLE) for part in self.spelled.values()]
        self.year, self.month, self.day, self.hour, self.minute, self.second = numbers

    def _split_fields(self, halves: Any, index: int, delimiter: str) -> list[Any]:
        op = self.op
        half = op.Gather(halves, np.array(index, np.int64), axis=2)
        parts, _ = op.StringSplit(half, delimiter=delimiter, _outputs=2)
        return [op.Gather(parts, np.array(i, np.int64), axis=2) for i in range(3)]

    def days(self, year: int) -> Any:
        """Days since the first of January of a year."""
        counted = self._days_from_civil(self.year, self.month, self.day)
        return self.op.Sub(counted, self.columns.scalar(float(_ordinal(year))))

    def day_of_year(self) -> Any:
        """Day of the year, from 1."""
        op, one = self.op, self.columns.scalar(1.0)
        first = self._days_from_civil(self.year, one, one)
        return op.Add(op.Sub(self._days_from_civil(self.year, self.month, self.day), first), one)

    def _days_from_civil(self, year: Any, month: Any, day: Any) -> Any:
        """Days by the Gregorian calendar, years counted from March."""
        op, k = self.op, self.columns.scalar
        early = op.Cast(op.LessOrEqual(month, k(2.0)), to=DOUBLE)
        y, m = op.Sub(year, early), op.Add(op.Sub(month, k(3.0)), op.Mul(early, k(12.0)))

        def quotient(x: Any, by: float) -> Any:
            return op.Floor(op.Div(x, k(by)))

        months = quotient(op.Add(op.Mul(m, k(153.0)), k(2.0)), 5.0)
        leaps = op.Add(op.Sub(quotient(y, 4.0), quotient(y, 100.0)), quotient(y, 400.0))
        return op.Add(op.Add(op.Mul(y, k(365.0)), leaps), op.Add(months, day))

    def seconds(self) -> Any:
        op, k = self.op, self.columns.scalar
        return op.Add(op.Add(op.Mul(self.hour, k(3600.0)), op.Mul(self.minute, k(60.0))), self.second)

    def integer_where(self, tensor: Any, where: Any) -> Val:
        return self.columns.blank(self.columns.number(tensor, "integer"), where)


def _ordinal(year: int) -> int:
    """The first of January of a year, counted as `Moment.days` counts."""
    y = year - 1
    return y * 365 + y // 4 - y // 100 + y // 400 + (10 * 153 + 2) // 5 + 1


def since(scope: Scope, node: Element, name: str, val: Val, year: Any) -> Val:
    """dateDaysSinceYear, dateSecondsSinceYear, dateSecondsSinceMidnight."""
    moment, op = Moment(scope, node, val), scope.columns.op
    if name == "dateSecondsSinceMidnight":
        return moment.integer_where(moment.seconds(), moment.good)
    known = None if year is None else scope.columns.constant_value(year)
    if not isinstance(known, (int, float)):
        raise refuse_expression(node, f"{name} needs a constant year")
    days = moment.days(int(known))
    if name == "dateDaysSinceYear":
        return moment.integer_where(days, moment.dated)
    total = op.Add(op.Mul(days, scope.columns.scalar(86400.0)), moment.seconds())
    return moment.integer_where(total, moment.dated)


WHOLE_PATTERNS = {
    "D": "%m/%d/%y",
    "x": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "X": "%H:%M:%S",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "c": "%a %b %e %H:%M:%S %Y",
    "h": "%b",
}
FIXED = {"%": "%", "n": "\n", "t": "\t"}


def _number_table(count: int, spelling: str, first: int = 0) -> dict[float, str]:
    return {float(i): spelling % i for i in range(first, first + count)}


def _name_table(names: Any, first: int = 0) -> dict[float, str]:
    return {float(i): name for i, name in enumerate(names, first)}


DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
TABLES: dict[str, tuple[str, dict[float, str]]] = {
    "y": ("short_year", _number_table(100, "%02d")),
    "C": ("century", _number_table(100, "%02d")),
    "e": ("day", _number_table(31, "%2d", 1)),
    "j": ("day_of_year", _number_table(366, "%03d", 1)),
    "a": ("weekday", _name_table(n[:3] for n in DAYS)),
    "A": ("weekday", _name_table(DAYS)),
    "u": ("weekday", _name_table("1234567")),
    "w": ("weekday", _name_table("1234560")),
    "b": ("month", _name_table((n[:3] for n in MONTHS), 1)),
    "B": ("month", _name_table(MONTHS, 1)),
    "I": ("hour", {float(h): f"{(h - 1) % 12 + 1:02d}" for h in range(24)}),
    "p": ("hour", {float(h): "PM" if h > 11 else "AM" for h in range(24)}),
}
DATED = "YmdyCejaAuwbB"


def format_datetime(scope: Scope, node: Element, val: Val, pattern: str) -> Val:
    """formatDatetime: a date or time by a pattern of strftime, in English. Missing where it has no such
    part."""
    columns, op, moment = scope.columns, scope.columns.op, Moment(scope, node, val)
    for letter, expansion in WHOLE_PATTERNS.items():
        pattern = re.sub(rf"(?<!%)((?:%%)*)%{letter}", rf"\g<1>{expansion}", pattern)
    parts = re.findall(r"%.?|[^%]+", pattern, re.DOTALL)
    there, text_so_far = moment.good, None
    for part in parts:
        letter = part[1:] if part[0] == "%" else ""
        if part[0] == "%" and letter not in (*FIXED, *TABLES, *moment.spelled):
            raise refuse_expression(node, f"spells a date by {part}, which is not supported")
        if letter and letter in DATED:
            there = op.And(there, moment.dated)
        if letter in TABLES:
            name, entries = TABLES[letter]
            text = columns.lookup(columns.number(moment_number(moment, name)), entries).tensor
            there = op.And(there, op.Not(op.Equal(text, columns.scalar(""))))
        else:
            own = moment.spelled.get(letter) if letter else None
            text = columns.scalar(FIXED.get(letter, part)) if own is None else own
        text_so_far = text if text_so_far is None else op.StringConcat(text_so_far, text)
    if text_so_far is None:
        return columns.constant("", "string")
    return columns.blank(Val(op.Expand(text_so_far, columns.rows()), "string", checked=True), there)


def moment_number(moment: Moment, name: str) -> Any:
    """A part of a moment as a number; weekdays from Monday, 0."""
    op, k = moment.op, moment.columns.scalar
    if name == "weekday":
        return op.Mod(op.Add(moment.days(1900), k(7.0 * 400_000)), k(7.0), fmod=1)
    if name == "day_of_year":
        return moment.day_of_year()
    if name == "short_year":
        return op.Mod(moment.year, k(100.0), fmod=1)
    if name == "century":
        return op.Floor(op.Div(moment.year, k(100.0)))
    return getattr(moment, name)
