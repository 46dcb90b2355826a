"""ModelVerification: the records a document carries, scored by the hub model made of it, or of a model inside
it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from lxml import etree

from bridge.errors import UnreadableFile, VerificationFailed
from bridge.passes import clean
from bridge.runtime import run_hub
from bridge.stored import as_held
from bridge_pmml.fields import active_fields
from bridge_pmml.models import MODELS, model_of
from bridge_pmml.reader import (
    INTERFACE,
    KEPT,
    Element,
    child,
    children,
    column,
    describe,
    inline_table,
    interface,
    need_child,
    number,
    text,
)

Row = dict[str, Any]
ROUNDING = {"double": 1e-12, "float": 1e-5}
"""What a sum may lose relative to itself, in the arithmetic that the document's values were computed in: no
precision asked for is finer."""


@dataclass(frozen=True)
class Expected:
    """A field with expected values: the column that holds them, their precision and zero threshold."""

    column: str
    precision: float
    zero: float

    @classmethod
    def of(cls, node: Element, rounding: float) -> Expected:
        precision, zero = number(node, "precision", 1e-6), number(node, "zeroThreshold", 1e-16)
        if not (precision >= 0 and zero >= 0):
            raise UnreadableFile(f"{describe(node)}: a precision is below zero.")
        return cls(column(node, "column", text(node, "field")), max(precision, rounding), zero)

    def agrees(self, cell: str, actual: Any) -> bool:
        """Equal text, or numbers within the precision in proportion to the expected one, or both within the
        zero threshold."""
        if isinstance(actual, str):
            return actual == cell
        if isinstance(actual, (bool, np.bool_)):
            return str(bool(actual)).lower() == cell
        try:
            value = _double(cell)
        except ValueError:
            return False
        if value != value or actual != actual or math.isinf(value):
            return value == actual or (value != value and actual != actual)
        if abs(value) <= self.zero and abs(actual) <= self.zero:
            return True
        return bool(abs(actual - value) <= self.precision * abs(value))


def feeds(model: ir.Model, rows: list[Row]) -> dict[str, Any]:
    """Arrays for a hub model's inputs from rows of text by field, lists of text by the field of a basket;
    what a row lacks is missing."""
    arrays: dict[str, Any] = {}
    for value in model.graph.inputs:
        name = value.name or ""
        if value.shape is not None and not isinstance(value.shape[-1], int):
            cells: Any = baskets([r.get(name) or () for r in rows], value.dtype == ir.DataType.STRING)
        elif value.dtype == ir.DataType.STRING:
            cells = np.array([[r.get(name) or ""] for r in rows], object)
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


def records(rows: list[dict[str, str]], columns: dict[str, str], group: str) -> list[Row]:
    """Cells by field. The rows of one value of the `group` field are a record, whose cells are lists."""
    by_field = [{f: row[c] for f, c in columns.items() if c in row} for row in rows]
    if group not in columns:
        return [dict(row) for row in by_field]
    transactions: dict[str | None, Row] = {}
    for row in by_field:
        record = transactions.setdefault(row.get(group), {})
        for name, cell in row.items():
            record.setdefault(name, []).append(cell)
    return list(transactions.values())


def parts(root: Element) -> Iterator[Element]:
    """A document of its own for each model inside another that carries records."""
    outermost = model_of(root)
    for node in root.iter("ModelVerification"):
        if node.getparent() is not outermost:
            yield part(root, node.getparent())


def part(root: Element, model: Element) -> Element:
    """The document of a model inside another: what is derived or answered around it is a field of its
    records."""
    document = etree.Element(root.tag, {k: v for k, v in root.attrib.items() if k not in KEPT})
    document.extend(
        copy.deepcopy(node) for node in (*children(root, "DataDictionary", "TransformationDictionary"), model)
    )
    fields = need_child(document, "DataDictionary")
    known = {text(f, "name") for f in children(fields, "DataField")}
    made = {f.get("name"): f for f in root.iter("DerivedField", "OutputField")}
    records = model.iterfind("ModelVerification/VerificationFields/VerificationField")
    told = {text(f, "field") for f in records}
    read = {text(m, "name") for m in active_fields(child(model, "MiningSchema"))}
    for name in sorted((told & read & {*made}) - known):
        optype = made[name].get("optype", "continuous")
        usual = "double" if optype == "continuous" else "string"
        declared = {"name": name, "optype": optype, "dataType": made[name].get("dataType", usual)}
        etree.SubElement(fields, "DataField", declared)
        for derived in document.iterfind("TransformationDictionary/DerivedField"):
            if derived.get("name") == name:
                derived.getparent().remove(derived)
    return document


def check(path: Path, root: Element, model: ir.Model, predictions: dict[str, str], whose: str = "") -> str:
    """A sentence on how many records of the document were scored; "" for a document without any. `whose`
    names the model in it whose records they are.

    `predictions` are the outputs that hold the predicted values of targets. Targets are expected values where
    no output field is among the VerificationFields. Raises VerificationFailed where the model disagrees.
    """
    node = child(model_of(root), "ModelVerification")
    if node is None:
        return ""
    rows = inline_table(node)
    single = any(m.get("x-mathContext") == "float" for m in root.iter(*MODELS))
    rounding = ROUNDING["float" if single else "double"]
    fields = {
        text(f, "field"): Expected.of(f, rounding)
        for f in children(child(node, "VerificationFields"), "VerificationField")
    }
    bundles = {f: e for e in interface(root.get(INTERFACE)).get("outputs", ()) for f in e["fields"]}
    names = {v.name for v in model.graph.outputs} | set(bundles)
    wanted = {f: f for f in fields if f in names} or {f: o for f, o in predictions.items() if f in fields}
    if not rows or not wanted:
        return f"0 verification records{whose} were checked: none of the {len(rows)} tells an output"
    found = records(rows, {f: e.column for f, e in fields.items()}, group_field(root))
    outputs = _scored(path, root, model, found)
    for field, name in wanted.items():
        values = np.asarray(outputs[name]) if name in outputs else output_field(outputs, bundles[name], name)
        values = values.reshape(len(found), -1)
        for index, record in enumerate(found):
            _compare(path, field, fields[field], index, record.get(field), values[index])
    count = len(found)
    return f"{count} verification record{'s' * (count != 1)}{whose} {'were' if count != 1 else 'was'} checked"


def group_field(root: Element) -> str:
    """The field that tells the transactions of association rules apart, "" where a row is a record."""
    node = model_of(root)
    schema = child(node, "MiningSchema") if node.tag == "AssociationModel" else None
    names = [text(m, "name") for m in children(schema, "MiningField") if m.get("usageType") == "group"]
    return names[0] if names else ""


def _scored(path: Path, root: Element, model: ir.Model, found: list[Row]) -> dict[str, Any]:
    ports, copy = interface(root.get(INTERFACE)), as_held(model)
    clean(copy)
    try:
        return run_hub(copy, bundled_arrays(copy, found, ports) if ports else feeds(copy, found))
    except ValueError as error:
        raise UnreadableFile(f"{path}: a record of its ModelVerification is no record: {error}") from error


def _compare(path: Path, field: str, expected: Expected, index: int, cell: Any, values: np.ndarray) -> None:
    """Raise VerificationFailed unless a record's cell, or list of cells, is what the model gives."""
    if cell is None:
        return
    cells = cell if isinstance(cell, list) else [cell]
    actual = [v for v in values if v == v and v != ""] if len(values) > 1 else [values[0]] * len(cells)
    agreed = len(actual) == len(cells) and all(map(expected.agrees, cells, actual))
    if not agreed:
        given = ", ".join(map(str, actual)) or "nothing"
        raise VerificationFailed(
            f"{path} says {field} is {', '.join(cells)} for record {index + 1}; its own model gives {given}.",
            "Read it all the same with self_check=False, if the document is known to be wrong.",
        )


def output_field(outputs: dict[str, Any], entry: dict[str, Any], field: str) -> np.ndarray:
    """One field of an output that holds several."""
    array = np.asarray(outputs[entry["name"]])
    return array.reshape(len(array), -1)[:, entry["fields"].index(field)]


def bundled_arrays(model: ir.Model, rows: list[Row], ports: dict[str, Any]) -> dict[str, Any]:
    """Arrays for inputs that hold several fields."""
    arrays = {}
    for entry, value in zip(ports["inputs"], model.graph.inputs, strict=True):
        text = value.dtype == ir.DataType.STRING
        cells = [[(r.get(f) or "") if text else _double(r.get(f)) for f in entry["fields"]] for r in rows]
        array = np.array(cells, object if text else np.float64)
        array = array if text else array.astype(value.dtype.numpy())  # type: ignore[union-attr]
        arrays[entry["name"]] = array[:, 0] if len(entry["shape"]) == 1 else array
    return arrays
