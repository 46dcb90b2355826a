"""Fields: the data dictionary as hub inputs, what a mining schema does to values, and the names a model
sees."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.ops import OpTable
from bridge_pmml.reader import Element, children, describe, number, optional, text
from bridge_pmml.values import (
    DOUBLE,
    STRING,
    Columns,
    Val,
    is_text,
    logical_and,
    logical_not,
    logical_or,
    parse,
)

MATRIX = "inputs"
READERS = ("FieldRef", "FieldColumnPair", "NormContinuous", "NormDiscrete", "Discretize")


@dataclass(frozen=True)
class Field:
    """A DataField: its type, and which values are valid, invalid or stand for missing."""

    name: str
    data_type: str
    ordinal: bool
    continuous: bool
    valid: tuple[str, ...]
    invalid: tuple[str, ...]
    absent: tuple[str, ...]
    intervals: tuple[tuple[str, float, float], ...]
    labels: dict[str, str]

    @classmethod
    def of(cls, node: Element) -> Field:
        optype = node.get("optype") or "categorical"
        data_type = node.get("dataType") or ("double" if optype == "continuous" else "string")
        values: dict[str, list[str]] = {"valid": [], "invalid": [], "missing": []}
        for value in children(node, "Value"):
            values.setdefault(value.get("property", "valid"), []).append(text(value, "value"))
        labels = {
            v.get("value"): v.get("displayValue") for v in children(node, "Value") if v.get("displayValue")
        }
        return cls(
            text(node, "name"),
            data_type,
            optype == "ordinal",
            optype == "continuous",
            tuple(values["valid"]),
            tuple(values["invalid"]),
            tuple(values["missing"]),
            tuple(interval(i) for i in children(node, "Interval")),
            labels,
        )

    @property
    def text(self) -> bool:
        return is_text(self.data_type)

    @property
    def dtype(self) -> ir.DataType:
        """Dtype of the hub input."""
        return STRING if self.text else ir.DataType.FLOAT if self.data_type == "float" else DOUBLE

    def parse_values(self, values: tuple[str, ...]) -> list[Any]:
        return [parse(v, self.data_type) for v in values]


def interval(node: Element) -> tuple[str, float, float]:
    """Closure and margins of an Interval."""
    return (
        text(node, "closure"),
        number(node, "leftMargin", -math.inf),
        number(node, "rightMargin", math.inf),
    )


def interval_mask(columns: Columns, val: Val, bounds: tuple[str, float, float]) -> Any:
    """Mask of the numbers inside an interval; False where missing."""
    closure, left, right = bounds
    op, mask = columns.op, True
    if left != -math.inf:
        compare = op.GreaterOrEqual if closure.startswith("closed") else op.Greater
        mask = logical_and(mask, compare(val.tensor, columns.scalar(left)), op)
    if right != math.inf:
        compare = op.LessOrEqual if closure.lower().endswith("closed") else op.Less
        mask = logical_and(mask, compare(val.tensor, columns.scalar(right)), op)
    return logical_not(columns.missing(val), op) if mask is True else mask


class Inputs:
    """Hub inputs made as fields are asked for. With `packed`, those numeric fields are columns of one
    matrix."""

    def __init__(self, graph: ir.Graph, fields: dict[str, Field]) -> None:
        self.graph = graph
        self.fields = fields
        self.columns: Columns | None = None
        self.values_by_field: dict[str, Val] = {}
        self.packed: list[str] = []
        self.bundles: dict[str, tuple[ir.Value, int]] = {}

    def pack(self, names: list[str]) -> ir.Value:
        """One input `inputs` [N, F] for the numeric fields among `names`."""
        self.packed = [n for n in names if not self.fields[n].text]
        return self._add_input(MATRIX, DOUBLE, len(self.packed))

    def bundle(self, entry: dict[str, Any]) -> None:
        """An input as the hub had it before it became fields."""
        value = ir.Value(
            name=entry["name"],
            type=ir.TensorType(ir.DataType[entry["dtype"]]),
            shape=ir.Shape(entry["shape"]),
        )
        self.graph.inputs.append(value)
        for index, name in enumerate(entry["fields"]):
            if name not in self.fields:
                raise UnreadableFile(f"The document's interface names a field {name!r}, which is not there.")
            self.bundles[name] = (value, index)

    def _bundle_column(self, name: str) -> ir.Value:
        """One field of such an input, as a column."""
        assert self.columns is not None
        op, (value, index) = self.columns.op, self.bundles[name]
        column = (
            op.Unsqueeze(value, np.array([1]))
            if len(value.shape or ()) == 1
            else self.columns.gather_column(value, index)
        )
        return column if value.dtype in (STRING, DOUBLE) else op.Cast(column, to=DOUBLE)

    def add_field(self, name: str, width: int | str = 1) -> ir.Value:
        """An input [N, width]; raises UnreadableFile for a field that is not there."""
        if name not in self.fields:
            raise UnreadableFile(f"The field {name!r} is not defined.")
        return self._add_input(name, self.fields[name].dtype, width)

    def _add_input(self, name: str, dtype: ir.DataType, width: int | str) -> ir.Value:
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(["N", width]))
        self.graph.inputs.append(value)
        return value

    def get(self, name: str) -> Val:
        """A data field's value as it comes in, what stands for missing replaced by missing."""
        if name in self.values_by_field:
            return self.values_by_field[name]
        field, columns = self.fields[name], self.columns
        assert columns is not None
        value = next((v for v in self.graph.inputs if v.name == name), None)
        if name in self.bundles:
            value = self._bundle_column(name)
        elif name in self.packed:
            value = columns.gather_column(self.graph.inputs[0], self.packed.index(name))
        elif value is None:
            value = self.add_field(name)
        if value.dtype == ir.DataType.FLOAT:
            value = columns.op.Cast(value, to=DOUBLE)
        val = Val(value, field.data_type, field.valid, field.ordinal)
        if field.absent:
            gaps = dict.fromkeys(field.parse_values(field.absent), 1.0)
            is_absent = columns.op.Greater(columns.lookup(val, gaps, 0.0, 0.0).tensor, columns.scalar(0.5))
            val = columns.blank(val, logical_not(is_absent, columns.op)).with_(
                values=field.valid, ordinal=field.ordinal
            )
        free = not (field.valid or field.invalid or field.intervals)
        self.values_by_field[name] = val.with_(checked=free)
        return self.values_by_field[name]


