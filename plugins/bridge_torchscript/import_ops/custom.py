"""Operators of torchvision and transformers."""

from __future__ import annotations

import numpy as np

from bridge.dims import entries, lengths, vector
from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, cast, static_shape

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


@ops.op("transformers::grouped_mm_fallback")
def grouped_mm(op, x, weight, offs):
    """Rows of each expert by its weights; `offs` holds where the rows of each end. Rows after are zero."""
    experts, _, columns = static_shape(weight, "weights")
    ends = entries(op, cast(op, offs, T.INT64), range(experts))
    parts, start = [], 0
    for index, end in enumerate(ends):
        rows = op.Slice(x, vector(op, [start]), vector(op, [end]), ints(0))
        parts.append(op.MatMul(rows, op.Gather(weight, np.array(index), axis=0)))
        start = end
    left = lengths(op, x)[0] - start
    return op.Concat(*parts, op.Expand(like(op, x), vector(op, [left, columns])), axis=0)
