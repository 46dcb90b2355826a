"""What a TFLite file says about itself: metadata entries, the model metadata flatbuffer, and the files in the zip behind it.

In the hub: every entry under its own name; `tflite.model` and, on inputs and outputs, `tflite.tensor` say in JSON what the
entry TFLITE_METADATA says (names, descriptions, normalization, ranges, files); `tflite.file:NAME` is an associated file. Bytes
that are no text are written `base64:…`.
"""

from __future__ import annotations

import base64
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx_ir as ir
from flatbuffers.table import Table

from bridge import facts
from bridge.errors import UnreadableFile

PACKED = "TFLITE_METADATA"
RUNTIME = "min_runtime_version"
BINARY = "base64:"
LARGEST = 2**26
MEMBERS = 1000


def text(raw: bytes) -> str:
    """Bytes as text where they are some, less the zeros behind them; else in base64."""
    try:
        found = raw.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        found = "\0"
    return BINARY + base64.b64encode(raw).decode() if "\0" in found or found.startswith(BINARY) else found


def raw(value: str) -> bytes:
    """The bytes `text` came from."""
    if value.startswith(BINARY):
        return base64.b64decode(value[len(BINARY) :])
    return value.encode()


def read(entries: dict[str, bytes], model: ir.Model, path: Path) -> None:
    """Give a hub model the metadata of its file. Raises UnreadableFile for a broken archive behind the file."""
    _name_dimensions(model, entries.pop(facts.DIMENSIONS.key, b""))
    model.metadata_props.update({name: text(value) for name, value in entries.items()})
    for name, content in _files(path):
        facts.TFLITE_FILE.of(name).set(model, text(content))
    described = describe(entries[PACKED]) if PACKED in entries else {}
    if not described:
        return
    facts.TFLITE_MODEL.set(model, described["model"])
    for kind, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        for value, description in zip(values, described[kind], strict=False):
            facts.TFLITE_TENSOR.set(value, description)


def written(model: ir.Model) -> list[tuple[str, bytes]]:
    """The metadata entries of a file with this model: what it read from one, less the runtime that file's operators asked for, and the
    names of its dimensions."""
    derived = (facts.TFLITE_MODEL, facts.DIMENSIONS, facts.TFLITE_QUANTIZATION, facts.TFLITE_FILE)
    found = [
        (name, raw(value))
        for name, value in sorted(model.metadata_props.items())
        if name != RUNTIME and not any(fact.owns(name) for fact in derived)
    ]
    names = {
        kind: {
            v.name: [d if isinstance(d, int) else d.value for d in v.shape]
            for v in values
            if v.shape is not None and not v.shape.is_static()
        }
        for kind, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs))
    }
    known = any(isinstance(d, str) for dims in names.values() for shape in dims.values() for d in shape)
    return [*found, (facts.DIMENSIONS.key, _json(names).encode())] if known else found


def note_quantization(model: ir.Model, found: dict[str, tuple[str, Any, Any]]) -> None:
    """Remember what inputs and outputs stand for, where no operator of the hub says it: dtype, scale and zero point by name."""
    known = {name: [dtype, float(scale), int(zero)] for name, (dtype, scale, zero) in found.items()}
    if known:
        facts.TFLITE_QUANTIZATION.set(model, known)


def quantization(model: ir.Model, value: ir.Value) -> tuple[float, int] | None:
    """Scale and zero point noted for an input or output, if it still is of that dtype."""
    try:
        dtype, scale, zero = (facts.TFLITE_QUANTIZATION.get(model) or {})[value.name]
        return (float(scale), int(zero)) if value.dtype is not None and dtype == value.dtype.name else None
    except (ValueError, KeyError, TypeError):
        return None


def append_files(model: ir.Model, path: Path) -> None:
    """Put the associated files into an archive behind the file, uncompressed."""
    files = {name: raw(value) for name, value in facts.TFLITE_FILE.all(model)}
    if not files:
        return
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MEMBERS or sum(m.file_size for m in members) > LARGEST:
                raise UnreadableFile(f"The files inside {path} are too many or too large.")
            for member in members:
                with archive.open(member) as file:
                    yield member.filename, file.read(LARGEST)
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        RuntimeError,
        ValueError,
        struct.error,
    ) as error:
        raise UnreadableFile(f"The files inside {path} cannot be read: {error}") from error


