"""What a format plugin declares, and how a format is found: by name, by content, by suffix."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import InvalidOption, MissingDependency, UnknownFormat

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.ops import Need, OpTable
    from bridge.report import Report

__all__ = ["Exporter", "Format", "Importer", "Option", "flag"]


@dataclass(frozen=True)
class Option:
    """One option of an importer or exporter: `help` is a phrase with a subject of its own.

    `kind` parses text from the command line. `parser` makes the value that is read afterwards of what was
    given, text or a Python object, and of the default; it raises InvalidOption.
    """

    name: str
    help: str
    default: Any = None
    kind: Callable[[str], Any] = str
    choices: tuple[Any, ...] = ()
    parser: Callable[[Any], Any] | None = None

    def parse(self, value: Any) -> Any:
        """`value` as this option's type. Raises InvalidOption."""
        if isinstance(value, str) and self.kind is not str:
            try:
                value = self.kind(value)
            except ValueError:
                raise InvalidOption(
                    f"{self.name}={value!r} is not valid.", f"{self.name}: {self.help}"
                ) from None
        if self.choices and value not in self.choices:
            allowed = ", ".join(map(str, self.choices))
            raise InvalidOption(
                f"{self.name}={value!r} is not one of {allowed}.", f"{self.name}: {self.help}"
            )
        return self.parser(value) if self.parser else value

    @property
    def value(self) -> Any:
        """The default as this option's type."""
        return self.parser(self.default) if self.parser else self.default


def flag(text: str) -> bool:
    """A yes/no option from the command line."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


@dataclass(frozen=True)
class Importer:
    """How a file becomes a hub model: `load(src, **options)`; `table` for formats driven by rules."""

    load: Callable[..., ir.Model]
    options: tuple[Option, ...] = ()
    table: OpTable | None = None


@dataclass(frozen=True)
class Exporter:
    """How a hub model becomes a file.

    `legalize(options)` lists the passes that rewrite the hub into what the format holds; `table` says which
    operators it then takes at `version(options)`, `values` what every input, output and intermediate value
    must be; `write(model, path, report, options)` writes it. An `opaque` exporter takes every operator.
    `tolerance(options)` is how far files written with lossy options may be off, as a part of the largest
    element of each output; None for the usual tolerance. `choose(options, path)` is another exporter for
    these options and this destination (None when it is not known yet), or None; `way_out` is what a refused
    model's user may do.
    """

    table: OpTable
    legalize: Callable[[dict[str, Any]], Sequence[Any]]
    write: Callable[[ir.Model, Path, Report, dict[str, Any]], None]
    options: tuple[Option, ...] = ()
    version: Callable[[dict[str, Any]], int] = lambda options: 2**31
    version_title: Callable[[int], str] = str
    values: Need | None = None
    opaque: bool = False
    tolerance: Callable[[dict[str, Any]], float | None] = lambda options: None
    choose: Callable[[dict[str, Any], Path | None], Exporter | None] = lambda options, path: None
    way_out: str = "Add a rule: plugins/README.md#one-operator"


@dataclass(frozen=True)
class Format:
    """A format's declaration. The dotted "module:name" strings are resolved at first use.

    `importer` names an Importer, `exporter` an Exporter, `runtime` a function `run(path, inputs) -> outputs`,
    `cases` a function without arguments that returns the `bridge.matrix.NativeCase`s of its importer by name;
    `detect(src)` says whether a path or live object is of this format, reading little and importing no
    framework. `requires` are the importable modules of `extra`, an extra of the plugin's own distribution;
    `packages` are the distributions behind them, whose versions are shown.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    importer: str | None = None
    exporter: str | None = None
    runtime: str | None = None
    cases: str | None = None
    versions: str = ""
    extra: str = ""
    requires: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    detect: Callable[[Any], bool] = field(default=lambda src: False)
    override: bool = False

    def resolve(self, part: str) -> Any:
        """The importer, exporter, runtime or cases. Raises UnknownFormat or MissingDependency."""
        where = getattr(self, part)
        if where is None:
            verb = {"importer": "read", "exporter": "written", "runtime": "run", "cases": "measured"}[part]
            raise UnknownFormat(
                f"{self.title} cannot be {verb}.", "`bridge formats` lists what each format can do."
            )
        module, _, name = where.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            raise self.missing(error) from error

    def missing(self, error: ModuleNotFoundError) -> Exception:
        """The MissingDependency for an import that failed; any other import error as it is."""
        if not self.extra or (error.name or "").split(".")[0] not in self.requires:
            return error
        from bridge.plugins import registry

        return MissingDependency(
            f"{self.title} needs the package {error.name!r}, which is not installed.",
            f"Install it with: pip install '{registry().owner(self)}[{self.extra}]'",
        )

    def installed(self) -> dict[str, str]:
        """Version of each package behind the format; empty text where one is not installed."""
        found = {}
        for package in self.packages:
            try:
                found[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                found[package] = ""
        return found


def parse_options(options: tuple[Option, ...], given: dict[str, Any], whose: str) -> dict[str, Any]:
    """Given values over the declared defaults. Raises InvalidOption for one nobody declared."""
    known = {option.name: option for option in options}
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise InvalidOption(f"{whose} has no option {name!r}.", f"Its options: {listed}.")
    return {name: o.parse(given[name]) if name in given else o.value for name, o in known.items()}


def by_name(name: str) -> Format:
    """The format called `name`. Raises UnknownFormat, suggesting a near miss, and PluginError when two
    plugins claim it."""
    from bridge.plugins import formats, registry

    for fmt in formats():
        if fmt.name == name.lower():
            return fmt
    if name.lower() in registry().clashes:
        raise registry().clashes[name.lower()]
    import difflib

    names = [fmt.name for fmt in formats()]
    near = difflib.get_close_matches(name.lower(), names, 1, 0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise UnknownFormat(
        f"No plugin provides the format {name!r}.", f"{hint}Known formats: {', '.join(names)}."
    )


def of_source(src: Any, name: str | None = None) -> Format:
    """The format of a path or live object: as named, else by content, else by suffix.

    Raises UnreadableFile when a path does not exist, UnknownFormat when nothing recognises it.
    """
    from bridge.errors import UnreadableFile
    from bridge.plugins import formats

    if isinstance(src, (str, Path)) and not Path(src).exists():
        raise UnreadableFile(f"{src} does not exist.")
    if name:
        return by_name(name)
    for fmt in formats():
        if fmt.detect(src):
            return fmt
    if isinstance(src, (str, Path)):
        found = by_suffix(Path(src))
        if found:
            return found
    what = src if isinstance(src, (str, Path)) else type(src).__name__
    raise UnknownFormat(
        f"The format of {what} is not recognised.", "Name it with source=… (--from on the command line)."
    )


def by_suffix(path: Path) -> Format | None:
    """The format one of whose suffixes `path` has. Raises UnknownFormat when several have it."""
    from bridge.plugins import formats

    found = [f for f in formats() if f.suffixes and path.name.lower().endswith(f.suffixes)]
    if len(found) > 1:
        names = " and ".join(f.name for f in found)
        raise UnknownFormat(
            f"{path.name} may be a file of {names}.", "Name the format: to=… or source=… (--to, --from)."
        )
    return found[0] if found else None
