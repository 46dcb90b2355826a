"""Core ML files as they lie on disk: the package, its model message, its blobs of weights."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge_coreml.proto import model

NEWEST = 10
AUTHORITY = "@model_path/"
BLOB_VERSION = 2
SENTINEL = 0xDEADBEEF
LARGEST_MANIFEST = 1 << 20

T = ir.DataType
# MIL.proto DataType: name, bits of an element, hub dtype
KINDS: dict[int, tuple[str, int, ir.DataType]] = {
    1: ("bool", 8, T.BOOL),
    2: ("string", 0, T.STRING),
    10: ("fp16", 16, T.FLOAT16),
    11: ("fp32", 32, T.FLOAT),
    12: ("fp64", 64, T.DOUBLE),
    13: ("bf16", 16, T.BFLOAT16),
    21: ("int8", 8, T.INT8),
    22: ("int16", 16, T.INT16),
    23: ("int32", 32, T.INT32),
    24: ("int64", 64, T.INT64),
    25: ("int4", 4, T.INT4),
    31: ("uint8", 8, T.UINT8),
    32: ("uint16", 16, T.UINT16),
    33: ("uint32", 32, T.UINT32),
    34: ("uint64", 64, T.UINT64),
    35: ("uint4", 4, T.UINT4),
    36: ("uint2", 2, T.UINT8),
    37: ("uint1", 1, T.UINT8),
    38: ("uint6", 6, T.UINT8),
    39: ("uint3", 3, T.UINT8),
    40: ("fp8e4m3fn", 8, T.FLOAT8E4M3FN),
    41: ("fp8e5m2", 8, T.FLOAT8E5M2),
}
NUMBER = {name: number for number, (name, _, _) in KINDS.items()}
# mlmodel's BlobDataType, by its number in a blob's metadata
BLOB_KINDS = dict(
    enumerate(
        [
            "fp16",
            "fp32",
            "uint8",
            "int8",
            "bf16",
            "int16",
            "uint16",
            "int4",
            "uint1",
            "uint2",
            "uint4",
            "uint3",
            "uint6",
            "int32",
            "uint32",
            "fp8e4m3fn",
            "fp8e5m2",
        ],
        1,
    )
)


@dataclass
class File:
    """An open Core ML model: its message, and the blobs its values point to, in its own folder and in those
    of linked models."""

    path: Path
    message: Any
    digest: str
    folder: Path | None
    folders: dict[str, Path] = field(default_factory=dict)
    _blobs: dict[Path, memoryview] = field(default_factory=dict)

    def blob(self, name: str, offset: int, kind: int, count: int) -> np.ndarray:
        """`count` elements of MIL dtype `kind`, mapped and not copied where an element fills whole bytes."""
        data = self._blob(name)
        if offset % 64 or offset < 0 or offset + 64 > len(data):
            raise UnreadableFile(f"{self.path}: {name} ends before the weights at offset {offset}.")
        sentinel, stored, size, start = struct.unpack_from("<IIQQ", data, offset)
        title, bits, _ = KINDS[kind]
        if sentinel != SENTINEL or BLOB_KINDS.get(stored) != title:
            raise UnreadableFile(f"{self.path}: {name} holds no {title} weights at offset {offset}.")
        if start + size > len(data) or size < -(-count * bits // 8):
            raise UnreadableFile(f"{self.path}: {name} ends within the weights at offset {offset}.")
        return unpacked(data[start : start + -(-count * bits // 8)], kind, count)

    def _blob(self, name: str) -> memoryview:
        authority, slash, inside = name.partition("/")
        folder = self.folder if authority + slash == AUTHORITY else self.folders.get(authority + slash)
        if folder is None:
            raise UnreadableFile(f"{self.path} points to weights in {name!r}, which is no file of a package.")
        place = (folder / inside).resolve()
        if not place.is_relative_to(folder.resolve()):
            raise UnreadableFile(f"{self.path} points to weights outside the package: {name!r}.")
        if place not in self._blobs:
            if not place.is_file():
                raise UnreadableFile(
                    f"{self.path}: the weights file {inside} is missing.",
                    "Copy the whole package, with its folder of weights.",
                )
            self._blobs[place] = self._open(place, name)
        return self._blobs[place]

    def _open(self, place: Path, name: str) -> memoryview:
        if place.stat().st_size < 64:
            raise UnreadableFile(f"{self.path}: {name} is too short to hold weights.")
        with place.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        version = struct.unpack_from("<I", data, 4)[0]
        if version != BLOB_VERSION:
            raise UnreadableFile(f"{self.path}: {name} has version {version} of weights, not {BLOB_VERSION}.")
        return data


def unpacked(data: Any, kind: int, count: int) -> np.ndarray:
    """A vector of `count` elements of MIL dtype `kind`; elements below a byte are packed from the lowest bit
    up."""
    title, bits, dtype = KINDS[kind]
    if bits >= 8:
        return np.frombuffer(data, dtype.numpy(), count)
    stream = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=count * bits)
    weights = (1 << np.arange(bits)).astype(np.uint8)
    values = (stream.reshape(count, bits) * weights).sum(axis=1, dtype=np.uint8)
    if title == "int4":
        return ((values.astype(np.int8) ^ 8) - 8).astype(ml_dtypes.int4)
    return values.astype(ml_dtypes.uint4) if title == "uint4" else values


def read(path: Path) -> File:
    """Open a package or a file.

    Raises UnreadableFile for what is no Core ML model, what is incomplete, what points outside its package,
    and what is newer than this reader.
    """
    where, folder = (_root(path), None) if path.is_dir() else (path, None)
    if path.is_dir():
        folder = where.parent
    raw = where.read_bytes()
    message = model()
    try:
        message.ParseFromString(raw)
    except Exception as error:
        raise UnreadableFile(f"{path} is not a Core ML model: {error}", "Is the file complete?") from error
    version = message.specificationVersion
    if version < 1 or not message.WhichOneof("Type"):
        raise UnreadableFile(f"{path} is not a Core ML model.", "Is the file complete?")
    if version > NEWEST:
        raise UnreadableFile(
            f"{path} has specification version {version}; the newest that is read is {NEWEST}.",
            "Convert it again for an older deployment target, or upgrade bridge and coremltools.",
        )
    return File(path, message, hashlib.sha256(raw).hexdigest(), folder)


def _root(package: Path) -> Path:
    """The model file a package's manifest names."""
    manifest = package / "Manifest.json"
    if not manifest.is_file():
        raise UnreadableFile(f"{package} has no Manifest.json, so it is no Core ML package.")
    if manifest.stat().st_size > LARGEST_MANIFEST:
        raise UnreadableFile(f"{package}: Manifest.json is too large.")
    try:
        content = json.loads(manifest.read_bytes())
        relative = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        place = (package / "Data" / relative).resolve()
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            f"{package}: Manifest.json names no model.", "Is the package complete?"
        ) from error
    if not place.is_relative_to((package / "Data").resolve()):
        raise UnreadableFile(f"{package}: Manifest.json points outside the package: {relative!r}.")
    if not place.is_file():
        raise UnreadableFile(f"{package}: the model {relative} is missing.", "Copy the whole package.")
    return place


