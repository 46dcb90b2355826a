"""PMML documents of one element or function each, by family: what PMML4S, or the specification, says is what
the hub must say."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_pmml.cases import (
    corpus,
    distances,
    ensembles,
    expressions,
    fields,
    functions,
    networks,
    regression,
    series,
    tables,
    trees,
)
from bridge_pmml.cases.common import CASES

__all__ = [
    "CASES",
    "corpus",
    "distances",
    "ensembles",
    "expressions",
    "fields",
    "functions",
    "networks",
    "regression",
    "series",
    "tables",
    "trees",
]


def cases() -> dict[str, NativeCase]:
    """Every case, as the matrix measures them."""
    return CASES
