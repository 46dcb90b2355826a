"""Hub → TFLite flatbuffer, driven by export_ops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.formats import Exporter, Option
from bridge.report import Report
from bridge_tflite.export_ops import ops
from bridge_tflite.flatbuffer import VALUES, Tensors
from bridge_tflite.legalize import passes


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model: one subgraph, one signature `serving_default` with the hub's names."""
    tfl = Tensors(model)
    for value in model.graph.inputs:
        tfl.index(value)
    for node in model.graph:
        tfl.node = node
        ops.find(hub.qualified(node), node).handler(tfl, node, *node.inputs)
    tfl.save(path)


exporter = Exporter(
    table=ops,
    legalize=passes,
    write=write,
    values=VALUES,
    options=(
        Option(
            "layout",
            "of image inputs and outputs: the source's, or native for channels last",
            "source",
            str,
            ("source", "native"),
        ),
    ),
)
