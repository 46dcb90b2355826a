"""Resizing, crops and boxes of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.ops import OpTable
from bridge_coreml.import_ops.image import bilinear, crop_resize_of_rois, non_maximum_suppression, resize_to
from bridge_coreml.layers.common import images, lengths, need, shape_of
from bridge_coreml.layers.conv import pair_or_default

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
    factors = list(p.fractionalScalingFactor) or pair_or_default(p.scalingFactor)
    out_lens = [
        int(np.floor(s * f)) if isinstance(s, int) else op.Mul(s, int(f))
        for s, f in zip(lengths(op, x)[-2:], factors, strict=True)
    ]
    if p.mode == 0:
        return resize_to(op, x, out_lens, "nearest", "asymmetric")
    return resize_to(
        op,
        x,
        out_lens,
        "linear",
        {1: "align_corners", 2: "half_pixel"}.get(p.linearUpsampleMode, "asymmetric"),
    )


SAMPLING_MODES = {0: "STRICT_ALIGN_CORNERS", 1: "ALIGN_CORNERS", 2: "DEFAULT", 3: "OFFSET_CORNERS"}


@ops.op("resizeBilinear")
def resize_bilinear(op, layer, x):
    target_size, mode = (
        [int(v) for v in pair_or_default(layer.params.targetSize)],
        SAMPLING_MODES[layer.params.mode.samplingMethod],
    )
    is_static = x.shape is not None and all(isinstance(d, int) for d in list(x.shape)[-2:])
    if not is_static and (mode == "OFFSET_CORNERS" or (mode == "ALIGN_CORNERS" and 1 in target_size)):
        return NotImplemented
    return bilinear(op, x, mode, target_size)


class CropResizeNode:
    """Attributes of a cropResize layer, read as those of a MIL crop_resize node."""

    version = 15

    def __init__(self, params: Any) -> None:
        coordinate_modes = [
            "CORNERS_HEIGHT_FIRST",
            "CORNERS_WIDTH_FIRST",
            "CENTER_SIZE_HEIGHT_FIRST",
            "CENTER_SIZE_WIDTH_FIRST",
        ]
        height, width = pair_or_default(params.targetSize)
        self.attributes = {
            "target_height": int(height),
            "target_width": int(width),
            "normalized_coordinates": params.normalizedCoordinates,
            "spatial_scale": params.spatialScale or 1.0,
            "sampling_mode": SAMPLING_MODES[params.mode.samplingMethod],
            "box_coordinate_mode": coordinate_modes[params.boxIndicesMode.boxMode],
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


@ops.op("cropResize")
def crop_resize(op, layer, x, boxes):
    image, _ = images(op, x)
    if shape_of(image) is None:
        return NotImplemented
    return crop_resize_of_rois(op, CropResizeNode(layer.params), image, boxes)


class SuppressionNode:
    """Attributes of a NonMaximumSuppression layer, read as those of a MIL node."""

    version = 15

    def __init__(self, params: Any) -> None:
        self.attributes = {
            "max_boxes": int(params.maxBoxes),
            "score_threshold": params.scoreThreshold,
            "iou_threshold": params.iouThreshold,
            "per_class_suppression": params.perClassSuppression,
        }

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


@ops.op(
    "NonMaximumSuppression",
    needs=(need("thresholds and a number of boxes that are parameters", lambda p: p.maxBoxes > 0),),
)
def non_maximum_suppression_layer(op, layer, boxes, scores, *blobs):
    if blobs:
        return NotImplemented
    return non_maximum_suppression(op, SuppressionNode(layer.params), boxes, scores)
