"""Non-maximum suppression, and the postprocessing of detectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import constant, int64_vector, ints, select_boxes
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import DOUBLE, FLOAT, INT32

ops = OpTable()


def next_below(value: float) -> np.ndarray:
    """Next lower float32: `x > next_below(t)` is `x >= t`."""
    return np.nextafter(np.float32(value), np.float32(-np.inf)).reshape(1)


def pad_with_zeros(op: Any, values: Any, count: int) -> Any:
    """`values` padded with zeros at the end to `count`."""
    missing = op.Sub(count, op.Shape(values, start=0, end=1))
    return op.Pad(values, op.Concat(ints(0), missing, axis=0), None, ints(0))


@ops.op(
    "NON_MAX_SUPPRESSION_V4",
    "NON_MAX_SUPPRESSION_V5",
    needs=(
        constant(3, "overlap threshold"),
        condition(
            "a soft suppression of 0",
            lambda n: n.op.endswith("V4") or (n.constant(5) and not n.file.array(n.tensor(5)).any()),
        ),
    ),
)
def non_max_suppression(op, node, boxes, scores, max_output_size, iou_threshold, score_threshold, sigma=None):
    """TFLite suppresses from the threshold on, ONNX above it."""
    count = int64_vector(op, op.Reshape(max_output_size, ints(1)))
    selected = select_boxes(
        op,
        boxes,
        scores,
        count,
        next_below(const(iou_threshold).item()),
        op.Reshape(score_threshold, ints(1)),
    )
    indices = op.Cast(pad_with_zeros(op, selected, count), to=INT32)
    valid_outputs = op.Cast(op.Squeeze(op.Shape(selected), ints(0)), to=INT32)
    if node.op.endswith("V4"):
        return indices, valid_outputs
    return indices, pad_with_zeros(op, op.Gather(scores, selected, axis=0), count), valid_outputs


def decode_boxes(op: Any, encodings: Any, anchors: Any, scales: Any) -> Any:
    """Corners [n, 4] of boxes given by center and size relative to anchors, computed in float64 as in
    LiteRT."""
    code = op.Cast(op.Squeeze(encodings, ints(0)), to=DOUBLE)
    anchor = op.Cast(anchors, to=DOUBLE)

    def column(value: Any, i: int) -> Any:
        return op.Slice(value, ints(i), ints(i + 1), ints(1))

    corners = []
    for i in (0, 1):
        length = column(anchor, i + 2)
        center = op.Add(op.Mul(op.Div(column(code, i), scales[i]), length), column(anchor, i))
        half_length = op.Mul(
            op.Mul(op.Exp(op.Div(column(code, i + 2), scales[i + 2])), np.float64(0.5)), length
        )
        center, half_length = (op.Cast(v, to=FLOAT) for v in (center, half_length))
        corners.append((op.Sub(center, half_length), op.Add(center, half_length)))
    (top, bottom), (left, right) = corners
    return op.Concat(top, left, bottom, right, axis=1)


@ops.op(
    "custom::TFLite_Detection_PostProcess", needs=(condition("a batch of 1", lambda n: n.shape(0)[0] == 1),)
)
def detection_postprocess(op, node, encodings, predictions, anchors):
    options = node.custom
    scales = [np.float64(np.float32(options[f"{k}_scale"])) for k in "yxhw"]
    boxes = decode_boxes(op, encodings, anchors, scales)
    classes = int(options["num_classes"])
    scores = op.Squeeze(predictions, ints(0))
    scores = op.Slice(scores, ints(-classes), ints(2**31 - 1), ints(1))
    iou_threshold = np.array([options["nms_iou_threshold"]], np.float32)
    score_threshold = next_below(options["nms_score_threshold"])
    regular = _detect_per_class if options.get("use_regular_nms") else _detect_fast
    return regular(op, options, boxes, scores, iou_threshold, score_threshold)


def _detect_fast(
    op: Any, options: Any, boxes: Any, scores: Any, iou_threshold: Any, score_threshold: Any
) -> tuple[Any, ...]:
    """One suppression over the best class of each box; a selected box has its best classes."""
    max_detections = int(options["max_detections"])
    classes_per_box = min(int(options["max_classes_per_detection"]), int(options["num_classes"]))
    class_scores, classes = op.TopK(scores, ints(classes_per_box), axis=1, _outputs=2)
    top = op.Squeeze(op.Slice(class_scores, ints(0), ints(1), ints(1)), ints(1))
    selected = select_boxes(op, boxes, top, ints(max_detections), iou_threshold, score_threshold)

    def rows(value: Any) -> Any:
        return pad_with_zeros(
            op,
            op.Reshape(op.Gather(value, selected, axis=0), ints(-1)),
            ints(max_detections * classes_per_box),
        )

    flat = op.Reshape(op.Gather(boxes, selected, axis=0), ints(-1, 1, 4))
    flat = op.Reshape(op.Expand(flat, ints(1, classes_per_box, 4)), ints(-1, 4))
    missing = op.Sub(ints(max_detections * classes_per_box), op.Shape(flat, start=0, end=1))
    flat = op.Pad(flat, op.Concat(ints(0), missing, axis=0), None, ints(0))
    valid_outputs = op.Cast(op.Shape(selected), to=FLOAT)
    classes = op.Cast(rows(classes), to=FLOAT)
    return (*(op.Unsqueeze(v, ints(0)) for v in (flat, classes, rows(class_scores))), valid_outputs)


def _detect_per_class(
    op: Any, options: Any, boxes: Any, scores: Any, iou_threshold: Any, score_threshold: Any
) -> tuple[Any, ...]:
    """One suppression per class, then the best detections of all classes."""
    max_detections = int(options["max_detections"])
    boxes_per_class = min(int(options.get("detections_per_class", 100)), max_detections)
    class_scores = op.Transpose(scores, perm=[1, 0])
    suppressed = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(0)),
        op.Unsqueeze(class_scores, ints(0)),
        ints(boxes_per_class),
        iou_threshold,
        score_threshold,
    )
    pairs = op.Slice(suppressed, ints(1), ints(3), ints(1))
    values = op.GatherND(class_scores, pairs)
    count = op.Shape(values)
    padded = op.Pad(values, ints(0, max_detections), np.float32(-np.inf))
    _, order = op.TopK(padded, ints(max_detections), _outputs=2)
    valid = op.Less(order, count)
    selected = op.Gather(op.Pad(pairs, ints(0, 0, max_detections, 0)), order, axis=0)
    classes, rows = (op.Squeeze(op.Slice(selected, ints(i), ints(i + 1), ints(1)), ints(1)) for i in (0, 1))
    zero = np.float32(0)
    boxes = op.Where(op.Unsqueeze(valid, ints(1)), op.Gather(boxes, rows, axis=0), zero)
    classes = op.Where(valid, op.Cast(classes, to=FLOAT), zero)
    box_scores = op.Where(valid, op.Gather(padded, order, axis=0), zero)
    valid_outputs = op.Cast(op.Min(count, ints(max_detections)), to=FLOAT)
    return (*(op.Unsqueeze(v, ints(0)) for v in (boxes, classes, box_scores)), valid_outputs)
