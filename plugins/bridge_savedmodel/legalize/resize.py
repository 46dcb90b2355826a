"""Resize of images of known size as TensorFlow's own operators: channels last, constant size."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.geometry import plain_resize
from bridge.hub import attr, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first, to_last
from bridge.passes.rewrite import Rewrite
from bridge_savedmodel.tensorflow import DOMAIN

ops = OpTable()

BILINEAR, NEAREST = "ResizeBilinear", "ResizeNearestNeighbor"
MODE = "coordinate_transformation_mode"
BODIES = {BILINEAR: {"mode": "linear"}, NEAREST: {"mode": "nearest", "nearest_mode": "floor"}}


class NativeResize(Rewrite):
    """1. A Resize that ResizeBilinear or ResizeNearestNeighbor computes becomes
       `bridge.savedmodel::ResizeBilinear` or `bridge.savedmodel::ResizeNearestNeighbor` (image, size),
       between two Transposes.

    2. Both have a function body, so the hub still runs.
    """

    def __init__(self) -> None:
        super().__init__(ops)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        result = super().call(model)
        if result.modified:
            model.graph.opset_imports[DOMAIN] = 1
            for name in {node.op_type for node in hub.all_nodes(model) if node.domain == DOMAIN}:
                body = _body(name, **BODIES[name])
                model.functions[body.identifier()] = body
        return result


def _is_native_resize(node: ir.Node) -> bool:
    size, result = shape_of(node.inputs[0]), plain_resize(node)
    if size is None or result is None or len(result) != 4 or result[:2] != size[:2] or 0 in result:
        return False
    if attr(node, "mode") == "linear":
        return attr(node, MODE) in ("half_pixel", "asymmetric", "align_corners")
    floored = attr(node, "nearest_mode") == "floor" and attr(node, MODE) == "asymmetric"
    return attr(node, "mode") == "nearest" and floored


IMAGE = condition(
    "an image of known size, which ResizeBilinear or ResizeNearestNeighbor resizes", _is_native_resize
)


@ops.op("Resize", needs=(dtype("float"), IMAGE))
def resize(op, node, x, *rest):
    batch, channels, *size = shape_of(node.outputs[0])
    resized = op.node(
        BILINEAR if attr(node, "mode") == "linear" else NEAREST,
        op.Transpose(x, perm=to_last(4)),
        op.const(np.array(size, np.int32)),
        _domain=DOMAIN,
        _dtype=x.dtype,
        _shape=[batch, *size, channels],
        **{MODE: attr(node, MODE)},
    )
    return op.Transpose(resized, perm=to_first(4))


def _body(name: str, **attributes: str) -> ir.Function:
    """The operator as a Resize of the last two of four dimensions: (image [n, h, w, c], size [2] int32)."""
    image, size = ir.Value(name="image"), ir.Value(name="size")
    graph = ir.Graph([image, size], [], nodes=[], opset_imports={"": hub.HUB_OPSET})
    op = hub.Builder(graph)
    lengths = op.Cast(size, to=int(ir.DataType.INT64))
    options = ir.convenience.convert_attributes({"axes": [2, 3], **attributes})
    mode = ir.RefAttr(MODE, MODE, ir.AttributeType.STRING)
    first = op.Transpose(image, perm=to_first(4))
    resized = op.insert(ir.Node("", "Resize", [first, None, None, lengths], [*options, mode]))
    graph.outputs.append(op.Transpose(resized, perm=to_last(4)))
    for index, value in enumerate(v for node in graph for v in node.outputs):
        value.name = f"v{index}"
    declared = ir.Attr(MODE, ir.AttributeType.STRING, None)
    return ir.Function(DOMAIN, name, "", graph=graph, attributes=[declared])
