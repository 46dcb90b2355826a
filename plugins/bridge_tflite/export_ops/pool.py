"""Pools, channels last."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, unused_output
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FLOAT_KERNEL, NHWC
from bridge_tflite.export_ops.conv import IMAGE, NATIVE_PADDING, spatial_attribute

ops = OpTable()


def write_pool(tfl: Any, node: ir.Node, x: ir.Value, operator: str) -> None:
    strides, kernel = spatial_attribute(node, "strides", 1), attr(node, "kernel_shape")
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


@ops.op(
    f"{NHWC}::MaxPool", needs=(FLOAT_KERNEL, IMAGE, NATIVE_PADDING, UNDILATED, unused_output(1, "Indices"))
)
def max_pool(tfl, node, x):
    write_pool(tfl, node, x, "MAX_POOL_2D")


@ops.op(f"{NHWC}::AveragePool", needs=(FLOAT_KERNEL, IMAGE, NATIVE_PADDING, UNDILATED))
def average_pool(tfl, node, x):
    write_pool(tfl, node, x, "AVERAGE_POOL_2D")
