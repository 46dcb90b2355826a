"""The tutorial's code runs as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from conftest import installed

import bridge.hookspecs
from bridge.runtime import Session

PAGE = Path(__file__).parents[1] / "plugins" / "README.md"
BLOCK = re.compile(r"<!-- (.+?) -->\n```\w+\n(.*?)```", re.DOTALL)


def test_the_tutorial_leads_to_a_column_in_the_matrix(tmp_path):
    text = PAGE.read_text()
    site = tmp_path / "site"
    site.mkdir()
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, module in (("python", ""), ("bridge", "-m bridge")):
        (tools / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (tools / name).chmod(0o755)
    (tools / "pip").write_text("#!/bin/sh\nexit 0\n")
    (tools / "pip").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "bridge-toy"), *sys.path]),
    }
    printed = ""
    for where, block in BLOCK.findall(text):
        if where != "run":
            (tmp_path / where).write_text(block)
            continue
        for line in block.splitlines():
            done = subprocess.run(
                line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            printed += done.stdout
            if line.startswith("pip"):
                installed(tmp_path / "bridge-toy")
    assert "format toy" in printed
    assert "agrees" in printed
    page = (tmp_path / "matrix" / "format_matrix.md").read_text()
    assert "| Toy write | Toy read |" in page
    assert re.search(r"\| Exp \| ● \| ● \| ● \|", page)


def test_every_hook_is_documented():
    text = PAGE.read_text()
    hooks = [name for name in vars(bridge.hookspecs) if name.startswith("bridge_")]
    assert hooks
    assert all(f"`{name}(" in text for name in hooks)


def test_the_runtime_of_the_tutorial_opens_sessions(monkeypatch, tmp_path):
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "MySession" in block
    )
    engine = ModuleType("my_engine")
    engine.__version__, engine.Error = "1", RuntimeError
    engine.load = lambda path, signature: lambda inputs: {"y": 2 * inputs["x"]}
    monkeypatch.setitem(sys.modules, "my_engine", engine)
    names: dict[str, Any] = {}
    exec(code, names)
    session = names["runtime"].open(tmp_path / "m.mine", signature="main")
    assert isinstance(session, Session)
    assert session.run({"x": 3}) == {"y": 6}
