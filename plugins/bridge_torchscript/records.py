"""Records of an archive held against one another before torch reads them: it trusts what they declare."""

from __future__ import annotations

import io
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from bridge.errors import UnreadableFile

__all__ = ["require_records"]

DEPTH = 500
"""The most brackets in brackets; torch's reader of code calls itself for each."""
BYTES = {
    **dict.fromkeys(("Byte", "Char", "Bool", "QInt8", "QUInt8"), 1),
    **dict.fromkeys(("Half", "BFloat16", "Short", "UInt16"), 2),
    **dict.fromkeys(("Float", "Int", "QInt32", "UInt32"), 4),
    **dict.fromkeys(("Double", "Long", "ComplexFloat", "UInt64"), 8),
    "ComplexDouble": 16,
}


def require_records(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise UnreadableFile for code that is nested too deeply, and for a weight of another size than its
    record."""
    sizes = {info.filename: info.file_size for info in archive.infolist()}
    for name in sizes:
        if name.endswith(".py") and _depth(archive.read(name)) > DEPTH:
            raise UnreadableFile(f"{path} has code that is nested too deeply ({name}).")
        kind = {"data.pkl": "data", "constants.pkl": "constants"}.get(name.rpartition("/")[2])
        if kind is None or name.count("/") > 1:
            continue
        for storage, key, count in _storages(archive.read(name)):
            record, each = f"{name.rpartition('/')[0]}/{kind}/{key}", BYTES.get(storage, 0)
            if record in sizes and each and sizes[record] != count * each:
                raise UnreadableFile(
                    f"{path} has a weight of {count * each:,} bytes, and {sizes[record]:,} in {record}.",
                    "Is the file complete?",
                )


def _depth(code: bytes) -> int:
    """Depth of brackets in brackets."""
    deepest = depth = 0
    for byte in code:
        if byte in b"([{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b")]}":
            depth -= 1
    return deepest


class _Inert:
    """A stand-in for every object of a pickle."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass


class _Storages(pickle.Unpickler):
    """Reads a pickle of which no name is looked up and nothing is called, for the storages it names."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.found: list[tuple[str, str, int]] = []

    def find_class(self, module: str, name: str) -> Any:
        return type(name, (_Inert,), {})

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("storage", type() as kind, key, _, int() as count):
                self.found.append((kind.__name__.removesuffix("Storage"), str(key), count))
        return _Inert()


def _storages(data: bytes) -> list[tuple[str, str, int]]:
    """Kind, key and number of elements of each storage; of a damaged pickle, which torch tells of, those
    before the damage."""
    reader = _Storages(data)
    with suppress(Exception):
        reader.load()
    return reader.found
