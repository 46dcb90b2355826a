"""Rewriting nodes by a table: the engine behind legalisations, opset steps and vendor operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.limits import require_nodes
from bridge.ops import OpTable

__all__ = ["Rewrite"]

DEPTH = 64

Accepts = Callable[[ir.Node], bool]


class Rewrite(ir.passes.InPlacePass):
    """Replace each node that a rule of `table` takes by what its handler builds.

    1. Handlers take (op, node, *inputs) with `op` a hub.Builder placed before the node, and return the value
       or values that stand for its outputs (None for one that is unused), or NotImplemented for the next rule
       to try.
    2. What a handler builds is visited again, so rules may build on one another, up to 64 deep.
    3. Nodes for which `keep` holds are left alone: what a target takes natively needs no rewriting.
    4. Subgraphs are visited before the node that owns them; functions of the model are visited too.
    """

    def __init__(self, table: OpTable, keep: Accepts = lambda node: False) -> None:
        super().__init__()
        self.table = table
        self.keep = keep

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in (model.graph, *model.functions.values()):
            if any(hub.qualified(node) in self.table for node in hub.nodes_of(graph)):
                changed |= self._graph(graph)
        if changed:
            model.graph.opset_imports.setdefault("", hub.HUB_OPSET)
        return ir.passes.PassResult(model, changed)

    def _graph(self, graph: ir.Graph | ir.Function) -> bool:
        changed, made = False, 0
        pending = [(node, 0) for node in reversed(list(graph))]
        while pending:
            node, depth = pending.pop()
            if node.graph is not graph or depth > DEPTH:
                continue
            for subgraph in hub.subgraphs(node):
                changed |= self._graph(subgraph)
            created = self._node(graph, node)
            if created is not None:
                changed, made = True, made + len(created)
                require_nodes(made, "The operators of the model")
                pending.extend((created_node, depth + 1) for created_node in reversed(created))
        return changed

    def _node(self, graph: ir.Graph | ir.Function, node: ir.Node) -> Sequence[ir.Node] | None:
        hub.infer_node(node)
        name = hub.qualified(node)
        if name not in self.table or self.keep(node):
            return None
        for rule in self.table.matching(name, node):
            op = hub.Builder(graph, before=node, source=hub.origin(node))
            results = rule.apply(op, node, *node.inputs)
            if results is not NotImplemented:
                replace(graph, node, results, op)
                return op.nodes
            for leftover in reversed(op.nodes):
                graph.remove(leftover, safe=True)
        return None


def replace(graph: ir.Graph | ir.Function, node: ir.Node, results: Any, op: hub.Builder) -> None:
    """Put `results` in place of the outputs of `node`, names and types kept, and remove it."""
    values = list(results) if isinstance(results, (tuple, list)) else [results]
    values = [*values, *[None] * len(node.outputs)][: len(node.outputs)]
    for index, (old, new) in enumerate(zip(node.outputs, values, strict=True)):
        if new is None or not (old.uses() or old.is_graph_output()):
            continue
        is_created = new.producer() is not None and new.producer() in op.nodes
        if old.is_graph_output() and (not is_created or new in values[:index]):
            new = op.Identity(new)
        if old.type is not None:
            new.type = old.type
        if new.shape is None or (old.shape is not None and not new.shape.is_static()):
            new.shape = old.shape if old.shape is not None else new.shape
        if new.producer() in op.nodes:
            new.name, old.name = old.name, None
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
