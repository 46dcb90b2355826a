"""TFLite flatbuffers, run by LiteRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format, Part
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """True if `src` is a file whose flatbuffer identifier is TFL3."""
    if not isinstance(src, (str, Path)) or not Path(src).is_file():
        return False
    with open(src, "rb") as file:
        return file.read(8)[4:] == b"TFL3"


TFLITE = Format(
    name="tflite",
    title="TFLite",
    suffixes=(".tflite",),
    importer=Part("bridge_tflite.importer:importer"),
    exporter=Part("bridge_tflite.exporter:exporter"),
    runtime=Part("bridge_tflite.runtime:runtime", ("ai_edge_litert",)),
    runner=Part("bridge_tflite.speed:LiteRTRunner", ("ai_edge_litert",)),
    cases=Part("bridge_tflite.cases:cases", ("ai_edge_litert",)),
    versions="schema 3, builtin operators of LiteRT 2",
    extra="tflite",
    packages=("ai-edge-litert",),
    detect=detect,
    words=("tensorflow lite", "tensorflow-lite", "litert", "lite"),
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [TFLITE]
