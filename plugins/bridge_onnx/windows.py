"""Windows whose strides leave elements out, as ONNX Runtime places them."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, product, reshape, vector
from bridge.geometry import Length, window_of
from bridge.hub import Dim, attr, largest
from bridge.importing import ints
from bridge.passes.rewrite import replace

CENTRED = {"AveragePool": 0, "LpPool": 0, "MaxPool": 0, "Conv": 1, "ConvInteger": 1, "QLinearConv": 1}
"""By how many fewer than are left out each operator is centred."""


class CropToWindows(ir.passes.InPlacePass):
    """1. SAME padding of strides two or more beyond their window: where fewer elements are needed than there
    are, ONNX Runtime begins behind half of those left out, and the hub at the first of what it is given.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if not node.domain and node.op_type in CENTRED]
        return ir.passes.PassResult(model, any([_crop(node) for node in nodes]))


def _crop(node: ir.Node) -> bool:
    window, x, graph = window_of(node), node.inputs[0], node.graph
    auto = attr(node, "auto_pad")
    if window is None or x is None or graph is None or not auto.startswith("SAME"):
        return False
    fewer = CENTRED[node.op_type] + (auto == "SAME_LOWER")
    steps = list(zip(window.spans, window.strides, strict=True))
    axes = [i for i, (span, stride) in enumerate(steps) if stride - span - fewer > 1]
    if not axes:
        return False
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    sizes = [Dim(op, op.Shape(x, start=i, end=i + 1)) for i in range(len(steps) + 2)]
    first = vector(op, [_left_out(sizes[i + 2], *steps[i], fewer) // 2 for i in axes])
    ends = op.const(np.full(len(axes), np.iinfo(np.int64).max))
    attributes = {name: attr(node, name) for name in node.attributes}
    cropped = op.Slice(x, first, ends, ints(*[i + 2 for i in axes]))
    results = op.node(node.op_type, cropped, *node.inputs[1:], _outputs=len(node.outputs), **attributes)
    if len(node.outputs) > 1:
        if attr(node, "storage_order"):
            sizes[2:], axes = sizes[:1:-1], [len(steps) - 1 - i for i in axes]
        places = reshape(op, arange(op, product(op, sizes)), sizes)
        places = reshape(op, op.Slice(places, first, ends, ints(*[i + 2 for i in axes])), [-1])
        results = results[0], op.Gather(places, results[1])
    replace(graph, node, results, op)
    return True


def _left_out(length: Length, span: int, stride: int, fewer: int) -> Length:
    return largest(length - (length - 1) // stride * stride - span - fewer, 0)
