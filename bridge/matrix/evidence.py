"""Results, and the file of JSON lines that keeps them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import UnreadableFile, WriteFailed
from bridge.output import atomic

NAME = "results.jsonl"
SURVIVED = ("native", "expanded", "approximated")
OUTCOMES = (*SURVIVED, "refused", "untried", "wrong", "failed", "unrunnable", "crashed", "timeout")


@dataclass(frozen=True)
class Result:
    """Result of one case on one route "a:b"; `error` is the worst absolute error, `ops` the operators
    the case is of.

    `outcome` is native, expanded or approximated where the case survived; refused, with the reason; untried,
    where the case cannot be written as the route's first format, or no runtime computes what it expects;
    wrong; or failed, unrunnable, crashed, timeout.
    """

    route: str
    case: str
    outcome: str
    reason: str = ""
    error: float = 0.0
    seconds: float = 0.0
    frozen: bool = False
    ops: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, bool]:
        return self.route, self.case, self.frozen

    @property
    def survived(self) -> bool:
        return self.outcome in SURVIVED


@dataclass
class Evidence:
    """Evidence of a run: `facts` (date, versions of everything that ran) and the results."""

    facts: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)


def read(path: Path) -> Evidence:
    """The evidence of a results.jsonl or .jsonl.gz; lines that are torn are left out. Raises
    UnreadableFile."""
    evidence = Evidence()
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            lines = file.read().splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read: {error}") from error
    for line in lines:
        try:
            record = json.loads(line)
            if "facts" in record:
                evidence.facts = record["facts"]
            else:
                evidence.results.append(Result(**record | {"ops": tuple(record.get("ops", ()))}))
        except (ValueError, TypeError):
            continue
    return evidence


def write(path: Path, evidence: Evidence) -> None:
    """The whole file at once, compressed where its name ends in .gz. Raises WriteFailed."""
    with atomic(path, overwrite=True) as temporary:
        text = "".join(line + "\n" for line in lines(evidence)).encode()
        temporary.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def lines(evidence: Evidence) -> Iterable[str]:
    """The file's lines."""
    yield json.dumps({"facts": evidence.facts})
    yield from (line(result) for result in evidence.results)


def line(result: Result) -> str:
    return json.dumps(asdict(result))


class Journal:
    """The file while it grows: what stands in it already is kept when it is resumed, and a torn line is
    dropped."""

    def __init__(self, path: Path, facts: dict[str, Any], resume: bool) -> None:
        self.path = path
        self.evidence = read(path) if resume and path.exists() else Evidence()
        self.evidence.facts = facts
        write(path, self.evidence)
        self._file = path.open("a")

    def add(self, result: Result) -> None:
        """Raises WriteFailed when the disk is full; what came before is kept."""
        self.evidence.results.append(result)
        try:
            self._file.write(line(result) + "\n")
            self._file.flush()
        except OSError as error:
            raise WriteFailed(
                f"{self.path} could not be written: {error.strerror}.", "Make room and go on with --resume."
            ) from error

    def finish(self, order: dict[tuple[str, str, bool], int]) -> Evidence:
        """The file rewritten in order, whatever order the results came in."""
        self._file.close()
        self.evidence.results.sort(key=lambda r: order.get(r.key, len(order)))
        write(self.path, self.evidence)
        return self.evidence


def counts(results: Iterable[Result]) -> dict[str, dict[str, Any]]:
    """Per route, how many cases had each outcome, how many survived, and the worst error of those
    approximated."""
    by_route: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.route, []).append(result)
    for route, mine in groups.items():
        outcomes = Counter(r.outcome for r in mine)
        by_route[route] = {
            "cases": len(mine),
            "survived": sum(outcomes[o] for o in SURVIVED),
            "outcomes": {o: outcomes[o] for o in OUTCOMES if outcomes[o]},
            "worst_approximated": max((r.error for r in mine if r.outcome == "approximated"), default=0.0),
        }
    return by_route


def summary(results: Iterable[Result]) -> str:
    """`counts` in words, a line a route."""
    report_lines = []
    for route, tally in counts(results).items():
        share = 100 * tally["survived"] / max(tally["cases"], 1)
        listed = ", ".join(f"{n} {o}" for o, n in tally["outcomes"].items())
        if "approximated" in tally["outcomes"]:
            listed += f" (within {tally['worst_approximated']:.1e})"
        report_lines.append(
            f"{route}: {tally['survived']} of {tally['cases']} survived ({share:.1f} %): {listed}"
        )
    return "\n".join(report_lines)
