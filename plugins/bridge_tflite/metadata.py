"""Metadata of a TFLite file: its metadata entries, the model metadata flatbuffer, and the files in the
appended zip.

The hub keeps every entry under its own name. `tflite.model` and, on inputs and outputs, `tflite.tensor` hold
in JSON the content of the entry TFLITE_METADATA (names, descriptions, normalization, ranges, files).
`tflite.file:NAME` is an associated file. Bytes that are not text are encoded as `base64:…`.
"""

from __future__ import annotations

import base64
import json
import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
from flatbuffers.builder import Builder
from flatbuffers.table import Table

from bridge import facts
from bridge.errors import UnreadableFile
from bridge.provenance.card import Native, native_of
from bridge_tflite import schema
from bridge_tflite.reader import File

PACKED = "TFLITE_METADATA"
RUNTIME = "min_runtime_version"
BINARY = "base64:"
LARGEST = 2**26
ALIGNMENT = 16
MEMBERS = 1000
IDENTIFIER, PARSER = b"M001", "1.0.0"
"""Of the model metadata flatbuffer, and the version of what reads it."""


def encode_text(raw: bytes) -> str:
    """Bytes as text without trailing zeros if they are valid UTF-8, else in base64."""
    try:
        decoded = raw.decode("utf-8").rstrip("\0")
    except UnicodeDecodeError:
        decoded = "\0"
    return (
        BINARY + base64.b64encode(raw).decode() if "\0" in decoded or decoded.startswith(BINARY) else decoded
    )


def decode_text(value: str) -> bytes:
    """Bytes that `encode_text` encoded."""
    if value.startswith(BINARY):
        return base64.b64decode(value[len(BINARY) :])
    return value.encode()


def texts(file: File) -> dict[str, str]:
    """The metadata entries of a file as text."""
    return {name: encode_text(bytes(file.bytes(index))) for name, index in file.metadata.items()}


def read(entries: dict[str, bytes], model: ir.Model, path: Path) -> None:
    """Copy the metadata of a file to its hub model. Raises UnreadableFile for a broken archive after the
    flatbuffer."""
    _name_dimensions(model, entries.pop(facts.DIMENSIONS.key, b""))
    model.metadata_props.update({name: encode_text(value) for name, value in entries.items()})
    for name, content in _files(path):
        facts.TFLITE_FILE.of(name).set(model, encode_text(content))
    described = describe(entries[PACKED]) if PACKED in entries else {}
    if not described:
        return
    facts.TFLITE_MODEL.set(model, described["model"])
    for side, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        for value, description in zip(values, described[side], strict=False):
            facts.TFLITE_TENSOR.set(value, description)


def entries_of(model: ir.Model) -> list[tuple[str, bytes]]:
    """Metadata entries to write for `model`: those read from its source, and the names of its dimensions.

    The minimal runtime version is left out: it belongs to the operators of the source.
    """
    derived = (facts.TFLITE_MODEL, facts.DIMENSIONS, facts.TFLITE_QUANTIZATION, facts.TFLITE_FILE)
    held = {
        name: decode_text(value)
        for name, value in sorted(model.metadata_props.items())
        if name != RUNTIME and not any(fact.owns(name) for fact in derived)
    }
    if packed := _packed_card(native_of(model), held.get(PACKED, b"")):
        held[PACKED] = packed
    entries = list(held.items())
    names = {
        side: {
            v.name: [d if isinstance(d, int) else d.value for d in v.shape]
            for v in values
            if v.shape is not None and not v.shape.is_static()
        }
        for side, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs))
    }
    has_names = any(isinstance(d, str) for dims in names.values() for shape in dims.values() for d in shape)
    return [*entries, (facts.DIMENSIONS.key, _json(names).encode())] if has_names else entries


def note_quantization(model: ir.Model, params: dict[str, tuple[str, Any, Any]]) -> None:
    """Note dtype, scale and zero point of inputs and outputs by name, where no operator of the hub holds
    them."""
    quantized = {name: [dtype, float(scale), int(zero)] for name, (dtype, scale, zero) in params.items()}
    if quantized:
        facts.TFLITE_QUANTIZATION.set(model, quantized)


def quantization(model: ir.Model, value: ir.Value) -> tuple[float, int] | None:
    """Scale and zero point noted for an input or output, or None if its dtype has changed."""
    try:
        dtype, scale, zero = (facts.TFLITE_QUANTIZATION.get(model) or {})[value.name]
        return (float(scale), int(zero)) if value.dtype is not None and dtype == value.dtype.name else None
    except (ValueError, KeyError, TypeError):
        return None


def _packed_card(card: Native, before: bytes) -> bytes:
    """The model metadata flatbuffer with what a card says; empty without a card, or where the one before
    describes tensors or files, and stays."""
    source = describe(before)
    told = source.get("inputs") or source.get("outputs") or source.get("model", {}).get("files")
    if told or card == Native():
        return b""
    builder = Builder(0)
    texts = {0: card.name, 1: card.description, 2: card.version, 4: card.author, 5: card.license, 7: PARSER}
    places = {field: builder.CreateString(text) for field, text in texts.items() if text}
    builder.StartObject(8)
    for field, place in places.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    builder.Finish(builder.EndObject(), IDENTIFIER)
    return bytes(builder.Output())


