"""A model file or live object becomes a hub model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub, plugins
from bridge.classical.wellformed import require_wellformed
from bridge.errors import BridgeError, UnreadableFile, UnsupportedModel, stage
from bridge.formats import Format, Importer
from bridge.passes import clean
from bridge.passes.dimensions import FixDimensions
from bridge.passes.lengths import NameLengths
from bridge.passes.shapes import names_of
from bridge.sources import found
from bridge.stored import restore_outputs

__all__ = ["Reader", "load", "reader"]

DEFECTS = (TypeError, AttributeError, NameError, AssertionError, NotImplementedError)


def load(
    src: Any, *, source: str | None = None, dims: dict[str, int] | None = None, **options: Any
) -> ir.Model:
    """Read a model file or live object into a hub model; `source` names its format, `dims` gives symbolic
    dimensions of the inputs their lengths, `options` are those its importer declares. `src` may be an address
    or an archive (`bridge.sources.found`).

    Raises UnreadableFile, UnknownFormat, UnsupportedModel, MissingDependency, InvalidOption, TooLarge,
    InternalError: all BridgeErrors.
    """
    return reader(src, source, options, dims).read()


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

    @property
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
    def subject(self) -> str:
        """The source, as a sentence begins with it."""
        return str(self.source) if self.is_file else f"This {type(self.source).__name__}"

    @property
    def stem(self) -> str:
        """The name of the file without its suffix."""
        if not self.is_file:
            return "model"
        name = Path(self.source).name
        known = (s for s in self.format.suffixes if name.lower().endswith(s))
        suffix = next(known, Path(self.source).suffix)
        return name[: len(name) - len(suffix)] if suffix else name

    def read(self) -> ir.Model:
        """The hub model, cleaned and verified. Raises as `load` does."""
        with stage(f"Reading {self}"), uncollected():
            model = self._imported()
            if self.dims:
                FixDimensions(self.dims)(model)
                clean(model)
            hub.verify(model)
            require_wellformed(model)
        if not model.graph.outputs:
            raise UnsupportedModel(f"{self} has no outputs: it computes nothing.", [])
        return model

    def _imported(self) -> ir.Model:
        """The model the importer reads, cleaned."""
        try:
            with self.extended:
                model = self.importer.load(self.source, **self.options)
            restore_outputs(model)
            hub.require_operands(model, self.subject)
            hub.stamp_origins(model)
            for function in plugins.functions():
                model.functions.setdefault(function.identifier(), function)
            given = names_of(model.graph.outputs)
            clean(model)
            NameLengths(given)(model)
            return model
        except ModuleNotFoundError as error:
            raise self.format.missing(error) from error
        except (BridgeError, MemoryError, RecursionError):
            raise
        except Exception as error:
            if _is_own(error):
                raise
            raise UnreadableFile(
                f"{self.subject} is not a valid {self.format.title} model: {type(error).__name__}: {error}",
                "Is the file complete, and made by a current exporter?",
            ) from error


@contextmanager
def uncollected() -> Iterator[None]:
    """A context in which nobody looks for cycles of garbage: a model is one of millions of objects, all of
    which live."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _is_own(error: Exception) -> bool:
    """True for a mistake in code of bridge or of a plugin, which a damaged file does not explain."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_by = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return isinstance(error, DEFECTS) and raised_by.startswith("bridge")


def reader(
    src: Any,
    source: str | None = None,
    options: dict[str, Any] | None = None,
    dims: dict[str, int] | None = None,
) -> Reader:
    """Who reads `src`, and how. Raises UnreadableFile, UnknownFormat, MissingDependency,
    InvalidOption."""
    here, fmt = found(src, source)
    settings = fmt.resolve("importer").parse(options or {}, fmt.title) if fmt.importer else {}
    return Reader(here, fmt, settings, dims)
