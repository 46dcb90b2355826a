"""A model file or live object becomes a hub model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub, plugins
from bridge.errors import BridgeError, UnreadableFile
from bridge.passes import clean
from bridge.passes.dimensions import FixDimensions
from bridge.route import Reader, reader

__all__ = ["load", "read"]


def load(
    src: Any, *, source: str | None = None, dims: dict[str, int] | None = None, **options: Any
) -> ir.Model:
    """Read a model file or live object into a hub model; `source` names its format, `dims` gives symbolic
    dimensions of the inputs their lengths, `options` are those its importer declares.

    Raises UnreadableFile, UnknownFormat, UnsupportedModel, MissingDependency, InvalidOption: all
    BridgeErrors.
    """
    return read(reader(src, source, options, dims))


def read(reader: Reader) -> ir.Model:
    """The hub model of what `reader` names, cleaned and verified. Raises as `load` does."""
    try:
        with reader.extended():
            model = reader.importer.load(reader.source, **reader.options)
        hub.stamp_origins(model)
        for function in plugins.functions():
            model.functions.setdefault(function.identifier(), function)
        clean(model)
    except ModuleNotFoundError as error:
        raise reader.format.missing(error) from error
    except (BridgeError, MemoryError):
        raise
    except Exception as error:
        named = isinstance(reader.source, (str, Path))
        what = reader.source if named else f"This {type(reader.source).__name__}"
        raise UnreadableFile(
            f"{what} is not a valid {reader.format.title} model: {type(error).__name__}: {error}",
            "Is the file complete, and made by a current exporter?",
        ) from error
    if reader.dims:
        FixDimensions(reader.dims)(model)
        clean(model)
    hub.verify(model)
    return model
