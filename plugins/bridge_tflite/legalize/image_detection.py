"""Non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, scalar
from bridge.hub import attr, const
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.legalize.common import INT32, INT64

ops = OpTable()

ABOVE = float(np.nextafter(np.float32(1), np.float32(2)))


@ops.op(
    "NonMaxSuppression",
    needs=(
        condition(
            "known numbers of images and classes",
            lambda n: (
                n.inputs[1].shape is not None and all(isinstance(d, int) for d in n.inputs[1].shape[:2])
            ),
        ),
    ),
)
def non_max_suppression(
    op, node, boxes, scores, max_output_boxes=None, iou_threshold=None, score_threshold=None
):
    """One NON_MAX_SUPPRESSION_V4 per class of each image, on boxes [y1, x1, y2, x2]; the results are
    concatenated.

    LiteRT suppresses from the IoU threshold on, ONNX above it: the threshold is raised to the next float32.
    """
    batches, classes, count = lengths(op, scores)
    if attr(node, "center_point_box"):
        x, y, w, h = (op.Slice(boxes, [i], [i + 1], [2]) for i in range(4))
        half_size = op.Mul(w, 0.5), op.Mul(h, 0.5)
        boxes = op.Concat(
            op.Sub(y, half_size[1]),
            op.Sub(x, half_size[0]),
            op.Add(y, half_size[1]),
            op.Add(x, half_size[0]),
            axis=2,
        )
    max_boxes = _limit(op, max_output_boxes, count)
    iou_threshold = (
        op.const(np.array(0, np.float32)) if iou_threshold is None else op.Reshape(iou_threshold, [])
    )
    score_threshold = (
        op.const(np.array(-np.inf, np.float32))
        if score_threshold is None
        else op.Reshape(score_threshold, [])
    )
    scalars = op.Add(op.Mul(iou_threshold, ABOVE), 1e-38), score_threshold
    results = []
    for batch in range(batches):
        image_boxes = op.Reshape(op.Slice(boxes, [batch], [batch + 1], [0]), [-1, 4])
        for class_index in range(classes):
            score = op.Reshape(
                op.Slice(op.Slice(scores, [batch], [batch + 1], [0]), [class_index], [class_index + 1], [1]),
                [-1],
            )
            selected, valid = op.Suppress(
                image_boxes, score, max_boxes, *scalars, _domain=TFLITE, _outputs=2, _dtype=ir.DataType.INT32
            )
            selected.shape, valid.shape = ir.Shape([None]), ir.Shape([])
            valid_boxes = op.Slice(
                op.Cast(selected, to=INT64), [0], op.Reshape(op.Cast(valid, to=INT64), [1]), [0]
            )
            rows = op.Unsqueeze(valid_boxes, [1])
            prefix = op.Add(op.Mul(rows, 0), op.const(np.array([[batch, class_index]], np.int64)))
            results.append(op.Concat(prefix, rows, axis=1))
    return op.Concat(*results, axis=0) if len(results) > 1 else results[0]


def _limit(op: Any, max_output_boxes: Any, count: Any) -> Any:
    """Maximum number of boxes per class, clamped to the number of boxes."""
    if max_output_boxes is None:
        return op.const(np.array(0, np.int32))
    constant_limit = const(max_output_boxes)
    if constant_limit is not None and isinstance(count, int):
        return op.const(np.array(min(int(constant_limit.reshape(())), count), np.int32))
    return op.Cast(op.Min(op.Reshape(max_output_boxes, []), scalar(op, count)), to=INT32)
