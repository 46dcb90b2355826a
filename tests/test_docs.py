"""The documentation: the site is built without a warning, and its tables say what the code declares."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bridge
from bridge.cli import main
from bridge.plugins import formats
from bridge.quantize.schemes import SCHEMES

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DIFFS = re.findall(r"<!-- diff(: in the tree)? -->\n```diff\n(.*?)```", CONTRIBUTING, re.DOTALL)
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", CONTRIBUTING, re.DOTALL) for line in block.splitlines()
]
PATH = re.compile(r"`((?:\.pre-commit|(?:\.github|benchmarks|bridge|docs|examples|plugins|tests)/)[\w./-]+)`")


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
    assert text == hooks.with_tables(text), "Write the tables anew: python docs/hooks.py"


@pytest.mark.parametrize(
    "package",
    ["bridge/passes/decompose", *sorted(f"plugins/{p.name}" for p in (ROOT / "plugins").glob("bridge_*"))],
)
def test_modules_of_operator_tables_bear_the_names_of_families(package, hooks):
    for module in hooks.family_modules(ROOT / package):
        assert hooks.family_of(module) in hooks.FAMILIES, module


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


@pytest.mark.parametrize(("there", "diff"), DIFFS, ids=[d.split("\n")[1][6:] for _, d in DIFFS])
def test_the_rehearsals_of_contributing_are_diffs_of_this_tree(there, diff):
    """What is in the tree can be taken out, what is not can be put in."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    words = ["git", "apply", "--check", *(["--reverse"] if there else [])]
    done = subprocess.run(words, cwd=ROOT, input=diff, capture_output=True, text=True)
    assert done.returncode == 0, f"Write the diff in CONTRIBUTING.md anew:\n{done.stderr}"


def test_every_diff_of_contributing_is_held():
    assert len(DIFFS) == CONTRIBUTING.count("```diff")


def test_the_commands_of_contributing_are_there():
    tests = (ROOT / "README.md").read_text()
    assert COMMANDS[0] in tests, "one way to set up"
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    tools = {name.split(">")[0] for extra in dependencies.values() for name in extra}
    for command in COMMANDS[1:]:
        for part in command.split(" && "):
            program, *words = shlex.split(part)
            tool = Path(program).name
            assert program.startswith(".venv/bin/")
            assert tool in {"pip", "python", "bridge", "pre-commit"} | tools, command
            assert all((ROOT / word).exists() for word in words if word.endswith(".py")), command
            if tool == "bridge":
                known = {name for option in main.commands[words[0]].params for name in option.opts}
                assert {word for word in words if word.startswith("-")} <= known, command


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "docs/architecture.md", ".github/PULL_REQUEST_TEMPLATE.md"]
)
def test_every_path_a_page_names_is_there(page):
    named = [path for path in PATH.findall((ROOT / page).read_text()) if "bridge_F" not in path]
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_hooks_of_pre_commit_are_the_tools_of_the_environment():
    yaml = pytest.importorskip("yaml")
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"].split()[0] for hook in repo["hooks"]] == ["ruff", "ruff", "mypy"]
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}


def test_decisions_are_numbered_dated_short_and_listed():
    listed = (ROOT / "docs" / "architecture.md").read_text()
    site = (ROOT / "mkdocs.yml").read_text()
    for number, path in enumerate(DECISIONS, 1):
        lines = path.read_text().splitlines()
        title = lines[0].removeprefix(f"# {number}. ")
        assert title != lines[0], path.name
        assert path.name.startswith(f"{number:04}-")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", lines[2]), path.name
        assert len(lines) <= 25, path.name
        assert [
            w for w in ("Context", "Decision", "Consequence") if f"**{w}.**" not in "\n".join(lines)
        ] == []
        assert f"- {lines[2]} [{title}](decisions/{path.name})" in listed
        assert f"- decisions/{path.name}\n" in site


