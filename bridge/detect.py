"""Detection of formats: by name, by content, by suffix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bridge import plugins
from bridge.errors import UnknownFormat, UnreadableFile, near_miss
from bridge.formats import VERBS, Format

__all__ = ["by_name", "by_suffix", "has_suffix", "is_model", "listed", "of_source", "of_target"]

WEIGHTS = (".bin", ".ckpt", ".gguf", ".msgpack", ".npz")
"""Suffixes of files of weights without a graph."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""The names of models on a hub, `owner/name`."""


def by_name(name: str, part: str = "") -> Format:
    """The format called `name`, which has the `part` that is asked for. Raises UnknownFormat, suggesting a
    near miss, and PluginError when two plugins claim it."""
    known = [fmt for fmt in plugins.formats() if not part or getattr(fmt, part) is not None]
    for fmt in plugins.formats():
        if fmt.name == name.lower():
            if fmt not in known:
                raise UnknownFormat(f"{fmt.title} cannot be {VERBS[part]}.", f"{listed(known, part)}.")
            return fmt
    if name.lower() in plugins.registry().clashes:
        raise plugins.registry().clashes[name.lower()]
    meant = _meant(name)
    hint = near_miss(name, [fmt.name for fmt in known])
    if meant is not None:
        but = "" if meant in known else f", and cannot be {VERBS[part]}"
        hint = f"{meant.title} is {meant.name!r} here{but}. "
    raise UnknownFormat(f"No plugin provides the format {name!r}.", f"{hint}{listed(known, part)}.")


def listed(formats: Iterable[Format], part: str = "") -> str:
    """The names of formats, after the words for what they share."""
    what = f"Formats that can be {VERBS[part]}" if part else "Known formats"
    return f"{what}: {', '.join(fmt.name for fmt in formats)}"


def _meant(name: str) -> Format | None:
    """The format that a suffix, the name of a file, or another word for it stands for."""
    word = name.lower()
    plain, suffix = re.sub(r"[\W_]", "", word), f".{word.rpartition('.')[2]}"
    return next(
        (
            fmt
            for fmt in plugins.formats()
            if word in fmt.words
            or suffix[1:] in fmt.words
            or suffix in fmt.suffixes
            or plain in (fmt.name, re.sub(r"\W", "", fmt.title.lower()))
        ),
        None,
    )


def of_source(src: Any, name: str | None = None) -> Format:
    """The format of a path or live object: as named, else by content, else by suffix.

    Raises UnreadableFile when a path does not exist, UnknownFormat when nothing recognises it.
    """
    path = Path(src) if isinstance(src, (str, Path)) else None
    if path is not None and (src == "" or not path.exists()):
        raise UnreadableFile(f"{str(src) or 'A file without a name'} does not exist.", _where(path))
    named = by_name(name) if name else None
    if named is not None and (path is None or named.detect(src)):
        return named
    found = next((fmt for fmt in plugins.formats() if fmt.detect(src)), None)
    if named is not None:
        if found is None:
            return named
        raise UnknownFormat(
            f"{src} is not {named.title}, but {found.title}.",
            f"Leave the format away, or name {found.name!r} (source=…, --from on the command line).",
        )
    found = found or (by_suffix(path) if path is not None else None)
    if found is None:
        what = type(src).__name__ if path is None else src
        raise UnknownFormat(f"The format of {what} is not recognised.", _why_unknown(path))
    return found


def _where(path: Path) -> str:
    """A hint for a path that does not exist: a file of a name that is near, or an address."""
    if not path.parent.is_dir():
        is_hub_name = HUB_NAME.fullmatch(str(path)) and not path.suffix
        return f"A model of a hub has an address: hf://{path}." if is_hub_name else f"Nor does {path.parent}."
    near = near_miss(path.name, [p.name for p in path.parent.iterdir()])
    return near.strip()


def _why_unknown(path: Path | None) -> str:
    """A hint for what no format recognises."""
    name = "Name it with source=… (--from on the command line)."
    if path is None:
        return name
    if path.is_dir():
        if any(is_model(p) for p in path.iterdir() if not p.name.startswith(".")):
            return "It is a folder of models: name one of them, or a folder for the results, -o DIR."
        return "It holds no model." if any(path.iterdir()) else "It is an empty folder."
    if not path.stat().st_size:
        return "It is empty."
    if path.suffix.lower() in WEIGHTS:
        return "It holds weights alone: save the whole model, with the code that made them."
    return f"{name} {listed((f for f in plugins.formats() if f.importer is not None), 'importer')}."


def of_target(dst: str | Path | None, name: str | None) -> Format:
    """The format to write: as named, else by the suffix of `dst`. Raises UnknownFormat."""
    if name:
        return by_name(name, "exporter")
    path = Path(dst) if dst is not None else None
    if path is not None and (fmt := by_suffix(path)) is not None:
        return by_name(fmt.name, "exporter")
    written = [fmt for fmt in plugins.formats() if fmt.exporter is not None]
    say = "Name it with to=… (--to on the command line)"
    if path is None or not path.name:
        raise UnknownFormat("Which format to write is not said.", f"{say}. {listed(written, 'exporter')}.")
    if path.is_dir():
        say = f"{path} is a folder: to write into it, name a file in it, or give -o {path} --to FORMAT"
    elif (meant := _meant(path.name)) is not None:
        say = f"{meant.title} is {meant.name!r} here: name it with to=… (--to {meant.name})"
    elif near := near_miss(path.suffix, [s for fmt in written for s in fmt.suffixes]):
        say = f"{near}{say}"
    suffixes = ", ".join(f"{fmt.suffixes[0]} ({fmt.name})" for fmt in written)
    raise UnknownFormat(
        f"Which format to write is not said by {str(path)!r}.", f"{say}. Suffixes: {suffixes}."
    )


def is_model(path: Path) -> bool:
    """True if some format recognises the content of a file or folder as a model of its own."""
    return any(fmt.detect(path) for fmt in plugins.formats())


def has_suffix(path: Path) -> bool:
    """True if some format has the suffix of `path`."""
    return any(f.suffixes and path.name.lower().endswith(f.suffixes) for f in plugins.formats())


def by_suffix(path: Path) -> Format | None:
    """The format one of whose suffixes `path` has. Raises UnknownFormat when several have it."""
    matches = [f for f in plugins.formats() if f.suffixes and path.name.lower().endswith(f.suffixes)]
    if len(matches) > 1:
        names = " and ".join(f.name for f in matches)
        raise UnknownFormat(
            f"{path.name} may be a file of {names}.", "Name the format: to=… or source=… (--to, --from)."
        )
    return matches[0] if matches else None
