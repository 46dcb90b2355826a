"""A way through: what is read, by whom, with which options, and what is written; resolved once and handed
on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge import plugins
from bridge.detect import by_name, by_suffix, of_source
from bridge.errors import InvalidOption, UnknownFormat
from bridge.formats import Exporter, Format, Importer, parse_options

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["Reader", "Route", "Writer", "reader", "route", "writer"]


@dataclass(frozen=True)
class Reader:
    """A model to read: `source` is a path or live object, `options` those its importer declares, `dims`
    lengths of symbolic dimensions by name."""

    source: Any
    format: Format
    options: dict[str, Any]
    dims: dict[str, int] | None = None

    @property
    def importer(self) -> Importer:
        """The format's importer. Raises UnknownFormat where it is not read."""
        return self.format.resolve("importer")

    def extended(self) -> AbstractContextManager[None]:
        """The context in which the importer's table has the rules other plugins add."""
        table = self.importer.table
        return nullcontext() if table is None else table.extended(plugins.rules(self.format, "import"))

    @property
    def is_file(self) -> bool:
        """True if the source is a path, not an object in memory."""
        return isinstance(self.source, (str, Path))

    def __str__(self) -> str:
        return str(self.source) if self.is_file else f"the {type(self.source).__name__}"

    @property
    def stem(self) -> str:
        """The name of the file without its suffix."""
        if not self.is_file:
            return "model"
        name = Path(self.source).name
        known = (s for s in self.format.suffixes if name.lower().endswith(s))
        suffix = next(known, Path(self.source).suffix)
        return name[: len(name) - len(suffix)] if suffix else name


@dataclass(frozen=True)
class Writer:
    """A file to write at `path`; `exporter` is the variant that `options` and `path` chose."""

    format: Format
    exporter: Exporter
    options: dict[str, Any]
    path: Path

    @property
    def version(self) -> int:
        """The version of the format that is written."""
        return self.exporter.version(self.options)

    @property
    def tolerance(self) -> float | None:
        """Largest error allowed, as a part of the largest element of each output; None for the usual
        tolerance."""
        return self.exporter.tolerance(self.options)

    def __str__(self) -> str:
        if self.exporter.version_title is str:
            return self.format.title
        return f"{self.format.title} ({self.exporter.version_title(self.version)})"

    def passes(self) -> Sequence[ir.passes.PassBase]:
        """Passes that make a hub model legal: those of other plugins, then the format's own."""
        return [*plugins.passes(self.format), *self.exporter.legalize(self.options)]

    def refusal(self, name: str, node: ir.Node) -> str | None:
        """Why the format does not take `node`, an operator called `name`; None when it does."""
        if self.exporter.opaque:
            return None
        return self.exporter.table.refusal(name, node, self.version, self.exporter.version_title)

    def extended(self) -> AbstractContextManager[None]:
        """The context in which the exporter's table has the rules other plugins add; those of a variant are
        its own."""
        own = self.exporter is self.format.resolve("exporter")
        return self.exporter.table.extended(plugins.rules(self.format, "export") if own else ())

    def require_interface(self) -> None:
        """Raise InvalidOption for options under which the file written has other input or output shapes than
        its source."""
        for option in self.exporter.options:
            value = self.options[option.name]
            if option.reshapes and value != option.default:
                raise InvalidOption(
                    f"{option.name}={value} changes the shapes of inputs and outputs, so the result cannot "
                    "be verified.",
                    f"Verify with {option.name}={option.default}, or convert without verify.",
                )


@dataclass(frozen=True)
class Route:
    """From a source to a target."""

    reader: Reader
    writer: Writer


def route(
    src: Any,
    dst: str | Path | None = None,
    *,
    to: str | None = None,
    source: str | None = None,
    dims: dict[str, int] | None = None,
    options: dict[str, Any] | None = None,
) -> Route:
    """The way from `src` to `dst`. Formats are as named, else found: of the source from its content, of the
    target from the suffix of `dst`. An option belongs to the importer if that declares it, else to the
    exporter.

    Raises UnreadableFile, UnknownFormat, MissingDependency, InvalidOption.
    """
    fmt, target, given = of_source(src, source), _target(dst, to), options or {}
    own = {option.name for option in fmt.resolve("importer").options}
    first = reader(src, fmt.name, {k: v for k, v in given.items() if k in own}, dims)
    path = Path(dst) if dst is not None else Path(first.stem + target.suffixes[0])
    return Route(first, writer(path, target.name, {k: v for k, v in given.items() if k not in own}))


def reader(
    src: Any,
    source: str | None = None,
    options: dict[str, Any] | None = None,
    dims: dict[str, int] | None = None,
) -> Reader:
    """Who reads `src`, and how. Raises as `route` does."""
    fmt = of_source(src, source)
    declared = fmt.resolve("importer").options if fmt.importer else ()
    return Reader(src, fmt, parse_options(declared, options or {}, fmt.title), dims)


def writer(dst: str | Path, to: str | None = None, options: dict[str, Any] | None = None) -> Writer:
    """Who writes `dst`, and how. Raises UnknownFormat, MissingDependency, InvalidOption."""
    target = _target(dst, to)
    exporter = target.resolve("exporter")
    settings = parse_options(exporter.options, options or {}, target.title)
    return Writer(target, exporter.choose(settings, Path(dst)) or exporter, settings, Path(dst))


def _target(dst: str | Path | None, to: str | None) -> Format:
    if to:
        return by_name(to)
    found = by_suffix(Path(dst)) if dst is not None else None
    if found is None:
        raise UnknownFormat(
            "Which format to write is not said.", "Name it with to=… (--to on the command line)."
        )
    return found
