"""Six dimensions and more, of which Core ML has none, where they only pass through."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of, shape_of
from bridge.traits import RESHAPES

MOST = 5


class LowerRank(ir.passes.InPlacePass):
    """1. A Transpose of more than 5 dimensions of static length is done with dimensions of 1 left out and
    those that stay neighbours as one, between Reshapes.

    2. A Reshape of what was only reshaped reads what was there before: the dimensions in between are gone.
    """

    follows = ("Decompose",)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in (model.graph, *model.graph.subgraphs()):
            changed |= self._transposes(graph)
            changed |= self._reshapes(graph)
        return ir.passes.PassResult(model, changed)

    def _transposes(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            if node.op_type != "Transpose" or (rank_of(node.inputs[0]) or 0) <= MOST:
                continue
            shape = shape_of(node.inputs[0])
            if shape is None:
                continue
            perm = attr(node, "perm") or list(range(len(shape)))[::-1]
            merged = joined(shape, perm)
            if len(merged[0]) > MOST:
                continue
            op = hub.Builder(graph, before=node, source=hub.origin(node))
            flat = op.Reshape(node.inputs[0], np.array(merged[0], np.int64))
            turned = op.Transpose(flat, perm=merged[1])
            made = op.Reshape(turned, np.array([shape[p] for p in perm], np.int64))
            _take_over(graph, node, made)
            changed = True
        return changed

    def _reshapes(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            if node.op_type not in RESHAPES or node.domain:
                continue
            first, wanted = node.inputs[0], shape_of(node.outputs[0])
            source = first
            while source.producer() is not None and source.producer().op_type in RESHAPES:
                source = source.producer().inputs[0]
            if wanted is None or source is first or max(rank_of(first) or 0, rank_of(source) or 0) <= MOST:
                continue
            op = hub.Builder(graph, before=node, source=hub.origin(node))
            _take_over(graph, node, op.Reshape(source, np.array(wanted, np.int64)))
            changed = True
        return changed


def _take_over(graph: ir.Graph, node: ir.Node, made: ir.Value) -> None:
    old = node.outputs[0]
    made.type, made.shape = old.type, old.shape
    made.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, made, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def joined(shape: list[int], perm: list[int]) -> tuple[list[int], list[int]]:
    """Lengths and order of a transpose with as few dimensions as it can be done with."""
    order = [p for p in perm if shape[p] != 1]
    groups: list[list[int]] = []
    kept = [i for i, d in enumerate(shape) if d != 1]
    for p in order:
        if groups and kept.index(p) == kept.index(groups[-1][-1]) + 1:
            groups[-1].append(p)
        else:
            groups.append([p])
    before = sorted(groups)
    lengths = [int(np.prod([shape[i] for i in g])) for g in before]
    return (lengths, [before.index(g) for g in groups]) if groups else ([1], [0])
