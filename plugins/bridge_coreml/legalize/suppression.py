"""Non-maximum suppression as a loop over the boxes that are kept: Core ML's own operator chooses boxes by
their best class, and of images of one size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, lengths, scalar
from bridge.hub import attr, const, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.control import loop
from bridge_coreml.export_ops.common import I32_MAX

ops = OpTable()

INT64, FLOAT = int(ir.DataType.INT64), int(ir.DataType.FLOAT)


class Boxes(NamedTuple):
    """Edges of boxes, each [batch, 1, boxes] or [batch, classes, 1]."""

    top: Any
    left: Any
    bottom: Any
    right: Any

    def area(self, op: Any) -> Any:
        return op.Mul(op.Sub(self.bottom, self.top), op.Sub(self.right, self.left))

    def intersection(self, op: Any, other: Boxes) -> Any:
        height = op.Sub(op.Min(self.bottom, other.bottom), op.Max(self.top, other.top))
        width = op.Sub(op.Min(self.right, other.right), op.Max(self.left, other.left))
        return op.Mul(op.Max(height, 0.0), op.Max(width, 0.0))


def edges_of(op: Any, boxes: ir.Value, is_centered: bool) -> Boxes:
    """Edges of boxes [batch, boxes, 4], each [batch, 1, boxes]."""
    columns = op.Split(op.Transpose(boxes, perm=[0, 2, 1]), axis=1, num_outputs=4, _outputs=4)
    if is_centered:
        x, y, width, height = columns
        across, down = op.Div(width, 2.0), op.Div(height, 2.0)
        return Boxes(op.Sub(y, down), op.Sub(x, across), op.Add(y, down), op.Add(x, across))
    y1, x1, y2, x2 = columns
    return Boxes(op.Min(y1, y2), op.Min(x1, x2), op.Max(y1, y2), op.Max(x1, x2))


def is_bounded(node: ir.Node) -> bool:
    boxes, scores, *others = node.inputs
    return rank_of(boxes) == rank_of(scores) == 3 and bool(others) and others[0] is not None


@ops.op(
    "NonMaxSuppression", needs=(condition("boxes and scores of rank 3, and how many to keep", is_bounded),)
)
def non_max_suppression(op, node, boxes, scores, max_boxes, iou_threshold=None, score_threshold=None):
    """Every step keeps the best box of each class that is left, and drops those that overlap it."""
    edges = edges_of(op, boxes, bool(attr(node, "center_point_box")))
    remaining = scores
    if score_threshold is not None:
        is_eligible = op.Greater(scores, op.Reshape(score_threshold, op.const([])))
        remaining = op.Where(is_eligible, scores, op.const(-np.inf, scores.dtype))
        remaining.type, remaining.shape = scores.type, scores.shape
    threshold = op.const(0.0, scores.dtype)
    if iou_threshold is not None:
        threshold = op.Reshape(iou_threshold, op.const([]))
    count = scalar(op, lengths(op, scores)[2])
    most = const(max_boxes)
    limit = (
        op.Cast(op.Reshape(max_boxes, op.const([])), to=INT64)
        if most is None
        else op.const(np.array(min(int(most.item()), I32_MAX), np.int64))
    )
    steps = op.Min(limit, count)
    body = selection(op, edges, remaining, threshold, count)
    _, kept = loop(op, node, steps, [remaining], body)
    by_class = op.Transpose(kept, perm=[1, 2, 0])
    is_box = op.Cast(op.GreaterOrEqual(by_class, 0), to=int(ir.DataType.INT32))
    places = op.Transpose(op.NonZero(is_box), perm=[1, 0])
    indices = op.Unsqueeze(op.GatherND(by_class, places), [1])
    return op.Concat(op.Slice(places, [0], [2], [1]), indices, axis=1)


def selection(op: Any, edges: Boxes, scores: ir.Value, threshold: ir.Value, count: ir.Value) -> ir.Graph:
    """Body of the loop: the scores [batch, classes, boxes] of what is left become those of what is left after
    a step, which keeps the boxes of the indices [batch, classes], -1 where there is none."""
    step, going, left = (
        ir.Value(name=hub.fresh_name(op.graph, n), type=ir.TensorType(dtype), shape=shape)
        for n, dtype, shape in (
            ("step", ir.DataType.INT64, ir.Shape([])),
            ("going", ir.DataType.BOOL, ir.Shape([])),
            ("left", scores.dtype, scores.shape),
        )
    )
    name = hub.fresh_name(op.graph, "selection")
    body = ir.Graph([step, going, left], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET})
    inner = hub.Builder(body, source=op.source)
    nothing = inner.const(-np.inf, scores.dtype)
    best = inner.ArgMax(left, axis=2, keepdims=1)
    is_box = inner.Greater(inner.ReduceMax(left, [2], keepdims=1), nothing)
    is_best = inner.Equal(inner.Reshape(arange(inner, count), [1, 1, -1]), best)
    zero = inner.const(0.0, scores.dtype)
    box = Boxes(*(inner.ReduceSum(inner.Where(is_best, edge, zero), [2], keepdims=1) for edge in edges))
    shared = edges.intersection(inner, box)
    union = inner.Sub(inner.Add(edges.area(inner), box.area(inner)), shared)
    is_dropped = inner.Or(is_best, inner.Greater(inner.Div(shared, union), threshold))
    after = inner.Where(is_dropped, nothing, left)
    after.type, after.shape = left.type, left.shape
    some_left = inner.ReduceMax(inner.Cast(inner.Greater(after, nothing), to=FLOAT), keepdims=0)
    kept = inner.Squeeze(inner.Where(is_box, best, inner.const(-1, ir.DataType.INT64)), [2])
    kept.type, kept.shape = ir.TensorType(ir.DataType.INT64), ir.Shape(list(scores.shape or ())[:2])
    body.outputs.extend([inner.Greater(some_left, 0.5), after, kept])
    return body
