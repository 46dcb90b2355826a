"""Resizing and sampling of images."""

from __future__ import annotations

import onnx_ir as ir

from bridge.geometry import plain_resize
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT

ops = OpTable()


SAMPLING_MODES = {
    "asymmetric": "DEFAULT",
    "align_corners": "STRICT_ALIGN_CORNERS",
    "half_pixel": "UNALIGN_CORNERS",
}


def resized(node: ir.Node) -> list[int] | None:
    """The last two lengths of the result, where the hub's Resize means what Core ML's does."""
    before, after = shape_of(node.inputs[0]), plain_resize(node)
    if before is None or after is None or len(before) not in (3, 4, 5) or before[:-2] != after[:-2]:
        return None
    return after[-2:]


def linear(node: ir.Node) -> bool:
    place = attr(node, "coordinate_transformation_mode")
    if attr(node, "mode") != "linear" or resized(node) is None:
        return False
    if place == "pytorch_half_pixel":
        return min(resized(node)) > 1
    return place in SAMPLING_MODES


def nearest(node: ir.Node) -> bool:
    return (
        attr(node, "mode") == "nearest"
        and attr(node, "coordinate_transformation_mode") == "asymmetric"
        and attr(node, "nearest_mode") == "floor"
        and resized(node) is not None
    )


@ops.op(
    "Resize",
    needs=(FLOAT, condition("linear interpolation of the last two axes, at places Core ML has", linear)),
)
def resize_bilinear(mil, node, x, *rest):
    place = attr(node, "coordinate_transformation_mode")
    mode = SAMPLING_MODES[place.removeprefix("pytorch_")]
    height, width = resized(node)
    return mil.resize_bilinear(x=x, target_size_height=height, target_size_width=width, sampling_mode=mode)


@ops.op("Resize", needs=(FLOAT, condition("the nearest element below, of the last two axes", nearest)))
def resize_nearest(mil, node, x, *rest):
    height, width = resized(node)
    return mil.resize_nearest_neighbor(x=x, target_size_height=height, target_size_width=width)


def sampled(node: ir.Node) -> bool:
    mode, padding = attr(node, "mode"), attr(node, "padding_mode")
    return rank_of(node.inputs[0]) == 4 and mode == "linear" and padding in ("zeros", "border", "reflection")


@ops.op("GridSample", needs=(FLOAT, condition("bilinear sampling of an image", sampled)))
def grid_sample(mil, node, x, grid):
    align = bool(attr(node, "align_corners"))
    padding = attr(node, "padding_mode")
    reflected = "reflection" if align else "symmetric"
    return mil.resample(
        x=x,
        coordinates=mil.cast_to(grid, "fp32"),
        sampling_mode="bilinear",
        padding_mode={"zeros": "constant", "border": "border"}.get(padding, reflected),
        padding_value=mil.like(0, x),
        coordinates_mode="normalized_minus_one_to_one",
        align_corners=align,
    )
