"""Models of any opset brought to the hub's."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.passes.opset import down, up
from bridge.report import Blocker


def lift(model: ir.Model) -> None:
    """Bring a model of any opset to the hub's, in place.

    Raises UnsupportedModel when an operator has a form that later opsets cannot say, or is newer than the
    hub.
    """
    _lift(model.graph)
    for function in model.functions.values():
        _lift(function)
    model.ir_version = hub.IR_VERSION
    if model.graph.opset_imports.get("ai.onnx.ml"):
        model.graph.opset_imports["ai.onnx.ml"] = hub.ML_OPSET


def reads_types(model: ir.Model) -> bool:
    """True if bringing a model to the hub's opset needs the types and shapes of its values."""
    return any(
        node.domain not in hub.STANDARD_OPSETS
        or model.graph.opset_imports.get(node.domain, 1) < up.TYPED.get(node.op_type, 0)
        for node in hub.all_nodes(model)
    )


def _lift(graph: ir.Graph | ir.Function) -> None:
    imports = graph.opset_imports
    newest = imports.get("ai.onnx", imports.get("", 1))
    if newest > hub.HUB_OPSET:
        down.lower_from(graph, newest, hub.HUB_OPSET)
        imports.pop("ai.onnx", None)
        imports[""] = hub.HUB_OPSET
    up.lift(graph)


def unknown_operators(model: ir.Model) -> list[Blocker]:
    """Operators of a standard domain that no schema at the hub's opset describes."""
    return [
        hub.blocker(node, "is no operator of this opset")
        for node in hub.all_nodes(model)
        if node.domain in hub.STANDARD_OPSETS
        and hub.schema(node) is None
        and node.op_identifier() not in model.functions
    ]
