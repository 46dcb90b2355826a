"""A new plugin's package passes the kit as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import installed

from bridge.cli import main
from bridge.errors import DestinationExists, InvalidOption, PluginError
from bridge.scaffold import create


@pytest.mark.parametrize(("reads", "writes"), [(True, True), (True, False), (False, True)])
def test_the_package_passes_the_kit(reads, writes, tmp_path):
    files = create("toy", tmp_path, reads=reads, writes=writes)
    assert {"importer.py": reads, "exporter.py": writes} == {
        name: any(f.name == name for f in files) for name in ("importer.py", "exporter.py")
    }
    package = tmp_path / "bridge-toy"
    installed(package)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(package), *sys.path])}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(words, cwd=package, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    listed = subprocess.run(
        [sys.executable, "-m", "bridge", "plugins"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bridge-toy" in listed.stdout


def test_the_files_are_tidy(tmp_path):
    create("toy", tmp_path)
    subprocess.run([sys.executable, "-m", "ruff", "check", "--isolated", str(tmp_path)], check=True)


def test_a_name_is_a_word_nobody_has(tmp_path):
    for name, error in (("Bad Name", InvalidOption), ("../up", InvalidOption), ("onnx", PluginError)):
        with pytest.raises(error):
            create(name, tmp_path)
    create("toy", tmp_path)
    with pytest.raises(DestinationExists):
        create("toy", tmp_path)


def test_the_command_says_what_is_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["new-plugin", "toy", "--import"])
    assert done.exit_code == 0, done.output
    assert "Next: cd bridge-toy" in done.output
    assert Path("bridge-toy/bridge_toy/importer.py").exists()
    assert EntryPoint("toy", "bridge_toy", "bridge").value in Path("bridge-toy/pyproject.toml").read_text()
