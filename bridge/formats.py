"""Declarations of format plugins."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.errors import InvalidOption, MissingDependency, UnknownFormat, near_miss

if TYPE_CHECKING:
    import onnx_ir as ir

    from bridge.ops import Need, OpTable
    from bridge.quantize.schemes import Holding
    from bridge.report import Report
    from bridge.session import Session

__all__ = [
    "LABELS",
    "Exporter",
    "Face",
    "Format",
    "Importer",
    "Native",
    "Option",
    "Part",
    "Runtime",
    "Written",
    "flag",
    "within",
]


@dataclass(frozen=True)
class Option:
    """One option of an importer or exporter: `help` is a phrase with a subject of its own.

    `kind` parses text from the command line; names it has `formerly` had are taken too, with a FutureWarning.
    `parser` makes the value that is read afterwards of what was
    given, text or a Python object, and of the default; it raises InvalidOption.
    """

    name: str
    help: str
    default: Any = None
    kind: Callable[[str], Any] = str
    choices: tuple[Any, ...] = ()
    parser: Callable[[Any], Any] | None = None
    formerly: tuple[str, ...] = ()

    def parse(self, value: Any) -> Any:
        """`value` as this option's type. Raises InvalidOption."""
        if isinstance(value, str) and self.kind is not str:
            try:
                value = self.kind(value)
            except ValueError:
                raise self._refused(value) from None
        if self.choices and value not in self.choices:
            raise self._refused(value)
        return self.parser(value) if self.parser else value

    def _refused(self, value: Any) -> InvalidOption:
        why = f"is not one of {', '.join(map(str, self.choices))}" if self.choices else "is not valid"
        return InvalidOption(f"{self.name}={value!r} {why}.", f"{self.name}: {self.help}")

    @property
    def value(self) -> Any:
        """The default as this option's type."""
        return self.parser(self.default) if self.parser else self.default


def within(name: str, lowest: int, highest: int) -> Callable[[Any], Any]:
    """The parser of an option whose value is a whole number of that range, or None."""

    def parse(value: Any) -> Any:
        if value is not None and not (isinstance(value, int) and lowest <= value <= highest):
            raise InvalidOption(f"{name}={value!r} is not a whole number from {lowest} to {highest}.")
        return value

    return parse


def flag(text: str) -> bool:
    """A yes/no option from the command line."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


LABELS = Option(
    "labels",
    "what text that the model looks up, such as its classes, is in the file: text where the format has it, "
    "or index, whose names are in the metadata; bridge.run gives back the names",
    "text",
    str,
    ("text", "index"),
)
"""Of every exporter whose files keep metadata."""


def parse_options(options: tuple[Option, ...], values: dict[str, Any], whose: str) -> dict[str, Any]:
    """Given values over the declared defaults. Raises InvalidOption for one nobody declared."""
    known = {option.name: option for option in options}
    values = {_current(options, name): value for name, value in values.items()}
    for name in values:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            hint = f"{near_miss(name, known)}Its options: {listed}."
            raise InvalidOption(f"{whose} has no option {name!r}.", hint)
    return {name: o.parse(values[name]) if name in values else o.value for name, o in known.items()}


def _current(options: tuple[Option, ...], name: str) -> str:
    """The name that an option has today."""
    option = next((o for o in options if name in o.formerly), None)
    if option is None:
        return name
    warnings.warn(f"The option {name} is called {option.name} now.", FutureWarning, stacklevel=4)
    return option.name


@dataclass(frozen=True)
class Importer:
    """Importer of a format: `load(src, **options)` reads a file or a live object; `table` for formats
    driven by rules. `live(object, model, **options)` is a session of an object in its own framework, with
    the inputs and outputs of the hub model read from it; None for an object that has none.
    """

    load: Callable[..., ir.Model]
    options: tuple[Option, ...] = ()
    table: OpTable | None = None
    live: Callable[..., Session | None] | None = None

    def parse(self, values: dict[str, Any], whose: str) -> dict[str, Any]:
        """Given values over the declared defaults, of the format called `whose`. Raises InvalidOption."""
        return parse_options(self.options, values, whose)


@dataclass(frozen=True)
class Face:
    """The inputs of a file where options make them differ from its source's: `pixels` are functions by
    input that make the source's array of an image's, `limits` the lowest and highest length by symbolic
    dimension, `shapes` the only shapes of an input."""

    pixels: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    shapes: dict[str, list[list[int]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Native:
    """An operator as a file has it: its name there, the version of its form, the names of its results, and
    the dtypes of its operands by what its kernels call them, "0" the first. `body` is what a runtime without
    a kernel may compute in its stead, empty where there is nothing."""

    op: str
    version: int = 1
    outputs: tuple[str, ...] = ()
    dtypes: Mapping[str, str] = field(default_factory=dict)
    body: tuple[Native, ...] = ()


@dataclass(frozen=True)
class Written:
    """A file in its format's own terms: `versions` by what is counted in them, and every operator."""

    versions: Mapping[str, int]
    operators: tuple[Native, ...]


