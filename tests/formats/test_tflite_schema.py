"""TFLite's schema is a table of ours: as LiteRT's own, and enough to read and write files without LiteRT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bridge_tflite.runtime import open_session
from bridge_tflite.schema import ENUMS, TABLES, Record, Table, tabulate
from flatbuffers.builder import Builder

import bridge

generated: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")

WITHOUT = """
import sys
sys.modules['ai_edge_litert'] = None
import bridge
bridge.convert(sys.argv[1], sys.argv[2], reproducible=True)
"""


def test_the_table_is_that_of_the_litert_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tabulate, "PATH", tmp_path / "schema.json")
    tabulate.tabulate()
    kept = Path(tabulate.__file__).with_name("schema.json")
    assert (tmp_path / "schema.json").read_text().split("\n", 1)[1] == kept.read_text().split("\n", 1)[1]


def test_every_number_is_litert_s() -> None:
    for name, numbers in ENUMS.items():
        for member, number in numbers.items():
            assert getattr(getattr(generated, name), member) == number


def filled(made: Any, name: str, depth: int = 0) -> Any:
    """A value for every field of an object of the schema, ours or LiteRT's."""
    for field in TABLES[name][1].values():
        setattr(made, field.name, value_of(type(made), field, depth))
    return made


def value_of(kind: type, field: Any, depth: int) -> Any:
    def table(name: str) -> Any:
        made = Record(name) if kind is Record else getattr(generated, f"{name}T")()
        return filled(made, name, depth + 1)

    if field.kind.startswith("union "):
        return None
    if field.kind == "string":
        return f"the {field.name}"
    if field.kind.startswith("["):
        inner = field.kind[1:-1]
        if inner in TABLES:
            return [table(inner)] * 2 if depth < 3 else None
        return np.ones(3, np.dtype(inner)) if inner != "string" else ["a", "b"]
    if field.kind in TABLES:
        return table(field.kind) if depth < 3 else None
    return field.kind == "bool" or (field.slot + 3 if not field.name.endswith("Type") else 0)


@pytest.mark.parametrize("name", TABLES)
def test_bytes_of_every_table_are_those_litert_writes(name: str) -> None:
    ours, theirs = Builder(64), Builder(64)
    ours.Finish(filled(Record(name), name).pack(ours), b"TFL3")
    theirs.Finish(filled(getattr(generated, f"{name}T")(), name).Pack(theirs), b"TFL3")
    assert bytes(ours.Output()) == bytes(theirs.Output())
    start = int.from_bytes(ours.Output()[:4], "little")
    read = Table(name, bytes(ours.Output()), start).unpacked()
    again = Builder(64)
    texts = [f.name for f in TABLES[name][1].values() if f.kind == "string"]
    for text in texts:
        setattr(read, text, getattr(read, text).decode())
    if not any(f.kind in TABLES or f.kind[1:-1] in TABLES for f in TABLES[name][1].values()):
        again.Finish(read.pack(again), b"TFL3")
        assert bytes(again.Output()) == bytes(ours.Output())


def test_files_are_written_and_read_without_litert(mnist: Path, tmp_path: Path) -> None:
    there, back, with_it = tmp_path / "m.tflite", tmp_path / "back.onnx", tmp_path / "with.tflite"
    for source, target in ((mnist, there), (there, back)):
        words = [sys.executable, "-c", WITHOUT, str(source), str(target)]
        subprocess.run(words, check=True)
    assert bridge.convert(mnist, with_it, reproducible=True).path.read_bytes() == there.read_bytes()
    assert bridge.verify(mnist, back).ok


def test_without_litert_a_file_is_read_back(
    mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bridge.convert(mnist, tmp_path / "m.tflite").path
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    found = open_session(path).run({"Input3": np.zeros((1, 1, 28, 28), np.float32)})
    assert found.engine.startswith("re-read")
    assert list(found) == ["Plus214_Output_0"]
