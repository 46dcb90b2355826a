"""The compatibility matrix: measured, case by case."""

from __future__ import annotations

from bridge.matrix.case_runner import measure
from bridge.matrix.cases import Case, all_cases, selected
from bridge.matrix.evidence import Evidence, Result, counts, read, summary
from bridge.matrix.native import Made, NativeCase
from bridge.matrix.render import publish
from bridge.matrix.runner import all_routes, run

__all__ = [
    "Case",
    "Evidence",
    "Made",
    "NativeCase",
    "Result",
    "all_cases",
    "all_routes",
    "counts",
    "measure",
    "publish",
    "read",
    "run",
    "selected",
    "summary",
]
