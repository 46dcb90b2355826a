"""TFLite flatbuffers, run by LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """A file whose flatbuffer identifier is TFL3."""
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return False
    with open(src, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


TFLITE = Format(
    name="tflite",
    title="TFLite",
    suffixes=(".tflite",),
    importer="bridge_tflite.importer:importer",
    exporter="bridge_tflite.exporter:exporter",
    runtime="bridge_tflite.runtime:run",
    cases="bridge_tflite.cases:cases",
    versions="schema 3, builtin operators of LiteRT 2",
    extra="tflite",
    requires=("ai_edge_litert", "flatbuffers"),
    packages=("ai-edge-litert", "flatbuffers"),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [TFLITE]
