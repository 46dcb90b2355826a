"""Resize with the kernels of TFLite."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.geometry import plain_resize
from bridge.hub import attr, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.channels_last import to_first, to_last
from bridge_tflite.export_ops.common import TFLITE

images = OpTable()


def is_native_resize(node: ir.Node) -> bool:
    """True if RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR computes this Resize."""
    x, y = shape_of(node.inputs[0]), plain_resize(node)
    if x is None or y is None or len(x) != 4 or x[:2] != y[:2]:
        return False
    mode, interpolation = attr(node, "coordinate_transformation_mode"), attr(node, "mode")
    if interpolation == "linear":
        return mode in ("half_pixel", "asymmetric", "align_corners")
    return interpolation == "nearest" and mode == "asymmetric" and attr(node, "nearest_mode") == "floor"


STATIC_IMAGE = condition(
    "an image of known size, which RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR resizes", is_native_resize
)


@images.op("Resize", needs=(dtype("float"), STATIC_IMAGE))
def resize(op, node, x, *rest):
    """Resize to a constant size, channels last."""
    mode = attr(node, "coordinate_transformation_mode")
    size = shape_of(node.outputs[0])
    resized = op.node(
        "ResizeBilinear" if attr(node, "mode") == "linear" else "ResizeNearestNeighbor",
        op.Transpose(x, perm=to_last(4)),
        op.const(np.array(size[2:], np.int32)),
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=[size[0], *size[2:], size[1]],
        align_corners=int(mode == "align_corners"),
        half_pixel_centers=int(mode == "half_pixel"),
    )
    return op.Transpose(resized, perm=to_first(4))
