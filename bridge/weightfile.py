"""Weights that stay in their file until they are read, and are written in blocks."""

from __future__ import annotations

import functools
import io
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile

__all__ = ["Converted", "FileTensor", "Transposed", "WeightFile", "blocks", "is_same", "looks"]

BLOCK = 2**18
LOOKS = 64
"""Elements that are compared before all are."""
STRIP = 16
"""Rows that are transposed at once: of float32 they are a line of the processor's cache in each column."""


class WeightFile:
    """A file that weights are read from, which is held open and stays as it was."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        raw = io.FileIO(path)
        weakref.finalize(self, raw.close)
        self._raw, self._turn, self._state = raw, threading.Lock(), _state(raw.fileno())
        self._room: list[np.ndarray] = []

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._state[0]

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill `target` with the bytes at `offset`. Raises UnreadableFile where the file is shorter, or
        another than it was when it was opened."""
        done = 0
        with self._turn:
            self._raw.seek(offset)
            while done < len(target) and (count := self._raw.readinto(target[done:])):
                done += count
        self.require_unchanged()
        if done < len(target):
            raise UnreadableFile(f"{self.path} ends within a weight.", "Is the file complete?")

    def require_unchanged(self) -> None:
        """Raise UnreadableFile where the file is another than it was when it was opened."""
        if _state(self._raw.fileno()) != self._state:
            raise UnreadableFile(f"{self.path} changed while it was read.", "Convert it again.")

    def read(self, offset: int, size: int) -> np.ndarray:
        """The bytes at `offset`, as uint8 [size]. Raises as `read_into` does."""
        content = np.empty(size, np.uint8)
        self.read_into(offset, content.data)
        return content

    @functools.cached_property
    def mapped(self) -> mmap.mmap:
        """The file as memory, which the process must not touch once somebody else made the file shorter."""
        self.require_unchanged()
        return mmap.mmap(self._raw.fileno(), 0, access=mmap.ACCESS_READ)

    @contextmanager
    def room(self, size: int) -> Iterator[np.ndarray]:
        """Memory to compute in, as uint8 [size]; it is kept for the next, which spares the system the work of
        giving it out again."""
        kept = self._room.pop() if self._room else np.empty(0, np.uint8)
        room = kept if len(kept) >= size else np.empty(size, np.uint8)
        yield room[:size]
        self._room[:] = [room]

    def blocks(self, offset: int, size: int) -> Iterator[memoryview]:
        """The bytes at `offset` in blocks, each of which lasts until the next is asked for. Raises as
        `read_into` does."""
        block = np.empty(min(BLOCK, size), np.uint8).data
        for start in range(0, size, BLOCK):
            part = block[: size - start]
            self.read_into(offset + start, part)
            yield part