def value_array(file: File, value: Any) -> Any:
    """A MIL Value as an array; a list of strings or arrays for a list or tuple.

    Strings are arrays of str objects. Raises UnreadableFile for a length that does not fit the type.
    """
    if value.WhichOneof("value") == "immediateValue":
        kind = value.immediateValue.WhichOneof("value")
        if kind in ("list", "tuple"):
            return [value_array(file, v) for v in getattr(value.immediateValue, kind).values]
        if kind == "dictionary":
            raise UnreadableFile(f"{file.path} holds a dictionary where a tensor is expected.")
    tensor = value.type.tensorType
    if tensor.dataType not in KINDS:
        raise UnreadableFile(f"{file.path} holds a tensor of unknown dtype {tensor.dataType}.")
    shape = [d.constant.size for d in tensor.dimensions]
    count = math.prod(shape)
    if value.WhichOneof("value") == "blobFileValue":
        pointed = value.blobFileValue
        return file.blob(pointed.fileName, pointed.offset, tensor.dataType, count).reshape(shape)
    return _immediate(file, value.immediateValue.tensor, tensor.dataType, count).reshape(shape)


def _immediate(file: File, held: Any, kind: int, count: int) -> np.ndarray:
    title, bits, dtype = KINDS[kind]
    which = held.WhichOneof("value")
    if which is None:
        found = np.zeros(0, dtype.numpy())
    elif which == "bytes":
        need = -(-count * bits // 8)
        if len(held.bytes.values) < need:
            raise UnreadableFile(f"{file.path} holds a {title} value that is cut short.")
        found = unpacked(held.bytes.values[:need], kind, count)
    elif which == "strings":
        found = np.array(list(held.strings.values), object)
    else:
        found = np.array(getattr(held, which).values, dtype=dtype.numpy())
    if found.size != count:
        raise UnreadableFile(f"{file.path} holds {found.size} {title} values where {count} belong.")
    return found
