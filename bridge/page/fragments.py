"""Content as HTML: the sections of a page, and the tables of a notebook. Every text is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from bridge.page.content import Bars, Content, Histogram, Part, Section, Table

__all__ = ["Shown", "resource", "sections"]

MARKS = {
    "native": "●",
    "expanded": "◐",
    "approximated": "≈",
    "dropped": "○",
    "refused": "✗",
    "differs": "≠",
    "agrees": "✓",
    "fails": "✗",
}
"""The sign of each outcome, which is told by more than a colour."""
MOST = 500
"""Rows a table of a page has at most; FEW those of a notebook's."""
FEW = 20


class Shown:
    """A result that a notebook shows as tables, and `html()` as a page of its own."""

    def content(self) -> Content:
        """The result as a page shows it."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        content = self.content()
        return (
            f'<div class="bridge-result"><style>{resource("notebook.css")}</style>'
            f"<p><strong>{escape(content.title)}</strong> {verdict(content)}</p>"
            f"{''.join(sections(content, FEW))}</div>"
        )


def resource(name: str) -> str:
    """The text of a file beside this one."""
    return (Path(__file__).parent / name).read_text("utf-8")


def verdict(content: Content) -> str:
    """The verdict, with its sign."""
    kind = "good" if content.good else "bad"
    return f'<span class="verdict {kind}">{"✓" if content.good else "✗"} {escape(content.verdict)}</span>'


def sections(content: Content, most: int = MOST) -> Iterator[str]:
    """Each section as HTML; tables have at most so many rows."""
    for number, section in enumerate(content.sections, 1):
        yield _section(section, number, most)


def _section(section: Section, number: int, most: int) -> str:
    parts = "".join(_part_html(part, section.title, most) for part in section.parts)
    title = f'<h2 id="s{number}">{escape(section.title)}</h2>'
    return f'<section aria-labelledby="s{number}">{title}{parts}</section>'


def _part_html(part: Part, title: str, most: int) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Table):
        return _table_html(part, title, most)
    return _bars_html(part, title, most) if isinstance(part, Bars) else _histogram_html(part)


def _table_html(table: Table, title: str, most: int) -> str:
    kinds = [' class="number"' if i in table.numeric else "" for i in range(len(table.head))]
    head = "".join(f'<th scope="col"{k}>{escape(h)}</th>' for h, k in zip(table.head, kinds, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{kinds[i]}>{_cell(c, i in table.marked)}</td>' for i, c in enumerate(row))}</tr>"
        for row in table.rows[:most]
    )
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(title)}"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div>{_left(len(table.rows), most)}"
    )


def _left(count: int, most: int) -> str:
    return f"<p>The first {most:,} of {count:,} are shown.</p>" if count > most else ""


def _cell(cell: Any, marked: bool) -> str:
    text = escape(str(cell))
    mark = MARKS.get(str(cell)) if marked else None
    return f'<span class="mark {text}">{mark} {text}</span>' if mark else text


def _bars_html(bars: Bars, title: str, most: int) -> str:
    largest = max((value for _, value, _ in bars.rows), default=0) or 1
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td><span class="bar" style="width:{value / largest:.2%}">'
        f"</span></td><td>{escape(told)}</td></tr>"
        for label, value, told in bars.rows[:most]
    )
    caption = f"<caption>{escape(title)}</caption>"
    return f'<table class="bars">{caption}{rows}</table>{_left(len(bars.rows), most)}'


def _histogram_html(histogram: Histogram) -> str:
    largest = max(histogram.counts, default=0) or 1
    columns = "".join(
        f'<span class="column" title="{escape(label)}: {count:,}"><span style="height:{count / largest:.2%}" '
        f'class="{"some" if count else "none"}"></span></span>'
        for label, count in zip(histogram.labels, histogram.counts, strict=True)
    )
    listed = ", ".join(
        f"{label}: {count:,}"
        for label, count in zip(histogram.labels, histogram.counts, strict=True)
        if count
    )
    ends = "".join(f"<span>{escape(label)}</span>" for label in (histogram.labels[0], histogram.labels[-1]))
    return (
        f"<figure><figcaption><strong>{escape(histogram.title)}</strong> {escape(histogram.told)}"
        "</figcaption>"
        f'<div class="columns" role="img" aria-label="Elements by error. {escape(listed)}">{columns}</div>'
        f'<div class="ends" aria-hidden="true">{ends}</div></figure>'
    )
