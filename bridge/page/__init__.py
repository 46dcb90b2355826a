"""A result as one page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from bridge.page.content import Bars, Content, Drawing, Histogram, Section, Table, section
from bridge.page.fragments import MARKS, Shown, resource, sections, verdict
from bridge.page.graph import Graph, graph_of
from bridge.page.scopes import Group, grouped

__all__ = [
    "Bars",
    "Content",
    "Drawing",
    "Graph",
    "Histogram",
    "Section",
    "Shown",
    "Table",
    "graph_of",
    "page",
    "unless_page",
]

MOST = 20_000
"""Operators that are drawn: a page of more would open slowly."""
GENERATOR = '<meta name="generator" content="bridge">'


def page(result: Shown | Content) -> str:
    """A page of HTML of a result that has `content()`, or of content itself.

    It holds names of the model and figures about it, never weights nor data. Of a graph with more operators
    than `MOST` the first are drawn, and the page says so.
    """
    content = result if isinstance(result, Content) else result.content()
    told = list(sections(replace(content, sections=content.sections + _sources(content.drawings))))
    parts = {
        "generator": GENERATOR,
        "title": escape(content.title),
        "verdict": verdict(content),
        "first": "".join(told[:1]),
        "others": "".join(told[1:]),
        "style": resource("page.css"),
        **_graph(content.drawings),
    }
    template = resource("page.html")
    pieces = template.split("{{")
    return pieces[0] + "".join(
        parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:])
    )


def _sources(drawings: tuple[Drawing, ...]) -> tuple[Section, ...]:
    """A section on the file that each graph was read from, as far as it is known."""
    graphs = {drawing.title: drawing.graph for drawing in drawings}
    return tuple(
        one
        for title, graph in graphs.items()
        for one in section(
            f"Source of {title}", Table(("fact", "value"), tuple(graph.source.items())), *graph.chain
        )
    )


def unless_page(place: Path) -> str:
    """The refusal of all but empty files and pages of bridge: why what is there is not replaced."""
    if not place.is_file():
        return "is no file"
    with place.open("rb") as file:
        start = file.read(4096)
    return "" if not start or GENERATOR.encode() in start else "is a file that is no page of bridge"


def _graph(drawings: tuple[Drawing, ...]) -> dict[str, str]:
    """Parts of the page that draw graphs; empty without any."""
    if not drawings:
        return dict.fromkeys(("graph", "data", "dagre", "script", "licence"), "")
    cut = [
        f"{drawing.title}: the first {MOST:,} of {len(drawing.graph.operators):,} operators are drawn."
        for drawing in drawings
        if len(drawing.graph.operators) > MOST
    ]
    library = resource("dagre.min.js").splitlines(keepends=True)
    licence = f"<pre>dagre: {escape(resource('dagre.LICENSE.txt'))}</pre>"
    summary = "<summary>Licence of what draws the graph</summary>"
    return {
        "graph": resource("graph.html").replace("{{cut}}", "".join(f"<p>{escape(line)}</p>" for line in cut)),
        "data": _script_data(drawings),
        "dagre": "".join(line for line in library if not line.startswith("//#")),
        "script": resource("graph.js"),
        "licence": f"<footer><details>{summary}{licence}</details></footer>",
    }


def _script_data(drawings: tuple[Drawing, ...]) -> str:
    """Drawings as JSON that no name can end: it has no < in it."""
    data = {"marks": MARKS, "drawings": [_drawn(drawing) for drawing in drawings]}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _drawn(drawing: Drawing) -> dict[str, Any]:
    """A drawing as plain values: texts once, operators as lists of what `graph.js` calls by name."""
    graph = drawing.graph.first(MOST)
    texts: dict[str, int] = {}

    def place(text: str) -> int:
        return texts.setdefault(text, len(texts))

    operators = []
    for number, one in enumerate(graph.all):
        word, detail = drawing.outcomes.get(number, ("", "")) if number < len(graph.operators) else ("", "")
        errors = [drawing.errors[name] for name, _ in one.results if name in drawing.errors]
        worst = max(errors, default=None)
        operators.append(
            [
                *(place(text) for text in (one.op, one.native, one.name, word, detail)),
                list(one.reads),
                [f"{name}: {kind}" for name, kind in one.results],
                worst if worst is None or math.isfinite(worst) else str(worst),
            ]
        )
    return {
        "title": drawing.title,
        "measure": drawing.measure,
        "texts": list(texts),
        "operators": operators,
        "tree": _nested(grouped(graph)),
    }


def _nested(group: Group) -> list:
    return [group.label, [m if isinstance(m, int) else _nested(m) for m in group.members]]
