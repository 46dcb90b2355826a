"""The documentation: the site is built without a warning, and its tables say what the code declares."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.plugins import formats

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture(scope="module")
def hooks() -> Any:
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared() -> list[Any]:
    """Every option of our own formats, after its format's name."""
    parts = [(fmt, part) for fmt in formats() for part in ("importer", "exporter") if fmt.part(part)]
    return [(fmt.name, option) for fmt, part in parts for option in fmt.resolve(part).options]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_tables_of_options_are_as_the_options_are_declared(page, hooks):
    text = page.read_text()
    assert text == hooks.with_options(text), "Write the tables anew: python docs/hooks.py"


def test_the_options_of_every_format_have_a_table(hooks):
    shown = {found[2] for page in PAGES for found in hooks.OPTIONS.finditer(page.read_text())}
    assert shown == {name for name, _ in declared()}


def test_the_help_of_an_option_is_a_phrase_with_a_subject():
    """It is read after the option's name, in an error, in a table, on the command line."""
    ends = ("of", "as", "for", "in", "keep", "write", "score", "freeze")
    assert not [(name, option.name) for name, option in declared() if option.help.split()[0] in ends]


def test_the_site_is_built_without_a_warning(tmp_path):
    """Strict: a dead link, a page nobody links to and a name that is not there are errors."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    reference = (tmp_path / "api" / "index.html").read_text()
    assert "bridge.convert.convert" in reference
    assert "FormatTests" in reference
    assert "<td>" in (tmp_path / "matrix" / "index.html").read_text()
