"""Counts of the published matrix, for `check`: matrix/measured.json, written by
benchmarks/publish_matrix.py."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

FILE = Path(__file__).parent / "matrix" / "measured.json"


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