def invalid_mask(columns: Columns, val: Val, field: Field) -> Any:
    """Mask of the values that are neither missing nor valid by their data field."""
    op = columns.op
    if val.checked:
        return False
    bad: Any = False
    if field.invalid:
        hits = columns.category_index(val, field.parse_values(field.invalid))
        bad = op.GreaterOrEqual(hits, np.array([[0]], np.int64))
    allowed: Any = True
    if field.valid:
        hits = columns.category_index(val, field.parse_values(field.valid))
        allowed = op.GreaterOrEqual(hits, np.array([[0]], np.int64))
    elif field.intervals and not val.text:
        allowed = False
        for bounds in field.intervals:
            allowed = logical_or(allowed, interval_mask(columns, val, bounds), op)
    bad = logical_or(bad, logical_not(allowed, op), op)
    return logical_and(bad, logical_not(columns.missing(val), op), op)


class Scope:
    """Names a model sees: its mining fields as treated, derived fields made when asked for, then its
    surroundings'.

    `invalid`: where a field's treatment makes the whole result invalid. `models`: the rules that read the
    models inside.
    """

    def __init__(
        self,
        columns: Columns,
        outer: Scope | None = None,
        inputs: Inputs | None = None,
        models: OpTable | None = None,
    ) -> None:
        self.columns = columns
        self.outer = outer
        self.models: OpTable | None = models or (outer.models if outer else None)
        self.inputs: Inputs | None = inputs or (outer.inputs if outer else None)
        self.names: dict[str, Val] = {}
        self.later: dict[str, Callable[[], Val]] = {}
        self.pending: set[str] = set()
        self.reads: dict[str, Element] = {}
        self.invalid: Any = False
        self.functions: dict[str, Element] = outer.functions if outer else {}

    def get(self, name: str) -> Val:
        """The column of a field. Raises UnreadableFile for a name nobody defines, or one defined by
        itself."""
        if name in self.names:
            return self.names[name]
        if name in self.later:
            if name in self.pending:
                raise UnreadableFile(f"The field {name!r} is defined by itself.")
            self._make(name)
            return self.names[name]
        if self.outer is not None:
            return self.outer.get(name)
        if self.inputs is not None and name in self.inputs.fields:
            return self.inputs.get(name)
        raise UnreadableFile(f"The field {name!r} is not defined.")

    def _make(self, name: str) -> None:
        """Make a field that is made when asked for, those it reads before it: a chain of them may be long."""
        stack, seen = [name], {name}
        while stack:
            node = self.reads.get(stack[-1])
            fields = () if node is None else (ref.get("field") for ref in node.iter(*READERS))
            missing = [f for f in fields if f in self.later and f not in self.names and f not in seen]
            if missing:
                stack.append(missing[0])
                seen.add(missing[0])
                continue
            made = stack.pop()
            if made not in self.names:
                self.pending.add(made)
                self.names[made] = self.later[made]()
                self.pending.discard(made)

    def knows(self, name: str) -> bool:
        if name in self.names or name in self.later:
            return True
        if self.outer is not None:
            return self.outer.knows(name)
        return self.inputs is not None and name in self.inputs.fields

    def declared(self, name: str) -> Field | None:
        """The data field of a name, unless something else goes by it."""
        return self.inputs.fields.get(name) if self.inputs is not None else None

    def enter(self, schema: Element | None) -> Scope:
        """The scope of a model inside this one, its mining schema applied."""
        inner = Scope(self.columns, self)
        for node in children(schema, "MiningField"):
            usage, name = node.get("usageType", "active"), text(node, "name")
            if usage in ("group", "order"):
                inner.later[name] = functools.partial(self._treat_later, inner, node, name)
            elif usage == "active":
                if self.knows(name):
                    inner.names[name] = inner.treat(node, self.get(name))
                else:
                    raise UnreadableFile(f"{describe(node)} is in no data dictionary.")
        return inner

    def _treat_later(self, inner: Scope, node: Element, name: str) -> Val:
        return inner.treat(node, self.get(name))

    def treat(self, node: Element, val: Val) -> Val:
        """A value after the invalid, outlier and missing value treatments of its MiningField."""
        for step in (self._treat_invalid, self._treat_outliers, self._treat_missing):
            val = step(node, val)
        return val

    def _treat_invalid(self, node: Element, val: Val) -> Val:
        field, treatment = (
            self.declared(text(node, "name")),
            node.get("invalidValueTreatment", "returnInvalid"),
        )
        if field is None or val.checked or treatment == "asIs":
            return val
        columns = self.columns
        bad = invalid_mask(columns, val, field)
        if treatment == "returnInvalid":
            self.invalid = logical_or(self.invalid, bad, columns.op)
        elif treatment == "asMissing":
            val = columns.blank(val, logical_not(bad, columns.op))
        elif treatment == "asValue":
            replacement = parse(text(node, "invalidValueReplacement"), val.data_type)
            val = columns.where(bad, columns.constant(replacement, val.data_type), val)
        else:
            raise UnreadableFile(f"{describe(node)}: invalidValueTreatment={treatment!r} is unknown.")
        return val.with_(checked=True, values=field.valid, ordinal=field.ordinal)

    def _treat_outliers(self, node: Element, val: Val) -> Val:
        how, op = node.get("outliers", "asIs"), self.columns.op
        if how == "asIs" or val.text:
            return val
        low, high = optional(node, "lowValue"), optional(node, "highValue")
        tensor, out = val.tensor, False
        for bound, compare in ((low, op.Less), (high, op.Greater)):
            if bound is not None:
                beyond = compare(val.tensor, self.columns.scalar(bound))
                out = logical_or(out, beyond, op)
                tensor = op.Where(beyond, self.columns.scalar(bound), tensor)
        if how == "asMissingValues":
            return self.columns.blank(val, logical_not(out, op)).with_(present=False)
        return val.with_(tensor=tensor)

    def _treat_missing(self, node: Element, val: Val) -> Val:
        missing = self.columns.missing(val)
        if node.get("missingValueTreatment") == "returnInvalid":
            self.invalid = logical_or(self.invalid, missing, self.columns.op)
            return val.with_(present=True)
        replacement = node.get("missingValueReplacement")
        if replacement is None or missing is False:
            return val
        filler = self.columns.constant(parse(replacement, val.data_type), val.data_type).with_(
            values=val.values
        )
        return self.columns.where(missing, filler, val).with_(
            data_type=val.data_type, checked=val.checked, present=True, values=val.values, ordinal=val.ordinal
        )


def active_fields(schema: Element | None) -> Iterator[Element]:
    """The mining fields whose values a model reads."""
    return (
        m
        for m in children(schema, "MiningField")
        if m.get("usageType", "active") in ("active", "group", "order")
    )
