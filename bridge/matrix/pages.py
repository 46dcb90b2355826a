"""Evidence → a page for each operator and each route."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from bridge.matrix.evidence import SURVIVED, Evidence, Result
from bridge.matrix.native import source_of

__all__ = ["arrow", "markdown_table", "operator_pages", "route_pages", "share", "stem", "why"]

REASONS = 4


def stem(name: str) -> str:
    """The name of the page of an operator or a route."""
    return name.replace("::", ".").replace(":", "-").replace("?", "-").replace("=", "-")


def arrow(route: str, titles: dict[str, str]) -> str:
    return " → ".join(titles.get(end, end) for end in route.split(":"))


def share(results: Sequence[Result]) -> str:
    """Cases that survive of those tried."""
    tried = [r for r in results if r.outcome != "untried"]
    return f"{sum(r.outcome in SURVIVED for r in tried)}/{len(tried)}" if tried else "·"


def why(results: Sequence[Result]) -> str:
    """The reasons of what does not survive, the most frequent first."""
    reasons = Counter(
        r.reason.replace("|", "\\|") for r in results if r.outcome not in (*SURVIVED, "untried") and r.reason
    )
    return "; ".join(f"{reason} ({n})" if n > 1 else reason for reason, n in reasons.most_common(REASONS))


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def operator_pages(evidence: Evidence, titles: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(path, markdown) of each operator of ONNX, and of the list of them."""
    results = [r for r in evidence.results if not source_of(r.case)]
    by_op = _grouped(results, lambda r: r.ops)
    for op, mine in by_op.items():
        rows = _rows(mine, lambda r: (r.route,), lambda route: _link("routes", route, arrow(route, titles)))
        text = f"Cases of {op} that survive, of those tried, by route."
        yield (
            f"operators/{stem(op)}.md",
            f"# {op}\n\n{text}\n\n{markdown_table(['route', 'as-is', 'frozen', 'why not'], rows)}\n",
        )
    links = "\n".join(f"- [{op}]({stem(op)}.md)" for op in sorted(by_op))
    yield "operators/index.md", f"# Operator by operator\n\n{links}\n"


def route_pages(evidence: Evidence, titles: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(path, markdown) of each route, and of the list of them."""
    by_route = _grouped(evidence.results, lambda r: (r.route,))
    for route, mine in by_route.items():
        native = {op for r in mine if source_of(r.case) for op in r.ops}
        shown = {op: op if op in native else _link("operators", op, op) for r in mine for op in r.ops}
        rows = _rows(mine, lambda r: r.ops, shown.__getitem__)
        yield (
            f"routes/{stem(route)}.md",
            f"# {arrow(route, titles)}\n\n{share([r for r in mine if not r.frozen])} cases survive as-is.\n\n"
            f"{markdown_table(['operator', 'as-is', 'frozen', 'why not'], rows)}\n",
        )
    links = "\n".join(f"- [{arrow(route, titles)}]({stem(route)}.md)" for route in by_route)
    yield "routes/index.md", f"# Route by route\n\n{links}\n"


def _link(folder: str, name: str, text: str) -> str:
    return f"[{text}](../{folder}/{stem(name)}.md)"


def _grouped(results: Sequence[Result], keys: Callable[[Result], Sequence[str]]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        for key in keys(result):
            groups.setdefault(key, []).append(result)
    return dict(sorted(groups.items()))


def _rows(
    results: Sequence[Result], keys: Callable[[Result], Sequence[str]], shown: Callable[[str], str]
) -> list[list[str]]:
    rows = []
    for key, mine in _grouped(results, keys).items():
        parts = [[r for r in mine if r.frozen == frozen] for frozen in (False, True)]
        rows.append([shown(key), share(parts[0]), share(parts[1]), why(mine)])
    return rows
