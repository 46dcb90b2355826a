"""An If whose condition is known becomes its branch."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import subgraphs
from bridge.passes.rewrite import replace


class InlineKnownIf(ir.passes.InPlacePass):
    """1. The nodes of the branch a constant condition takes stand in place of the If."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, self._graph(model.graph))

    def _graph(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            condition = hub.const(node.inputs[0]) if node.op_type == "If" and not node.domain else None
            if condition is not None:
                branch = hub.attr(node, "then_branch" if condition.item() else "else_branch")
                self._graph(branch)
                _inline(graph, node, branch)
                changed = True
                continue
            for subgraph in subgraphs(node):
                changed |= self._graph(subgraph)
        return changed


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    for value in list(branch.initializers.values()):
        branch.initializers.pop(value.name or "")
        value.name = hub.fresh_name(graph, "branch")
        graph.register_initializer(value)
    results = list(branch.outputs)
    branch.outputs.clear()
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    for inner in list(branch):
        branch.remove(inner)
        graph.insert_before(node, inner)
    for old, new in zip(node.outputs, results, strict=True):
        old.shape = new.shape
    replace(graph, node, results, op)
