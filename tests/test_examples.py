"""The examples run."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_convert_and_verify(mnist, tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "convert_and_verify.py"))
    assert example["main"](str(mnist), str(tmp_path / "m.tflite")).verification.ok
    assert "agrees" in capsys.readouterr().out


def test_read_report(mnist):
    counts = runpy.run_path(str(EXAMPLES / "read_report.py"))["main"](str(mnist), "tflite")
    assert sum(counts.values()) > 0


@pytest.mark.parametrize(
    ("folder", "module"), [("format_plugin", "openvino"), ("operator_plugin", "ai_edge_litert")]
)
def test_a_plugin_of_others_passes_its_tests(folder, module, tmp_path):
    """As installed: found through the entry points of its own distribution."""
    pytest.importorskip(module)
    package = EXAMPLES / folder
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = "".join(f"{k} = {v}\n" for k, v in project["entry-points"]["bridge"].items())
    (info / "entry_points.txt").write_text(f"[bridge]\n{points}")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(package), *sys.path])}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(package / "tests")]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
