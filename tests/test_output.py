"""Destinations: what is replaced, what is not, and what a writer that ends early leaves."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from build import SUFFIXES, hub_from_text

import bridge
from bridge import output
from bridge.errors import DestinationExists, WriteFailed

GRAPH = "(float[1,64] x) => (float[1,64] y) { y = MatMul (x, w) }"
WRITER = Path(__file__).parent / "killed_writer.py"


@pytest.fixture
def model():
    return hub_from_text(GRAPH, w=np.eye(64, dtype=np.float32))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def make_folder(path: Path) -> None:
    (path / "sub").mkdir(parents=True)
    (path / "thesis.txt").write_text("years of work")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


KEPT = {
    "a folder of documents": make_folder,
    "a document": lambda path: path.write_text("years of work"),
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a device": lambda path: path.symlink_to(os.devnull),
    "a link to a folder of documents": lambda path: (make_folder(path.parent / "it"), path.symlink_to("it")),
    "a link to a document": lambda path: ((path.parent / "it").write_text("work"), path.symlink_to("it")),
}


@pytest.mark.parametrize("what", KEPT)
@pytest.mark.parametrize("to", SUFFIXES)
def test_what_is_no_model_is_not_replaced(model, tmp_path, to, what):
    path = tmp_path / "documents"
    KEPT[what](path)
    before, mode = contents(tmp_path), path.lstat().st_mode
    with pytest.raises(DestinationExists, match="not replaced"):
        bridge.save(model, path, to=to, overwrite=True)
    assert (contents(tmp_path), path.lstat().st_mode) == (before, mode)


@pytest.mark.parametrize("to", ["coreml", "savedmodel"])
def test_a_model_folder_with_more_in_it_is_not_replaced(model, tmp_path, to):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.save(model, path, to=to)
    (path / "thesis.txt").write_text("years of work")
    with pytest.raises(DestinationExists, match=r"thesis\.txt beside a model"):
        bridge.save(model, path, to=to, overwrite=True)
    assert (path / "thesis.txt").exists()


def test_a_model_folder_of_another_format_is_not_replaced(model, tmp_path):
    bridge.save(model, tmp_path / "m", to="savedmodel")
    with pytest.raises(DestinationExists, match="no Core ML model"):
        bridge.save(model, tmp_path / "m", to="coreml", overwrite=True)


@pytest.mark.parametrize("to", SUFFIXES)
def test_a_model_is_replaced_once_allowed(model, tmp_path, to):
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.save(model, path, to=to)
    with pytest.raises(DestinationExists, match="--overwrite"):
        bridge.save(model, path, to=to)
    bridge.save(model, path, to=to, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_link_stays_and_its_target_is_replaced(model, tmp_path):
    stored = tmp_path / "store" / "blob"
    stored.parent.mkdir()
    bridge.save(model, stored.with_suffix(".onnx"))
    stored.with_suffix(".onnx").rename(stored)
    link, before = tmp_path / "m.onnx", stored.read_bytes()
    link.symlink_to("store/blob")
    doubled = hub_from_text(GRAPH, w=2 * np.eye(64, dtype=np.float32))
    bridge.save(doubled, link, overwrite=True)
    assert link.is_symlink()
    assert stored.read_bytes() != before
    assert bridge.run(link, {"x": np.ones((1, 64), np.float32)})["y"][0, 0] == 2


def test_what_appears_while_the_model_is_written_is_not_replaced(model, tmp_path):
    path = tmp_path / "m.onnx"

    def write() -> None:
        with output.atomic(path, False) as temporary:
            temporary.write_text("mine")
            path.write_text("theirs")

    with pytest.raises(DestinationExists):
        write()
    assert contents(tmp_path) == {"m.onnx": b"theirs"}


def test_what_takes_a_models_place_while_another_is_written_goes_back(model, tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    bridge.save(model, path)
    checked = []

    def refuse(place: Path) -> str:
        checked.append(place)
        return "is theirs" if place.read_bytes() == b"theirs" else ""

    exchange = output._exchange

    def exchange_late(item: Path, place: Path) -> None:
        if place.read_bytes() != b"theirs" and item.read_bytes() == b"mine":
            place.write_bytes(b"theirs")
        exchange(item, place)

    monkeypatch.setattr(output, "_exchange", exchange_late)
    with pytest.raises(DestinationExists), output.atomic(path, True, refuse) as temporary:
        temporary.write_bytes(b"mine")
    assert contents(tmp_path) == {"m.onnx": b"theirs"}


@pytest.mark.parametrize("has_call", [True, False])
@pytest.mark.parametrize("to", ["onnx", "savedmodel"])
def test_without_the_system_call_files_and_folders_are_replaced_too(
    model, tmp_path, monkeypatch, to, has_call
):
    if not has_call:
        monkeypatch.setattr(output, "_renameat2", lambda: None)
    path = tmp_path / f"m{SUFFIXES[to]}"
    bridge.save(model, path, to=to)
    bridge.save(model, path, to=to, overwrite=True)
    with pytest.raises(DestinationExists):
        bridge.save(model, path, to=to)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_two_writers_of_several_files_do_not_mix(tmp_path):
    path = tmp_path / "m.onnx"

    def write(number: int) -> None:
        with output.atomic(path, True) as temporary:
            temporary.write_text(str(number))
            temporary.with_name("m.onnx.data").write_text(str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(200)))
    written = contents(tmp_path)
    assert written.keys() == {"m.onnx", "m.onnx.data"}
    assert len(set(written.values())) == 1


def test_one_of_two_writers_wins_without_overwriting(tmp_path):
    path = tmp_path / "m.onnx"

    def write(number: int) -> bool:
        try:
            with output.atomic(path, False) as temporary:
                temporary.write_text(str(number))
        except DestinationExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(50))) == 1


def test_folders_of_dead_writers_are_swept_those_of_the_living_stay(tmp_path):
    dead, alike = tmp_path / f".m.onnx{output.MARK}abcdefgh", tmp_path / ".bridge-notes"
    dead.mkdir()
    alike.mkdir()
    with output.atomic(tmp_path / "a", False) as living:
        living.write_text("a")
        with output.atomic(tmp_path / "b", False) as other:
            other.write_text("b")
        assert living.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".bridge-notes", "a", "b"]


@pytest.mark.parametrize("moment", ["_lock", "_remove", "_sync_folder"])
def test_a_signal_at_the_worst_moment_leaves_nothing(tmp_path, monkeypatch, moment):
    """Just after the temporary folder is made, while it is removed, and after the file has its place."""
    whole = getattr(output, moment)

    def interrupted(*arguments):
        monkeypatch.setattr(output, moment, whole)
        raise SystemExit(143)

    monkeypatch.setattr(output, moment, interrupted)
    with pytest.raises(SystemExit), output.atomic(tmp_path / "m.txt", overwrite=False) as place:
        place.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] in ([], ["m.txt"])


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_path_without_a_name_is_refused(model, name):
    with pytest.raises(WriteFailed, match="names no file"):
        bridge.save(model, name, to="onnx", overwrite=True)


@pytest.mark.parametrize("to", SUFFIXES)
def test_killed_at_any_moment_a_writer_leaves_the_old_or_the_new(tmp_path, to):
    words = [sys.executable, WRITER, to, SUFFIXES[to], tmp_path, 50]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result["seen"]) <= {"old", "new"}, result
    assert result["left"] == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs limits of processes")
@pytest.mark.parametrize("to", SUFFIXES)
def test_a_full_disk_leaves_nothing(tmp_path, to):
    script = (
        "import resource, signal, sys, numpy as np, bridge\n"
        "from build import hub_from_text\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "text = '(float[1,256] x) => (float[1,256] y) { y = MatMul (x, w) }'\n"
        "weights = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)\n"
        "model = hub_from_text(text, w=weights)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))\n"
        "try: bridge.save(model, sys.argv[1], to=sys.argv[2])\n"
        "except bridge.errors.WriteFailed as error: print(error)\n"
    )
    path = tmp_path / f"m{SUFFIXES[to]}"
    words = [sys.executable, "-c", script, str(path), to]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths})
    assert "could not be written" in done.stdout, done.stderr[-2000:]
    assert not list(tmp_path.iterdir())
