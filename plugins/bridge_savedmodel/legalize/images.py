"""Which nodes a channels-last kernel computes."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bridge.geometry import plain_resize, same_at_run_time
from bridge.hub import attr, rank_of, shape_of
from bridge_savedmodel.legalize.windows import pads_of, spans_of, transposes
from bridge_savedmodel.tensorflow import computes


def as_image(node: ir.Node) -> bool:
    """Nodes on one to three spatial dimensions whose twin of `bridge.nhwc` has a rule."""
    x = node.inputs[0] if node.inputs else None
    claim = IMAGES.get(node.op_type)
    if claim is None or node.domain or x is None or (rank_of(x) or 0) not in (3, 4, 5):
        return False
    return claim(node, x)


def _computes(x: ir.Value, two: str, three: str) -> bool:
    return x.dtype is not None and computes(three if rank_of(x) == 5 else two, {"T": x.dtype})


def _alone(node: ir.Node) -> bool:
    return all(not (o.uses() or o.is_graph_output()) for o in node.outputs[1:])


def _padded(node: ir.Node, x: ir.Value) -> bool:
    sizes = list(x.shape)[2:]  # type: ignore[arg-type]
    if same_at_run_time(node, sizes):
        return True
    pads = pads_of(node, sizes, spans_of(node))
    return pads is not None and all(min(p) >= 0 for p in pads)


def _weights(node: ir.Node, x: ir.Value) -> bool:
    """Weights of static shape, and as many channels as they say."""
    shape = shape_of(node.inputs[1])
    return shape is not None and 0 not in shape and len(shape) == rank_of(x) and isinstance(x.shape[1], int)  # type: ignore[index]


def _conv(node: ir.Node, x: ir.Value) -> bool:
    """Not a dilated one of three dimensions: TensorFlow's kernel ends the process on some."""
    group = attr(node, "group")
    if rank_of(x) == 5 and set(attr(node, "dilations") or [1]) != {1}:
        return False
    if group > 1 and not computes("DepthwiseConv2dNative", {"T": x.dtype}):
        return False
    return _computes(x, "Conv2D", "Conv3D") and _weights(node, x) and _padded(node, x)


def _conv_transpose(node: ir.Node, x: ir.Value) -> bool:
    backwards = _computes(x, "Conv2DBackpropInput", "Conv3DBackpropInputV2")
    plain = set(attr(node, "dilations") or [1]) == {1}
    return backwards and plain and _weights(node, x) and transposes(node, x)


def _max_pool(node: ir.Node, x: ir.Value) -> bool:
    undilated = set(attr(node, "dilations") or [1]) == {1}
    return undilated and _alone(node) and _computes(x, "MaxPool", "MaxPool3D") and _padded(node, x)


def _average_pool(node: ir.Node, x: ir.Value) -> bool:
    undilated = set(attr(node, "dilations") or [1]) == {1}
    return undilated and _computes(x, "AvgPool", "AvgPool3D") and _padded(node, x)


def _blocks(node: ir.Node, x: ir.Value) -> bool:
    return rank_of(x) == 4 and attr(node, "mode", "DCR") == "DCR" and computes(node.op_type, {"T": x.dtype})


def _resize(node: ir.Node, x: ir.Value) -> bool:
    """What ResizeBilinear and ResizeNearestNeighbor compute."""
    y, size = plain_resize(node), shape_of(x)
    if (
        y is None
        or size is None
        or len(y) != 4
        or y[:2] != size[:2]
        or 0 in y
        or x.dtype != ir.DataType.FLOAT
    ):
        return False
    mode, how = attr(node, "coordinate_transformation_mode"), attr(node, "mode")
    if how == "linear":
        return mode in ("half_pixel", "asymmetric", "align_corners")
    return how == "nearest" and mode == "asymmetric" and attr(node, "nearest_mode") == "floor"


IMAGES: dict[str, Callable[[ir.Node, ir.Value], bool]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "DepthToSpace": _blocks,
    "SpaceToDepth": _blocks,
    "Resize": _resize,
}
