"""Channels-last layout: operators with such a kernel, and public inputs and outputs."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.facts import LAYOUT
from bridge.hub import attr, held, input_at, rank_of
from bridge.passes.channels_last import permuted
from bridge_tflite.export_ops.common import BLOCK_DTYPES
from bridge_tflite.legalize.conv import pad_plan, transposed_plan

BLOCK_TYPES = tuple(ir.DataType[name.upper()] for name in BLOCK_DTYPES)


class NativeLayout(ir.passes.InPlacePass):
    """1. A Transpose between a public input or output and the graph is removed; that value becomes channels
    last."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for value in model.graph.inputs:
            readers = [use.node for use in value.uses()]
            perms = {tuple(attr(n, "perm") or ()) if n.op_type == "Transpose" else () for n in readers}
            if len(perms) == 1 and (perm := next(iter(perms))) and not value.is_graph_output():
                value.shape = permuted(value.shape, perm)
                LAYOUT.of(f"input:{value.name}").set(model, list(perm))
                for reader in readers:
                    ir.convenience.replace_all_uses_with(reader.outputs[0], value, replace_graph_outputs=True)
                    model.graph.remove(reader, safe=True)
                changed = True
        for value in list(model.graph.outputs):
            node = value.producer()
            if (
                node is not None
                and node.op_type == "Transpose"
                and not value.uses()
                and node.inputs[0].producer() is not None
            ):
                inner = node.inputs[0]
                if inner.is_graph_output():
                    continue
                inner.name, value.name = value.name, None
                LAYOUT.of(f"output:{inner.name}").set(model, list(attr(node, "perm")))
                ir.convenience.replace_all_uses_with(value, inner, replace_graph_outputs=True)
                model.graph.remove(node, safe=True)
                changed = True
        return ir.passes.PassResult(model, changed)


def has_image_kernel(node: ir.Node) -> bool:
    """True if a channels-last kernel computes `node`: two spatial dimensions, for convolutions also three."""
    x = node.inputs[0] if node.inputs else None
    claim = IMAGE_KERNELS.get(node.op_type)
    ranks = (4, 5) if node.op_type in VOLUMES else (4,)
    if claim is None or node.domain or x is None or rank_of(x) not in ranks:
        return False
    moved = node.op_type in ("DepthToSpace", "SpaceToDepth") and x.dtype in BLOCK_TYPES
    return (moved or x.dtype == ir.DataType.FLOAT) and claim(node, x)


def _is_window_kernel(node: ir.Node, x: Any) -> bool:
    unused = all(not (o.uses() or o.is_graph_output()) for o in node.outputs[1:])
    undilated = set(attr(node, "dilations") or [1]) == {1} or node.op_type == "Conv"
    return unused and undilated and 0 not in list(x.shape) and pad_plan(node, list(x.shape[2:])) is not None


def _is_conv_kernel(node: ir.Node, x: Any) -> bool:
    bias = input_at(node, 2)
    constant = held(node.inputs[1]) is not None and (bias is None or held(bias) is not None)
    single = rank_of(x) == 4 or attr(node, "group") == 1
    return constant and single and isinstance(x.shape[1], int) and _is_window_kernel(node, x)


def _is_transpose_conv_kernel(node: ir.Node, x: Any) -> bool:
    weights, bias = node.inputs[1], input_at(node, 2)
    constant = held(weights) is not None and (bias is None or held(bias) is not None)
    ungrouped = attr(node, "group") == 1 and set(attr(node, "dilations") or [1]) == {1}
    sizes = list(x.shape[2:])
    is_static = all(isinstance(d, int) and d > 0 for d in sizes)
    return constant and ungrouped and is_static and transposed_plan(node, sizes) is not None


def _is_block_kernel(node: ir.Node, x: Any) -> bool:
    return attr(node, "mode") == "DCR" and 0 not in list(x.shape)


VOLUMES = ("Conv", "ConvTranspose")
IMAGE_KERNELS = {
    "Conv": _is_conv_kernel,
    "ConvTranspose": _is_transpose_conv_kernel,
    "MaxPool": _is_window_kernel,
    "AveragePool": _is_window_kernel,
    "DepthToSpace": _is_block_kernel,
    "SpaceToDepth": _is_block_kernel,
}
