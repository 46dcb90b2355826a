"""The compatibility matrix: measured, case by case."""

from __future__ import annotations

from bridge.matrix.cases import Case, node_cases, selected
from bridge.matrix.runner import Result, counts, measure, run, summary

__all__ = ["Case", "Result", "counts", "measure", "node_cases", "run", "selected", "summary"]
