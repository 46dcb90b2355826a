"""Non-maximum suppression, and what turns the outputs of a detector into boxes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import constant, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FLOAT, INT32

ops = OpTable()

DOUBLE = 11


def below(value: float) -> np.ndarray:
    """The next float32 down: `x > below(t)` is `x >= t`."""
    return np.nextafter(np.float32(value), np.float32(-np.inf)).reshape(1)


def suppressed(op: Any, boxes: Any, scores: Any, most: Any, overlap: Any, least: Any) -> Any:
    """Box numbers that are kept, best first, of one class."""
    kept = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(0)), op.Unsqueeze(scores, ints(0, 1)), most, overlap, least
    )
    return op.Squeeze(op.Slice(kept, ints(2), ints(3), ints(1)), ints(1))


def filled(op: Any, values: Any, count: int) -> Any:
    """`values` with zeros behind them up to `count`."""
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
def non_max_suppression(op, node, boxes, scores, most, overlap, least, sigma=None):
    """TFLite suppresses from the threshold on, ONNX above it."""
    count = int64_vector(op, op.Reshape(most, ints(1)))
    kept = suppressed(op, boxes, scores, count, below(const(overlap).item()), op.Reshape(least, ints(1)))
    indices = op.Cast(filled(op, kept, count), to=INT32)
    number = op.Cast(op.Squeeze(op.Shape(kept), ints(0)), to=INT32)
    if node.op.endswith("V4"):
        return indices, number
    return indices, filled(op, op.Gather(scores, kept, axis=0), count), number


def decoded(op: Any, encodings: Any, anchors: Any, scales: Any) -> Any:
    """Corners of boxes given by center and size relative to their anchors, in float64 as LiteRT computes them."""
    code = op.Cast(op.Squeeze(encodings, ints(0)), to=DOUBLE)
    anchor = op.Cast(anchors, to=DOUBLE)

    def column(value: Any, i: int) -> Any:
        return op.Slice(value, ints(i), ints(i + 1), ints(1))

    corners = []
    for i in (0, 1):
        length = column(anchor, i + 2)
        center = op.Add(op.Mul(op.Div(column(code, i), scales[i]), length), column(anchor, i))
        half = op.Mul(op.Mul(op.Exp(op.Div(column(code, i + 2), scales[i + 2])), np.float64(0.5)), length)
        center, half = (op.Cast(v, to=FLOAT) for v in (center, half))
        corners.append((op.Sub(center, half), op.Add(center, half)))
    (top, bottom), (left, right) = corners
    return op.Concat(top, left, bottom, right, axis=1)


@ops.op(
    "custom::TFLite_Detection_PostProcess", needs=(condition("a batch of 1", lambda n: n.shape(0)[0] == 1),)
)
def detection_postprocess(op, node, encodings, predictions, anchors):
    options = node.custom
    scales = [np.float64(np.float32(options[f"{k}_scale"])) for k in "yxhw"]
    boxes = decoded(op, encodings, anchors, scales)
    classes = int(options["num_classes"])
    scores = op.Squeeze(predictions, ints(0))
    scores = op.Slice(scores, ints(-classes), ints(2**31 - 1), ints(1))
    overlap = np.array([options["nms_iou_threshold"]], np.float32)
    least = below(options["nms_score_threshold"])
    regular = _regular if options.get("use_regular_nms") else _fast
    return regular(op, options, boxes, scores, overlap, least)


def _fast(op: Any, options: Any, boxes: Any, scores: Any, overlap: Any, least: Any) -> tuple[Any, ...]:
    """One suppression over the best class of each box; every box kept gives its best classes."""
    most = int(options["max_detections"])
    each = min(int(options["max_classes_per_detection"]), int(options["num_classes"]))
    best, kinds = op.TopK(scores, ints(each), axis=1, _outputs=2)
    top = op.Squeeze(op.Slice(best, ints(0), ints(1), ints(1)), ints(1))
    kept = suppressed(op, boxes, top, ints(most), overlap, least)

    def rows(value: Any) -> Any:
        return filled(op, op.Reshape(op.Gather(value, kept, axis=0), ints(-1)), ints(most * each))

    flat = op.Reshape(op.Gather(boxes, kept, axis=0), ints(-1, 1, 4))
    flat = op.Reshape(op.Expand(flat, ints(1, each, 4)), ints(-1, 4))
    missing = op.Sub(ints(most * each), op.Shape(flat, start=0, end=1))
    flat = op.Pad(flat, op.Concat(ints(0), missing, axis=0), None, ints(0))
    number = op.Cast(op.Shape(kept), to=FLOAT)
    kinds = op.Cast(rows(kinds), to=FLOAT)
    return (*(op.Unsqueeze(v, ints(0)) for v in (flat, kinds, rows(best))), number)


def _regular(op: Any, options: Any, boxes: Any, scores: Any, overlap: Any, least: Any) -> tuple[Any, ...]:
    """A suppression for each class; the best of all classes together."""
    most = int(options["max_detections"])
    each = min(int(options.get("detections_per_class", 100)), most)
    turned = op.Transpose(scores, perm=[1, 0])
    found = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(0)), op.Unsqueeze(turned, ints(0)), ints(each), overlap, least
    )
    pairs = op.Slice(found, ints(1), ints(3), ints(1))
    values = op.GatherND(turned, pairs)
    count = op.Shape(values)
    padded = op.Pad(values, ints(0, most), np.float32(-np.inf))
    _, order = op.TopK(padded, ints(most), _outputs=2)
    real = op.Less(order, count)
    chosen = op.Gather(op.Pad(pairs, ints(0, 0, most, 0)), order, axis=0)
    kinds, rows = (op.Squeeze(op.Slice(chosen, ints(i), ints(i + 1), ints(1)), ints(1)) for i in (0, 1))
    zero = np.float32(0)
    boxes = op.Where(op.Unsqueeze(real, ints(1)), op.Gather(boxes, rows, axis=0), zero)
    kinds = op.Where(real, op.Cast(kinds, to=FLOAT), zero)
    best = op.Where(real, op.Gather(padded, order, axis=0), zero)
    number = op.Cast(op.Min(count, ints(most)), to=FLOAT)
    return (*(op.Unsqueeze(v, ints(0)) for v in (boxes, kinds, best)), number)
