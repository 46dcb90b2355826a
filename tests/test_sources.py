"""Models that are no path here: standard input, addresses, archives, compressed files."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.errors import BridgeError, MissingDependency, TooLarge, UnreadableFile
from bridge.limits import MEMORY

MODEL = Path(__file__).parent / "models" / "mnist.onnx"
WORDS = [sys.executable, "-m", "bridge"]


def same_model(source) -> bool:
    return bridge.inspect(source).operators == bridge.inspect(MODEL).operators


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A model that is a folder."""
    path = tmp_path_factory.mktemp("package") / "digits.mlpackage"
    bridge.convert(MODEL, path)
    return path


def zipped(folder: Path, path: Path, root: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, f"{root}{file.relative_to(folder.parent if root else folder)}")
    return path


def test_a_compressed_file(tmp_path):
    path = tmp_path / "digits.onnx.gz"
    path.write_bytes(gzip.compress(MODEL.read_bytes()))
    assert same_model(path)
    written = bridge.convert(path, to="tflite", dst=tmp_path / "digits.tflite", verify=True)
    assert written.verification.ok


def test_a_zipped_package_is_named_after_itself(package, tmp_path, monkeypatch):
    path = zipped(package, tmp_path / "mine.zip", root="./")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/._digits.mlpackage", b"")
    monkeypatch.chdir(tmp_path)
    assert bridge.convert(path, to="onnx").path.name == "digits.onnx"


def test_an_archive_whose_files_begin_before_it_is_damaged(package, tmp_path):
    path = zipped(package, tmp_path / "mine.zip")
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")
    path.write_bytes(content[: directory - 40] + content[directory:])
    with pytest.raises(UnreadableFile, match="begins before the archive"):
        bridge.load(path)


def test_a_package_whose_files_are_zipped_without_it(package, tmp_path):
    path = zipped(package, tmp_path / "digits.mlpackage.zip")
    assert bridge.load(path).graph.inputs


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_of_a_folder(package, tmp_path, mode):
    path = tmp_path / f"digits.tar.{mode[2:] or 'plain'}"
    with tarfile.open(path, mode) as archive:
        archive.add(package, "some/digits.mlpackage")
    assert bridge.load(path).graph.inputs


def test_an_archive_of_several_models_names_them(tmp_path):
    path = tmp_path / "both.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(MODEL, "one.onnx")
        archive.write(MODEL, "two.onnx")
    with pytest.raises(UnreadableFile, match=r"several models: one\.onnx, two\.onnx"):
        bridge.load(path)


@pytest.mark.parametrize("name", ["../out.onnx", "/tmp/out.onnx", "a/../../out.onnx", "a\\..\\out.onnx"])
def test_what_leads_out_of_an_archive_is_refused(tmp_path, name):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), MODEL.read_bytes())
    with pytest.raises(UnreadableFile, match="leads out"):
        bridge.load(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_of_an_archive_are_refused(tmp_path, kind):
    path = tmp_path / "bad.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("model.onnx")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UnreadableFile, match="link or a device"):
        bridge.load(path)


def bomb(kind: str, path: Path) -> None:
    zeros = bytes(40_000_000)
    if kind == "gz":
        path.write_bytes(gzip.compress(zeros))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.onnx", zeros)
    else:
        with tarfile.open(path, "w:gz") as archive:
            info = tarfile.TarInfo("model.onnx")
            info.size = len(zeros)
            archive.addfile(info, io.BytesIO(zeros))


@pytest.mark.parametrize("kind", ["gz", "zip", "tar"])
def test_what_unpacks_to_more_than_is_allowed_is_refused(tmp_path, kind, monkeypatch):
    bomb(kind, tmp_path / "model")
    monkeypatch.setenv(MEMORY, "10MB")
    with pytest.raises(TooLarge, match=r"10\.0 MB"):
        bridge.load(tmp_path / "model")


@pytest.mark.parametrize("kind", ["gz", "zip", "tar"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_an_archive_cut_short(tmp_path, kind, part):
    path = tmp_path / "model"
    bomb(kind, path)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(BridgeError):
        bridge.load(path)


def test_a_changed_archive_is_unpacked_again(tmp_path):
    path = tmp_path / "model.gz"
    path.write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(BridgeError):
        bridge.load(path)
    path.write_bytes(gzip.compress(MODEL.read_bytes()))
    assert same_model(path)


# Standard input and output


def test_from_standard_input_to_standard_output(tmp_path):
    done = subprocess.run(
        [*WORDS, "convert", "-", "-", "--to", "tflite", "--verify"],
        input=MODEL.read_bytes(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "digits.tflite").write_bytes(done.stdout)
    assert bridge.verify(MODEL, tmp_path / "digits.tflite").ok


def test_a_package_does_not_fit_standard_output():
    done = subprocess.run([*WORDS, "convert", MODEL, "-", "--to", "coreml"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "not one file" in done.stderr
    assert not done.stdout


def test_nothing_on_standard_input():
    done = subprocess.run([*WORDS, "inspect", "-"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Standard input is empty" in done.stderr


# Addresses


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, its address, and how often each file of it was asked for."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("BRIDGE_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_an_address_is_fetched_once_while_it_stays_the_same(served):
    folder, address, asked = served
    shutil.copy(MODEL, folder / "digits.onnx")
    inputs = {"Input3": np.zeros((1, 1, 28, 28), np.float32)}
    first = bridge.run(f"{address}/digits.onnx", inputs)
    assert asked.count("/digits.onnx") == 1
    again = bridge.run(f"{address}/digits.onnx", inputs)
    assert asked.count("/digits.onnx") == 1
    np.testing.assert_array_equal(first["Plus214_Output_0"], again["Plus214_Output_0"])
    (folder / "digits.onnx").write_bytes(b"no model any more")
    with pytest.raises(BridgeError):
        bridge.load(f"{address}/digits.onnx")


def test_an_address_is_held_to_its_digest(served):
    folder, address, _ = served
    shutil.copy(MODEL, folder / "digits.onnx")
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert same_model(f"{address}/digits.onnx#sha256={digest}")
    with pytest.raises(UnreadableFile, match=f"has the digest sha256={digest}"):
        bridge.load(f"{address}/digits.onnx#sha256={'0' * 64}")


def test_what_was_kept_and_then_damaged_is_fetched_again(served, tmp_path):
    folder, address, asked = served
    shutil.copy(MODEL, folder / "digits.onnx")
    assert same_model(f"{address}/digits.onnx")
    (kept,) = (tmp_path / "cache").rglob("digits.onnx")
    kept.write_bytes(b"damaged")
    assert same_model(f"{address}/digits.onnx")
    assert asked.count("/digits.onnx") == 2


def test_a_compressed_address(served):
    folder, address, _ = served
    (folder / "digits.onnx.gz").write_bytes(gzip.compress(MODEL.read_bytes()))
    assert same_model(f"{address}/digits.onnx.gz")


def test_an_address_nobody_serves(served):
    with pytest.raises(UnreadableFile, match="could not be read"):
        bridge.load(f"{served[1]}/none.onnx")


def test_a_folder_at_an_address(package, tmp_path, monkeypatch):
    monkeypatch.setenv("BRIDGE_CACHE", str(tmp_path / "cache"))
    assert bridge.load(f"file://{package}").graph.inputs


def test_a_scheme_nobody_knows():
    with pytest.raises(UnreadableFile, match="Protocol not known"):
        bridge.load("nowhere://model.onnx")


def test_an_address_whose_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependency, match=r"\[remote\]"):
        bridge.load("https://example.org/model.onnx")
