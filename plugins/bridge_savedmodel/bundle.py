"""Checkpoints in TensorFlow's format (tensor bundles): an index of keys, and shards that hold the tensors."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_savedmodel import crc32c
from bridge_savedmodel.definitions import dtype_name, message
from bridge_savedmodel.sstable import entries
from bridge_savedmodel.tensors import dtype_of
from bridge_savedmodel.varint import varint

LITTLE_ENDIAN = 0


class Bundle:
    """The tensors of the checkpoint `<prefix>.index`, by key.

    Every method raises ValueError for what is damaged, OSError for a file that cannot be read.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._entries = dict(entries(prefix.with_name(f"{prefix.name}.index").read_bytes()))
        self._shards: dict[int, np.ndarray] = {}
        self._size = sum(f.stat().st_size for f in prefix.parent.glob(f"{prefix.name}.data-*"))
        if b"" not in self._entries:
            raise ValueError("it has no header")
        header = _parsed("BundleHeaderProto", self._entries.pop(b""))
        self._count = header.num_shards
        if header.endianness != LITTLE_ENDIAN:
            raise ValueError("its numbers are big-endian")

    def __contains__(self, key: str) -> bool:
        return key.encode() in self._entries

    def tensor(self, key: str) -> np.ndarray:
        """A tensor, strings as bytes: a view of the file where its elements are aligned there."""
        entry = self._entry(key.encode())
        return self._joined(key.encode(), entry) if entry.slices else self._array(entry)

    def _entry(self, key: bytes) -> Any:
        if key not in self._entries:
            raise ValueError("a slice of it is missing")
        return _parsed("BundleEntryProto", self._entries[key])

    def _array(self, entry: Any) -> np.ndarray:
        """The tensor of an entry that is stored in one place."""
        dims, dtype = _dims(entry), dtype_of(entry.dtype)
        if dtype is None:
            raise ValueError(f"it has the dtype {dtype_name(entry.dtype) or entry.dtype}")
        raw = self._stored(entry)
        if dtype == ir.DataType.STRING:
            return _strings(raw, entry.crc32c, dims)
        if raw.size != math.prod(dims) * dtype.numpy().itemsize:
            raise ValueError(f"it has {raw.size} bytes, which are no {dtype.name} of the shape {dims}")
        if crc32c.masked(raw) != entry.crc32c:
            raise ValueError("its checksum is another")
        array = np.asarray(raw).view(dtype.numpy()).reshape(dims)
        return array if array.flags.aligned else array.copy()

    def _stored(self, entry: Any) -> np.ndarray:
        """The bytes of an entry."""
        number = entry.shard_id
        if not 0 <= number < self._count:
            raise ValueError(f"it is in shard {number} of {self._count}")
        if number not in self._shards:
            file = self._prefix.with_name(f"{self._prefix.name}.data-{number:05d}-of-{self._count:05d}")
            is_empty = not file.stat().st_size
            self._shards[number] = np.zeros(0, np.uint8) if is_empty else np.memmap(file, np.uint8, "r")
        shard = self._shards[number]
        if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size > shard.size:
            raise ValueError(f"it is beyond the end of shard {number}, which has {shard.size} bytes")
        return shard[entry.offset : entry.offset + entry.size]

    def _joined(self, key: bytes, entry: Any) -> np.ndarray:
        """A tensor that is stored in slices."""
        dims = _dims(entry)
        regions = [tuple(_region(part, dims)) for part in entry.slices]
        stored = [self._entry(_slice_key(key, part)) for part in entry.slices]
        if sum(part.size for part in stored) > self._size:
            raise ValueError("its slices are larger than the shards")
        parts = [self._array(part) for part in stored]
        if sum(part.size for part in parts) != math.prod(dims):
            raise ValueError("its slices do not fill it")
        whole, filled = np.empty(dims, parts[0].dtype), np.zeros(dims, bool)
        for where, part in zip(regions, parts, strict=True):
            if whole[where].shape != part.shape or whole.dtype != part.dtype:
                raise ValueError("a slice of it has another shape or dtype")
            whole[where], filled[where] = part, True
        if not filled.all():
            raise ValueError("its slices overlap")
        return whole


def _parsed(name: str, raw: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return message(name).FromString(raw)
    except DecodeError as error:
        raise ValueError(f"it is no {name}: {error}") from error


def _dims(entry: Any) -> list[int]:
    dims = [d.size for d in entry.shape.dim]
    if entry.shape.unknown_rank or min(dims, default=0) < 0:
        raise ValueError(f"it has the shape {dims}")
    return dims


def _strings(raw: np.ndarray, checksum: int, dims: list[int]) -> np.ndarray:
    """The lengths, their checksum, and the strings one behind the other."""
    data, count, at = raw.tobytes(), math.prod(dims), 0
    if count > len(data):
        raise ValueError(f"it has {len(data)} bytes, which are no strings of the shape {dims}")
    lengths = []
    for _ in range(count):
        length, at = varint(data, at)
        lengths.append(length)
    found = crc32c.extend(0, b"".join(struct.pack("<I" if n < 2**32 else "<Q", n) for n in lengths))
    if data[at : at + 4] != crc32c.mask(found).to_bytes(4, "little"):
        raise ValueError("the checksum of its lengths is another")
    if crc32c.masked(data[at:], found) != checksum or at + 4 + sum(lengths) != len(data):
        raise ValueError("its checksum is another")
    array, at = np.empty(count, object), at + 4
    for index, length in enumerate(lengths):
        array[index] = data[at : at + length]
        at += length
    return array.reshape(dims)


def _region(part: Any, dims: list[int]) -> Iterator[slice]:
    """The region of a slice."""
    if len(part.extent) != len(dims):
        raise ValueError("a slice of it has another rank")
    for extent, size in zip(part.extent, dims, strict=True):
        start, length = extent.start, extent.length if extent.HasField("length") else size
        if not 0 <= start <= start + length <= size:
            raise ValueError("a slice of it is beyond its shape")
        yield slice(start, start + length)


def _slice_key(key: bytes, part: Any) -> bytes:
    """The key of a slice: 0, the name and the extents, in an encoding whose bytes are sorted as they are."""
    name = key.replace(b"\xff", b"\xff\x00").replace(b"\0", b"\0\xff")
    rank = len(part.extent)
    extents = (n for e in part.extent for n in (e.start, e.length if e.HasField("length") else -1))
    counted = bytes([(rank.bit_length() + 7) // 8]) + rank.to_bytes((rank.bit_length() + 7) // 8)
    return b"\0" + name + b"\0\1" + counted + b"".join(map(_ordered, extents))


def _ordered(number: int) -> bytes:
    """A signed number whose first bits say how many bytes it has: as many ones, flipped if it is negative."""
    size = (number if number >= 0 else ~number).bit_length() // 7 + 1
    header = ((1 << size) - 1) << (7 * size)
    return ((number & ((1 << 8 * size) - 1)) ^ header).to_bytes(size)
