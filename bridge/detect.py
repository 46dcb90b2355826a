"""Detection of formats: by name, by content, by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge import plugins
from bridge.errors import UnknownFormat, UnreadableFile, near_miss
from bridge.formats import Format

__all__ = ["by_name", "by_suffix", "has_suffix", "is_model", "of_source"]


def by_name(name: str) -> Format:
    """The format called `name`. Raises UnknownFormat, suggesting a near miss, and PluginError when two
    plugins claim it."""
    for fmt in plugins.formats():
        if fmt.name == name.lower():
            return fmt
    if name.lower() in plugins.registry().clashes:
        raise plugins.registry().clashes[name.lower()]
    names = [fmt.name for fmt in plugins.formats()]
    meant = _meant(name.lower())
    hint = f"{meant.title} is {meant.name!r} here. " if meant is not None else near_miss(name, names)
    raise UnknownFormat(
        f"No plugin provides the format {name!r}.", f"{hint}Known formats: {', '.join(names)}."
    )


def _meant(word: str) -> Format | None:
    """The format that a suffix, or another word for it, stands for."""
    suffix = f".{word.lstrip('.')}"
    return next((f for f in plugins.formats() if word in f.words or suffix in f.suffixes), None)


def of_source(src: Any, name: str | None = None) -> Format:
    """The format of a path or live object: as named, else by content, else by suffix.

    Raises UnreadableFile when a path does not exist, UnknownFormat when nothing recognises it.
    """
    if isinstance(src, (str, Path)) and not Path(src).exists():
        raise UnreadableFile(f"{src} does not exist.")
    if name:
        return by_name(name)
    for fmt in plugins.formats():
        if fmt.detect(src):
            return fmt
    if isinstance(src, (str, Path)):
        suffix_format = by_suffix(Path(src))
        if suffix_format:
            return suffix_format
    what = src if isinstance(src, (str, Path)) else type(src).__name__
    raise UnknownFormat(
        f"The format of {what} is not recognised.", "Name it with source=… (--from on the command line)."
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