def _name_dimensions(model: ir.Model, found: bytes) -> None:
    """Give dynamic dimensions the names the exporter noted."""
    try:
        names = json.loads(found) if found else {}
    except ValueError:
        return
    for kind, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        noted = names.get(kind) if isinstance(names, dict) else None
        for value in values:
            dims = noted.get(value.name) if isinstance(noted, dict) else None
            if not isinstance(dims, list) or value.shape is None or len(dims) != len(value.shape):
                continue
            value.shape = ir.Shape(
                [
                    old if isinstance(old, int) else (new if isinstance(new, str) and new else None)
                    for old, new in zip(value.shape, dims, strict=True)
                ]
            )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# The model metadata schema (version 1.x): fields by position


def describe(packed: bytes) -> dict[str, Any]:
    """What the flatbuffer says of the model, its inputs and its outputs; nothing where it is broken."""
    try:
        root = Record(Table(bytearray(packed), struct.unpack_from("<I", packed)[0]))
        graph = root.records(3)[:1]
        return {
            "model": _kept(
                {
                    "name": root.string(0),
                    "description": root.string(1),
                    "version": root.string(2),
                    "author": root.string(4),
                    "license": root.string(5),
                    "files": [_file(f) for f in root.records(6)],
                    "min_parser_version": root.string(7),
                }
            ),
            "inputs": [_tensor(t) for g in graph for t in g.records(2)],
            "outputs": [_tensor(t) for g in graph for t in g.records(3)],
        }
    except Exception:
        return {}


class Record:
    """One table of a flatbuffer without generated code; every length is checked against the buffer."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def _at(self, field: int) -> int:
        return self.table.Offset(4 + 2 * field)

    def _length(self, place: int) -> int:
        length = self.table.VectorLen(place)
        if length > len(self.table.Bytes):
            raise ValueError("a vector is longer than its buffer")
        return length

    def string(self, field: int) -> str:
        place = self._at(field)
        return self.table.String(place + self.table.Pos).decode("utf-8", "replace") if place else ""

    def byte(self, field: int) -> int:
        place = self._at(field)
        return self.table.Bytes[place + self.table.Pos] if place else 0

    def record(self, field: int) -> Record | None:
        place = self._at(field)
        return Record(Table(self.table.Bytes, self.table.Indirect(place + self.table.Pos))) if place else None

    def records(self, field: int) -> list[Record]:
        place = self._at(field)
        if not place:
            return []
        start = self.table.Vector(place)
        return [
            Record(Table(self.table.Bytes, self.table.Indirect(start + 4 * i)))
            for i in range(self._length(place))
        ]

    def strings(self, field: int) -> list[str]:
        place = self._at(field)
        if not place:
            return []
        start = self.table.Vector(place)
        return [
            self.table.String(start + 4 * i).decode("utf-8", "replace") for i in range(self._length(place))
        ]

    def floats(self, field: int) -> list[float]:
        place = self._at(field)
        if not place:
            return []
        return list(
            struct.unpack_from(f"<{self._length(place)}f", self.table.Bytes, self.table.Vector(place))
        )


FILE_KINDS = (
    "unknown",
    "descriptions",
    "axis_labels",
    "value_labels",
    "score_calibration",
    "vocabulary",
    "scann_index",
)
NORMALIZATION = 1


def _file(record: Record) -> dict[str, Any]:
    kind = record.byte(2)
    return _kept(
        {
            "name": record.string(0),
            "description": record.string(1),
            "kind": FILE_KINDS[kind] if kind < len(FILE_KINDS) else str(kind),
            "locale": record.string(3),
        }
    )


def _tensor(record: Record) -> dict[str, Any]:
    stats = record.record(5)
    made: dict[str, Any] = {
        "name": record.string(0),
        "description": record.string(1),
        "dimensions": record.strings(2),
        "max": stats.floats(0) if stats else [],
        "min": stats.floats(1) if stats else [],
        "files": [_file(f) for f in record.records(6)],
    }
    for unit in record.records(4):
        options = unit.record(1)
        if unit.byte(0) == NORMALIZATION and options is not None:
            made["normalization"] = {"mean": options.floats(0), "std": options.floats(1)}
    return _kept(made)


def _kept(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value}
