"""TensorFlow SavedModel folders, run by TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """A folder with a saved_model.pb."""
    return isinstance(src, (str, Path)) and (Path(src) / "saved_model.pb").is_file()


SAVEDMODEL = Format(
    name="savedmodel",
    title="SavedModel",
    suffixes=(".savedmodel",),
    exporter="bridge_savedmodel.exporter:exporter",
    runtime="bridge_savedmodel.runtime:run",
    versions="TensorFlow 2.16 to 2.21",
    extra="savedmodel",
    requires=("tensorflow",),
    packages=("tensorflow",),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [SAVEDMODEL]
