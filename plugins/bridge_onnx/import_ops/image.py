"""Resize in the forms that exporters write and no schema knows."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import node_attributes

ops = OpTable()

MODE = "coordinate_transformation_mode"
HALF_A_PIXEL_ON = {"floor": "round_prefer_ceil", "round_prefer_floor": "ceil"}
"""Roundings of coordinates of tf_half_pixel_for_nn, which lie half a pixel on from those of half_pixel, and
the same of half_pixel."""


def _empty(value: ir.Value | None) -> bool:
    return shape_of(value) == [0]


def _half_a_pixel_on(node: ir.Node) -> bool:
    return attr(node, MODE) == "tf_half_pixel_for_nn"


ODD = condition(
    "an empty input or tf_half_pixel_for_nn", lambda n: _half_a_pixel_on(n) or any(map(_empty, n.inputs[1:]))
)


@ops.op("Resize", needs=(ODD,))
def resize(op, node, x, *inputs):
    """Empty roi, scales and sizes are left out; tf_half_pixel_for_nn, which ONNX Runtime takes at every
    opset, is half_pixel rounded otherwise."""
    attributes, rounding = node_attributes(node), HALF_A_PIXEL_ON.get(attr(node, "nearest_mode"))
    if _half_a_pixel_on(node):
        if attr(node, "mode") != "nearest" or rounding is None:
            return NotImplemented
        attributes |= {MODE: "half_pixel", "nearest_mode": rounding}
    return op.Resize(x, *(None if _empty(v) else v for v in inputs), **attributes)
