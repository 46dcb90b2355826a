"""BatchNormalization disappears into the weights before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, input_at
from bridge.passes.rewrite import replace

__all__ = ["FoldBatchNormalization"]

HOSTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


class FoldBatchNormalization(ir.passes.InPlacePass):
    """1. y = BatchNormalization(f(x)), f a Conv, ConvTranspose, Gemm or MatMul of constant weights that
    nothing else reads, becomes f with weights times scale / √(variance + ε) and the bias to match.
    """

    precedes = ("ChannelsLast", "Decompose")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in hub.graphs(model):
            for node in list(graph):
                if node.op_type == "BatchNormalization" and not node.domain:
                    changed |= _fold(graph, node)
        return ir.passes.PassResult(model, changed)


def _fold(graph: ir.Graph, node: ir.Node) -> bool:
    host = node.inputs[0].producer()
    if host is None or host.op_type not in HOSTS or host.domain or host.graph is not graph:
        return False
    inner = host.outputs[0]
    weights: Any = const(host.inputs[1])
    bias = input_at(host, 2)
    addend: Any = const(bias)
    parameters: list[Any] = [const(v) for v in node.inputs[1:]]
    unknown = weights is None or any(p is None for p in parameters) or (bias is not None and addend is None)
    if unknown or attr(node, "training_mode") or len(inner.uses()) > 1 or inner.is_graph_output():
        return False
    if host.op_type == "MatMul" and (weights.ndim != 2 or hub.rank_of(inner) != 2):
        return False
    scale, shift, mean, variance = parameters
    factor = scale / np.sqrt(variance + np.float32(attr(node, "epsilon")))
    offset = shift - mean * factor
    if bias is not None:
        share = attr(host, "beta") if host.op_type == "Gemm" else 1.0
        offset = offset + addend * np.float32(share) * factor
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    attributes = {name: attr(host, name) for name in host.attributes if name != "beta"}
    dtype = weights.dtype
    scaled = (weights * _broadcast_factor(host, weights, factor)).astype(dtype)
    if host.op_type == "MatMul":
        result = op.Add(op.MatMul(host.inputs[0], scaled), offset.astype(dtype))
    else:
        result = op.node(host.op_type, host.inputs[0], scaled, offset.astype(dtype), **attributes)
    replace(graph, node, result, op)
    graph.remove(host, safe=True)
    return True


def _broadcast_factor(host: ir.Node, weights: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """`factor`, one element an output channel, shaped to multiply the weights."""
    tail = [1] * (weights.ndim - 2)
    if host.op_type == "Conv":
        return factor.reshape(-1, 1, *tail)
    if host.op_type == "ConvTranspose":
        groups = attr(host, "group")
        by_group = factor.reshape(groups, 1, -1)
        return np.repeat(by_group, weights.shape[0] // groups, axis=1).reshape(weights.shape[0], -1, *tail)
    return factor.reshape(-1, 1) if attr(host, "transB") else factor.reshape(1, -1)
