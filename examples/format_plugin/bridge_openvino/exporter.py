"""Hub → OpenVINO IR."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.formats import Exporter
from bridge.report import Report
from bridge_openvino import document
from bridge_openvino.export_ops import ops
from bridge_openvino.layers import VALUES, Layers
from bridge_openvino.legalize import passes


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model: operators to `path`, constants to the file of that name with the suffix .bin.

    Names of dimensions and the model's metadata, for which an IR has no place, are its rt_info/bridge.
    """
    ov = Layers(model.graph, list(model.graph.inputs), ops)
    ov.fill(model.graph)
    kept = {v.name: list(map(str, v.shape or ())) for v in (*model.graph.inputs, *model.graph.outputs)}
    ov.net.metadata = json.dumps({"dims": kept, "metadata": dict(model.metadata_props)}, ensure_ascii=False)
    document.write(ov.net, path)
    if any(
        v.dtype == ir.DataType.INT64
        for v in (*model.graph.inputs, *(o for n in hub.all_nodes(model) for o in n.outputs))
    ):
        report.notes.append("int64 is computed as int32 by OpenVINO's CPU")


exporter = Exporter(table=ops, legalize=passes, write=write, value_need=VALUES)
