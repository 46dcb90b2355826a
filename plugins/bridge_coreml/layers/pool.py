"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import images
from bridge_coreml.layers.conv import padding_attributes, pair_or_default

ops = OpTable()


POOL_TYPES = {0: "Max", 1: "Average", 2: "L2"}


@ops.op("pooling")
def pooling(op, layer, x):
    p = layer.params
    pool_type, (x, restore) = POOL_TYPES[p.type], images(op, x)
    if p.globalPooling:
        return restore(global_pool(op, x, pool_type, ints(2, 3)))
    kernel_shape, strides = (
        [int(v) for v in (p.kernelSize or [3, 3])],
        [int(v) for v in pair_or_default(p.stride)],
    )
    attributes = {"kernel_shape": kernel_shape, "strides": strides, **padding_attributes(p)}
    if pool_type == "L2":
        return restore(op.LpPool(x, p=2, **attributes))
    if pool_type == "Max":
        return restore(op.MaxPool(x, **attributes))
    return restore(op.AveragePool(x, count_include_pad=int(not p.avgPoolExcludePadding), **attributes))


def global_pool(op: hub.Builder, x: ir.Value, pool_type: str, axes: np.ndarray) -> Any:
    op_type = {"Max": "ReduceMax", "Average": "ReduceMean", "L2": "ReduceL2"}[pool_type]
    return op.node(op_type, x, axes, keepdims=1)


@ops.op("pooling3d")
def pooling_3d(op, layer, x):
    p = layer.params
    kernel_shape, strides = (
        [int(getattr(p, prefix + a)) or 1 for a in ("Depth", "Height", "Width")]
        for prefix in ("kernel", "stride")
    )
    sides = ("Front", "Top", "Left", "Back", "Bottom", "Right")
    custom = [int(getattr(p, f"customPadding{side}")) for side in sides]
    padding = {0: {"pads": custom}, 2: {"auto_pad": "SAME_UPPER"}}.get(p.paddingType, {})
    attributes = {"kernel_shape": kernel_shape, "strides": strides, **padding}
    if p.type == 0:
        return op.MaxPool(x, **attributes)
    return op.AveragePool(x, count_include_pad=int(not p.countExcludePadding), **attributes)


@ops.op("globalPooling3d")
def global_pooling_3d(op, layer, x):
    return global_pool(op, x, POOL_TYPES[layer.params.type], ints(2, 3, 4))
