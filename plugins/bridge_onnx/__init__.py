"""ONNX: the hub's own semantics, at any opset from 7 to the newest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.formats import Format
from bridge.hookspecs import hookimpl


def detect(src: Any) -> bool:
    """A file of the suffix, or a live onnx.ModelProto or onnx_ir.Model."""
    if isinstance(src, (str, Path)):
        return Path(src).is_file() and str(src).lower().endswith(ONNX.suffixes)
    return type(src).__module__.split(".")[0] in ("onnx", "onnx_ir") and type(src).__name__ in (
        "ModelProto",
        "Model",
    )


ONNX = Format(
    name="onnx",
    title="ONNX",
    suffixes=(".onnx", ".onnxtxt"),
    importer="bridge_onnx.importer:importer",
    exporter="bridge_onnx.exporter:exporter",
    runtime="bridge_onnx.runtime:runtime",
    versions="read: opset 1 and up; write: opset 11 to 28",
    packages=("onnx", "onnx-ir", "onnxruntime"),
    detect=detect,
)


@hookimpl
def bridge_formats() -> list[Format]:
    return [ONNX]
