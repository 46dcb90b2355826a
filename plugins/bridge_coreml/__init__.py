"""Core ML models: packages and files, ML Programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """A folder with Core ML's manifest, or a file that starts like its Model message."""
    if not isinstance(src, (str, Path)):
        return False
    path = Path(src)
    if path.is_dir():
        return _has_manifest(path / "Manifest.json")
    if not path.is_file() or path.name.lower().endswith(".onnx"):
        return False
    with path.open("rb") as file:
        return starts_like_a_model(file.read(16))


def _has_manifest(path: Path) -> bool:
    try:
        manifest = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and "rootModelIdentifier" in manifest


def starts_like_a_model(head: bytes) -> bool:
    """Field 1, a small version; field 2, a message that starts with a list of features or functions."""
    if len(head) < 6 or head[0] != 0x08 or not 0 < head[1] < 0x80 or head[2] != 0x12:
        return False
    at = 3
    while at < len(head) - 1 and head[at] & 0x80:
        at += 1
    return head[at + 1 : at + 2] == b"\x0a" or head[at + 1 : at + 3] == b"\xa2\x01"


COREML = Format(
    name="coreml",
    title="Core ML",
    suffixes=(".mlpackage", ".mlmodel"),
    importer=Part("bridge_coreml.importer:importer", ("coremltools",)),
    exporter=Part("bridge_coreml.exporter:exporter", ("coremltools",)),
    runtime=Part("bridge_coreml.runtime:runtime", ("coremltools",)),
    versions="ML Programs from iOS 15 to iOS 18",
    extra="coreml",
    packages=("coremltools",),
    cases=Part("bridge_coreml.cases:cases", ("coremltools",)),
    detect=detect,
    words=("core ml", "mlprogram", "ios", "apple"),
    folder=("Manifest.json", "Data/com.apple.CoreML/*"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [COREML]
