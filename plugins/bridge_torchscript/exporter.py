"""Export: hub model → TorchScript archive, by the rules of export_ops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.formats import LABELS, Exporter, Option, flag
from bridge.ops import Need
from bridge.quantize.standard import LAYER_WEIGHTS
from bridge.report import Report
from bridge_torchscript.archive import Module, replace_extra, resave
from bridge_torchscript.archive import write as write_archive
from bridge_torchscript.dtypes import STAND_IN, has_storage_dtype
from bridge_torchscript.export_ops import ops
from bridge_torchscript.interface import INTERFACE, interface_facts
from bridge_torchscript.legalize import passes
from bridge_torchscript.library import library
from bridge_torchscript.source import Source


def element_type(value: ir.Value) -> ir.DataType | None:
    return value.type.dtype if value.type is not None else None


VALUES = Need("a dtype torch has", lambda value: value.type is None or has_storage_dtype(element_type(value)))


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model: a module with the weights under their names, and the graph as source of
    `forward`.

    `extra/bridge.json` in the archive keeps names, dtypes and dimensions of inputs and outputs, and the
    metadata.
    """
    root = Module()
    ts = Source(root, ops)
    parameters = []
    for value in model.graph.inputs:
        ts.assign(value, ts.names.fresh(value.name or "input"))
        parameters.append(f"{ts.name(value)}: {ts.type(value)}")
    ts.graph(model.graph)
    results = [ts.name(v) for v in model.graph.outputs]
    types = [ts.type(v) for v in model.graph.outputs]
    result_type, returned = types[0], results[0]
    if len(results) > 1:
        result_type, returned = f"Tuple[{', '.join(types)}]", ", ".join(results)
    body = ts.code(results)
    header = f"  def forward({', '.join([f'self: __torch__.{root.cls}', *parameters])}) -> {result_type}:\n"
    root.methods = f"{header}{body}\n    return {returned}\n"
    _note_storage(model, report)
    facts = _encoded(interface_facts(model))
    if not write_archive(path, root, library(ts.library), {INTERFACE: facts}):
        report.notes.append("its code was not compiled by torch, which is not installed")
    if options["optimize"] or path.suffix.lower() == ".ptl":
        resave(path, {INTERFACE: facts.decode()}, options["optimize"])


def annotate(path: Path, entries: Mapping[str, str]) -> None:
    """Put other texts in the place of metadata entries of an archive."""

    def annotated(raw: bytes) -> bytes:
        facts = json.loads(raw)
        facts["metadata"].update({key: entries[key] for key in entries.keys() & facts["metadata"].keys()})
        return _encoded(facts)

    replace_extra(path, INTERFACE, annotated)


def _encoded(facts: dict[str, Any]) -> bytes:
    return json.dumps(facts, indent=1, ensure_ascii=False).encode()


def _note_storage(model: ir.Model, report: Report) -> None:
    values = [*model.graph.inputs, *model.graph.initializers.values(), *model.graph.outputs]
    for dtype in sorted({v.dtype for v in values if v.dtype in STAND_IN}):
        report.notes.append(
            f"{dtype.name.lower()} is held in {STAND_IN[dtype].name.lower()}, which torch has"
        )


exporter = Exporter(
    table=ops,
    legalize=passes,
    write=write,
    value_need=VALUES,
    text=False,
    annotate=annotate,
    schemes=lambda options: {"int8-weights": LAYER_WEIGHTS},
    options=(
        Option(
            "optimize",
            "whether the weights are frozen into the code and operators fused for inference",
            False,
            flag,
        ),
        LABELS,
    ),
)
