"""ModelVerification: the records a document carries, scored by the hub model made of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile, VerificationFailed
from bridge.passes import clean
from bridge.runtime import run_hub
from bridge_pmml.models import model_of
from bridge_pmml.reader import INTERFACE, Element, child, children, inline_table, interface, number, text

Row = dict[str, str]


def records(root: Element) -> tuple[list[Row], dict[str, tuple[str, float, float]]]:
    """Rows, and per field its column, precision and zero threshold; empty without a ModelVerification."""
    node = child(model_of(root), "ModelVerification")
    if node is None:
        return [], {}
    fields = {}
    for item in children(child(node, "VerificationFields"), "VerificationField"):
        name = text(item, "field")
        tolerances = number(item, "precision", 1e-6), number(item, "zeroThreshold", 1e-16)
        fields[name] = (item.get("column") or name, *tolerances)
    return inline_table(node), fields


def feeds(
    model: ir.Model, rows: list[dict[str, str | None]], pack: list[str] | None = None
) -> dict[str, Any]:
    """Arrays for a hub model's inputs from rows of text by field; what a row lacks is missing."""
    arrays: dict[str, Any] = {}
    for value in model.graph.inputs:
        name = value.name or ""
        if value.shape is not None and not isinstance(value.shape[-1], int):
            cells: Any = baskets([r.get(name) or () for r in rows], value.dtype == ir.DataType.STRING)
        elif value.dtype == ir.DataType.STRING:
            cells = np.array([[r.get(name) or ""] for r in rows], object)
        elif pack and name == "inputs":
            cells = np.array([[_double(r.get(n)) for n in pack] for r in rows])
        else:
            assert value.dtype is not None
            cells = np.array([[_double(r.get(name))] for r in rows]).astype(value.dtype.numpy())
        arrays[name] = cells
    return arrays


def baskets(lists: list[Any], words: bool) -> np.ndarray:
    """Lists side by side, as wide as the longest, the rest missing."""
    gap: Any = "" if words else math.nan
    array = np.full((len(lists), max([1, *map(len, lists)])), gap, object if words else np.float64)
    for row, items in zip(array, lists, strict=True):
        row[: len(items)] = items if words else [_double(i) for i in items]
    return array


def _double(cell: str | None) -> float:
    if cell is None or cell.strip() in ("", "N/A", "NA", "NaN"):
        return math.nan
    if cell.strip() in ("true", "false"):
        return float(cell.strip() == "true")
    return float(cell)


def check(path: Path, root: Element, model: ir.Model) -> None:
    """Raise VerificationFailed where the model disagrees with the document's own records."""
    rows, fields = records(root)
    ports = interface(root.get(INTERFACE))
    columns = {f: e for side in ports.values() for e in side for f in e["fields"]}
    outputs = {v.name for v in model.graph.outputs}
    wanted = {
        f: settings
        for f, settings in fields.items()
        if (columns[f]["name"] if f in columns else f) in outputs
    }
    if not rows or not wanted or any(v.name == "inputs" for v in model.graph.inputs):
        return
    records_by_field = [{name: row.get(column) for name, (column, _, _) in fields.items()} for row in rows]
    copy = model.clone()
    clean(copy)
    try:
        outputs_of_model = run_hub(
            copy, bundled_arrays(copy, records_by_field, ports) if ports else feeds(copy, records_by_field)
        )
    except ValueError as error:
        raise UnreadableFile(f"{path}: a record of its ModelVerification is no record: {error}") from error
    for name, (column, precision, zero) in wanted.items():
        values = (
            np.asarray(outputs_of_model[name]).reshape(len(rows), -1)[:, 0]
            if name in outputs_of_model
            else output_field(outputs_of_model, columns[name], name)
        )
        for index, row in enumerate(rows):
            cell = row.get(column)
            if cell is not None and not agrees(cell, values[index], precision, zero):
                raise VerificationFailed(
                    f"{path} says {name} is {cell} for record {index + 1}; "
                    f"its own model gives {values[index]}.",
                    "Read it all the same with self_check=False, if the document is known to be wrong.",
                )


def output_field(outputs: dict[str, Any], entry: dict[str, Any], field: str) -> np.ndarray:
    """One field of an output that holds several."""
    array = np.asarray(outputs[entry["name"]])
    return array.reshape(len(array), -1)[:, entry["fields"].index(field)]


def bundled_arrays(
    model: ir.Model, rows: list[dict[str, str | None]], ports: dict[str, Any]
) -> dict[str, Any]:
    """Arrays for inputs that hold several fields."""
    arrays = {}
    for entry, value in zip(ports["inputs"], model.graph.inputs, strict=True):
        text = value.dtype == ir.DataType.STRING
        cells = [[(r.get(f) or "") if text else _double(r.get(f)) for f in entry["fields"]] for r in rows]
        array = np.array(cells, object if text else np.float64)
        array = array if text else array.astype(value.dtype.numpy())  # type: ignore[union-attr]
        arrays[entry["name"]] = array[:, 0] if len(entry["shape"]) == 1 else array
    return arrays


def agrees(expected: str, actual: Any, precision: float, zero: float) -> bool:
    """Equal text, or numbers within the relative precision, or both within the zero threshold."""
    if isinstance(actual, str):
        return actual == expected
    if isinstance(actual, (bool, np.bool_)):
        return str(bool(actual)).lower() == expected
    try:
        value = _double(expected)
    except ValueError:
        return False
    if value != value or actual != actual:
        return value != value and actual != actual
    if abs(value) <= zero:
        return abs(actual) <= zero or abs(actual - value) <= precision
    return abs(actual - value) <= precision * abs(value)
