"""Pools."""

from __future__ import annotations

from bridge.importing import to_channels_first, to_channels_last
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FUSED, activate
from bridge_tflite.import_ops.conv import padding, strides_and_dilations

ops = OpTable()


@ops.op("MAX_POOL_2D", "AVERAGE_POOL_2D", needs=(FUSED,))
def pool_2d(op, node, x):
    kernel, strides = (
        [node.get("filterHeight", 1), node.get("filterWidth", 1)],
        strides_and_dilations(node)[0],
    )
    pool = op.MaxPool if node.op == "MAX_POOL_2D" else op.AveragePool
    y = pool(
        to_channels_first(op, x),
        kernel_shape=kernel,
        strides=strides,
        **padding(node),
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op("L2_POOL_2D", needs=(FUSED,))
def l2_pool_2d(op, node, x):
    kernel, strides = (
        [node.get("filterHeight", 1), node.get("filterWidth", 1)],
        strides_and_dilations(node)[0],
    )
    pads = padding(node)
    y = op.AveragePool(to_channels_first(op, op.Mul(x, x)), kernel_shape=kernel, strides=strides, **pads)
    return to_channels_last(op, activate(op, node, op.Sqrt(y)))
