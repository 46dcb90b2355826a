"""Operators of torchvision."""

from __future__ import annotations

import numpy as np

from bridge.importing import ints, shape_tensor
from bridge.ops import OpTable

ops = OpTable()


@ops.op("torchvision::nms")
def nms(op, dets, scores, iou_threshold):
    """Indices of the selected boxes, in order of falling score."""
    boxes = op.Unsqueeze(dets, ints(0))
    rows = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, ints(0, 1)),
        shape_tensor(op, scores),
        np.array([iou_threshold], np.float32),
    )
    return op.Gather(rows, np.array(2), axis=1)


@ops.op("torchvision::roi_align")
def roi_align(op, x, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned):
    batch = op.Cast(op.Gather(rois, np.array(0), axis=1), to=7)
    boxes = op.Slice(rois, ints(1), ints(5), ints(1))
    return op.RoiAlign(
        x,
        boxes,
        batch,
        output_height=pooled_height,
        output_width=pooled_width,
        sampling_ratio=max(sampling_ratio, 0),
        spatial_scale=spatial_scale,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )
