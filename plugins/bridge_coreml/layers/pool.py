"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge_coreml.layers.common import images, ints
from bridge_coreml.layers.conv import pads, pair

ops = OpTable()


NAMES = {0: "Max", 1: "Average", 2: "L2"}


@ops.op("pooling")
def pooling(op, layer, x):
    p = layer.params
    kind, (x, back) = NAMES[p.type], images(op, x)
    if p.globalPooling:
        return back(_all_of(op, x, kind, ints([2, 3])))
    size, strides = [int(v) for v in (p.kernelSize or [3, 3])], [int(v) for v in pair(p.stride)]
    common = {"kernel_shape": size, "strides": strides, **pads(p)}
    if kind == "L2":
        return back(op.LpPool(x, p=2, **common))
    if kind == "Max":
        return back(op.MaxPool(x, **common))
    return back(op.AveragePool(x, count_include_pad=int(not p.avgPoolExcludePadding), **common))


def _all_of(op: hub.Builder, x: ir.Value, kind: str, axes: np.ndarray) -> Any:
    name = {"Max": "ReduceMax", "Average": "ReduceMean", "L2": "ReduceL2"}[kind]
    return op.node(name, x, axes, keepdims=1)


@ops.op("pooling3d")
def pooling_3d(op, layer, x):
    p = layer.params
    size, strides = (
        [int(getattr(p, prefix + a)) or 1 for a in ("Depth", "Height", "Width")]
        for prefix in ("kernel", "stride")
    )
    sides = ("Front", "Top", "Left", "Back", "Bottom", "Right")
    custom = [int(getattr(p, f"customPadding{side}")) for side in sides]
    padding = {0: {"pads": custom}, 2: {"auto_pad": "SAME_UPPER"}}.get(p.paddingType, {})
    common = {"kernel_shape": size, "strides": strides, **padding}
    if p.type == 0:
        return op.MaxPool(x, **common)
    return op.AveragePool(x, count_include_pad=int(not p.countExcludePadding), **common)


@ops.op("globalPooling3d")
def global_pooling_3d(op, layer, x):
    return _all_of(op, x, NAMES[layer.params.type], ints([2, 3, 4]))
