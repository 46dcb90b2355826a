"""Constants added to each channel of a convolution are its bias."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, held, input_at
from bridge.passes.rewrite import replace

__all__ = ["FoldBiases"]


class FoldBiases(ir.passes.InPlacePass):
    """1. An Add of a constant [channels, 1, …], or [1, channels, 1, …], to a Conv or ConvTranspose of no or a
    constant bias that nothing else reads is part of its bias.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in hub.graphs(model):
            for node in list(graph):
                if node.op_type == "Add" and not node.domain:
                    changed |= _fold(graph, node)
        return ir.passes.PassResult(model, changed)


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    for host_value, addend in (node.inputs, node.inputs[::-1]):
        host = host_value.producer() if host_value is not None else None
        if host is None or host.op_type not in ("Conv", "ConvTranspose") or host.domain:
            continue
        array = const(addend)
        if array is None:
            continue
        inner, bias = host.outputs[0], input_at(host, 2)
        known = bias is None or held(bias) is not None
        channels = _channels(host)
        if host.graph is not graph or len(inner.uses()) > 1 or inner.is_graph_output() or not known:
            continue
        rank = hub.rank_of(inner) or 0
        if channels is None or rank < 3 or array.size != channels:
            continue
        if [n for n in array.shape if n != 1] not in ([channels], []) or array.ndim > rank:
            continue
        if array.ndim < rank - 1 or array.shape[array.ndim - rank + 1] != channels:
            continue
        total = array.reshape(-1) if bias is None else array.reshape(-1) + const(bias)
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        attributes = {name: attr(host, name) for name in host.attributes}
        result = op.node(host.op_type, *host.inputs[:2], np.asarray(total, array.dtype), **attributes)
        replace(graph, node, result, op)
        graph.remove(host, safe=True)
        return True
    return False


def _channels(host: ir.Node) -> int | None:
    weights = hub.shape_of(host.inputs[1])
    if weights is None:
        return None
    return weights[0] if host.op_type == "Conv" else weights[1] * attr(host, "group")
