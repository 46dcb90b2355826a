"""The house stays in order."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import bridge

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(p.name for p in (ROOT / "plugins").iterdir() if p.is_dir())


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_every_plugin_folder_is_packaged_and_registered():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["bridge", *(f"plugins/{name}" for name in PLUGINS)]
    assert sorted(project["project"]["entry-points"]["bridge"].values()) == PLUGINS


def test_the_library_imports_no_plugin_and_plugins_import_none_of_the_others():
    for path in (ROOT / "bridge").rglob("*.py"):
        assert not imported(path) & set(PLUGINS), path
    for name in PLUGINS:
        for path in (ROOT / "plugins" / name).rglob("*.py"):
            assert not imported(path) & (set(PLUGINS) - {name}), path


def test_no_file_is_empty():
    for folder in ("bridge", "plugins", "tests", "examples", "benchmarks"):
        assert not [p for p in (ROOT / folder).rglob("*.py") if not p.read_text().strip()]


def test_every_public_name_is_there():
    assert all(getattr(bridge, name) for name in bridge.__all__)
