"""Transposes and reshapes of more than 5 dimensions, which Core ML lacks."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of, shape_of
from bridge.traits import RESHAPES

MAX_RANK = 5


class LowerRank(ir.passes.InPlacePass):
    """1. A Transpose of more than 5 static dimensions becomes Reshape, Transpose, Reshape: dimensions of 1
    are dropped, and those that stay adjacent are merged.

    2. A Reshape of a reshaped value reads the value before the first reshape.
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
            if node.op_type != "Transpose" or (rank_of(node.inputs[0]) or 0) <= MAX_RANK:
                continue
            shape = shape_of(node.inputs[0])
            if shape is None:
                continue
            perm = attr(node, "perm") or list(range(len(shape)))[::-1]
            merged = merge_dims(shape, perm)
            if len(merged[0]) > MAX_RANK:
                continue
            op = hub.Builder(graph, before=node, source=hub.origin(node))
            flat = op.Reshape(node.inputs[0], np.array(merged[0], np.int64))
            transposed = op.Transpose(flat, perm=merged[1])
            restored = op.Reshape(transposed, np.array([shape[p] for p in perm], np.int64))
            replace(graph, node, restored)
            changed = True
        return changed

    def _reshapes(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            if node.op_type not in RESHAPES or node.domain:
                continue
            data, out_shape = node.inputs[0], shape_of(node.outputs[0])
            source = data
            while source.producer() is not None and source.producer().op_type in RESHAPES:
                source = source.producer().inputs[0]
            if (
                out_shape is None
                or source is data
                or max(rank_of(data) or 0, rank_of(source) or 0) <= MAX_RANK
            ):
                continue
            op = hub.Builder(graph, before=node, source=hub.origin(node))
            replace(graph, node, op.Reshape(source, np.array(out_shape, np.int64)))
            changed = True
        return changed


def replace(graph: ir.Graph, node: ir.Node, new: ir.Value) -> None:
    old = node.outputs[0]
    new.type, new.shape = old.type, old.shape
    new.name, old.name = old.name, None
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def merge_dims(shape: list[int], perm: list[int]) -> tuple[list[int], list[int]]:
    """Shape and permutation of a transpose with dimensions of 1 dropped and adjacent ones merged."""
    nontrivial_perm = [p for p in perm if shape[p] != 1]
    groups: list[list[int]] = []
    nontrivial = [i for i, d in enumerate(shape) if d != 1]
    for p in nontrivial_perm:
        if groups and nontrivial.index(p) == nontrivial.index(groups[-1][-1]) + 1:
            groups[-1].append(p)
        else:
            groups.append([p])
    source_groups = sorted(groups)
    lengths = [int(np.prod([shape[i] for i in g])) for g in source_groups]
    return (lengths, [source_groups.index(g) for g in groups]) if groups else ([1], [0])