def test_every_room_of_bridge_is_told():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = re.findall(r"^\| (`.*?) \|", page[page.index("| room |") :], re.MULTILINE)
    told = [name.strip("`") for room in rooms for name in room.split(", ")]
    files = [p.name for p in (ROOT / "bridge").glob("*.py")]
    folders = [f"{p.parent.name}/" for p in (ROOT / "bridge").glob("*/__init__.py")]
    assert sorted(told) == sorted([*files, *folders])


def test_the_commands_of_the_workbench_run(tmp_path, monkeypatch):
    shutil.copy(ROOT / "tests" / "models" / "mnist.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "workbench.md").read_text(), re.DOTALL)
    for line in "".join(blocks).splitlines():
        result = CliRunner().invoke(main, shlex.split(line)[1:])
        assert result.exit_code == (3 if line.startswith("bridge diff") else 0), (line, result.output)


def test_the_commands_and_programs_of_pages_run(tmp_path, monkeypatch):
    shutil.copy(ROOT / "tests" / "models" / "mnist.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "report.md").read_text()
    for line in "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines():
        result = CliRunner().invoke(main, shlex.split(line)[1:])
        assert result.exit_code == {"check": 4, "diff": 3}.get(line.split()[1], 0), (line, result.output)
        assert "<!doctype html>" in Path(line.split("--html ")[1].split()[0]).read_text()
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(program, {})
    assert "2 of 3 batches" in Path("mine.html").read_text()


@pytest.mark.parametrize("name", ["quantize", "package", "profiles"])
def test_the_commands_and_programs_of_a_page_run(name, tmp_path, monkeypatch):
    shutil.copy(ROOT / "tests" / "models" / "mnist.onnx", tmp_path)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("samples.npz", Input3=rng.normal(size=(20, 1, 28, 28)).astype(np.float32))
    page = (ROOT / "docs" / f"{name}.md").read_text()
    for line in "".join(re.findall(r"```sh\n(.*?)```", page, re.DOTALL)).splitlines():
        result = CliRunner().invoke(main, shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.output)
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(program, {"bridge": bridge})


PROVENANCE = (ROOT / "docs" / "provenance.md").read_text()


@pytest.mark.parametrize("package", ["yaml", "cyclonedx", "model_signing"])
def test_the_commands_of_provenance_run(package, tmp_path, monkeypatch):
    """Those of its extra, and all that come before."""
    pytest.importorskip(package)
    shutil.copy(ROOT / "tests" / "models" / "mnist.onnx", tmp_path)
    (tmp_path / "card.yaml").write_text(
        re.findall(r"<!-- card -->\n```yaml\n(.*?)```", PROVENANCE, re.DOTALL)[0]
    )
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```sh\n(.*?)```", PROVENANCE, re.DOTALL):
        told = {"cyclonedx": "--bom" in block, "model_signing": "bridge sign" in block}
        if any(told.values()) and not told.get(package):
            continue
        for line in block.splitlines():
            program, *words = shlex.split(line)
            if program == "openssl":
                subprocess.run([program, *words], check=True, capture_output=True)
                continue
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, (line, result.output)
    assert (tmp_path / "first.tflite").read_bytes() == (tmp_path / "second.tflite").read_bytes()


def test_the_table_of_schemes_is_what_formats_declare():
    page = (ROOT / "docs" / "quantize.md").read_text()
    head, _, *rows = [line.strip("| ").split("|") for line in page.splitlines() if line.startswith("|")][:11]
    titles = [cell.strip() for cell in head]
    for name, scheme in SCHEMES.items():
        family = name if f"`{name}`" in page else re.sub(r"-\d+$", "", name)
        row = next(r for r in rows if f"`{family}" in r[0] or (family == "palette" and "palette" in r[0]))
        assert f"{scheme.expected:g} dB" in row[-1] or scheme.kind == "palette"
        for fmt in formats():
            if fmt.title not in titles or not fmt.exporter:
                continue
            exporter = fmt.resolve("exporter")
            newest = {"minimum_deployment_target": "iOS18"} if fmt.name == "coreml" else {}
            held = name in exporter.schemes(exporter.parse(newest, fmt.title))
            assert held == bool(row[titles.index(fmt.title)].strip()), (name, fmt.title)
