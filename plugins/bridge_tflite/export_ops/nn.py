"""Layers: products, convolutions, pooling, resizing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, constant, dtype, max_rank, unused_output
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import BLOCKS, FLOAT, NHWC, TFLITE, i32

ops = OpTable()

FIXED = {"align_corners": "align_corners", "half_pixel_centers": "half_pixel_centers"}

ops.same(
    domain=TFLITE,
    attributes=FIXED,
    needs=(FLOAT,),
    ResizeBilinear="RESIZE_BILINEAR",
    ResizeNearestNeighbor="RESIZE_NEAREST_NEIGHBOR",
)
ops.same(domain=TFLITE, Suppress="NON_MAX_SUPPRESSION_V4")
ops.same(
    domain=TFLITE,
    attributes={name: name for name in ("radius", "alpha", "beta", "bias")},
    needs=(FLOAT,),
    LRN="LOCAL_RESPONSE_NORMALIZATION",
)
ops.lacks("LiteRT has no kernel that decodes images", "ImageDecoder")


@ops.op(
    "MatMul",
    needs=(
        FLOAT,
        max_rank(5),
        max_rank(5, index=1),
        condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2),
        condition("non-empty operands", lambda n: all(0 not in (shape_of(v) or []) for v in n.inputs)),
    ),
)
def matmul(tfl, node, x, y):
    tfl.BATCH_MATMUL(x, y)


@ops.op(f"{TFLITE}::BatchMatMul", needs=(FLOAT,))
def batch_matmul(tfl, node, x, y):
    tfl.BATCH_MATMUL(x, y, adj_y=bool(attr(node, "adj_y", 0)))


@ops.op(f"{TFLITE}::SpaceToBatch", f"{TFLITE}::BatchToSpace")
def blocks(tfl, node, x):
    """Nothing is padded or cut off."""
    block = i32(attr(node, "block"))
    word = "SPACE_TO_BATCH_ND" if node.op_type == "SpaceToBatch" else "BATCH_TO_SPACE_ND"
    tfl.add(word, x, block, np.zeros((len(block), 2), np.int32))


@ops.op(f"{TFLITE}::FullyConnected", needs=(FLOAT,))
def fully_connected(tfl, node, x, weights, bias=None):
    tfl.FULLY_CONNECTED(
        x, weights, bias, keep_num_dims=True, fused_activation_function=attr(node, "activation")
    )


def spatial(node: ir.Node, name: str, default: int) -> list[int]:
    return attr(node, name) or [default] * 2


def padded(node: ir.Node) -> bool:
    """Whether `auto_pad` alone says how `node` is padded, as LiteRT does."""
    alone = not {"pads", "ceil_mode", "count_include_pad"} & node.attributes.keys()
    return alone and attr(node, "auto_pad") in ("SAME_UPPER", "VALID")


PADDED = condition("padding LiteRT can express", padded)
IMAGE = condition("two spatial dimensions", lambda n: rank_of(n.inputs[0]) == 4)
VOLUME = condition("three spatial dimensions", lambda n: rank_of(n.inputs[0]) == 5)


@ops.op(f"{NHWC}::Conv", f"{TFLITE}::Conv", needs=(FLOAT, IMAGE, PADDED, constant(1, "weights")))
def conv(tfl, node, x, weights, bias=None):
    kernel = const(weights)
    if bias is None:
        bias = np.zeros(kernel.shape[0], np.float32)
    convolve(tfl, node, x, kernel, lambda turned, _: (np.ascontiguousarray(turned), bias))


def convolve(
    tfl: Any,
    node: ir.Node,
    x: Any,
    kernel: np.ndarray,
    layer: Callable[[np.ndarray, int], tuple[Any, Any]],
) -> None:
    """DEPTHWISE_CONV_2D where each channel has filters of its own, else CONV_2D; `layer(turned kernel, axis of
    its output channels)` gives the weights and bias to write."""
    strides, dilations = spatial(node, "strides", 1), spatial(node, "dilations", 1)
    group = attr(node, "group") or 1
    common = {
        "padding": attr(node, "auto_pad"),
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h_factor": dilations[0],
        "dilation_w_factor": dilations[1],
        "fused_activation_function": attr(node, "activation"),
    }
    if group > 1 and kernel.shape[1] == 1 and group == x.shape[3]:
        depth = kernel.shape[0] // group
        tfl.DEPTHWISE_CONV_2D(x, *layer(kernel.transpose(1, 2, 3, 0), 3), depth_multiplier=depth, **common)
    else:
        tfl.CONV_2D(x, *layer(kernel.transpose(0, 2, 3, 1), 0), **common)


def volume(node: ir.Node, strides: Sequence[int], dilations: Sequence[int] = (1, 1, 1)) -> dict[str, Any]:
    """What the options of a convolution of three spatial dimensions say."""
    found = {"padding": attr(node, "auto_pad"), "fused_activation_function": attr(node, "activation")}
    for axis, stride, dilation in zip("dhw", strides, dilations, strict=True):
        found |= {f"stride_{axis}": stride, f"dilation_{axis}_factor": dilation}
    return found


def filters(weights: ir.Value) -> np.ndarray:
    """Constant weights with their spatial dimensions first, then the other two turned around."""
    return np.ascontiguousarray(const(weights).transpose(2, 3, 4, 1, 0))


@ops.op(f"{NHWC}::Conv", f"{TFLITE}::Conv", needs=(FLOAT, VOLUME, PADDED, constant(1, "weights")))
def conv_3d(tfl, node, x, weights, bias=None):
    ones = [1, 1, 1]
    options = volume(node, attr(node, "strides") or ones, attr(node, "dilations") or ones)
    tfl.CONV_3D(x, filters(weights), bias, **options)


@ops.op(
    f"{TFLITE}::TransposeConv",
    needs=(FLOAT, condition("three spatial dimensions", lambda n: len(attr(n, "strides")) == 3)),
)
def transpose_conv_3d(tfl, node, x, weights, shape, bias=None):
    tfl.CONV_3D_TRANSPOSE(shape, filters(weights), x, bias, **volume(node, attr(node, "strides")))


@ops.op(f"{TFLITE}::TransposeConv", needs=(FLOAT,))
def transpose_conv(tfl, node, x, weights, shape, bias=None):
    transposed(tfl, node, x, np.ascontiguousarray(const(weights).transpose(1, 2, 3, 0)), shape, bias)


def transposed(tfl: Any, node: ir.Node, x: ir.Value, weights: Any, shape: ir.Value, bias: Any) -> None:
    strides = attr(node, "strides")
    inputs = (shape, weights, x) if bias is None else (shape, weights, x, bias)
    tfl.TRANSPOSE_CONV(
        *inputs,
        padding=attr(node, "auto_pad"),
        stride_h=strides[0],
        stride_w=strides[1],
        fused_activation_function=attr(node, "activation"),
    )


@ops.op(
    "PRelu",
    needs=(
        FLOAT,
        max_rank(4),
        condition(
            "a slope of no more dimensions",
            lambda n: (rank_of(n.inputs[1]) or 0) <= (rank_of(n.inputs[0]) or 0),
        ),
    ),
)
def prelu(tfl, node, x, slope):
    tfl.PRELU(x, slopes(const(slope)) if const(slope) is not None else slope)


def slopes(array: np.ndarray) -> np.ndarray:
    """Constant slopes without their leading dimensions of one."""
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return np.ascontiguousarray(array)


def pool(tfl: Any, node: ir.Node, x: ir.Value, operator: str) -> None:
    strides, kernel = spatial(node, "strides", 1), attr(node, "kernel_shape")
    tfl.add(
        operator,
        x,
        padding=attr(node, "auto_pad"),
        stride_h=strides[0],
        stride_w=strides[1],
        filter_height=kernel[0],
        filter_width=kernel[1],
    )


UNDILATED = condition("dilations of 1", lambda n: set(attr(n, "dilations") or [1]) == {1})


@ops.op(f"{NHWC}::MaxPool", needs=(FLOAT, IMAGE, PADDED, UNDILATED, unused_output(1, "Indices")))
def max_pool(tfl, node, x):
    pool(tfl, node, x, "MAX_POOL_2D")


@ops.op(f"{NHWC}::AveragePool", needs=(FLOAT, IMAGE, PADDED, UNDILATED))
def average_pool(tfl, node, x):
    pool(tfl, node, x, "AVERAGE_POOL_2D")


@ops.op(f"{NHWC}::SpaceToDepth", needs=(dtype(*BLOCKS), IMAGE, attribute("mode", "DCR")))
def space_to_depth(tfl, node, x):
    tfl.SPACE_TO_DEPTH(x, block_size=attr(node, "blocksize"))


@ops.op(f"{NHWC}::DepthToSpace", needs=(dtype(*BLOCKS), IMAGE, attribute("mode", "DCR")))
def depth_to_space(tfl, node, x):
    tfl.DEPTH_TO_SPACE(x, block_size=attr(node, "blocksize"))
