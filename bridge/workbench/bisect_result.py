"""The result of a bisection, as it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bridge.comparison import Verification
from bridge.page.content import Content, Table, drawn, section
from bridge.page.fragments import Shown

__all__ = ["Bisection", "Growth"]

SHOWN = 14
NAMED = 6
WIDTH = 48
VERDICTS = {
    "same": "The two agree.",
    "interface": "The numbers agree; the interfaces differ.",
    "rounding": "No operator is wrong: rounding adds up. Most of it comes from {place}.",
    "quantization": "Quantization costs most at {place}: {sqnr:.1f} dB of signal to noise.",
    "operator": "The candidate parts from the reference at {place}.",
    "text": "The two part at {place} or before it: what is no number is not followed.",
    "runtime": "The two agree as bridge reads them, and not as they run: {place}.",
}


@dataclass(frozen=True)
class Growth:
    """A value of the reference and its counterpart: the error there, and the error that its operators add
    when they are fed with the reference's own values; each the root of the mean square of the difference, as
    a part of that of the reference's elements."""

    value: str
    operator: str
    counterpart: str
    error: float
    own: float


@dataclass(frozen=True)
class Bisection(Shown):
    """The place where a candidate parts from its reference. `kind` is same, interface, operator, rounding,
    quantization or runtime; `operators` are those of the reference between values that agree and `value`,
    which does not, the likeliest first, `written` those of the candidate in their place. `others` are places
    further on where operators part as well, `growth` the values that correspond, in order. `conversions`
    counts the files that were written to find it."""

    verification: Verification
    kind: str
    operators: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    value: str = ""
    counterpart: str = ""
    error: float = 0.0
    note: str = ""
    others: tuple[str, ...] = ()
    growth: tuple[Growth, ...] = ()
    conversions: int = 0
    folder: Path | None = None

    @property
    def ok(self) -> bool:
        """True where the two agree."""
        return self.kind == "same"

    @property
    def sqnr(self) -> float:
        """The ratio of `value` to what its operators add, in decibels."""
        return -20 * math.log10(self.error) if self.error else math.inf

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        told = {"ok": self.ok, "verification": self.verification.to_dict()}
        plain = asdict(replace(self, verification=replace(self.verification, graph=None)))
        return plain | told | {"folder": None if self.folder is None else str(self.folder)}

    @property
    def verdict(self) -> str:
        """The verdict in a sentence."""
        place = self.operators[0] if self.operators else "an input that is passed on"
        where = self.note if self.kind == "runtime" else place
        return VERDICTS[self.kind].format(place=where, sqnr=self.sqnr)

    def content(self) -> Content:
        """The place, how the error grows, and outputs compared; the graph coloured by the error of each
        value, with the operators at which the two part."""
        compared = self.verification.content()
        parting = tuple(("reference", name) for name in self.operators)
        parting += tuple(("candidate", name) for name in self.written)
        parting += tuple(("further on", name) for name in self.others)
        grown = tuple(
            (g.value, g.counterpart, f"{g.error:.2e}", f"{g.own:.2e}", g.operator) for g in self.growth
        )
        head = ("value", "its counterpart", "error", "added", "operator")
        graph = self.verification.graph
        known = {g.value: g.error for g in self.growth} or {
            o.name: o.max_abs for o in self.verification.outputs
        }
        measure = "error, part of the value" if self.growth else "largest error"
        marked = graph.named(self.operators) if graph is not None else ()
        outcomes = dict.fromkeys(marked, ("differs", "parts here"))
        return Content(
            compared.title,
            self.verdict,
            self.ok,
            section("Where the two part", self.note, Table(("in the", "operator"), parting))
            + section("How the error grows", Table(head, grown, frozenset({2, 3})))
            + compared.sections,
            drawn("reference", graph, outcomes=outcomes, errors=known, measure=measure),
        )

    def __str__(self) -> str:
        lines = [self.verdict]
        if self.kind == "runtime" and self.operators:
            lines.append(f"  It parts at {_listed(self.operators)} → {self.value}.")
        elif self.value:
            lines += [
                f"  in the reference: {_listed(self.operators)} → {self.value}",
                f"  in the candidate: {_listed(self.written)} → {self.counterpart or 'nothing'}",
            ]
        if self.counterpart and self.kind != "runtime":
            lines.append(f"  Fed with the reference's own values it is off by {_share(self.error)}.")
        lines += [f"  {self.note}"] * bool(self.note and self.kind != "runtime")
        if self.others:
            lines.append(f"Fed so, these part as well: {_listed(self.others)}.")
        if self.growth and not self.ok:
            lines += ["How the error grows, and what of it each adds", *_grown(self.growth, self.value)]
        lines.append(str(self.verification))
        if self.folder is not None:
            lines.append(f"The part, its inputs and what is expected of it are in {self.folder}.")
        return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "nothing") + more


def _share(error: float) -> str:
    return f"{error:.2e} of its size" if math.isfinite(error) else "what is not finite"


def _grown(growth: Sequence[Growth], value: str) -> list[str]:
    """Rows around a value, and some of the others."""
    at = next((i for i, row in enumerate(growth) if row.value == value), 0)
    near = {*range(max(at - 2, 0), min(at + 4, len(growth)))}
    spread = np.linspace(0, len(growth) - 1, max(SHOWN - len(near), 2)).astype(int).tolist()
    rows = [growth[i] for i in sorted({*near, *spread})]
    width = min(max(len(row.value) for row in rows), WIDTH)
    head = f"  {'value':<{width}}  {'error':>9}  {'adds':>9}  operator"
    return [head, *(f"  {r.value:<{width}}  {r.error:9.2e}  {r.own:9.2e}  {r.operator}" for r in rows)]
