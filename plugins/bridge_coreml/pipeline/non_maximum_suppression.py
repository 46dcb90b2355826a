"""Non-maximum suppression and thresholds of class confidences, as models of a pipeline → hub operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml.pipeline.common import Values


def suppressed(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Boxes [N, 4] of which none overlaps one of more confidence, most confident first, and their confidences
    [N, C].

    What an output of declared length is left with is zero. NonMaximumSuppression.proto: boxes are centre and
    size, and a box below the threshold is out.
    """
    held = message.nonMaximumSuppression
    given = {f.name: v for f, v in zip(message.description.input, inputs, strict=True)}
    to = ir.DataType.FLOAT
    confidence, boxes = (
        op.Cast(given[n], to=int(to))
        for n in (held.confidenceInputFeatureName, held.coordinatesInputFeatureName)
    )
    overlap, least = (
        op.Reshape(op.Cast(given[name], to=int(to)), [1])
        if name in given
        else op.const(np.array([number], np.float32))
        for name, number in (
            (held.iouThresholdInputFeatureName, held.iouThreshold),
            (held.confidenceThresholdInputFeatureName, held.confidenceThreshold),
        )
    )
    top = op.ReduceMax(confidence, [1], keepdims=1)
    own = confidence if held.pickTop.perClass else top
    out = op.Less(own, least)
    if held.pickTop.perClass:
        labels = op.ArgMax(confidence, axis=1, keepdims=1)
        count = op.Gather(op.Shape(confidence), np.array([1], np.int64))
        places = op.Unsqueeze(op.Range(np.int64(0), op.Squeeze(count, [0]), np.int64(1)), [0])
        out = op.Or(out, op.Not(op.Equal(labels, places)))
    scores = op.Unsqueeze(op.Transpose(op.Where(out, op.const(np.float32(-1)), own), perm=[1, 0]), [0])
    total = op.Gather(op.Shape(confidence), np.array([0], np.int64))
    picked = op.NonMaxSuppression(
        op.Unsqueeze(boxes, [0]), scores, total, overlap, np.array([-0.5], np.float32), center_point_box=1
    )
    kept = op.Reshape(op.Slice(picked, [2], [3], [1]), [-1])
    _, order = op.TopK(op.Reshape(op.Gather(top, kept), [-1]), op.Shape(kept), axis=0, _outputs=2)
    kept = op.Gather(kept, order)
    wanted = {f.name: [int(d) for d in f.type.multiArrayType.shape] for f in message.description.output}
    names = (held.confidenceOutputFeatureName, held.coordinatesOutputFeatureName)
    length = next((wanted[n][0] for n in names if wanted.get(n)), 0)
    return {
        name: _of_length(op, op.Gather(given[source], kept, axis=0), length)
        for name, source in zip(
            names, (held.confidenceInputFeatureName, held.coordinatesInputFeatureName), strict=True
        )
    }


def thresholded(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Confidences, and beneath them which classes are there: ClassConfidenceThresholding.proto takes all of
    them, for now."""
    row = op.Reshape(inputs[0], [1, -1])
    there = op.Expand(op.const(1, row.dtype), op.Shape(row))
    return {message.description.output[0].name: op.Concat(row, there, axis=0)}


def _of_length(op: Any, rows: ir.Value, length: int) -> ir.Value:
    """So many rows, zeros after the last; all of them without a length."""
    if not length:
        return rows
    first = op.Slice(rows, [0], [length], [0])
    there = op.Gather(op.Shape(first), np.array([0], np.int64))
    pads = op.Concat(
        np.zeros(2, np.int64), op.Sub(np.array([length], np.int64), there), np.zeros(1, np.int64), axis=0
    )
    return op.Pad(first, pads, op.const(0, rows.dtype))
