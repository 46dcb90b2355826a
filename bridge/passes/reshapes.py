"""Reshapes joined."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, shape_of, subgraphs
from bridge.passes.rewrite import replace
from bridge.traits import RESHAPES

__all__ = ["MergeReshapes"]


class MergeReshapes(ir.passes.InPlacePass):
    """1. A Transpose that moves only dimensions of length 1 past others is a Reshape. 2. A Reshape, Flatten,
    Squeeze or Unsqueeze to a static shape, or such a Transpose, of the result of another reads what that one
    read."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, self._graph(model.graph))

    def _graph(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            for subgraph in subgraphs(node):
                changed |= self._graph(subgraph)
            shape = shape_of(node.outputs[0])
            if shape is None or node.domain:
                continue
            first = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
            joined = first is not None and _reshapes(first)
            turned = node.op_type == "Transpose" and _keeps_order(node)
            if turned or (joined and node.op_type in RESHAPES):
                op = hub.Builder(graph, before=node, source=hub.origin(node))
                source = first.inputs[0] if joined else node.inputs[0]  # type: ignore[union-attr]
                reshape = op.Reshape(source, np.array(shape, np.int64), allowzero=1 if 0 in shape else None)
                replace(graph, node, [reshape], op)
                changed = True
        return changed


def _reshapes(node: ir.Node) -> bool:
    return not node.domain and node.op_type in RESHAPES and node.inputs[0] is not None


def _keeps_order(node: ir.Node) -> bool:
    shape = shape_of(node.inputs[0])
    if shape is None:
        return False
    order = [d for d in attr(node, "perm") or range(len(shape))[::-1] if shape[d] != 1]
    return order == sorted(order)
