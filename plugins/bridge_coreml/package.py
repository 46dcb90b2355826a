"""A package as Core ML lays it out: a manifest, the model, its folder of weights."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from bridge_coreml.proto import model as empty

FOLDER = Path("Data") / "com.apple.CoreML"
WEIGHTS = FOLDER / "weights"
MODEL = FOLDER / "model.mlmodel"


def finish(package: Path, model: bytes) -> None:
    """Write the model and the manifest; weights are there already, if there are any. The same model gives the
    same bytes."""
    (package / FOLDER).mkdir(parents=True, exist_ok=True)
    (package / MODEL).write_bytes(model)
    items = [("Model Specification", MODEL)]
    if (package / WEIGHTS).is_dir():
        if any((package / WEIGHTS).iterdir()):
            items.append(("Model Weights", WEIGHTS))
        else:
            (package / WEIGHTS).rmdir()
    entries = {
        identifier(place): {
            "author": "com.apple.CoreML",
            "description": f"CoreML {title}",
            "name": place.name,
            "path": place.relative_to("Data").as_posix(),
        }
        for title, place in items
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": identifier(MODEL),
    }
    (package / "Manifest.json").write_text(json.dumps(manifest, indent=4) + "\n")


def annotate(place: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of metadata entries of a package, or of a file .mlmodel."""
    file = place / MODEL if place.is_dir() else place
    message = empty()
    message.ParseFromString(file.read_bytes())
    defined = message.description.metadata.userDefined
    for key in entries.keys() & {*defined}:
        defined[key] = entries[key]
    file.write_bytes(message.SerializeToString(deterministic=True))


def identifier(place: Path) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"formatbridge/{place.as_posix()}")).upper()
