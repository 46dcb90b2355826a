"""Nodes whose results nobody reads."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bridge import hub


class RemoveUnused(ir.passes.InPlacePass):
    """1. Nodes whose results nobody reads go, and with a loop or branch goes what its body alone reads.
    2. Constants that nobody reads go, those of bodies too.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        while True:
            owners = [node for node in hub.all_nodes(model) if hub.subgraphs(node)]
            modified |= RemoveUnusedNodesPass()(model).modified
            gone = [node for node in owners if node.graph is None]
            if not gone:
                return ir.passes.PassResult(model, _drop_constants(model) or modified)
            for node in gone:
                release(node)


def _drop_constants(model: ir.Model) -> bool:
    """True where bodies had constants that nobody reads."""
    dropped = False
    for graph in hub.graphs(model):
        for name, value in list(graph.initializers.items()):
            if not (value.uses() or value.is_graph_input() or value.is_graph_output()):
                del graph.initializers[name]
                dropped = True
    return dropped


def release(node: ir.Node) -> None:
    """Let the bodies of a node read nothing any more."""
    for graph in hub.subgraphs(node):
        for inner in hub.nodes_of(graph):
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