def annotate(path: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of metadata entries of a file: behind all that is there, but for the
    associated files, and the old ones become zeros."""
    files = list(_files(path))
    with path.open("r+b") as file:
        if files:
            with zipfile.ZipFile(path) as archive:
                file.truncate(min(member.header_offset for member in archive.infolist()))
        end = file.seek(0, 2)
        with mmap.mmap(file.fileno(), 0) as raw:
            model = schema.root(raw)
            for entry in model.metadata or ():
                text = entries.get(bytes(entry.name).decode())
                if text is not None:
                    content = text.encode()
                    start = -(-(end + 4) // ALIGNMENT) * ALIGNMENT
                    _point(raw, model.buffers[entry.buffer], start, len(content))
                    file.seek(end)
                    file.write(bytes(start - 4 - end) + struct.pack("<I", len(content)) + content)
                    end = start + len(content)
            del model
    _append(path, files)


def _point(raw: mmap.mmap, buffer: schema.Table, start: int, size: int) -> None:
    """Let a buffer hold the bytes at `start`, which the length stands before; those it held become zeros."""
    if buffer.offset > 1:
        raw[buffer.offset : buffer.offset + buffer.size] = bytes(buffer.size)
        for name, number in (("offset", start), ("size", size)):
            struct.pack_into("<Q", raw, buffer.place_of(name), number)
        return
    at = buffer.place_of("data")
    old = at + struct.unpack_from("<I", raw, at)[0]
    length = struct.unpack_from("<I", raw, old)[0]
    raw[old + 4 : old + 4 + length] = bytes(length)
    struct.pack_into("<I", raw, at, start - 4 - at)


def append_files(model: ir.Model, path: Path) -> None:
    """Append the associated files to the file as an uncompressed zip archive."""
    _append(path, sorted((name, decode_text(value)) for name, value in facts.TFLITE_FILE.all(model)))


def _append(path: Path, files: list[tuple[str, bytes]]) -> None:
    if not files:
        return
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in files:
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


def _name_dimensions(model: ir.Model, raw: bytes) -> None:
    """Set the names of dynamic dimensions from the entry that the exporter wrote."""
    try:
        names = json.loads(raw) if raw else {}
    except ValueError:
        return
    for side, values in (("inputs", model.graph.inputs), ("outputs", model.graph.outputs)):
        declared = names.get(side) if isinstance(names, dict) else None
        for value in values:
            dims = declared.get(value.name) if isinstance(declared, dict) else None
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
    """Content of the metadata flatbuffer for the model, its inputs and its outputs; empty if the bytes are
    invalid."""
    try:
        root = Record(Table(bytearray(packed), struct.unpack_from("<I", packed)[0]))
        graph = root.records(3)[:1]
        return {
            "model": _drop_empty(
                {
                    "name": root.string(0),
                    "description": root.string(1),
                    "version": root.string(2),
                    "author": root.string(4),
                    "license": root.string(5),
                    "files": [_describe_file(f) for f in root.records(6)],
                    "min_parser_version": root.string(7),
                }
            ),
            "inputs": [_describe_tensor(t) for g in graph for t in g.records(2)],
            "outputs": [_describe_tensor(t) for g in graph for t in g.records(3)],
        }
    except Exception:
        return {}


class Record:
    """One table of a flatbuffer, read without generated code; every length is checked against the buffer."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def _at(self, field: int) -> int:
        return self.table.Offset(4 + 2 * field)

    def _length(self, position: int) -> int:
        length = self.table.VectorLen(position)
        if length > len(self.table.Bytes):
            raise ValueError("a vector is longer than its buffer")
        return length

    def string(self, field: int) -> str:
        position = self._at(field)
        return self.table.String(position + self.table.Pos).decode("utf-8", "replace") if position else ""

    def byte(self, field: int) -> int:
        position = self._at(field)
        return self.table.Bytes[position + self.table.Pos] if position else 0

    def record(self, field: int) -> Record | None:
        position = self._at(field)
        return (
            Record(Table(self.table.Bytes, self.table.Indirect(position + self.table.Pos)))
            if position
            else None
        )

    def records(self, field: int) -> list[Record]:
        position = self._at(field)
        if not position:
            return []
        start = self.table.Vector(position)
        return [
            Record(Table(self.table.Bytes, self.table.Indirect(start + 4 * i)))
            for i in range(self._length(position))
        ]

    def strings(self, field: int) -> list[str]:
        position = self._at(field)
        if not position:
            return []
        start = self.table.Vector(position)
        return [
            self.table.String(start + 4 * i).decode("utf-8", "replace") for i in range(self._length(position))
        ]

    def floats(self, field: int) -> list[float]:
        position = self._at(field)
        if not position:
            return []
        return list(
            struct.unpack_from(f"<{self._length(position)}f", self.table.Bytes, self.table.Vector(position))
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


def _describe_file(record: Record) -> dict[str, Any]:
    file_type = record.byte(2)
    return _drop_empty(
        {
            "name": record.string(0),
            "description": record.string(1),
            "kind": FILE_KINDS[file_type] if file_type < len(FILE_KINDS) else str(file_type),
            "locale": record.string(3),
        }
    )


def _describe_tensor(record: Record) -> dict[str, Any]:
    stats = record.record(5)
    description: dict[str, Any] = {
        "name": record.string(0),
        "description": record.string(1),
        "dimensions": record.strings(2),
        "max": stats.floats(0) if stats else [],
        "min": stats.floats(1) if stats else [],
        "files": [_describe_file(f) for f in record.records(6)],
    }
    for unit in record.records(4):
        options = unit.record(1)
        if unit.byte(0) == NORMALIZATION and options is not None:
            description["normalization"] = {"mean": options.floats(0), "std": options.floats(1)}
    return _drop_empty(description)


def _drop_empty(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value}
