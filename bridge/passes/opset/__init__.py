"""Opset conversion on the graph in memory: subgraphs and functions included, weights untouched."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import subgraphs
from bridge.passes.opset import down, up
from bridge.passes.pads import PadsAtRunTime
from bridge.passes.rewrite import replace
from bridge.report import Blocker

RUNTIME_OPSET = 26
RUNTIME_IR_VERSION = 13
LATE_KERNELS = frozenset(
    f"{name}{like}"
    for name in ("GlobalLpPool", "MaxRoiPool", "Multinomial", "RandomNormal", "RandomUniform", "RoiAlign")
    for like in ("", "Like")
)
"""Operators whose opset 22 only added dtypes, and which ONNX Runtime has up to opset 21."""


def lift(model: ir.Model) -> None:
    """Bring a model of any opset to the hub's, in place.

    Raises UnsupportedModel when an operator has a form that later opsets cannot say, or is newer than the
    hub.
    """
    _lift(model.graph)
    for function in model.functions.values():
        lift_function(function)
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


def lift_function(function: ir.Function) -> None:
    """Bring one function to the hub's opset, in place."""
    _lift(function)


def lower(model: ir.Model, target: int) -> None:
    """Bring a hub model down to opset `target`, in place. Raises UnsupportedModel listing what has no form
    there."""
    down.lower(model, target)


def for_runtime(model: ir.Model) -> ir.Model:
    """A copy, weights shared, at an opset and IR version ONNX Runtime admits."""
    copy = model.clone()
    PadsAtRunTime()(copy)
    down.restamp(copy, runtime_opset(model))
    copy.ir_version = RUNTIME_IR_VERSION
    return copy


def runtime_opset(model: ir.Model) -> int:
    """The newest opset at which ONNX Runtime has kernels for what a hub model consists of."""
    inner = (node for function in model.functions.values() for node in function)
    late = any(not n.domain and n.op_type in LATE_KERNELS for n in (*hub.all_nodes(model), *inner))
    return 21 if late and not down.restamp(model.clone(), 21) else RUNTIME_OPSET


def _lift(graph: ir.Graph | ir.Function) -> None:
    imports = graph.opset_imports
    if "ai.onnx" in imports:
        imports[""] = imports.pop("ai.onnx")
    versions: dict[str, int] = {d: imports[d] for d in ("", "ai.onnx.ml") if d in imports}
    newest = versions.get("", 1)
    if newest > hub.HUB_OPSET:
        down.lower_from(graph, newest, hub.HUB_OPSET)
        versions[""] = hub.HUB_OPSET
    _lift_graph(graph, versions)
    for domain in versions:
        imports[domain] = hub.STANDARD_OPSETS[domain]


def _lift_graph(graph: ir.Graph | ir.Function, versions: dict[str, int]) -> None:
    originals = list(graph)
    for node in originals:
        for subgraph in subgraphs(node):
            _lift_graph(subgraph, versions)
    pending = [
        (node, versions.get("" if node.domain == "ai.onnx" else node.domain, 0))
        for node in reversed(originals)
    ]
    while pending:
        node, version = pending.pop()
        if node.domain == "ai.onnx":
            node.domain = ""
        node.version = None
        if version:
            pending.extend(_step(graph, node, version))


def _step(graph: ir.Graph | ir.Function, node: ir.Node, version: int) -> list[tuple[ir.Node, int]]:
    """Take `node` over every opset above `version` that changed it; nodes that replace it, with their
    opset."""
    node.attributes.pop("consumed_inputs", None)
    for opset in range(version + 1, hub.STANDARD_OPSETS[node.domain] + 1):
        step = up.STEPS.get((node.op_type, opset))
        if step is None:
            continue
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        results = step(op, node, *node.inputs)
        if results is not None:
            replace(graph, node, results, op)
            return [(made, opset) for made in reversed(op.nodes)]
    return []


def unknown_operators(model: ir.Model) -> list[Blocker]:
    """Operators of a standard domain that no schema at the hub's opset describes."""
    return [
        Blocker(node.op_type, node.name or "", str(hub.origin(node)), "is no operator of this opset")
        for node in hub.all_nodes(model)
        if node.domain in hub.STANDARD_OPSETS
        and hub.schema(node) is None
        and node.op_identifier() not in model.functions
    ]
