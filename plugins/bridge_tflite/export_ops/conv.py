"""Convolutions and transposed convolutions of two and three spatial dimensions, channels last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, held, rank_of, shape_of
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge.weightfile import Transposed
from bridge_tflite.export_ops.common import FLOAT_KERNEL, NHWC, TFLITE
from bridge_tflite.kept_weights import weight_operand

ops = OpTable()


def spatial_attribute(node: ir.Node, name: str, default: int) -> list[int]:
    return attr(node, name) or [default] * 2


def has_native_padding(node: ir.Node) -> bool:
    """True if `auto_pad` alone describes the padding of `node`, as in LiteRT."""
    alone = not {"pads", "ceil_mode", "count_include_pad"} & node.attributes.keys()
    return alone and attr(node, "auto_pad") in ("SAME_UPPER", "VALID")


NATIVE_PADDING = condition("padding LiteRT can express", has_native_padding)
IMAGE = condition("two spatial dimensions", lambda n: rank_of(n.inputs[0]) == 4)
VOLUME = condition("three spatial dimensions", lambda n: rank_of(n.inputs[0]) == 5)


@ops.op(
    f"{NHWC}::Conv", f"{TFLITE}::Conv", needs=(FLOAT_KERNEL, IMAGE, NATIVE_PADDING, constant(1, "weights"))
)
def conv(tfl, node, x, weights, bias=None):
    kernel = shape_of(weights)
    if bias is None:
        bias = np.zeros(kernel[0], np.float32)
    convolve(tfl, node, x, kernel, lambda perm: (weight_operand(tfl, weights, perm), bias))


def convolve(
    tfl: Any,
    node: ir.Node,
    x: Any,
    kernel: Sequence[int],
    operands: Callable[[Sequence[int]], tuple[Any, Any]],
) -> None:
    """Write DEPTHWISE_CONV_2D if each input channel has its own filters, else CONV_2D.

    `kernel` is the shape of the weights; `operands(perm)` returns them, their dimensions in this order, and
    the bias to write.
    """
    strides, dilations = spatial_attribute(node, "strides", 1), spatial_attribute(node, "dilations", 1)
    group = attr(node, "group") or 1
    common = {
        "padding": attr(node, "auto_pad"),
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h_factor": dilations[0],
        "dilation_w_factor": dilations[1],
        "fused_activation_function": attr(node, "activation"),
    }
    if group > 1 and kernel[1] == 1 and group == x.shape[3]:
        depth = kernel[0] // group
        tfl.DEPTHWISE_CONV_2D(x, *operands([1, 2, 3, 0]), depth_multiplier=depth, **common)
    else:
        tfl.CONV_2D(x, *operands([0, 2, 3, 1]), **common)


def conv_3d_options(
    node: ir.Node, strides: Sequence[int], dilations: Sequence[int] = (1, 1, 1)
) -> dict[str, Any]:
    """Options of CONV_3D and CONV_3D_TRANSPOSE."""
    options = {"padding": attr(node, "auto_pad"), "fused_activation_function": attr(node, "activation")}
    for axis, stride, dilation in zip("dhw", strides, dilations, strict=True):
        options |= {f"stride_{axis}": stride, f"dilation_{axis}_factor": dilation}
    return options


def to_dhwio(weights: ir.Value) -> Transposed:
    """Constant weights [A, B, D, H, W] as [D, H, W, B, A]."""
    return Transposed(held(weights), (2, 3, 4, 1, 0))


@ops.op(
    f"{NHWC}::Conv", f"{TFLITE}::Conv", needs=(FLOAT_KERNEL, VOLUME, NATIVE_PADDING, constant(1, "weights"))
)
def conv_3d(tfl, node, x, weights, bias=None):
    ones = [1, 1, 1]
    options = conv_3d_options(node, attr(node, "strides") or ones, attr(node, "dilations") or ones)
    tfl.CONV_3D(x, to_dhwio(weights), bias, **options)


@ops.op(
    f"{TFLITE}::TransposeConv",
    needs=(FLOAT_KERNEL, condition("three spatial dimensions", lambda n: len(attr(n, "strides")) == 3)),
)
def transpose_conv_3d(tfl, node, x, weights, shape, bias=None):
    tfl.CONV_3D_TRANSPOSE(shape, to_dhwio(weights), x, bias, **conv_3d_options(node, attr(node, "strides")))


@ops.op(f"{TFLITE}::TransposeConv", needs=(FLOAT_KERNEL,))
def transpose_conv(tfl, node, x, weights, shape, bias=None):
    write_transpose_conv(tfl, node, x, Transposed(held(weights), (1, 2, 3, 0)), shape, bias)


def write_transpose_conv(
    tfl: Any, node: ir.Node, x: ir.Value, weights: Any, shape: ir.Value, bias: Any
) -> None:
    strides = attr(node, "strides")
    inputs = (shape, weights, x) if bias is None else (shape, weights, x, bias)
    tfl.TRANSPOSE_CONV(
        *inputs,
        padding=attr(node, "auto_pad"),
        stride_h=strides[0],
        stride_w=strides[1],
        fused_activation_function=attr(node, "activation"),
    )
