"""Constant nodes become initializers."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from bridge.hub import subgraphs


class LiftConstants(ir.passes.InPlacePass):
    """1. A Constant becomes an initializer of its own graph.

    2. A Constant that is a graph output becomes an initializer that an Identity hands out.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        self._free_outputs(model.graph)
        return LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)

    def _free_outputs(self, graph: ir.Graph) -> None:
        for node in list(graph):
            for subgraph in subgraphs(node):
                self._free_outputs(subgraph)
            output = node.outputs[0] if node.outputs else None
            if node.op_type != "Constant" or node.domain or output is None or not output.is_graph_output():
                continue
            copy = ir.Node("", "Identity", [output], num_outputs=1)
            result = copy.outputs[0]
            result.type, result.shape = output.type, output.shape
            graph.insert_after(node, copy)
            ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
            copy.replace_input_with(0, output)
            result.name, output.name = output.name, f"{output.name}.value"
