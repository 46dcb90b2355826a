"""Values between processes: JSON, and arrays as the bytes they are. No code travels."""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

__all__ = ["decode", "encode", "read_frame"]

MARK = "@"


def encode(value: Any) -> bytes:
    """A line of JSON with the sizes of buffers, and the buffers. Raises TypeError for what is neither plain
    data nor an array."""
    buffers: list[bytes] = []
    plain = _plain(value, buffers)
    return b"".join([json.dumps([[len(b) for b in buffers], plain]).encode(), b"\n", *buffers])


def read_frame(stream: BinaryIO) -> Any:
    """The next value of a stream. Raises EOFError at its end."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    buffers = []
    for size in sizes(line):
        buffer = stream.read(size)
        if len(buffer) < size:
            raise EOFError
        buffers.append(buffer)
    return decode(line, buffers)


def sizes(line: bytes) -> list[int]:
    """Sizes of the buffers after a line."""
    return json.loads(line)[0]


def decode(line: bytes, buffers: list[bytes]) -> Any:
    """The value of a line and its buffers."""
    return _value(json.loads(line)[1], buffers)


def _plain(value: Any, buffers: list[bytes]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        buffers.append(value)
        return {MARK: "bytes", "at": len(buffers) - 1}
    if isinstance(value, (list, tuple)):
        return [_plain(item, buffers) for item in value]
    if isinstance(value, dict):
        return {MARK: "dict", "items": [[_plain(k, buffers), _plain(v, buffers)] for k, v in value.items()]}
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"{type(value).__name__} does not travel between processes")
    array = np.asarray(value)
    if array.dtype.kind in "OSU":
        items = [_plain(item, buffers) for item in array.ravel().tolist()]
        return {MARK: "objects", "shape": array.shape, "items": items}
    buffers.append(np.ascontiguousarray(array).tobytes())
    return {MARK: array.dtype.name, "shape": array.shape, "at": len(buffers) - 1}


def _value(plain: Any, buffers: list[bytes]) -> Any:
    if isinstance(plain, list):
        return [_value(item, buffers) for item in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain[MARK]
    if kind == "dict":
        return {_value(k, buffers): _value(v, buffers) for k, v in plain["items"]}
    if kind == "bytes":
        return buffers[plain["at"]]
    shape = tuple(plain["shape"])
    if kind == "objects":
        array = np.empty(math.prod(shape), object)
        array[:] = [_value(item, buffers) for item in plain["items"]]
        return array.reshape(shape)
    return np.frombuffer(bytearray(buffers[plain["at"]]), _dtype(kind)).reshape(shape)


def _dtype(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))
