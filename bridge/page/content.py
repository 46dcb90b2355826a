"""The parts of a result that a person looks at: a verdict, tables, bars, columns, graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.page.graph import Graph

__all__ = ["Bars", "Content", "Drawing", "Histogram", "Section", "Table", "bytes_told", "drawn", "section"]


@dataclass(frozen=True)
class Table:
    """Rows of text under a `head`; `numeric` are the columns of numbers, `marked` those of outcomes."""

    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    numeric: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Bars:
    """Numbers, not negative, as bars: (label, number, the number as text)."""

    rows: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class Histogram:
    """Counts by range, as columns; `labels` are the ranges, `told` sums them up in a sentence."""

    title: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    told: str = ""


Part = Table | Bars | Histogram | str
"""A string is a paragraph."""


@dataclass(frozen=True)
class Section:
    """Parts under a title."""

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Drawing:
    """A graph, and what is known of its operators: `outcomes` are (word, detail) by place, `errors` numbers
    by the name of a value, the larger the worse; `measure` says what they are."""

    title: str
    graph: Graph
    outcomes: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    measure: str = "error"


@dataclass(frozen=True)
class Content:
    """A result as a page shows it: `good` says whether the verdict is a good one."""

    title: str
    verdict: str
    good: bool
    sections: tuple[Section, ...] = ()
    drawings: tuple[Drawing, ...] = ()

    def and_of(self, other: Content) -> Content:
        """This content followed by that of a second result about the same model. Of the two drawings of a
        graph one is made, with the errors of the second."""
        drawings = list(self.drawings)
        for drawing in other.drawings:
            if drawing.errors and drawings:
                drawings[0] = replace(drawings[0], errors=drawing.errors, measure=drawing.measure)
            elif not drawings:
                drawings.append(drawing)
        return Content(
            self.title,
            f"{self.verdict} {other.verdict}".strip(),
            self.good and other.good,
            self.sections + other.sections,
            tuple(drawings),
        )


def section(title: str, *parts: Part) -> tuple[Section, ...]:
    """A section of the parts that hold something; none where no part does."""
    full = tuple(part for part in parts if part and getattr(part, "rows", True))
    return (Section(title, full),) if full else ()


def drawn(title: str, graph: Graph | None, **known: Any) -> tuple[Drawing, ...]:
    """The drawing of a graph, where there is one."""
    return () if graph is None else (Drawing(title, graph, **known),)


def bytes_told(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 2**20:.2f} MB" if count >= 2**20 else f"{count / 2**10:.1f} kB"
