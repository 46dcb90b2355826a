"""Choosing boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, scalar
from bridge.hub import attr, const
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE

ops = OpTable()

ABOVE = float(np.nextafter(np.float32(1), np.float32(2)))
INT32 = int(ir.DataType.INT32)


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
def non_max_suppression(op, node, boxes, scores, most=None, overlap=None, threshold=None):
    """A suppression for each class of each image, its boxes as [y1, x1, y2, x2]; what they select is put together.

    LiteRT suppresses from the threshold on, ONNX above it: the threshold is the next float32.
    """
    batches, classes, count = lengths(op, scores)
    if attr(node, "center_point_box"):
        x, y, w, h = (op.Slice(boxes, [i], [i + 1], [2]) for i in range(4))
        half = op.Mul(w, 0.5), op.Mul(h, 0.5)
        boxes = op.Concat(
            op.Sub(y, half[1]), op.Sub(x, half[0]), op.Add(y, half[1]), op.Add(x, half[0]), axis=2
        )
    limit = _limit(op, most, count)
    overlap = op.const(np.array(0, np.float32)) if overlap is None else op.Reshape(overlap, [])
    threshold = op.const(np.array(-np.inf, np.float32)) if threshold is None else op.Reshape(threshold, [])
    scalars = op.Add(op.Mul(overlap, ABOVE), 1e-38), threshold
    found = []
    for batch in range(batches):
        own = op.Reshape(op.Slice(boxes, [batch], [batch + 1], [0]), [-1, 4])
        for each in range(classes):
            score = op.Reshape(
                op.Slice(op.Slice(scores, [batch], [batch + 1], [0]), [each], [each + 1], [1]), [-1]
            )
            chosen, valid = op.Suppress(
                own, score, limit, *scalars, _domain=TFLITE, _outputs=2, _dtype=ir.DataType.INT32
            )
            chosen.shape, valid.shape = ir.Shape([None]), ir.Shape([])
            kept = op.Slice(op.Cast(chosen, to=7), [0], op.Reshape(op.Cast(valid, to=7), [1]), [0])
            rows = op.Unsqueeze(kept, [1])
            place = op.Add(op.Mul(rows, 0), op.const(np.array([[batch, each]], np.int64)))
            found.append(op.Concat(place, rows, axis=1))
    return op.Concat(*found, axis=0) if len(found) > 1 else found[0]


def _limit(op: Any, most: Any, count: Any) -> Any:
    """The number of boxes a class may have: never more than there are."""
    if most is None:
        return op.const(np.array(0, np.int32))
    known = const(most)
    if known is not None and isinstance(count, int):
        return op.const(np.array(min(int(known.reshape(())), count), np.int32))
    return op.Cast(op.Min(op.Reshape(most, []), scalar(op, count)), to=INT32)
