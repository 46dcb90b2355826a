"""ONNX: the hub's own semantics, at any opset from 7 to the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from bridge.formats import Format
from bridge.hookspecs import hookimpl

MODEL_PROTO = frozenset([*range(1, 9), 14, 20, 25, 26])
"""Numbers of the fields of a ModelProto."""


def detect(src: Any) -> bool:
    """A file of the suffix, or with the fields of a ModelProto; a live onnx.ModelProto or onnx_ir.Model."""
    if isinstance(src, (str, Path)):
        path = Path(src)
        return path.is_file() and (path.name.lower().endswith(ONNX.suffixes) or _is_model_proto(path))
    return type(src).__module__.split(".")[0] in ("onnx", "onnx_ir") and type(src).__name__ in (
        "ModelProto",
        "Model",
    )


def _is_model_proto(path: Path) -> bool:
    """True for a protobuf that begins with a version and holds a graph and opsets, and fields of a ModelProto
    alone."""
    size, numbers = path.stat().st_size, set()
    with path.open("rb") as file:
        if file.read(1) != b"\x08":
            return False
        file.seek(0)
        while file.tell() < size:
            key = _varint(file)
            number, wire = key >> 3, key & 7
            if number not in MODEL_PROTO or wire not in (0, 2):
                return False
            numbers.add(number)
            length = _varint(file)
            file.seek(length if wire == 2 else 0, 1)
        return file.tell() == size and numbers >= {1, 7, 8}


def _varint(file: BinaryIO) -> int:
    """The next varint of a file; 0 at its end."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80 or shift > 63:
            break
        shift += 7
    return value


ONNX = Format(
    name="onnx",
    title="ONNX",
    suffixes=(".onnx", ".onnxtxt"),
    importer="bridge_onnx.importer:importer",
    exporter="bridge_onnx.exporter:exporter",
    runtime="bridge_onnx.runtime:runtime",
    runner="bridge_onnx.speed:OnnxRuntimeRunner",
    versions="read: opset 1 and up; write: opset 11 to 28",
    packages=("onnx", "onnx-ir", "onnxruntime"),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [ONNX]
