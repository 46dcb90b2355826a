"""Hub models built from an estimator's own numbers, where its converter falls short."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub


def started(src: Any, count: int) -> tuple[ir.Graph, hub.Builder, ir.Value]:
    """A graph of one input `X` of doubles, [N, count], and its builder."""
    opsets = {"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    graph = ir.Graph([], [], nodes=[], name=type(src).__name__, opset_imports=opsets)
    x = ir.Value(name="X", type=ir.TensorType(ir.DataType.DOUBLE), shape=ir.Shape(["N", count]))
    graph.inputs.append(x)
    return graph, hub.Builder(graph, source=type(src).__name__), x


def labelled(op: hub.Builder, src: Any, place: ir.Value) -> ir.Value:
    """The classes of the model at these places."""
    labels = np.asarray(src.classes_)
    labels = labels.astype(object) if labels.dtype.kind in "OSU" else labels.astype(np.int64)
    return op.Gather(op.const(labels), place, axis=0)


def finished(graph: ir.Graph, outputs: dict[str, ir.Value]) -> ir.Model:
    for name, value in outputs.items():
        value.name = name
        graph.outputs.append(value)
    return ir.Model(graph, ir_version=hub.IR_VERSION)
