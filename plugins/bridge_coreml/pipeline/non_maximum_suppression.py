"""Non-maximum suppression and thresholds of class confidences, as models of a pipeline → hub operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge_coreml.pipeline.common import Values


def suppress_boxes(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Boxes [N, 4] without those that overlap a more confident one, by falling confidence, and their
    confidences [N, C].

    An output of declared length is padded with zeros. NonMaximumSuppression.proto: a box is center and size,
    and boxes below the threshold are dropped.
    """
    params = message.nonMaximumSuppression
    features = {f.name: v for f, v in zip(message.description.input, inputs, strict=True)}
    dtype = ir.DataType.FLOAT
    confidence, boxes = (
        op.Cast(features[n], to=int(dtype))
        for n in (params.confidenceInputFeatureName, params.coordinatesInputFeatureName)
    )
    iou_threshold, confidence_threshold = (
        op.Reshape(op.Cast(features[name], to=int(dtype)), [1])
        if name in features
        else op.const(np.array([number], np.float32))
        for name, number in (
            (params.iouThresholdInputFeatureName, params.iouThreshold),
            (params.confidenceThresholdInputFeatureName, params.confidenceThreshold),
        )
    )
    max_confidence = op.ReduceMax(confidence, [1], keepdims=1)
    scored = confidence if params.pickTop.perClass else max_confidence
    is_below = op.Less(scored, confidence_threshold)
    if params.pickTop.perClass:
        labels = op.ArgMax(confidence, axis=1, keepdims=1)
        count = op.Gather(op.Shape(confidence), np.array([1], np.int64))
        class_range = op.Unsqueeze(op.Range(np.int64(0), op.Squeeze(count, [0]), np.int64(1)), [0])
        is_below = op.Or(is_below, op.Not(op.Equal(labels, class_range)))
    scores = op.Unsqueeze(
        op.Transpose(op.Where(is_below, op.const(np.float32(-1)), scored), perm=[1, 0]), [0]
    )
    total = op.Gather(op.Shape(confidence), np.array([0], np.int64))
    selected = op.NonMaxSuppression(
        op.Unsqueeze(boxes, [0]),
        scores,
        total,
        iou_threshold,
        np.array([-0.5], np.float32),
        center_point_box=1,
    )
    kept_boxes = op.Reshape(op.Slice(selected, [2], [3], [1]), [-1])
    _, order = op.TopK(
        op.Reshape(op.Gather(max_confidence, kept_boxes), [-1]), op.Shape(kept_boxes), axis=0, _outputs=2
    )
    kept_boxes = op.Gather(kept_boxes, order)
    declared_shapes = {
        f.name: [int(d) for d in f.type.multiArrayType.shape] for f in message.description.output
    }
    names = (params.confidenceOutputFeatureName, params.coordinatesOutputFeatureName)
    length = next((declared_shapes[n][0] for n in names if declared_shapes.get(n)), 0)
    return {
        name: with_length(op, op.Gather(features[source], kept_boxes, axis=0), length)
        for name, source in zip(
            names, (params.confidenceInputFeatureName, params.coordinatesInputFeatureName), strict=True
        )
    }


def threshold_confidences(op: Any, message: Any, inputs: list[ir.Value]) -> Values:
    """Confidences and presence of classes, [2, classes]; ClassConfidenceThresholding.proto marks all as
    present."""
    row = op.Reshape(inputs[0], [1, -1])
    presence = op.Expand(op.const(1, row.dtype), op.Shape(row))
    return {message.description.output[0].name: op.Concat(row, presence, axis=0)}


def with_length(op: Any, rows: ir.Value, length: int) -> ir.Value:
    """Rows cut or zero-padded to `length`; unchanged for length 0."""
    if not length:
        return rows
    head = op.Slice(rows, [0], [length], [0])
    count = op.Gather(op.Shape(head), np.array([0], np.int64))
    pads = op.Concat(
        np.zeros(2, np.int64), op.Sub(np.array([length], np.int64), count), np.zeros(1, np.int64), axis=0
    )
    return op.Pad(head, pads, op.const(0, rows.dtype))
