"""Small PMML documents for the tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

pytest.importorskip("lxml")

from bridge_pmml.cases.common import ACTIVE, document, schema, transformed, write

__all__ = ["ACTIVE", "column", "document", "rows", "schema", "scores", "transformed", "write"]


def rows(x: Any = (), z: Any = (), c: Any = ()) -> dict[str, np.ndarray]:
    """Inputs x, z, c of equal length; None is missing."""
    count = max(len(x), len(z), len(c))
    x, z, c = (list(v) or [None] * count for v in (x, z, c))
    return {
        "x": column(x),
        "z": column(z),
        "c": np.array([["" if v is None else v] for v in c], object),
    }


def column(values: Any) -> np.ndarray:
    """Text, or numbers of which None is missing, as an input [N, 1]."""
    if any(isinstance(v, str) for v in values):
        return np.array([[v] for v in values], object)
    return np.array([[math.nan if v is None else float(v)] for v in values])


def scores(path: Path, inputs: dict[str, np.ndarray], **options: Any) -> dict[str, list[Any]]:
    """Outputs of the hub model, as lists by name."""
    model = bridge.load(path, source="pmml", **options)
    given = {v.name: inputs[v.name] for v in model.graph.inputs}
    return {name: value[:, 0].tolist() for name, value in bridge.run(model, given).items()}
