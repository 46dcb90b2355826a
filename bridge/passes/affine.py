"""Scales and offsets of channels, as frameworks spell out normalizations, join the convolution before."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const, held, input_at, rank_of


class FoldAffine(ir.passes.InPlacePass):
    """1. A Mul by a constant for each channel, which alone reads a Conv of constant weights, scales its
    filters and bias.

    2. An Add or Sub of a constant for each channel, which alone reads such a Conv, joins its bias.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            while node.graph is model.graph and node.op_type == "Conv" and not node.domain:
                merged = _merge_into_conv(model.graph, node)
                if merged is None:
                    break
                node, changed = merged, True
        return ir.passes.PassResult(model, changed)


def _merge_into_conv(graph: ir.Graph, node: ir.Node) -> ir.Node | None:
    """The convolution that stands for `node` and its one reader; None where they stay two."""
    result, uses = node.outputs[0], node.outputs[0].uses()
    weights = const(node.inputs[1])
    old = input_at(node, 2)
    if (
        len(uses) != 1
        or result.is_graph_output()
        or weights is None
        or (old is not None and held(old) is None)
    ):
        return None
    reader, place = next((use.node, use.idx) for use in uses)
    if reader.op_type not in ("Mul", "Add", "Sub") or reader.domain or (reader.op_type == "Sub" and place):
        return None
    amounts = _by_channel(reader.inputs[1 - place], rank_of(result), weights.shape[0])
    if amounts is None or reader.graph is not graph or amounts.dtype != weights.dtype:
        return None
    bias = np.zeros(weights.shape[0], weights.dtype) if old is None else const(old)
    assert bias is not None
    if reader.op_type == "Mul":
        weights = weights * amounts.reshape(-1, *[1] * (weights.ndim - 1))
        bias = bias * amounts
    else:
        bias = bias + amounts if reader.op_type == "Add" else bias - amounts
    op = hub.Builder(graph, before=reader, source=hub.origin(node))
    inputs = [node.inputs[0], op.const(weights), op.const(bias)]
    conv = ir.Node("", "Conv", inputs, list(node.attributes.values()), num_outputs=1)
    conv.outputs[0].type, conv.outputs[0].shape = result.type, result.shape
    op.insert(conv)
    outer = reader.outputs[0]
    if outer.shape is not None:
        conv.outputs[0].shape = outer.shape
    conv.outputs[0].name, outer.name = outer.name, None
    ir.convenience.replace_all_uses_with(outer, conv.outputs[0], replace_graph_outputs=True)
    graph.remove([reader, node], safe=True)
    return conv


def _by_channel(value: ir.Value | None, rank: int | None, channels: int) -> np.ndarray | None:
    """A constant that differs by channel alone, as a vector."""
    array = None if value is None else const(value)
    if array is None or rank is None or array.ndim > rank or array.size not in (1, channels):
        return None
    broadcastable = array.reshape([1] * (rank - array.ndim) + list(array.shape))
    if array.size > 1 and broadcastable.shape[1] != channels:
        return None
    return np.ascontiguousarray(np.broadcast_to(broadcastable.reshape(-1), (channels,)))
