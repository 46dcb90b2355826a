"""A way through: what is read, by whom, with which options, and what is written; resolved once and handed
on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.detect import by_suffix, of_target
from bridge.formats import Format
from bridge.load import Reader
from bridge.lower import Writer, writer
from bridge.profiles.profile import profile_of
from bridge.sources import found

__all__ = ["Route", "route"]


@dataclass(frozen=True)
class Route:
    """From a source to a target; `given` are the options of both that the user gave."""

    reader: Reader
    writer: Writer
    given: dict[str, Any] = field(default_factory=dict)


def _choices(target: Format, name: str) -> tuple[Any, ...]:
    """The choices of an option of a format's exporter; none where it has no such option."""
    options = target.resolve("exporter").options if target.exporter else ()
    return next((o.choices for o in options if o.name == name), ())


def route(
    src: Any,
    dst: str | Path | None = None,
    *,
    to: str | None = None,
    source: str | None = None,
    dims: dict[str, int] | None = None,
    options: dict[str, Any] | None = None,
    profile: str | None = None,
) -> Route:
    """The way from `src` to `dst`. Formats are as named, else found: of the source from its content, of the
    target from the suffix of `dst`. An option belongs to the importer if that declares it, else to the
    exporter; one of choices that both declare to the one that has the choice. A `profile` chooses options of
    the exporter, and the target where nothing else does.

    Raises UnreadableFile, UnknownFormat, MissingDependency, InvalidOption.
    """
    if to is None and profile is not None and (dst is None or by_suffix(Path(dst)) is None):
        to = profile_of(profile).format
    target, all_options = of_target(dst, to), options or {}
    source_reader = Reader(*found(src, source), {}, dims)
    reader_options = {
        option.name
        for option in source_reader.importer.options
        if not option.choices or all_options.get(option.name) not in _choices(target, option.name)
    }
    parsed = source_reader.importer.parse(
        {k: v for k, v in all_options.items() if k in reader_options}, source_reader.format.title
    )
    reader = replace(source_reader, options=parsed)
    path = Path(dst) if dst is not None else Path(reader.stem + target.suffixes[0])
    target_writer = writer(
        path, target.name, {k: v for k, v in all_options.items() if k not in reader_options}, profile
    )
    return Route(reader, target_writer, all_options)
