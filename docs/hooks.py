"""What pages of the site take from the project itself: files, help texts, declarations.

`python docs/hooks.py` writes the tables of options into the pages anew.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "docs/architecture.md": "architecture.md",
    "docs/pmml.md": "pmml.md",
    "format_matrix.md": "matrix.md",
}
PAGES |= {
    f"docs/decisions/{p.name}": f"decisions/{p.name}" for p in (ROOT / "docs" / "decisions").glob("*.md")
}
PAGES |= {"plugins/README.md": "plugins.md", "docs/api.md": "api.md", "docs/formats.md": "formats.md"}
MARK = re.compile(r"^\{\{ (\w+) ?(\S*) \}\}$", re.MULTILINE)
FAMILY_TABLE = re.compile(r"(<!-- families -->\n).*?(<!-- /families -->)", re.DOTALL)
PROFILES = re.compile(r"(<!-- profiles -->\n).*?(<!-- /profiles -->)", re.DOTALL)
OPTIONS = re.compile(r"(<!-- options (\w+) -->\n).*?(<!-- /options -->)", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the interactive matrix, and a page for each operator and route."""
    from mkdocs.structure.files import File

    from bridge.matrix import evidence, pages, render

    found = evidence.read(ROOT / "docs" / "matrix" / "results.jsonl.gz")
    titles = render.titles(found)
    made = {"matrix.html": render.page(found, titles)}
    made |= dict(pages.operator_pages(found, titles)) | dict(pages.route_pages(found, titles))
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Fill `{{ file PATH }}`, `{{ commands }}` and `{{ formats }}` on a line of their own."""
    return MARK.sub(lambda found: FILLERS[found[1]](found[2]), markdown)


def file(path: str) -> str:
    """A file of the project. Links to what has a page become links to the page, others plain text; a dead one
    is an error."""
    text = re.sub(r"<!-- .*? -->\n", "", (ROOT / path).read_text())
    return re.sub(r"\[([^\]]*)\]\(([^)#:]+)(#[^)]*)?\)", lambda found: _linked(path, found), text)


def _linked(path: str, found: re.Match) -> str:
    place = (ROOT / path).parent.joinpath(found[2]).resolve()
    if not place.exists():
        raise ValueError(f"{path} links to {found[2]}, which is not there")
    page = PAGES.get(str(place.relative_to(ROOT)))
    return f"[{found[1]}]({page}{found[3] or ''})" if page else found[1]


def commands(_: str) -> str:
    """The help of every command."""
    import click

    from bridge.cli import main

    context = click.Context(main, info_name="bridge")
    parts = [f"```text\n{main.get_help(context)}\n```"]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        shown = command.get_help(click.Context(command, info_name=f"bridge {name}"))
        parts.append(f"## bridge {name}\n\n```text\n{shown}\n```")
    return "\n\n".join(parts)


def formats(_: str) -> str:
    """What every format declares, and its options."""
    import bridge

    parts = []
    for fmt in bridge.formats():
        words = [word for word, part in (("read", fmt.importer), ("written", fmt.exporter)) if part]
        words += ["run in a runtime of its own"] * bool(fmt.runtime)
        parts.append(f"## {fmt.title}\n\n`{fmt.name}`: {', '.join(words)}. {fmt.versions}")
        parts.append(f"Suffixes: {', '.join(f'`{s}`' for s in fmt.suffixes) or 'none'}.")
        if fmt.extra:
            parts.append(f"Needs `pip install 'formatbridge[{fmt.extra}]'`.")
        parts.append(options(fmt.name))
    return "\n\n".join(filter(None, parts))


def options(name: str) -> str:
    """A table of the options of a format, from their declarations; empty without any."""
    from bridge.detect import by_name

    fmt = by_name(name)
    sides = [("reading", "importer", fmt.importer), ("writing", "exporter", fmt.exporter)]
    rows = [
        f"| {verb} | `{o.name}` | {_cell(o.help)} | {_values(o)} | {_code(o.default)} |"
        for verb, name, part in sides
        if part
        for o in fmt.resolve(name).options
    ]
    head = ["| when | option | meaning | values | default |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else ""


def _values(option: Any) -> str:
    """What an option may be: its choices, a span of whole numbers where they are one, else the type of its
    default."""
    from bridge.formats import flag

    choices = option.choices
    if (
        len(choices) > 4
        and isinstance(choices[0], int)
        and choices == tuple(range(choices[0], choices[-1] + 1))
    ):
        return f"{choices[0]} to {choices[-1]}"
    if choices:
        return ", ".join(map(_code, choices))
    return {flag: "`true`, `false`", int: "a whole number"}.get(option.kind, "")


def _code(value: Any) -> str:
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def with_tables(page: str) -> str:
    """A page with its tables of options, families and profiles, between `<!-- options NAME -->` and `<!--
    /options -->`, as they are declared now."""
    page = PROFILES.sub(lambda found: f"{found[1]}\n{profiles()}\n\n{found[2]}", page)
    page = FAMILY_TABLE.sub(lambda found: f"{found[1]}\n{families()}\n\n{found[2]}", page)
    return OPTIONS.sub(lambda found: f"{found[1]}\n{options(found[2])}\n\n{found[3]}", page)


def profiles() -> str:
    """A table of the profiles: what each is of, what it takes, when its source was read."""
    from bridge.profiles.profile import profiles as known

    head = ["| profile | of | format | takes | read on |", "|---|---|---|---|---|"]
    return "\n".join(
        [*head, *(f"| `{p.name}` | {p.title} | {p.format} | {_taken(p)} | {p.date} |" for p in known())]
    )


def _taken(profile: Any) -> str:
    parts = [f"{name} {version}" for name, version in profile.versions.items()]
    parts += [f"{name} {value}" for name, value in profile.options.items() if name != "max_opset"]
    parts += [f"{len(profile.operators)} operators"] if profile.operators is not None else []
    return ", ".join(parts)


FAMILIES = {
    "math": "element by element: arithmetic, comparisons, logic, bits",
    "special": "special functions",
    "nn": "products, activations, losses",
    "conv": "convolutions",
    "pool": "pools",
    "norm": "normalizations",
    "attention": "attention",
    "embedding": "embeddings",
    "image": "resizing, sampling, crops, boxes",
    "tensor": "shapes, making, joining",
    "index": "slices, gathering, scattering",
    "reduce": "reductions",
    "sort": "sorting, the largest, unique",
    "segment": "segments",
    "control": "branches, loops, calls",
    "recurrent": "LSTM, GRU, RNN",
    "quantize": "quantization",
    "linalg": "linear algebra",
    "signal": "Fourier transforms, audio",
    "random": "random numbers",
    "text": "strings, lookup tables",
    "sequence": "lists of tensors",
    "sparse": "sparse and ragged tensors, sets",
    "ml": "classical models",
    "state": "variables",
    "io": "serialized examples",
    "custom": "operators of other libraries",
    "stablehlo": "StableHLO",
    "scalar": "numbers and lists of the language",
    "unsupported": "operators refused, and why",
}
"""Families of operators, as the modules of operator tables are called: `FAMILY.py` or `FAMILY_detail.py`."""

TABLES = ("import_ops", "export_ops", "layers")


def family_of(path: Path) -> str:
    """Family of a module of an operator table; models of PMML are a family, a module an element."""
    if path.parent.name == "import_ops" and path.parents[1].name == "bridge_pmml":
        return "ml"
    return path.stem.partition("_")[0]


def family_modules(package: Path) -> list[Path]:
    """Modules of a package's operator tables, `common.py` aside."""
    folders = [package / name for name in TABLES] if package.name != "decompose" else [package]
    return sorted(
        p for folder in folders for p in folder.glob("*.py") if p.stem not in ("__init__", "common")
    )


def families() -> str:
    """A table of families by format: the modules that hold them, read and written."""
    decompose = ROOT / "bridge" / "passes" / "decompose"
    packages = [decompose, *sorted(p for p in (ROOT / "plugins").glob("bridge_*") if family_modules(p))]
    titles = ["every target", *(p.name.removeprefix("bridge_") for p in packages[1:])]
    lines = [f"| family | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for family, meaning in FAMILIES.items():
        cells = [_modules([m for m in family_modules(p) if family_of(m) == family]) for p in packages]
        lines.append(f"| **{family}**: {meaning} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _modules(modules: list[Path]) -> str:
    """Modules by folder, as links in code."""
    by_folder: dict[str, list[str]] = {}
    for module in modules:
        by_folder.setdefault(module.parent.name, []).append(f"`{module.stem}`")
    words = {"import_ops": "read: ", "export_ops": "write: ", "layers": "layers: ", "decompose": ""}
    return "; ".join(f"{words[folder]}{', '.join(names)}" for folder, names in by_folder.items())


FILLERS = {"file": file, "commands": commands, "formats": formats}

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.md")):
        path.write_text(with_tables(path.read_text()))
