"""ONNX files as protobuf lays them out: a model read without the bytes of its large weights, and written with
them in place."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnx_ir as ir

from bridge.weightfile import blocks

__all__ = ["LARGE", "replace_tail", "without_weights", "write_model"]

LARGE = 2**16
"""Bytes from which a weight stays in its file."""
WINDOW = 2**16
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
PARTS = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
"""Messages that lead to tensors: those in each, by the numbers of their fields."""
GRAPH, INITIALIZER = 7, 5
RAW_DATA, ELSEWHERE = 9, (13, 14)
"""Fields of a TensorProto: its bytes; what says that these are in another file."""


@dataclass(frozen=True)
class Field:
    """A field of a message: where its key begins, where its content does, and where that ends."""

    number: int
    wire: int
    key: int
    start: int
    end: int


class Malformed(Exception):
    """The bytes are no protobuf, or not of the form exporters write; whoever parses them all says why."""


def without_weights(path: Path) -> bytes | None:
    """The protobuf of a model in which each large weight refers to its bytes in the file itself, as external
    data of no location; None for bytes that are no protobuf."""
    with path.open("rb") as file:
        try:
            pieces = list(Cutter(file, path.stat().st_size).message("model"))
        except (Malformed, RecursionError):
            return None
    return b"".join(pieces)


class Cutter:
    """Reads the fields of a file, and passes over the bytes of large weights."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size
        self.window, self.base = b"", 0

    def message(self, kind: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The content of a message without its large weights."""
        kept, parts = start, PARTS.get(kind, {})
        end = self.size if end is None else end
        for field in self.fields(start, end):
            if field.wire != BYTES or field.end - field.start < LARGE or field.number not in parts:
                continue
            inner = parts[field.number]
            content = (
                self.tensor(field) if inner == "tensor" else list(self.message(inner, field.start, field.end))
            )
            if content is None:
                continue
            yield self.read(kept, field.key)
            yield _head(field.number, sum(map(len, content)))
            yield from content
            kept = field.end
        yield self.read(kept, end)

    def tensor(self, tensor: Field) -> list[bytes] | None:
        """A tensor whose large bytes are a reference; None where it is not one."""
        fields = list(self.fields(tensor.start, tensor.end))
        raw = [field for field in fields if field.number == RAW_DATA]
        if len(raw) != 1 or raw[0].end - raw[0].start < LARGE or any(f.number in ELSEWHERE for f in fields):
            return None
        (data,) = raw
        place = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
        for key, value in (("location", ""), ("offset", data.start), ("length", data.end - data.start)):
            place.external_data.add(key=key, value=str(value))
        return [self.read(tensor.start, data.key), self.read(data.end, tensor.end), place.SerializeToString()]

    def fields(self, start: int, end: int) -> Iterator[Field]:
        place = start
        while place < end:
            key, after = self.varint(place)
            number, wire = key >> 3, key & 7
            if wire == BYTES:
                length, after = self.varint(after)
            elif wire == VARINT:
                length = self.varint(after)[1] - after
            elif wire in (FIXED64, FIXED32):
                length = 8 if wire == FIXED64 else 4
            else:
                raise Malformed
            if after + length > end:
                raise Malformed
            yield Field(number, wire, place, after, after + length)
            place = after + length

    def varint(self, place: int) -> tuple[int, int]:
        """A number, and the place after it."""
        value = 0
        for shift in range(0, 70, 7):
            if not self.base <= place < self.base + len(self.window):
                self.file.seek(place)
                self.window, self.base = self.file.read(WINDOW), place
                if not self.window:
                    break
            byte = self.window[place - self.base]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
        raise Malformed

    def read(self, start: int, end: int) -> bytes:
        self.file.seek(start)
        content = self.file.read(end - start)
        if len(content) != end - start:
            raise Malformed
        return content


def write_model(model: ir.Model, path: Path) -> bytes:
    """Write a model with its weights inside, large ones straight from where they lie; the protobuf without
    these is returned. Raises UnreadableFile where the file of a weight changed."""
    values = list(model.graph.initializers.values())
    held = ((place, value.const_value) for place, value in enumerate(values))
    large = {place: tensor for place, tensor in held if tensor is not None and _is_apart(tensor)}
    frames = {place: _frame(tensor, values[place].name) for place, tensor in large.items()}
    try:
        for place in large:
            values[place].const_value = _nothing()
        skeleton = ir.serde.serialize_model(model).SerializeToString()
    finally:
        for place, tensor in large.items():
            values[place].const_value = tensor
    with path.open("wb") as file:
        for piece in _filled(skeleton, large, frames):
            file.write(piece)
    return skeleton


def replace_tail(path: Path, number: int, changed: Callable[[bytes], bytes]) -> None:
    """Change the contents of the fields of a number, which lie behind the graph of a model file: what is
    before them is not written again."""
    with path.open("r+b") as file:
        fields = list(Cutter(file, path.stat().st_size).fields(0, path.stat().st_size))
        start = next((f.key for f in fields if f.number == number), None)
        if start is None:
            return
        tail = []
        for field in (f for f in fields if f.key >= start):
            file.seek(field.key)
            whole, size = file.read(field.end - field.key), field.end - field.start
            content = changed(whole[-size:] if size else b"") if field.number == number else None
            tail.append(whole if content is None else _head(number, len(content)) + content)
        file.seek(start)
        file.write(b"".join(tail))
        file.truncate()


def _is_apart(tensor: ir.TensorProtocol) -> bool:
    """True for what is written apart from the protobuf: large weights that protobuf holds as bytes."""
    if tensor.dtype == ir.DataType.STRING:
        return False
    if isinstance(tensor, ir.TensorProtoTensor) and not tensor.raw.HasField("raw_data"):
        return False
    return tensor.nbytes >= LARGE or isinstance(tensor, ir.ExternalTensor)


def _filled(
    skeleton: bytes, tensors: dict[int, ir.TensorProtocol], frames: dict[int, tuple[bytes, bytes]]
) -> Iterator[bytes | memoryview]:
    """The protobuf of a model with tensors, each within its frame, in the place of its initializers of those
    numbers."""
    if not tensors:
        yield skeleton
        return
    cutter = Cutter(io.BytesIO(skeleton), len(skeleton))
    graph = next(f for f in cutter.fields(0, len(skeleton)) if f.number == GRAPH)
    stored = [f for f in cutter.fields(graph.start, graph.end) if f.number == INITIALIZER]
    size = graph.end - graph.start
    for place, (head, tail) in frames.items():
        size += len(head) + tensors[place].nbytes + len(tail) - (stored[place].end - stored[place].key)
    yield skeleton[: graph.key]
    yield _head(GRAPH, size)
    kept = graph.start
    for place, (head, tail) in frames.items():
        yield skeleton[kept : stored[place].key]
        yield head
        yield from blocks(tensors[place])
        yield tail
        kept = stored[place].end
    yield skeleton[kept:]


def _frame(tensor: ir.TensorProtocol, name: str | None) -> tuple[bytes, bytes]:
    """The parts of an initializer of a name before and behind its bytes."""
    bare = ir.LazyTensor(_nothing, tensor.dtype, ir.Shape(tensor.shape.numpy()), name=name)
    bare.doc_string = tensor.doc_string
    bare.metadata_props.update(tensor.metadata_props)
    content = ir.serde.serialize_tensor(bare).SerializeToString()
    fields = Cutter(io.BytesIO(content), len(content)).fields(0, len(content))
    data = next(field for field in fields if field.number == RAW_DATA)
    before, after = content[: data.key] + _head(RAW_DATA, tensor.nbytes), content[data.end :]
    return _head(INITIALIZER, len(before) + tensor.nbytes + len(after)) + before, after


def _nothing() -> ir.Tensor:
    return ir.Tensor(np.empty(0, np.uint8))


def _head(number: int, length: int) -> bytes:
    """The key and the length of a field of bytes."""
    return _varint(number << 3 | BYTES) + _varint(length)


def _varint(number: int) -> bytes:
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
