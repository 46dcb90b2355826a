"""Counts of the published matrix, for `check`: measured.json beside, written by
benchmarks/publish_matrix.py."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from bridge.matrix.evidence import Result
from bridge.matrix.native import source_of

FILE = Path(__file__).parent / "measured.json"


def condensed(results: Iterable[Result]) -> dict[str, dict[str, list[int]]]:
    """Cases that survive and cases tried, as-is, by route and operator."""
    found: dict[str, dict[str, list[int]]] = {}
    for result in results:
        if result.frozen or result.outcome == "untried" or source_of(result.case):
            continue
        for op in result.ops:
            count = found.setdefault(result.route, {}).setdefault(op, [0, 0])
            count[0] += result.survived
            count[1] += 1
    return found


@functools.cache
def _measured() -> dict[str, dict[str, list[int]]]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def notes(route: str, ops: Iterable[str]) -> list[str]:
    """A sentence on each operator of which not every measured case survives the route "a:b"."""
    known = _measured().get(route, {})
    return [
        f"{op}: {known[op][0]} of {known[op][1]} cases measured on {route.replace(':', ' → ')} survive"
        for op in sorted(set(ops))
        if op in known and known[op][0] < known[op][1]
    ]
