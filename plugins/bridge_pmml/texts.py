"""Words counted in text, and dates told in days and seconds: what tensor operators of strings can do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, UnsupportedModel
from bridge.report import Blocker
from bridge_pmml.fields import Scope
from bridge_pmml.reader import Element, children, describe, flag, number, text
from bridge_pmml.values import DOUBLE, Val, negated

WEIGHTS = ("termFrequency", "binary", "logarithmic")
DATE, TIME = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d:\d\d"


def refused(node: Element, why: str) -> UnsupportedModel:
    return UnsupportedModel("An expression cannot be read:", [Blocker(node.tag, describe(node), "", why)])


def counted(scope: Scope, node: Element, term: Any) -> Val:
    """TextIndex: how often the words of `term`, a constant, stand in a text one after the other.

    Words are parted by white space, and punctuation around them does not count.
    """
    columns, op = scope.columns, scope.columns.op
    how = node.get("localTermWeights", "termFrequency")
    if (
        how not in WEIGHTS
        or children(node, "TextIndexNormalization")
        or number(node, "maxLevenshteinDistance", 0.0)
    ):
        raise refused(node, "normalizes text, or weighs terms by more than this one's count or by distance")
    if node.get("wordSeparatorCharacterRE", r"\s+") not in (r"\s+", r"\s") or not flag(
        node, "tokenize", True
    ):
        raise refused(node, "parts words by something else than white space")
    words = str(columns.known(term)).split() if columns.known(term) is not None else []
    if not words:
        raise refused(node, "counts a term that is no constant")
    val = scope.get(text(node, "textField"))
    given = op.StringSplit(columns.to_text(val).tensor, _outputs=2)
    tokens = given[0]
    case = "" if flag(node, "isCaseSensitive") else "(?i)"
    hits: Any = None
    for index, word in enumerate(words):
        found = op.RegexFullMatch(tokens, pattern=rf"{case}\pP*{re.escape(word)}\pP*")
        last = len(words) - 1 - index
        ends = [-last] if last else [2**62]
        found = op.Slice(found, [index], ends, [2]) if len(words) > 1 else found
        hits = found if hits is None else op.And(hits, found)
    count = op.ReduceSum(op.Cast(hits, to=DOUBLE), np.array([2]), keepdims=0)
    if how == "binary":
        count = op.Cast(op.Greater(count, columns.scalar(0.0)), to=DOUBLE)
    elif how == "logarithmic":
        logged = op.Log(op.Add(columns.scalar(1.0), count))
        count = op.Mul(logged, columns.scalar(1 / np.log(10)))
    return columns.blank(
        columns.number(count, "integer" if how != "logarithmic" else "double"), _there(scope, val)
    )


def _there(scope: Scope, val: Val) -> Any:
    return negated(scope.columns.missing(val), scope.columns.op)


class Moment:
    """A date, time or both as numbers, double [N, 1]; where the text is none, `good` is false."""

    def __init__(self, scope: Scope, node: Element, val: Val) -> None:
        self.columns, self.op = scope.columns, scope.columns.op
        if not val.text:
            raise UnreadableFile(f"{describe(node)} needs a date or a time, which a {val.kind} is not.")
        op = self.op
        dated = op.RegexFullMatch(val.tensor, pattern=rf"{DATE}(T{TIME})?")
        timed = op.RegexFullMatch(val.tensor, pattern=TIME)
        day = self.columns.scalar("1970-01-01T")
        whole = op.RegexFullMatch(val.tensor, pattern=rf"{DATE}T{TIME}")
        midnight = op.StringConcat(
            op.Where(dated, val.tensor, self.columns.scalar("1970-01-01")), self.columns.scalar("T00:00:00")
        )
        clock = op.StringConcat(day, op.Where(timed, val.tensor, self.columns.scalar("00:00:00")))
        text = op.Where(whole, val.tensor, op.Where(timed, clock, midnight))
        halves, _ = op.StringSplit(text, delimiter="T", _outputs=2)
        self.dated, self.good = dated, op.Or(dated, timed)
        self.year, self.month, self.day = self._parts(halves, 0, "-")
        self.hour, self.minute, self.second = self._parts(halves, 1, ":")

    def _parts(self, halves: Any, index: int, delimiter: str) -> list[Any]:
        op = self.op
        half = op.Gather(halves, np.array(index, np.int64), axis=2)
        parts, _ = op.StringSplit(half, delimiter=delimiter, _outputs=2)
        numbers = op.Cast(parts, to=DOUBLE)
        return [op.Gather(numbers, np.array(i, np.int64), axis=2) for i in range(3)]

    def days(self, year: int) -> Any:
        """Days since the first of January of a year, by the Gregorian calendar (years counted from March)."""
        op, k = self.op, self.columns.scalar
        early = op.Cast(op.LessOrEqual(self.month, k(2.0)), to=DOUBLE)
        y, m = op.Sub(self.year, early), op.Add(op.Sub(self.month, k(3.0)), op.Mul(early, k(12.0)))

        def part(x: Any, by: float) -> Any:
            return op.Floor(op.Div(x, k(by)))

        months = part(op.Add(op.Mul(m, k(153.0)), k(2.0)), 5.0)
        leaps = op.Add(op.Sub(part(y, 4.0), part(y, 100.0)), part(y, 400.0))
        total = op.Add(op.Add(op.Mul(y, k(365.0)), leaps), op.Add(months, self.day))
        return op.Sub(total, k(float(_ordinal(year))))

    def seconds(self) -> Any:
        op, k = self.op, self.columns.scalar
        return op.Add(op.Add(op.Mul(self.hour, k(3600.0)), op.Mul(self.minute, k(60.0))), self.second)

    def told(self, tensor: Any, where: Any) -> Val:
        return self.columns.blank(self.columns.number(tensor, "integer"), where)


def _ordinal(year: int) -> int:
    """The first of January of a year, counted as `Moment.days` counts."""
    y = year - 1
    return y * 365 + y // 4 - y // 100 + y // 400 + (10 * 153 + 2) // 5 + 1


def since(scope: Scope, node: Element, name: str, val: Val, year: Any) -> Val:
    """dateDaysSinceYear, dateSecondsSinceYear, dateSecondsSinceMidnight."""
    moment, op = Moment(scope, node, val), scope.columns.op
    if name == "dateSecondsSinceMidnight":
        return moment.told(moment.seconds(), moment.good)
    known = None if year is None else scope.columns.known(year)
    if not isinstance(known, (int, float)):
        raise refused(node, f"{name} needs a constant year")
    days = moment.days(int(known))
    if name == "dateDaysSinceYear":
        return moment.told(days, moment.dated)
    total = op.Add(op.Mul(days, scope.columns.scalar(86400.0)), moment.seconds())
    return moment.told(total, moment.dated)
