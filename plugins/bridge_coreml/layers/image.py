"""Resizing, crops and boxes of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.ops import OpTable
from bridge_coreml.import_ops.image import bilinear, crop_resize_of_rois, non_maximum_suppression, resized
from bridge_coreml.layers.common import images, lengths, need, shape_of
from bridge_coreml.layers.conv import pair

ops = OpTable()


@ops.op(
    "upsample",
    needs=(
        need(
            "whole factors for the nearest neighbour",
            lambda p: (
                p.mode == 1
                or not p.fractionalScalingFactor
                or all(f == int(f) for f in p.fractionalScalingFactor)
            ),
        ),
    ),
)
def upsample(op, layer, x):
    p = layer.params
    factors = list(p.fractionalScalingFactor) or pair(p.scalingFactor)
    sizes = [
        int(np.floor(s * f)) if isinstance(s, int) else op.Mul(s, int(f))
        for s, f in zip(lengths(op, x)[-2:], factors, strict=True)
    ]
    if p.mode == 0:
        return resized(op, x, sizes, "nearest", "asymmetric")
    return resized(
        op, x, sizes, "linear", {1: "align_corners", 2: "half_pixel"}.get(p.linearUpsampleMode, "asymmetric")
    )


MODES = {0: "STRICT_ALIGN_CORNERS", 1: "ALIGN_CORNERS", 2: "DEFAULT", 3: "OFFSET_CORNERS"}


@ops.op("resizeBilinear")
def resize_bilinear(op, layer, x):
    counts, mode = [int(v) for v in pair(layer.params.targetSize)], MODES[layer.params.mode.samplingMethod]
    known = x.shape is not None and all(isinstance(d, int) for d in list(x.shape)[-2:])
    if not known and (mode == "OFFSET_CORNERS" or (mode == "ALIGN_CORNERS" and 1 in counts)):
        return NotImplemented
    return bilinear(op, x, mode, counts)


class Boxes:
    """A cropResize layer as the MIL operator's handler sees a node."""

    version = 15

    def __init__(self, params: Any) -> None:
        order = [
            "CORNERS_HEIGHT_FIRST",
            "CORNERS_WIDTH_FIRST",
            "CENTER_SIZE_HEIGHT_FIRST",
            "CENTER_SIZE_WIDTH_FIRST",
        ]
        height, width = pair(params.targetSize)
        self.held = {
            "target_height": int(height),
            "target_width": int(width),
            "normalized_coordinates": params.normalizedCoordinates,
            "spatial_scale": params.spatialScale or 1.0,
            "sampling_mode": MODES[params.mode.samplingMethod],
            "box_coordinate_mode": order[params.boxIndicesMode.boxMode],
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.held.get(name, default)


@ops.op("cropResize")
def crop_resize(op, layer, x, boxes):
    flat, _ = images(op, x)
    if shape_of(flat) is None:
        return NotImplemented
    return crop_resize_of_rois(op, Boxes(layer.params), flat, boxes)


class Suppression:
    """A NonMaximumSuppression layer as the MIL operator's handler sees a node."""

    version = 15

    def __init__(self, params: Any) -> None:
        self.held = {
            "max_boxes": int(params.maxBoxes),
            "score_threshold": params.scoreThreshold,
            "iou_threshold": params.iouThreshold,
            "per_class_suppression": params.perClassSuppression,
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.held.get(name, default)


@ops.op(
    "NonMaximumSuppression",
    needs=(need("thresholds and a number of boxes that are parameters", lambda p: p.maxBoxes > 0),),
)
def suppress(op, layer, boxes, scores, *given):
    if given:
        return NotImplemented
    return non_maximum_suppression(op, Suppression(layer.params), boxes, scores)
