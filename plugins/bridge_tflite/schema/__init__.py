"""TFLite's schema: its numbers and tables, from a table of ours, and flatbuffers read and written by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from flatbuffers import number_types, table
from flatbuffers.builder import Builder

__all__ = ["ENUMS", "Record", "Table", "Vector", "root"]

PATH = Path(__file__).with_name("schema.json")
SCALARS = {
    name: getattr(number_types, f"{name.title()}Flags")
    for name in ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32")
}


@dataclass(frozen=True)
class Field:
    """Field of a table: a scalar, `string`, the name of a table, `union` and the name of its enum, or `[…]`,
    a vector of these."""

    name: str
    slot: int
    kind: str
    default: Any

    @property
    def place(self) -> int:
        """The entry of the table of offsets that has it."""
        return 4 + 2 * self.slot


def _field(name: str, slot: int, kind: str, default: Any) -> Field:
    return Field(name, slot, kind, bool(default) if kind == "bool" else default)


def _declared() -> tuple[dict[str, dict[str, int]], dict[str, tuple[int, dict[str, Field]]]]:
    enums, tables = {}, {}
    for key, value in json.loads(PATH.read_text()).items():
        what, _, name = key.partition(" ")
        if what == "enum":
            enums[name] = value
        elif what == "table":
            count, *fields = value
            tables[name] = (count, {field[0]: _field(*field) for field in fields})
    return enums, tables


ENUMS, TABLES = _declared()
"""Numbers by the names of enums and of their members; number of slots and fields of each table."""
MEMBERS = {enum: {n: name for name, n in numbers.items()} for enum, numbers in ENUMS.items()}


class Table:
    """Table in the bytes of a file; fields are attributes, read when asked for: numbers, bytes, numpy arrays
    that share the file's memory, tables and Vectors; None for what is not there."""

    __slots__ = ("_fields", "_name", "_table")

    def __init__(self, name: str, data: Any, place: int) -> None:
        self._name, self._fields = name, TABLES[name][1]
        self._table = table.Table(data, place)

    def __getattr__(self, name: str) -> Any:
        if name not in self._fields:
            raise AttributeError(name)
        field, source = self._fields[name], self._table
        at = source.Offset(field.place)
        if not at:
            return field.default
        kind = field.kind
        if kind in SCALARS:
            return source.Get(SCALARS[kind], at + source.Pos)
        if kind == "string":
            return source.String(at + source.Pos)
        if kind.startswith("["):
            return self._vector(kind[1:-1], at)
        if kind.startswith("union "):
            return self._union(kind[6:], getattr(self, f"{name}Type"), at)
        return Table(kind, source.Bytes, source.Indirect(at + source.Pos))

    def place_of(self, name: str) -> int:
        """The place in the file of a number, or of the distance to what the field holds; 0 where it is not
        there."""
        at = self._table.Offset(self._fields[name].place)
        return at + self._table.Pos if at else 0

    def _vector(self, kind: str, at: int) -> Any:
        if kind in SCALARS:
            return self._table.GetVectorAsNumpy(SCALARS[kind], at)
        return Vector(kind, self._table, at)

    def _union(self, enum: str, number: int, at: int) -> Table | None:
        member = MEMBERS[enum].get(number)
        if member not in TABLES:
            return None
        held = table.Table(bytearray(), 0)
        self._table.Union(held, at)
        return Table(member, held.Bytes, held.Pos)

    def unpacked(self) -> Record:
        """The table with all that is in it, as an object."""
        record = Record(self._name)
        for name in self._fields:
            value = getattr(self, name)
            if isinstance(value, Vector):
                value = [v.unpacked() if isinstance(v, Table) else v for v in value]
            setattr(record, name, value.unpacked() if isinstance(value, Table) else value)
        return record


class Vector:
    """Tables or texts in the bytes of a file."""

    def __init__(self, kind: str, source: table.Table, at: int) -> None:
        self.kind, self.source = kind, source
        self.start, self.length = source.Vector(at), source.VectorLen(at)

    def __len__(self) -> int:
        return int(self.length)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        place = self.start + 4 * index
        if self.kind == "string":
            return self.source.String(place)
        return Table(self.kind, self.source.Bytes, self.source.Indirect(place))

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self.length))


def root(data: Any) -> Table:
    """The model that a file's bytes hold."""
    start = table.Table(data, 0).Get(SCALARS["uint32"], 0)
    return Table("Model", data, start)


class Record:
    """Table that is not in a file yet; fields are attributes, with the schema's defaults."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, name: str) -> None:
        self._name = name
        for field in TABLES[name][1].values():
            setattr(self, field.name, field.default)

    def pack(self, builder: Builder) -> int:
        """Write it; returns its offset. Raises TypeError for a number that its field does not hold."""
        count, fields = TABLES[self._name]
        values = [(f, getattr(self, f.name)) for f in fields.values()]
        offsets = {
            f.name: _packed(builder, f.kind, v) for f, v in values if f.kind not in SCALARS and v is not None
        }
        builder.StartObject(count)
        for field, value in values:
            if field.name in offsets:
                builder.PrependUOffsetTRelativeSlot(field.slot, offsets[field.name], 0)
            elif field.kind in SCALARS:
                prepend = getattr(builder, f"Prepend{field.kind.title()}Slot")
                prepend(field.slot, value, field.default)
        return int(builder.EndObject())


def _packed(builder: Builder, kind: str, value: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(value))
    if not kind.startswith("["):
        return int(value.pack(builder))
    inner = kind[1:-1]
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if inner in SCALARS:
        size = SCALARS[inner].bytewidth
        builder.StartVector(size, len(value), size)
        prepend = getattr(builder, f"Prepend{inner.title()}")
    else:
        value = [_packed(builder, inner, v) for v in value]
        builder.StartVector(4, len(value), 4)
        prepend = builder.PrependUOffsetTRelative
    for item in reversed(value):
        prepend(item)
    return int(builder.EndVector())
