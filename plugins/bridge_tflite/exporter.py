"""Hub → TFLite flatbuffer, driven by export_ops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx_ir as ir

from bridge.formats import LABELS, Exporter, Option, flag
from bridge.report import Report
from bridge_tflite import metadata
from bridge_tflite.contents import contents
from bridge_tflite.export_ops import ops
from bridge_tflite.flatbuffer import VALUES, File, SubgraphBuilder
from bridge_tflite.legalize import passes
from bridge_tflite.schemes import SCHEMES_HELD


def write(model: ir.Model, path: Path, report: Report, options: dict[str, Any]) -> None:
    """Write a legal hub model as a .tflite file.

    The file has a subgraph for the graph, one for every branch and loop body, one that fills the hash tables,
    and the signature `serving_default` with the names of the hub.
    """
    file = File(model, ops)
    SubgraphBuilder(file, model.graph).write_graph(model.graph.outputs)
    file.add_table_initializer()
    file.save(path)


exporter = Exporter(
    table=ops,
    legalize=passes,
    write=write,
    value_need=VALUES,
    written=contents,
    options=(
        Option(
            "layout",
            "the layout of image inputs and outputs: the source's, or native for channels last",
            "source",
            str,
            ("source", "native"),
        ),
        Option(
            "precision",
            "how weights are stored: as float16 where it holds them exactly, or float16 for all of them, "
            "rounded",
            "source",
            str,
            ("source", "float16"),
            formerly=("weights",),
        ),
        Option(
            "select_tf_ops",
            "whether TensorFlow's own operators (Flex) are written: never, since no Python runtime brings "
            "the delegate that runs them, so that no such file could be checked. What LiteRT's builtin "
            "operators cannot express is refused",
            False,
            flag,
            (False,),
        ),
        LABELS,
    ),
    schemes=lambda options: SCHEMES_HELD,
    annotate=metadata.annotate,
    tolerance=lambda options: 1e-2 if options["precision"] == "float16" else None,
)
