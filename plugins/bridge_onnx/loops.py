"""Loops whose counters and conditions have an axis of one element."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import rank_of, subgraphs
from bridge.importing import ints


class ScalarLoops(ir.passes.InPlacePass):
    """1. The count and the condition of a Loop, and what its body is given and gives of them, are scalars;
    where the body reads them with an axis, it makes that itself.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [n for n in hub.all_nodes(model) if n.op_type == "Loop" and not n.domain]
        return ir.passes.PassResult(model, any([_flatten(node) for node in nodes]))


def _flatten(node: ir.Node) -> bool:
    (body,) = subgraphs(node)
    op, inner = _builder(node.graph, node, node), _builder(body, next(iter(body), None), node)
    changed = False
    for index, value in enumerate(node.inputs[:2]):
        if value is not None and rank_of(value) == 1:
            node.replace_input_with(index, op.Squeeze(value, ints(0)))
            changed = True
    for index, value in enumerate(list(body.inputs[:2])):
        if rank_of(value) == 1:
            scalar = ir.Value(name=value.name, type=value.type, shape=ir.Shape([]))
            body.inputs[index], value.name = scalar, None
            ir.convenience.replace_all_uses_with(
                value, inner.Unsqueeze(scalar, ints(0)), replace_graph_outputs=True
            )
            changed = True
    if rank_of(body.outputs[0]) == 1:
        body.outputs[0] = _builder(body, None, node).Squeeze(body.outputs[0], ints(0))
        changed = True
    return changed


def _builder(graph: ir.Graph | ir.Function | None, before: ir.Node | None, source: ir.Node) -> hub.Builder:
    assert graph is not None
    return hub.Builder(graph, before=before, source=hub.origin(source))
