"""The wheel holds everything the project's packages do."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_wheel_contains_every_file_of_every_package(tmp_path):
    pytest.importorskip("hatchling")
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for package in packages["packages"]:
        folder = ROOT / package
        files = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
        assert [str(p) for p in files if p.relative_to(folder.parent).as_posix() not in held] == []
    assert {"bridge/py.typed", "bridge/matrix/page.html", "bridge/matrix/measured.json"} <= held
    assert [n for n in held if n.endswith("bridge_NAME/exporter.py.txt")]
