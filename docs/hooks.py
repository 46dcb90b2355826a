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
OPTIONS = re.compile(r"(<!-- options (\w+) -->\n).*?(<!-- /options -->)", re.DOTALL)


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
            parts.append(f"Needs `pip install 'modelbridge[{fmt.extra}]'`.")
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
    if len(choices) > 4 and choices == tuple(range(choices[0], choices[-1] + 1)):
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


def with_options(page: str) -> str:
    """A page with its tables of options, between `<!-- options NAME -->` and `<!-- /options -->`, as they are
    declared now."""
    return OPTIONS.sub(lambda found: f"{found[1]}\n{options(found[2])}\n\n{found[3]}", page)


FILLERS = {"file": file, "commands": commands, "formats": formats}

if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.md")):
        path.write_text(with_options(path.read_text()))
