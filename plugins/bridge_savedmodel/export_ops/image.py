"""Resizing, and the suppression of boxes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.tensorflow import DOMAIN

ops = OpTable()


@ops.op(f"{DOMAIN}::ResizeBilinear", f"{DOMAIN}::ResizeNearestNeighbor")
def resize(tf, node, x, size):
    mode = attr(node, "coordinate_transformation_mode")
    return tf.call(
        node.op_type,
        x,
        size,
        align_corners=mode == "align_corners",
        half_pixel_centers=mode == "half_pixel",
    )


def _counts_images_and_classes(node: ir.Node) -> bool:
    shape = node.inputs[1].shape if node.inputs[1] else None
    return shape is not None and all(isinstance(d, int) for d in shape[:2])


@ops.op(
    "NonMaxSuppression",
    needs=(condition("a known number of images and of classes", _counts_images_and_classes),),
)
def non_max_suppression(
    tf, node, boxes, scores, max_output_boxes=None, iou_threshold=None, score_threshold=None
):
    """Suppress boxes per class of each image and concatenate: [selected, 3] of batch, class, box."""
    api = tf.api
    batches, classes, _ = scores.shape
    corners = tf.tensor(boxes)
    count = api.shape(tf.tensor(scores), api.int64)[2]
    if attr(node, "center_point_box"):
        x, y, w, h = api.unstack(corners, axis=2)
        corners = api.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 2)
    scalar_shape = np.zeros(0, np.int32)
    limit = (
        api.constant(0, api.int64) if max_output_boxes is None else tf.Reshape(max_output_boxes, scalar_shape)
    )
    limit = api.cast(api.minimum(limit, count), api.int32)
    iou_threshold = api.constant(0.0) if iou_threshold is None else tf.Reshape(iou_threshold, scalar_shape)
    score_threshold = (
        api.constant(-np.inf, api.float32)
        if score_threshold is None
        else tf.Reshape(score_threshold, scalar_shape)
    )
    selected = []
    for batch in range(batches):
        for class_index in range(classes):
            class_scores = tf.tensor(scores)[batch, class_index]
            boxes_kept = tf.NonMaxSuppressionV3(
                corners[batch], class_scores, limit, iou_threshold, score_threshold
            )
            rows = api.cast(boxes_kept, api.int64)[:, None]
            prefix = api.zeros_like(rows) + np.array([[batch, class_index]], np.int64)
            selected.append(api.concat([prefix, rows], 1))
    return api.concat(selected, 0) if selected else api.zeros([0, 3], api.int64)