@dataclass(frozen=True)
class Exporter:
    """Exporter of a format: a hub model becomes a file.

    `legalize(options)` lists the passes that rewrite the hub into what the format holds; `table` says which
    operators it then takes at `version(options)` and is not asked with `accepts_all_operators`; `value_need`
    is what every input, output and intermediate value must be; `write(model, path, report, options)` writes
    it. Where the format has no `text`, labels are written as places in their names. `tolerance(options)` is
    how far files written with lossy options may be off, as a part of the largest element of each output; None
    for the usual tolerance. `variant(options, path)` is another exporter for these options and this
    destination (None when it is not known yet), or None; `hint` is what a refused
    model's user may do; `face(model, options)` says how the file's inputs differ from those of the hub model.
    `schemes(options)` are those of quantization that the format holds, and how. `annotate(path, entries)`
    puts other texts in the place of entries of the metadata of a file that `write` wrote, by key, and leaves
    its weights where they are; None where the format keeps no metadata. `written(path)` says what a file
    consists of, for profiles of what a deployment takes; None where nobody can say.
    """

    table: OpTable
    legalize: Callable[[dict[str, Any]], Sequence[Any]]
    write: Callable[[ir.Model, Path, Report, dict[str, Any]], None]
    options: tuple[Option, ...] = ()
    version: Callable[[dict[str, Any]], int] = lambda options: 2**31
    version_title: Callable[[int], str] = str
    value_need: Need | None = None
    accepts_all_operators: bool = False
    text: bool = True
    tolerance: Callable[[dict[str, Any]], float | None] = lambda options: None
    variant: Callable[[dict[str, Any], Path | None], Exporter | None] = lambda options, path: None
    hint: str = "Add a rule: plugins/README.md#one-operator"
    face: Callable[[ir.Model, dict[str, Any]], Face] = lambda model, options: Face()
    schemes: Callable[[dict[str, Any]], Mapping[str, Holding]] = lambda options: {}
    annotate: Callable[[Path, Mapping[str, str]], None] | None = None
    written: Callable[[Path], Written] | None = None

    def parse(self, values: dict[str, Any], whose: str) -> dict[str, Any]:
        """Given values over the declared defaults, of the format called `whose`. Raises InvalidOption."""
        return parse_options(self.options, values, whose)


@dataclass(frozen=True)
class Runtime:
    """The format's own runtime: `open(path, **options)` gives a `bridge.session.Session`; of the importer's
    options it takes those named in `options`. `foreign` runtimes may end their process, and run in one of
    their own."""

    open: Callable[..., Session]
    options: tuple[str, ...] = ()
    foreign: bool = True


@dataclass(frozen=True)
class Part:
    """A part of a format: `where` is "module:name", imported at first use, `requires` the importable modules
    of the format's extra without which it does not work."""

    where: str
    requires: tuple[str, ...] = ()

    def missing(self) -> tuple[str, ...]:
        """Those of the modules that are not installed."""
        return tuple(name for name in self.requires if importlib.util.find_spec(name) is None)


VERBS = {
    "importer": "read",
    "exporter": "written",
    "runtime": "run",
    "runner": "timed",
    "cases": "measured",
}


@dataclass(frozen=True)
class Format:
    """A format's declaration. Parts are imported at first use: "module:name", or a Part that says what it
    needs.

    `importer` names an Importer, `exporter` an Exporter, `runtime` a Runtime, `runner` a
    `bridge.session.Runner`, which opens files where speed is measured, `cases` a function without
    arguments that returns the `bridge.matrix.NativeCase`s of its importer by name; `detect(src)` says whether
    a path or live object is of this format, reading little and importing no framework. A model that is a
    folder holds files whose paths in it match a pattern of `folder`, and no others: only such a folder is
    replaced by another. `words` are others that people use for the format, which an error points from.
    `extra` is an extra of the plugin's own `distribution`, which discovery fills in;
    `packages` are the distributions behind it, whose versions are shown.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    importer: str | Part | None = None
    exporter: str | Part | None = None
    runtime: str | Part | None = None
    runner: str | Part | None = None
    cases: str | Part | None = None
    versions: str = ""
    extra: str = ""
    packages: tuple[str, ...] = ()
    detect: Callable[[Any], bool] = field(default=lambda src: False)
    folder: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    override: bool = False
    distribution: str = ""

    def part(self, name: str) -> Part | None:
        """The importer, exporter, runtime, runner or cases; None where the format has none."""
        where = getattr(self, name)
        return Part(where) if isinstance(where, str) else where

    def resolve(self, name: str) -> Any:
        """Object that a part names. Raises UnknownFormat or MissingDependency."""
        part = self.part(name)
        if part is None:
            raise UnknownFormat(
                f"{self.title} cannot be {VERBS[name]}.", "`bridge formats` lists what each format can do."
            )
        module, _, attribute = part.where.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise self.missing(error) from error

    def requires(self) -> set[str]:
        """The modules that any part needs."""
        parts = [self.part(name) for name in VERBS]
        return {module for part in parts if part is not None for module in part.requires}

    def missing(self, error: ModuleNotFoundError) -> Exception:
        """The MissingDependency for an import that failed, with the notes of the error on what for; any other
        import error as it is."""
        if not self.extra or (error.name or "").split(".")[0] not in self.requires():
            return error
        notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        return MissingDependency(
            f"{self.title} needs the package {error.name!r}, which is not installed.{notes}",
            f"Install it with: pip install '{self.distribution}[{self.extra}]'",
        )

    def installed(self) -> dict[str, str]:
        """Version of each package behind the format; empty text where one is not installed."""
        versions = {}
        for package in self.packages:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                versions[package] = ""
        return versions