def _state(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns


class FileTensor(ir.LazyTensor):
    """A tensor whose bytes, little-endian and in the order of C, lie in a file; an array of it is kept as
    long as somebody holds it."""

    def __init__(
        self, file: WeightFile, offset: int, dtype: ir.DataType, shape: Sequence[int], **described: Any
    ) -> None:
        super().__init__(lambda: ir.Tensor(self.numpy(), dtype), dtype, ir.Shape(shape), **described)
        self.file, self.offset = file, offset
        self._array: Any = lambda: None

    def numpy(self) -> np.ndarray:
        """The elements, read from the file. Raises UnreadableFile where it changed."""
        array = self._array()
        if array is None:
            array = self._of(self.file.read(self.offset, self.nbytes), self.shape.numpy())
            self._array = weakref.ref(array)
        return array

    def mapped(self) -> np.ndarray:
        """The elements, read from the file where they are touched; for who hands them on without a look."""
        raw = np.frombuffer(self.file.mapped, np.uint8, self.nbytes, self.offset)
        return self._of(raw, self.shape.numpy())

    def tobytes(self) -> bytes:
        return self.file.read(self.offset, self.nbytes).tobytes()

    def tofile(self, file: Any) -> None:
        for block in self.blocks():
            file.write(block)

    def blocks(self) -> Iterator[memoryview]:
        return self.file.blocks(self.offset, self.nbytes)

    def at(self, places: tuple[np.ndarray, ...]) -> np.ndarray:
        """The elements at places, an array of indices for each axis."""
        width = self.dtype.bitwidth // 8
        if self.dtype.bitwidth % 8:
            return self.numpy()[places]
        flat = np.ravel_multi_index(places, self.shape.numpy())
        read = [self.file.read(self.offset + int(place) * width, width) for place in flat]
        return self._of(np.concatenate(read), [-1])

    def _of(self, content: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        if self.dtype.bitwidth % 8:
            return ir.PackedTensor(content, self.dtype, shape=self.shape).numpy().reshape(shape)
        return content.view(self.dtype.numpy().newbyteorder("<")).reshape(shape)


class Transposed(ir.LazyTensor):
    """A tensor with the dimensions of `source` in the order of `perm`, made each time it is read."""

    def __init__(self, source: ir.TensorProtocol, perm: Sequence[int], name: str | None = None) -> None:
        lengths = source.shape.numpy()
        shape = ir.Shape([lengths[axis] for axis in perm])
        super().__init__(lambda: ir.Tensor(self.numpy(), source.dtype), source.dtype, shape, name=name)
        self.source, self.perm = source, tuple(perm)

    def numpy(self) -> np.ndarray:
        """The elements in the order of C."""
        array = self.source.numpy()
        if self.perm != (1, 0):
            return np.ascontiguousarray(array.transpose(self.perm))
        result = np.empty(array.shape[::-1], array.dtype)
        for start in range(0, len(array), STRIP):
            _turn(array, result, start)
        return result

    def blocks(self) -> Iterator[memoryview]:
        source, size = self.source, self.nbytes
        if self.perm != (1, 0) or not isinstance(source, FileTensor) or not size:
            yield from _pieces(self.numpy())
            return
        height, width = source.shape.numpy()
        with source.file.room(size) as room:
            result = room.view(self.dtype.numpy()).reshape(width, height)
            strip = np.empty((STRIP, width), result.dtype)
            for start in range(0, height, STRIP):
                rows = strip[: height - start]
                place = source.offset + start * width * result.itemsize
                source.file.read_into(place, rows.reshape(-1).view(np.uint8).data)
                _turn(rows, result[:, start:], 0)
            yield from _pieces(result)

    def at(self, places: tuple[np.ndarray, ...]) -> np.ndarray:
        """The elements at places, an array of indices for each axis."""
        return _at(self.source, tuple(places[self.perm.index(axis)] for axis in range(len(places))))


class Converted(ir.LazyTensor):
    """A tensor of the elements of `source` in another dtype, made each time it is read."""

    def __init__(self, source: ir.TensorProtocol, dtype: ir.DataType, name: str | None = None) -> None:
        shape = ir.Shape(source.shape.numpy())
        super().__init__(lambda: ir.Tensor(self.numpy(), dtype), dtype, shape, name=name)
        self.source = source

    def numpy(self) -> np.ndarray:
        return self._of(self.source.numpy())

    def blocks(self) -> Iterator[memoryview]:
        if self.source.dtype.bitwidth % 8:
            yield from _pieces(self.numpy())
            return
        for block in blocks(self.source):
            elements = np.frombuffer(block, self.source.dtype.numpy().newbyteorder("<"))
            yield _raw(self._of(elements))

    def at(self, places: tuple[np.ndarray, ...]) -> np.ndarray:
        """The elements at places, an array of indices for each axis."""
        return self._of(_at(self.source, places))

    def _of(self, elements: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return elements.astype(self.dtype.numpy())


def _turn(rows: np.ndarray, columns: np.ndarray, start: int) -> None:
    part = rows[start : start + STRIP]
    columns[:, start : start + len(part)] = part.T


def blocks(tensor: ir.TensorProtocol) -> Iterator[memoryview]:
    """The bytes of a tensor, little-endian and in the order of C, in blocks; a block lasts until the next is
    asked for. Raises UnreadableFile where its file changed."""
    if tensor.dtype.bitwidth % 8 and not isinstance(tensor, FileTensor):
        yield memoryview(tensor.tobytes())
    elif isinstance(tensor, (FileTensor, Transposed, Converted)):
        yield from tensor.blocks()
    else:
        yield from _pieces(tensor.numpy())


def _pieces(array: np.ndarray) -> Iterator[memoryview]:
    raw = _raw(array)
    for start in range(0, len(raw), BLOCK):
        yield raw[start : start + BLOCK]


def _raw(array: np.ndarray) -> memoryview:
    array = np.ascontiguousarray(array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data


def looks(tensor: ir.TensorProtocol) -> bytes:
    """Elements of a tensor that has some, spread evenly."""
    lengths = tensor.shape.numpy()
    flat = np.linspace(0, tensor.size - 1, LOOKS).astype(np.int64)
    return _at(tensor, np.unravel_index(flat, lengths) if lengths else ()).tobytes()


def _at(tensor: ir.TensorProtocol, places: tuple[np.ndarray, ...]) -> np.ndarray:
    if isinstance(tensor, (FileTensor, Transposed, Converted)):
        return tensor.at(places)
    return np.asarray(tensor.numpy()[places])


def is_same(one: ir.TensorProtocol, other: ir.TensorProtocol) -> bool:
    """True for tensors of the same bytes; those that are made alike of one are not read."""
    if one is other:
        return True
    if isinstance(one, FileTensor) and isinstance(other, FileTensor):
        if (one.file, one.offset, one.nbytes) == (other.file, other.offset, other.nbytes):
            return True
        pairs = zip(one.blocks(), other.blocks(), strict=False)
        return one.nbytes == other.nbytes and all(a == b for a, b in pairs)
    if isinstance(one, (Transposed, Converted)) and isinstance(other, (Transposed, Converted)):
        made = [(type(t), t.dtype, t.shape.numpy(), getattr(t, "perm", None)) for t in (one, other)]
        if made[0] == made[1] and is_same(one.source, other.source):
            return True
    return np.array_equal(_raw(one.numpy()), _raw(other.numpy()))
