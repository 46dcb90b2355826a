"""Modules of archives, with the words of torch's own for what an importer asks of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import UnreadableFile, first_line
from bridge_torchscript.interface import INTERFACE
from bridge_torchscript.script.code import FOREIGN_CLASSES, Code
from bridge_torchscript.script.graph import Block
from bridge_torchscript.script.inline import Inliner
from bridge_torchscript.script.pickles import read_pickle
from bridge_torchscript.script.restore import restore
from bridge_torchscript.script.schema import Schema, overloads
from bridge_torchscript.script.statements import Function, signature
from bridge_torchscript.script.stored import StoredObject
from bridge_torchscript.script.types import class_type

LOCAL_HEADER = 30
DAMAGE = (
    SyntaxError,
    RecursionError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
)


class Records:
    """Records of an archive; those that are not compressed are mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.infos = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        self.memory = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)

    def array(self, name: str) -> np.ndarray:
        """Bytes of a record. Raises KeyError, UnreadableFile."""
        info = self.infos[name]
        if info.compress_type != zipfile.ZIP_STORED:
            with zipfile.ZipFile(self.path) as archive:
                return np.frombuffer(archive.read(info), np.uint8)
        header = self.memory[info.header_offset : info.header_offset + LOCAL_HEADER]
        if bytes(header[:4]) != b"PK\x03\x04":
            raise UnreadableFile(f"{self.path} is damaged where {name} should be.")
        start = info.header_offset + LOCAL_HEADER + sum(int(n) for n in header[26:30].view("<u2"))
        data = self.memory[start : start + info.file_size]
        if data.size < info.file_size:
            raise UnreadableFile(f"{self.path} ends inside {name}.", "Is the file complete?")
        return data

    def text(self, name: str) -> str | None:
        """Text of a record; None without it."""
        return bytes(self.array(name)).decode() if name in self.infos else None

    def pickle(self, name: str, folder: str) -> Any:
        """Value of a pickle whose storages are in `folder`."""
        data = bytes(self.array(name))
        return read_pickle(data, lambda key: self.array(f"{folder}/{key}"), f"{self.path}: {name}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise UnreadableFile for code and records that are not as torch writes them."""
    try:
        yield
    except DAMAGE as error:
        raise UnreadableFile(f"{path} is not a valid TorchScript archive: {first_line(error)}") from error


class ScriptModule(StoredObject):
    """Module of an archive, read without torch. `operators` are schemas by the names of operators.

    Raises UnreadableFile, and Foreign for what torch alone reads.
    """

    def __init__(self, path: Path, operators: Callable[[str], Sequence[Schema]] = overloads) -> None:
        self.path = path
        with reading(path):
            self._open(Records(path), operators)

    def _open(self, records: Records, operators: Callable[[str], Sequence[Schema]]) -> None:
        path = self.path
        constants = records.pickle("constants.pkl", "constants")
        root = records.pickle("data.pkl", "data")
        if not isinstance(root, StoredObject) or not isinstance(constants, tuple):
            raise UnreadableFile(f"{path} holds no module.")
        self.interface = _interface(records)
        self.version = int(records.text("version") or records.text(".data/version") or 0)
        self.code = Code(lambda name: records.text(f"code/{name}"), constants)
        self.operators = operators
        self._graphs: dict[str, Block] = {}
        self._restore(root, set())
        super().__init__(root.name, root.state)

    def _restore(self, value: Any, seen: set[int]) -> None:
        """Restore the objects in a stored value whose classes say how, the innermost first."""
        if id(value) in seen or not isinstance(value, (StoredObject, dict, list, tuple)):
            return
        seen.add(id(value))
        inner = value.state if isinstance(value, StoredObject) else value
        for item in (
            inner.values() if isinstance(inner, dict) else inner if isinstance(inner, (list, tuple)) else ()
        ):
            self._restore(item, seen)
        if isinstance(value, StoredObject) and "__setstate__" in self._methods(value.name):
            restore(value, self.inlined(f"{value.name}.__setstate__"))

    def _methods(self, name: str) -> dict[str, Any]:
        return {} if name.startswith(FOREIGN_CLASSES) else self.code.class_(name).methods

    def inlined(self, key: str) -> Block:
        """Graph of a function or method with all that it calls."""
        return Inliner(self.graph).inlined(self.graph(key))

    def _has_method(self, name: str) -> bool:
        return name in self._method_names()

    def _method_names(self) -> list[str]:
        with reading(self.path):
            return list(self._methods(self.name))

    def _get_method(self, name: str) -> ScriptMethod:
        with reading(self.path):
            key = f"{self.name}.{name}"
            return ScriptMethod(self.schema(key), self.inlined(key))

    def schema(self, key: str) -> Schema:
        """Schema of a function or method by its qualified name."""
        function = self.code.function(key)
        if function is not None:
            return signature(self.code, key, function, None)
        owner, _, name = key.rpartition(".")
        definition = self.code.class_(owner).methods[name]
        is_method = bool(definition.args.args) and definition.args.args[0].arg == "self"
        return signature(self.code, key, definition, class_type(owner) if is_method else None)

    def graph(self, key: str) -> Block:
        """Graph of a function or method, with its calls of others."""
        if key not in self._graphs:
            function = self.code.function(key)
            owner, _, name = key.rpartition(".")
            record = self.code.record(key if function is not None else owner)
            lines = (self.code.source(record) or "").splitlines()
            definition = function or self.code.class_(owner).methods[name]
            lowering = Function(self.code, self.operators, self.version, record, lines)
            self._graphs[key] = lowering.lower(definition, self.schema(key))
        return self._graphs[key]


@dataclass(frozen=True)
class ScriptMethod:
    """Method of a module: its schema, and its graph with all that it calls."""

    schema: Schema
    inlined_graph: Block


def _interface(records: Records) -> dict[str, Any]:
    """Interface that archives of bridge keep; empty where there is none."""
    try:
        interface = json.loads(records.text(f"extra/{INTERFACE}") or "{}")
    except ValueError:
        interface = {}
    return interface if isinstance(interface, dict) else {}
