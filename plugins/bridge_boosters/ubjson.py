"""UBJSON, the binary form of JSON that XGBoost writes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

FORMS = {"i": ">b", "U": ">B", "I": ">h", "u": ">H", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
NUMBERS = {ord(marker): struct.Struct(form) for marker, form in FORMS.items()}
CONSTANTS: dict[int, bool | None] = {ord("Z"): None, ord("T"): True, ord("F"): False}
FILLER, ARRAY_END = b"N]"


def decode(data: bytes) -> Any:
    """The value that the bytes hold; arrays of one kind of number are NumPy arrays. Raises ValueError."""
    reader = UbjsonReader(data)
    value = reader.value(reader.marker())
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

    def marker(self) -> int:
        """The next byte."""
        if self.at >= len(self.data):
            raise ValueError("the file ends within a value")
        self.at += 1
        return self.data[self.at - 1]

    def passes(self, marker: bytes) -> bool:
        """True, and the next byte passed, where it is this one."""
        found = self.data.startswith(marker, self.at)
        self.at += found
        return found

    def value(self, marker: int) -> Any:
        """The value of a kind."""
        if marker in NUMBERS:
            return self.number(NUMBERS[marker])
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        if marker not in READERS:
            raise ValueError(f"{bytes((marker,))!r} begins no value")
        return READERS[marker](self)

    def number(self, form: struct.Struct) -> Any:
        try:
            [number] = form.unpack_from(self.data, self.at)
        except struct.error as error:
            raise ValueError("the file ends within a value") from error
        self.at += form.size
        return number

    def character(self) -> str:
        return self.take(1).decode()

    def text(self) -> str:
        return self.take(self.count()).decode()

    def count(self) -> int:
        """A length, with the kind of its number before it."""
        try:
            form = NUMBERS[self.data[self.at]]
            [number] = form.unpack_from(self.data, self.at + 1)
        except (LookupError, struct.error) as error:
            raise ValueError("a length is no number") from error
        if not isinstance(number, int):
            raise ValueError("a length is no whole number")
        self.at += 1 + form.size
        return number

    def header(self) -> tuple[int | None, int | None]:
        """The kind that all elements of a container have, and their number, where it says so."""
        kind = self.marker() if self.passes(b"$") else None
        return kind, self.count() if self.passes(b"#") else None

    def array(self) -> Any:
        kind, count = self.header()
        if kind in NUMBERS and count is not None:
            form = NUMBERS[kind]
            return np.frombuffer(self.take(count * form.size), form.format)
        values: list[Any] = []
        while count is None or len(values) < count:
            marker = self.marker() if kind is None else kind
            if marker == FILLER and kind is None:
                continue
            if count is None and marker == ARRAY_END:
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
            if count is None and self.passes(b"}"):
                break
            key = self.text()
            values[key] = self.value(self.marker() if kind is None else kind)
            done += 1
        return values


READERS: dict[int, Callable[[UbjsonReader], Any]] = {
    ord("S"): UbjsonReader.text,
    ord("C"): UbjsonReader.character,
    ord("["): UbjsonReader.array,
    ord("{"): UbjsonReader.object,
}
