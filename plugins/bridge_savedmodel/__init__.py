"""TensorFlow SavedModel folders, read without TensorFlow and run by it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """A folder with a saved_model.pb, a Keras file, a frozen graph, or a Keras model or TensorFlow
    function."""
    if not isinstance(src, (str, Path)):
        family = {base.__module__.split(".")[0] for base in type(src).__mro__}
        return (
            "keras" in family
            or ("tensorflow" in family and hasattr(src, "get_concrete_function"))
            or _traced(src)
        )
    path = Path(src)
    if path.is_dir():
        return any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))
    return path.name == "saved_model.pb" or _keras(path) or _frozen(path)


def _traced(src: Any) -> bool:
    return type(src).__module__.startswith("tensorflow.") and hasattr(src, "structured_input_signature")


def _frozen(path: Path) -> bool:
    """A protobuf that begins, as a GraphDef does, with a message in its first field."""
    if path.suffix.lower() != ".pb" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\n"


def _keras(path: Path) -> bool:
    """A zip archive with a model's configuration, or an HDF5 file."""
    if not path.is_file() or path.suffix.lower() not in (".keras", ".h5", ".hdf5"):
        return False
    with path.open("rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n" or zipfile.is_zipfile(path)


SAVEDMODEL = Format(
    name="savedmodel",
    title="SavedModel",
    suffixes=(".savedmodel",),
    importer="bridge_savedmodel.importer:importer",
    exporter=Part("bridge_savedmodel.exporter:exporter", ("tensorflow",)),
    runtime=Part("bridge_savedmodel.runtime:runtime", ("tensorflow",)),
    runner=Part("bridge_savedmodel.speed:TensorFlowRunner", ("tensorflow",)),
    cases=Part("bridge_savedmodel.cases:cases", ("tensorflow",)),
    versions="TensorFlow 2.16 to 2.21",
    extra="savedmodel",
    packages=("tensorflow",),
    detect=detect,
    words=("tensorflow", "tf", "keras", "h5", "pb", "frozen", "graphdef"),
    folder=(
        "saved_model.pb",
        "saved_model.pbtxt",
        "fingerprint.pb",
        "keras_metadata.pb",
        "variables/variables.*",
        "assets/*",
        "assets.extra/*",
    ),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [SAVEDMODEL]
