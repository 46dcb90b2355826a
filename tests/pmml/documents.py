"""Small PMML documents for the tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bridge

pytest.importorskip("lxml")

FIELDS = """
<DataField name="x" optype="continuous" dataType="double"/>
<DataField name="z" optype="continuous" dataType="double"/>
<DataField name="c" optype="categorical" dataType="string"><Value value="a"/><Value value="b"/><Value value="d"/></DataField>
<DataField name="y" optype="continuous" dataType="double"/>
<DataField name="k" optype="categorical" dataType="string"><Value value="no"/><Value value="yes"/></DataField>
"""
ACTIVE = '<MiningField name="x"/><MiningField name="z"/><MiningField name="c"/>'


def document(model: str, fields: str = FIELDS, dictionary: str = "", version: str = "4.4") -> str:
    space = "http://www.dmg.org/PMML-4_4"
    return (
        f'<?xml version="1.0"?><PMML xmlns="{space}" version="{version}"><Header/>'
        f"<DataDictionary>{fields}</DataDictionary>{dictionary}{model}</PMML>"
    )


def schema(active: str = ACTIVE, target: str = "y") -> str:
    return f'<MiningSchema>{active}<MiningField name="{target}" usageType="target"/></MiningSchema>'


def transformed(expression: str, active: str = ACTIVE, kind: str = "double") -> str:
    """A regression document whose output `out` is the value of an expression."""
    output = f'<Output><OutputField name="out" feature="transformedValue" dataType="{kind}">{expression}</OutputField></Output>'
    table = '<RegressionTable intercept="0"/>'
    return document(
        f'<RegressionModel functionName="regression">{schema(active)}{output}{table}</RegressionModel>'
    )


def write(folder: Path, text: str, name: str = "model.pmml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def rows(x: Any = (), z: Any = (), c: Any = ()) -> dict[str, np.ndarray]:
    """Inputs x, z, c of equal length; None is missing."""
    count = max(len(x), len(z), len(c))
    x, z, c = (list(v) or [None] * count for v in (x, z, c))
    return {
        "x": np.array([[math.nan if v is None else float(v)] for v in x]),
        "z": np.array([[math.nan if v is None else float(v)] for v in z]),
        "c": np.array([["" if v is None else v] for v in c], object),
    }


def scores(path: Path, inputs: dict[str, np.ndarray], **options: Any) -> dict[str, list[Any]]:
    """Outputs of the hub model, as lists by name."""
    model = bridge.load(path, source="pmml", **options)
    given = {v.name: inputs[v.name] for v in model.graph.inputs}
    return {name: value[:, 0].tolist() for name, value in bridge.run(model, given).items()}
