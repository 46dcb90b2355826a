"""Resizing, and the suppression of boxes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, shape_of
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


def _has_static_boxes(node: ir.Node) -> bool:
    return all(shape_of(v) is not None for v in node.inputs[:2])


@ops.op("NonMaxSuppression", needs=(condition("static shapes of boxes and scores", _has_static_boxes),))
def non_max_suppression(tf, node, boxes, scores, most=None, overlap=None, threshold=None):
    """A suppression for each class of each image; what they select is put together."""
    api = tf.api
    batches, classes, count = shape_of(scores)
    corners = tf.tensor(boxes)
    if attr(node, "center_point_box"):
        x, y, w, h = api.unstack(corners, axis=2)
        corners = api.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 2)
    scalar = np.zeros(0, np.int32)
    limit = api.constant(0, api.int64) if most is None else tf.Reshape(most, scalar)
    limit = api.cast(api.minimum(limit, count), api.int32)
    overlap = api.constant(0.0) if overlap is None else tf.Reshape(overlap, scalar)
    threshold = api.constant(-np.inf, api.float32) if threshold is None else tf.Reshape(threshold, scalar)
    found = []
    for batch in range(batches):
        for each in range(classes):
            own = tf.tensor(scores)[batch, each]
            kept = tf.NonMaxSuppressionV3(corners[batch], own, limit, overlap, threshold)
            rows = api.cast(kept, api.int64)[:, None]
            place = api.zeros_like(rows) + np.array([[batch, each]], np.int64)
            found.append(api.concat([place, rows], 1))
    return api.concat(found, 0) if found else api.zeros([0, 3], api.int64)
