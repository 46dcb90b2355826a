"""Small PMML documents, and how a case of one is declared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase

FIELDS = """
<DataField name="x" optype="continuous" dataType="double"/>
<DataField name="z" optype="continuous" dataType="double"/>
<DataField name="c" optype="categorical" dataType="string">
  <Value value="a"/><Value value="b"/><Value value="d"/></DataField>
<DataField name="y" optype="continuous" dataType="double"/>
<DataField name="k" optype="categorical" dataType="string"><Value value="no"/><Value value="yes"/></DataField>
"""
ACTIVE = '<MiningField name="x"/><MiningField name="z"/><MiningField name="c"/>'
NUMBERS = """
<DataField name="v" optype="continuous" dataType="double">
  <Interval closure="closedClosed" leftMargin="0" rightMargin="10"/></DataField>
<DataField name="n" optype="categorical" dataType="integer">
  <Value value="1"/><Value value="2"/><Value value="3"/></DataField>
<DataField name="m" optype="categorical" dataType="integer"><Value value="1"/><Value value="2"/></DataField>
<DataField name="t" optype="categorical" dataType="integer"><Value value="0"/><Value value="1"/></DataField>
<DataField name="u" optype="categorical" dataType="integer">
  <Value value="0"/><Value value="1"/><Value value="2"/></DataField>
<DataField name="o" optype="ordinal" dataType="integer">
  <Value value="0"/><Value value="1"/><Value value="2"/></DataField>
"""
GAP = {"c": ""}
CASES: dict[str, NativeCase] = {}


def document(model: str, fields: str = FIELDS, dictionary: str = "", version: str = "4.4") -> str:
    space = "http://www.dmg.org/PMML-4_4"
    return (
        f'<?xml version="1.0"?><PMML xmlns="{space}" version="{version}"><Header/>'
        f"<DataDictionary>{fields}</DataDictionary>{dictionary}{model}</PMML>"
    )


def schema(fields: str = ACTIVE, target: str = "y") -> str:
    return f'<MiningSchema>{fields}<MiningField name="{target}" usageType="target"/></MiningSchema>'


def function_of(target: str) -> str:
    """The mining function of a target: y is a number, the others are classes."""
    return "regression" if target == "y" else "classification"


def active(names: Iterable[str]) -> str:
    """Mining fields of these names."""
    return "".join(f'<MiningField name="{name}"/>' for name in names)


def reads(names: str, target: str = "y") -> str:
    """A mining schema of fields of one letter each."""
    return schema(active(names), target)


def valued(expression: str, data_type: str, columns: Iterable[str]) -> str:
    """A document whose answer is the value of an expression of these fields; of text it is an output."""
    if data_type == "string":
        return transformed(expression, active(columns), data_type)
    return derived(expression, "".join(columns), data_type)


def transformed(expression: str, fields: str = ACTIVE, data_type: str = "double") -> str:
    """A regression document whose output `out` is the value of an expression."""
    output = (
        f'<Output><OutputField name="out" feature="transformedValue" dataType="{data_type}">'
        f"{expression}</OutputField></Output>"
    )
    table = '<RegressionTable intercept="0"/>'
    return document(
        f'<RegressionModel functionName="regression"><MiningSchema>{fields}</MiningSchema>{output}{table}'
        "</RegressionModel>",
        FIELDS + NUMBERS,
    )


def derived(
    expression: str, names: str, data_type: str = "double", optype: str = "continuous", dictionary: str = ""
) -> str:
    """A regression document of the fields of one letter each, whose answer is the value of an expression."""
    field = f'<DerivedField name="w" optype="{optype}" dataType="{data_type}">{expression}</DerivedField>'
    local = f"<LocalTransformations>{field}</LocalTransformations>"
    table = '<RegressionTable intercept="0"><NumericPredictor name="w" coefficient="1"/></RegressionTable>'
    model = f'<RegressionModel functionName="regression">{reads(names)}{local}{table}</RegressionModel>'
    return document(model, FIELDS + NUMBERS, dictionary)


def write(folder: Path, text: str, name: str = "model.pmml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def column(values: Iterable[Any], text: bool = False) -> np.ndarray:
    """[N, 1], of text where a value is or where it is said so; None is missing."""
    values = list(values)
    if text or any(isinstance(v, str) for v in values):
        return np.array([["" if v is None else v] for v in values], object)
    return np.array([[math.nan if v is None else float(v)] for v in values])


def class_outputs(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Outputs of a classifier without Output for rows of probabilities: the class, 0 and on, the highest
    probability, and the probability of each class."""
    winners = [float(row.index(max(row))) for row in map(list, rows)]
    return [winners, [max(row) for row in rows], *map(list, zip(*rows, strict=True))]


def case(
    name: str,
    ops: str | Sequence[str],
    model: str,
    expected_columns: Sequence[Sequence[Any]] | None = None,
    *,
    fields: str = FIELDS + NUMBERS,
    dictionary: str = "",
    words: bool = False,
    tight: bool = True,
    **columns: Sequence[Any],
) -> None:
    """Declare a case: a model element, or a whole document, and a column of values by field it reads.

    `want` are its outputs, in order, where PMML4S does not say; text among them is compared only with
    `words`. Numbers agree to 1e-5 unless they are not `tight`.
    """
    text = model if model.startswith("<?xml") else document(model, fields, dictionary)
    inputs = {field: column(v, field in GAP) for field, v in columns.items()}
    options = {} if words else {"outputs": "numbers"}
    expected = None if expected_columns is None else list(map(column, expected_columns))
    limits = {"rtol": 1e-5, "atol": 1e-6} if tight else {}

    def make(folder: Path) -> Made:
        return Made(write(folder, text), inputs, options, expected, **limits)

    if name in CASES:
        raise ValueError(f"There are two cases {name!r}.")
    CASES[name] = NativeCase((ops,) if isinstance(ops, str) else tuple(ops), make)
