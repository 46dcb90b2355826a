"""Weights that are the same are one."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.weightfile import LOOKS, is_same, looks

__all__ = ["ShareWeights"]


class ShareWeights(ir.passes.InPlacePass):
    """1. Of the weights of a graph that have one dtype, one shape and the same bytes, one is left."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, any([_share(graph) for graph in hub.graphs(model)]))


def _share(graph: ir.Graph) -> bool:
    kept: dict[tuple, list[ir.Value]] = {}
    shared = False
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.size < LOOKS:
            continue
        if value.is_graph_input() or value.is_graph_output():
            continue
        alike = kept.setdefault((tensor.dtype, tensor.shape.numpy(), looks(tensor)), [])
        twin = next((v for v in alike if is_same(v.const_value, tensor)), None)
        if twin is None:
            alike.append(value)
            continue
        ir.convenience.replace_all_uses_with(value, twin)
        del graph.initializers[name]
        shared = True
    return shared
