"""The nodes that move to `bridge.nhwc` because a channels-last kernel computes them."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bridge.geometry import pads_of, same_at_run_time, spatial_lengths
from bridge.hub import attr, rank_of, shape_of
from bridge_savedmodel.convolution import is_conv_gradient
from bridge_savedmodel.tensorflow import has_kernel


def as_image(node: ir.Node) -> bool:
    """True for nodes with one to three spatial dimensions whose twin of `bridge.nhwc` has a rule."""
    x = node.inputs[0] if node.inputs else None
    condition = IMAGES.get(node.op_type)
    if condition is None or node.domain or x is None or (rank_of(x) or 0) not in (3, 4, 5):
        return False
    return condition(node, x)


def _has_kernel(x: ir.Value, two: str, three: str) -> bool:
    return x.dtype is not None and has_kernel(three if rank_of(x) == 5 else two, {"T": x.dtype})


def _is_only_output_used(node: ir.Node) -> bool:
    return all(not (o.uses() or o.is_graph_output()) for o in node.outputs[1:])


def _has_supported_padding(node: ir.Node) -> bool:
    if same_at_run_time(node, spatial_lengths(node)):
        return True
    pads = pads_of(node, ceil=True)
    return pads is not None and all(min(p) >= 0 for p in pads)


def _has_static_weights(node: ir.Node, x: ir.Value) -> bool:
    """True for weights of static shape, over a known number of channels."""
    shape, dims = shape_of(node.inputs[1]), list(x.shape or [])
    return shape is not None and 0 not in shape and len(shape) == len(dims) and isinstance(dims[1], int)


def _conv(node: ir.Node, x: ir.Value) -> bool:
    """True unless it is dilated in three dimensions, where TensorFlow's kernel can end the process, or lacks
    a kernel."""
    group = attr(node, "group")
    if rank_of(x) == 5 and set(attr(node, "dilations") or [1]) != {1}:
        return False
    if group > 1 and not has_kernel("DepthwiseConv2dNative", {"T": x.dtype}):
        return False
    return (
        _has_kernel(x, "Conv2D", "Conv3D") and _has_static_weights(node, x) and _has_supported_padding(node)
    )


def _conv_transpose(node: ir.Node, x: ir.Value) -> bool:
    has_gradient = _has_kernel(x, "Conv2DBackpropInput", "Conv3DBackpropInputV2")
    undilated = set(attr(node, "dilations") or [1]) == {1}
    return has_gradient and undilated and _has_static_weights(node, x) and is_conv_gradient(node)


def _max_pool(node: ir.Node, x: ir.Value) -> bool:
    undilated = set(attr(node, "dilations") or [1]) == {1}
    return (
        undilated
        and _is_only_output_used(node)
        and _has_kernel(x, "MaxPool", "MaxPool3D")
        and _has_supported_padding(node)
    )


def _average_pool(node: ir.Node, x: ir.Value) -> bool:
    undilated = set(attr(node, "dilations") or [1]) == {1}
    return undilated and _has_kernel(x, "AvgPool", "AvgPool3D") and _has_supported_padding(node)


def _is_block_rearrangement(node: ir.Node, x: ir.Value) -> bool:
    moves = attr(node, "mode") in (None, "DCR") and attr(node, "blocksize") > 1
    return rank_of(x) == 4 and moves and has_kernel(node.op_type, {"T": x.dtype})


IMAGES: dict[str, Callable[[ir.Node, ir.Value], bool]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "DepthToSpace": _is_block_rearrangement,
    "SpaceToDepth": _is_block_rearrangement,
}
