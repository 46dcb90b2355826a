"""PMML documents of one element or function each, by family: what PMML4S, or the specification, says is what the hub must say."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_pmml.cases import expressions, functions
from bridge_pmml.cases.common import CASES

__all__ = ["CASES", "expressions", "functions"]


def cases() -> dict[str, NativeCase]:
    """Every case, as the matrix measures them."""
    return CASES
