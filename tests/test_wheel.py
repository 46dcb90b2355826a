"""What is released: the wheel and the source archive hold what they should, and bear the project's name."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = PROJECT["project"]["name"]
TEXTS = {".py", ".toml", ".md", ".txt", ".yml", ".yaml", ".html", ".cfg", ""}


def build(folder: Path) -> list[Path]:
    """The wheel and the source archive."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def released(tmp_path_factory) -> list[Path]:
    return build(tmp_path_factory.mktemp("dist"))


def test_the_wheel_contains_every_file_of_every_package(released):
    wheel, _ = released
    held = set(zipfile.ZipFile(wheel).namelist())
    for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        folder = ROOT / package
        files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        assert [str(p) for p in files if p.relative_to(folder.parent).as_posix() not in held] == []
    assert {"bridge/py.typed", "bridge/matrix/page.html", "bridge/matrix/measured.json"} <= held
    assert [n for n in held if n.endswith("bridge_NAME/exporter.py.txt")]


def test_two_builds_are_the_same_bytes(released, tmp_path):
    assert [p.read_bytes() for p in build(tmp_path)] == [p.read_bytes() for p in released]


def test_the_index_takes_the_metadata(released):
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *map(str, released)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_metadata_says_who_can_install_it(released):
    wheel, archive = released
    with zipfile.ZipFile(wheel) as files:
        (path,) = (n for n in files.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(files.read(path).decode())
        scripts = files.read(path.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Name"] == NAME
    assert metadata["Keywords"]
    assert {"bridge = bridge.cli:main", f"{NAME} = bridge.cli:main"} <= set(scripts.splitlines())
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "tests/test_wheel.py"} <= names


def test_the_distribution_has_one_name():
    """No file spells it otherwise, and no pip command names another package for ours."""
    words = re.sub(r"[-_.]?bridge", "", NAME)
    spelling = re.compile(rf"\b(?:model|{words})[-_.]?bridge\b", re.IGNORECASE)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in tracked.splitlines():
        path = ROOT / name
        if path.suffix in TEXTS and path.is_file() and path != Path(__file__):
            for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1):
                found += [f"{name}:{number} {word}" for word in spelling.findall(line) if word != NAME]
    assert not found
