"""UBJSON, the binary form of JSON that XGBoost writes."""

from __future__ import annotations

from typing import Any

import numpy as np

NUMBERS: dict[bytes | None, np.dtype[Any]] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"u": np.dtype(">u2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
CONSTANTS: dict[bytes | None, bool | None] = {b"Z": None, b"T": True, b"F": False}


def decode(data: bytes) -> Any:
    """The value that the bytes hold; arrays of one kind of number are NumPy arrays. Raises ValueError."""
    reader = UbjsonReader(data)
    value = reader.value(reader.take(1))
    if data[reader.at :].strip(b"N\0"):
        raise ValueError("bytes follow the end of the model")
    return value


class UbjsonReader:
    """A place in bytes, from which values are read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError("the file ends within a value")
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self, marker: bytes) -> Any:
        """The value of a kind."""
        if marker in NUMBERS:
            dtype = NUMBERS[marker]
            return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        if marker == b"S":
            return self.text()
        if marker == b"C":
            return self.take(1).decode()
        if marker == b"[":
            return self.array()
        if marker == b"{":
            return self.object()
        raise ValueError(f"{marker!r} begins no value")

    def text(self) -> str:
        return self.take(self.count()).decode()

    def count(self) -> int:
        """A length, with the kind of its number before it."""
        number = self.value(self.take(1))
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError("a length is no whole number")
        return number

    def header(self) -> tuple[bytes | None, int | None]:
        """The kind that all elements of a container have, and their number, where it says so."""
        kind = count = None
        if self.data[self.at : self.at + 1] == b"$":
            kind = self.take(2)[1:]
        if self.data[self.at : self.at + 1] == b"#":
            self.take(1)
            count = self.count()
        return kind, count

    def marker(self) -> bytes:
        """The next byte that is no filler."""
        while (marker := self.take(1)) == b"N":
            pass
        return marker

    def array(self) -> Any:
        kind, count = self.header()
        if kind in NUMBERS and count is not None:
            dtype = NUMBERS[kind]
            return np.frombuffer(self.take(count * dtype.itemsize), dtype)
        values: list[Any] = []
        while count is None or len(values) < count:
            marker = kind or self.marker()
            if count is None and marker == b"]":
                break
            if kind in CONSTANTS:
                raise ValueError("an array of constants is no part of a model")
            values.append(self.value(marker))
        return values

    def object(self) -> dict[str, Any]:
        kind, count = self.header()
        values: dict[str, Any] = {}
        done = 0
        while count is None or done < count:
            if count is None and self.data[self.at : self.at + 1] == b"}":
                self.take(1)
                break
            key = self.text()
            values[key] = self.value(kind or self.take(1))
            done += 1
        return values
