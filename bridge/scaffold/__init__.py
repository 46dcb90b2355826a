"""A new plugin's package, as files to begin with. `templates/` holds them under their own names, `NAME` for
the format's."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.errors import DestinationExists, InvalidOption, PluginError
from bridge.plugins import formats

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".txt"


def create(name: str, folder: Path, *, reads: bool = True, writes: bool = True) -> list[Path]:
    """Write `folder`/bridge-`name`, a package that installs and passes the kit as it stands; the files
    written.

    `name` is the format's: a lower-case word. Raises InvalidOption for another, PluginError for one that is
    taken, DestinationExists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        plain = re.sub(r"\W+", "_", name.lower().removeprefix("bridge-")).lstrip("_0123456789")
        meant = f"Such as: bridge new-plugin {plain or 'my_format'}"
        raise InvalidOption(f"{name!r} is not a lower-case word.", meant)
    if name in {fmt.name for fmt in formats()}:
        raise PluginError(f"The format {name!r} is there already.", "`bridge plugins` says who brings it.")
    if not (reads or writes):
        raise InvalidOption("A plugin reads, writes, or both.", "Give import, export, or neither for both.")
    root = folder / f"bridge-{name}"
    if root.exists():
        raise DestinationExists(f"{root} exists already.", "Name another folder.")
    written = []
    for template in sorted(TEMPLATES.rglob(f"*{SUFFIX}")):
        if (template.name.startswith("importer") and not reads) or (
            template.name.startswith("exporter") and not writes
        ):
            continue
        place = root / str(template.relative_to(TEMPLATES)).replace("NAME", name).removesuffix(SUFFIX)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_fill_template(template.read_text(), name, reads, writes))
        written.append(place)
    return written


def _fill_template(text: str, name: str, reads: bool, writes: bool) -> str:
    """The name put in; lines marked `#if reads` or `#if writes` kept where they apply, the marks dropped."""
    title = name.replace("_", " ").title()
    lines = []
    for line in text.splitlines():
        content, _, mark = line.partition("  #if ")
        if not mark or {"reads": reads, "writes": writes}[mark]:
            lines.append(content)
    return (
        "\n".join(lines)
        .replace("NAME", name)
        .replace("TITLE", title)
        .replace("CLASS", title.replace(" ", ""))
        + "\n"
    )
