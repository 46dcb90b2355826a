"""Reports: the outcome of each operator of a model, made or foretold."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bridge.errors import Blocker, UnsupportedModel, blocker_table
from bridge.page.content import Bars, Content, Table, bytes_told, drawn, section
from bridge.page.fragments import Shown
from bridge.page.graph import Graph

__all__ = ["Blocker", "Crossing", "Outcome", "Report"]

LOGGER = logging.getLogger("bridge")


class Outcome(StrEnum):
    """Outcome of one operator."""

    NATIVE = "native"
    EXPANDED = "expanded"
    APPROXIMATED = "approximated"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Crossing:
    """One operator of the source. `origin` is its native operator and name; `detail` says why."""

    op: str
    origin: str
    outcome: Outcome
    detail: str = ""


@dataclass
class Report(Shown):
    """Report of one conversion: `crossings` per operator, `notes` on the model, `blockers` that refuse it;
    `bytes` are those of the source, if it is a file, and of what was written; `graph` is the hub model that
    crosses, in whose order the crossings are."""

    source: str
    target: str
    crossings: list[Crossing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blockers: list[Blocker] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    model: str = "the model"
    variant: str = ""
    hint: str = ""
    steps: tuple[str, ...] = ()
    graph: Graph | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """True when nothing stands in the way."""
        return not self.blockers

    def require(self) -> None:
        """Raise UnsupportedModel unless every operator can cross."""
        if self.blockers:
            count = len(self.blockers)
            what = f"{count} operator{'s' * (count > 1)} of {self.model}"
            raise UnsupportedModel(f"{what} cannot be written as {self.variant}:", self.blockers, self.hint)

    @contextmanager
    def timed(self, step: str, written: tuple[Path, int] | None = None) -> Iterator[None]:
        """Log a step, and take the seconds it needs. `written` is the folder that a file grows in, and the
        bytes it will have, as far as they are known: it goes with the log record."""
        share = f" ({self.steps.index(step) + 1} of {len(self.steps)})" if step in self.steps else ""
        told = {} if written is None else {"written": written}
        LOGGER.debug("%s to %s: %s%s", self.source, self.target, step, share, extra=told)
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 4)

    def counts(self) -> dict[str, int]:
        """Number of operators per outcome, in the order of Outcome."""
        outcomes = Counter(c.outcome for c in self.crossings)
        return {o.value: outcomes[o] for o in Outcome if outcomes[o]}

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        plain = asdict(replace(self, graph=None))
        del plain["graph"]
        return plain | {"ok": self.ok, "counts": self.counts()}

    def content(self) -> Content:
        """Blockers and the way out, crossings by operator, notes, seconds; the graph coloured by outcome."""
        count, name = len(self.blockers), Path(self.model).name
        head = ("operator", "name", "reason")
        refused = tuple(
            (b.op, b.name, f"{b.part}: {b.reason}" if b.part else b.reason) for b in self.blockers
        )
        counts = ", ".join(f"{n} {o}" for o, n in self.counts().items())
        timed = tuple((step, seconds, f"{seconds:.2f} s") for step, seconds in self.seconds.items())
        sizes = tuple((which, count, bytes_told(count)) for which, count in self.bytes.items())
        return Content(
            f"{name}: {self.source} → {self.variant or self.target}",
            f"Refused, for {count} reason{'s' * (count > 1)}." if count else "Every operator crosses.",
            self.ok,
            section("Operators that cannot cross", self.hint if count else "", Table(head, refused))
            + section("How each operator crosses", counts, *self.notes, self._crossings())
            + section("Time of each step", Bars(timed))
            + section("Size on the disk", Bars(sizes)),
            () if self.graph is None else drawn(name, self.graph, outcomes=self._outcomes(self.graph)),
        )

    def _crossings(self) -> Table:
        """Number of operators by kind, outcome and reason, the worst first."""
        alike = Counter((c.op, c.outcome, c.detail) for c in self.crossings)
        worst = list(Outcome)[::-1]
        ordered = sorted(alike.items(), key=lambda item: (worst.index(item[0][1]), item[0]))
        rows = tuple((op, outcome.value, why, f"{n:,}") for (op, outcome, why), n in ordered)
        return Table(("operator", "outcome", "why", "count"), rows, frozenset({3}), frozenset({1}))

    def _outcomes(self, graph: Graph) -> dict[int, tuple[str, str]]:
        """Outcome and detail of each operator of the graph, by its place."""
        found = {i: (c.outcome.value, c.detail) for i, c in enumerate(self.crossings)}
        refused = {(b.op, b.name): b.reason for b in self.blockers}
        for place, operator in enumerate(graph.operators):
            if reason := refused.get((operator.native, operator.name)):
                found[place] = ("refused", reason)
        return found

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {o}" for o, n in self.counts().items()) or "no operators"
        lines = [f"{self.source} → {self.target}: {counts}", *(f"  note: {n}" for n in self.notes)]
        return "\n".join([*lines, blocker_table(self.blockers)] if self.blockers else lines)
