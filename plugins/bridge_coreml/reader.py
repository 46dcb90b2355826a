"""Core ML files on disk: the package, its model message, its weight blobs."""

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

NEWEST_VERSION = 10
AUTHORITY = "@model_path/"
BLOB_VERSION = 2
SENTINEL = 0xDEADBEEF
MAX_MANIFEST_BYTES = 1 << 20

T = ir.DataType
# MIL.proto DataType: name, bits of an element, hub dtype
MIL_DTYPES: dict[int, tuple[str, int, ir.DataType]] = {
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
DTYPE_NUMBERS = {name: number for number, (name, _, _) in MIL_DTYPES.items()}
# mlmodel's BlobDataType, by its number in a blob's metadata
BLOB_DTYPES = dict(
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

    def blob(self, name: str, offset: int, dtype_number: int, count: int) -> np.ndarray:
        """`count` elements of a MIL dtype; memory-mapped without a copy if elements fill whole bytes."""
        data = self._blob(name)
        if offset % 64 or offset < 0 or offset + 64 > len(data):
            raise UnreadableFile(f"{self.path}: {name} ends before the weights at offset {offset}.")
        sentinel, blob_dtype, size, start = struct.unpack_from("<IIQQ", data, offset)
        dtype_name, bits, _ = MIL_DTYPES[dtype_number]
        if sentinel != SENTINEL or BLOB_DTYPES.get(blob_dtype) != dtype_name:
            raise UnreadableFile(f"{self.path}: {name} holds no {dtype_name} weights at offset {offset}.")
        if start + size > len(data) or size < -(-count * bits // 8):
            raise UnreadableFile(f"{self.path}: {name} ends within the weights at offset {offset}.")
        return unpack_elements(data[start : start + -(-count * bits // 8)], dtype_number, count)

    def _blob(self, name: str) -> memoryview:
        authority, slash, relative = name.partition("/")
        folder = self.folder if authority + slash == AUTHORITY else self.folders.get(authority + slash)
        if folder is None:
            raise UnreadableFile(f"{self.path} points to weights in {name!r}, which is no file of a package.")
        path = (folder / relative).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise UnreadableFile(f"{self.path} points to weights outside the package: {name!r}.")
        if path not in self._blobs:
            if not path.is_file():
                raise UnreadableFile(
                    f"{self.path}: the weights file {relative} is missing.",
                    "Copy the whole package, with its folder of weights.",
                )
            self._blobs[path] = self._open(path, name)
        return self._blobs[path]

    def _open(self, path: Path, name: str) -> memoryview:
        if path.stat().st_size < 64:
            raise UnreadableFile(f"{self.path}: {name} is too short to hold weights.")
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        version = struct.unpack_from("<I", data, 4)[0]
        if version != BLOB_VERSION:
            raise UnreadableFile(f"{self.path}: {name} has version {version} of weights, not {BLOB_VERSION}.")
        return data


def unpack_elements(data: Any, dtype_number: int, count: int) -> np.ndarray:
    """Vector of `count` elements of a MIL dtype; those below 8 bits are packed from the lowest bit up."""
    dtype_name, bits, dtype = MIL_DTYPES[dtype_number]
    if bits >= 8:
        return np.frombuffer(data, dtype.numpy(), count)
    stream = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little", count=count * bits)
    weights = (1 << np.arange(bits)).astype(np.uint8)
    values = (stream.reshape(count, bits) * weights).sum(axis=1, dtype=np.uint8)
    if dtype_name == "int4":
        return ((values.astype(np.int8) ^ 8) - 8).astype(ml_dtypes.int4)
    return values.astype(ml_dtypes.uint4) if dtype_name == "uint4" else values


def read(path: Path) -> File:
    """Open a package or a file.

    Raises UnreadableFile if it is no Core ML model, is incomplete, points outside its package, or is newer
    than this reader.
    """
    model_path, folder = (root_model_path(path), None) if path.is_dir() else (path, None)
    if path.is_dir():
        folder = model_path.parent
    raw = model_path.read_bytes()
    message = model()
    try:
        message.ParseFromString(raw)
    except Exception as error:
        raise UnreadableFile(f"{path} is not a Core ML model: {error}", "Is the file complete?") from error
    version = message.specificationVersion
    if version < 1 or not message.WhichOneof("Type"):
        raise UnreadableFile(f"{path} is not a Core ML model.", "Is the file complete?")
    if version > NEWEST_VERSION:
        raise UnreadableFile(
            f"{path} has specification version {version}; the newest that is read is {NEWEST_VERSION}.",
            "Convert it again for an older deployment target, or upgrade bridge and coremltools.",
        )
    return File(path, message, hashlib.sha256(raw).hexdigest(), folder)


def root_model_path(package: Path) -> Path:
    """The model file a package's manifest names."""
    manifest = package / "Manifest.json"
    if not manifest.is_file():
        raise UnreadableFile(f"{package} has no Manifest.json, so it is no Core ML package.")
    if manifest.stat().st_size > MAX_MANIFEST_BYTES:
        raise UnreadableFile(f"{package}: Manifest.json is too large.")
    try:
        content = json.loads(manifest.read_bytes())
        relative = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        path = (package / "Data" / relative).resolve()
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableFile(
            f"{package}: Manifest.json names no model.", "Is the package complete?"
        ) from error
    if not path.is_relative_to((package / "Data").resolve()):
        raise UnreadableFile(f"{package}: Manifest.json points outside the package: {relative!r}.")
    if not path.is_file():
        raise UnreadableFile(f"{package}: the model {relative} is missing.", "Copy the whole package.")
    return path


def value_array(file: File, value: Any) -> Any:
    """A MIL Value as an array; a list of strings or arrays for a list or tuple.

    Strings are arrays of str objects. Raises UnreadableFile for a length that does not fit the type.
    """
    if value.WhichOneof("value") == "immediateValue":
        collection = value.immediateValue.WhichOneof("value")
        if collection in ("list", "tuple"):
            return [value_array(file, v) for v in getattr(value.immediateValue, collection).values]
        if collection == "dictionary":
            raise UnreadableFile(f"{file.path} holds a dictionary where a tensor is expected.")
    tensor = value.type.tensorType
    if tensor.dataType not in MIL_DTYPES:
        raise UnreadableFile(f"{file.path} holds a tensor of unknown dtype {tensor.dataType}.")
    shape = [d.constant.size for d in tensor.dimensions]
    count = math.prod(shape)
    if value.WhichOneof("value") == "blobFileValue":
        pointer = value.blobFileValue
        return file.blob(pointer.fileName, pointer.offset, tensor.dataType, count).reshape(shape)
    return immediate_array(file, value.immediateValue.tensor, tensor.dataType, count).reshape(shape)


def immediate_array(file: File, tensor: Any, dtype_number: int, count: int) -> np.ndarray:
    dtype_name, bits, dtype = MIL_DTYPES[dtype_number]
    field = tensor.WhichOneof("value")
    if field is None:
        values = np.zeros(0, dtype.numpy())
    elif field == "bytes":
        byte_count = -(-count * bits // 8)
        if len(tensor.bytes.values) < byte_count:
            raise UnreadableFile(f"{file.path} holds a {dtype_name} value that is cut short.")
        values = unpack_elements(tensor.bytes.values[:byte_count], dtype_number, count)
    elif field == "strings":
        values = np.array(list(tensor.strings.values), object)
    else:
        values = np.array(getattr(tensor, field).values, dtype=dtype.numpy())
    if values.size != count:
        raise UnreadableFile(f"{file.path} holds {values.size} {dtype_name} values where {count} belong.")
    return values
