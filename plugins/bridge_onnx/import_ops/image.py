"""Resizing, sampling and crops in forms that exporters write and no schema knows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, shape_of
from bridge.importing import ints
from bridge.needs import condition, constant, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import MS, alike, node_attributes

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


@ops.op("ImageScaler")
def image_scaler(op, node, x):
    y = op.Mul(x, alike(op, attr(node, "scale", 1.0), x))
    bias = attr(node, "bias")
    return op.Add(y, op.const(np.array(bias, x.dtype.numpy()).reshape(-1, 1, 1))) if bias else y


@ops.op("Crop", needs=(rank(4),))
def crop(op, node, x):
    """The part between the borders, or as many rows and columns as `scale` says from the first two on."""
    left, top, right, bottom = attr(node, "border")
    height, width = attr(node, "scale") or (None, None)
    size = op.Shape(x, start=2, end=4)
    ends = op.Sub(size, ints(bottom, right)) if height is None else ints(top + height, left + width)
    return op.Slice(x, ints(top, left), ends, ints(2, 3))


GRID_MODES = {"bilinear": "linear", "bicubic": "cubic", "nearest": "nearest"}


@ops.op(MS + "GridSample")
def grid_sample(op, node, x, grid):
    return op.GridSample(
        x,
        grid,
        mode=GRID_MODES[attr(node, "mode", "bilinear")],
        padding_mode=attr(node, "padding_mode", "zeros"),
        align_corners=attr(node, "align_corners", 0),
    )


def shape_of_image(node: ir.Node) -> list[Any]:
    return list(node.inputs[0].shape or [])[2:]


def over_one(node: ir.Node) -> bool:
    return all(isinstance(n, int) and n > 1 for n in shape_of_image(node))


@ops.op(
    MS + "CropAndResize",
    needs=(rank(4), constant(3, "crop_size"), condition("images of known size over 1", over_one)),
)
def crop_and_resize(op, node, x, boxes, batch, size):
    """Samples on a grid between the corners of each box; beyond the image the extrapolation value."""
    counts = [int(n) for n in const(size)]
    selected = op.Gather(x, batch, axis=0)
    y1, x1, y2, x2 = op.Split(boxes, axis=1, num_outputs=4, _outputs=4)
    shape = op.Concat(op.Shape(boxes, start=0, end=1), ints(*counts), axis=0)
    rows = op.Expand(op.Unsqueeze(_places(op, y1, y2, counts[0]), ints(2)), shape)
    columns = op.Expand(op.Unsqueeze(_places(op, x1, x2, counts[1]), ints(1)), shape)
    mode = GRID_MODES[attr(node, "mode", "bilinear")]
    spots = [rows, columns]
    if mode == "nearest":
        spots = [_nearest(op, v, n - 1) for v, n in zip(spots, shape_of_image(node), strict=True)]
    grid = op.Concat(*(op.Unsqueeze(v, ints(3)) for v in reversed(spots)), axis=3)
    sampled = op.GridSample(
        selected, op.Sub(op.Mul(grid, 2.0), 1.0), align_corners=1, mode=mode, padding_mode="border"
    )
    inside = [op.And(op.GreaterOrEqual(v, 0.0), op.LessOrEqual(v, 1.0)) for v in (rows, columns)]
    beyond = alike(op, attr(node, "extrapolation_value", 0.0), x)
    return op.Where(op.Unsqueeze(op.And(*inside), ints(1)), sampled, beyond)


def _nearest(op: Any, places: ir.Value, steps: int) -> ir.Value:
    """The nearest of the whole steps from 0 to 1, the later of two."""
    scaled = op.Floor(op.Add(op.Mul(places, float(steps)), 0.5))
    return op.Div(scaled, float(steps))


def _places(op: Any, low: ir.Value, end: ir.Value, count: int) -> ir.Value:
    """`count` places from `low` to `end`, or the one between them."""
    if count == 1:
        return op.Mul(op.Add(low, end), 0.5)
    steps = op.const((np.arange(count, dtype=np.float32) / (count - 1))[None])
    return op.Add(low, op.Mul(op.Sub(end, low), steps))
