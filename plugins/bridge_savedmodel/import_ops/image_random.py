"""Random crops of images, drawn anew at every run."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, known_rank

ops = OpTable()


def uniform(op: Any, *size: int) -> Any:
    """float32 in [0, 1) of shape `size`."""
    return op.RandomUniformLike(op.const(np.zeros(size, np.float32)))


def _random_below(op: Any, limit: Any) -> Any:
    """An integer-valued float below each element of `limit`, all of them positive."""
    numbers = op.Floor(op.Mul(op.RandomUniformLike(limit), limit))
    return op.Min(numbers, op.Sub(limit, 1.0))


@ops.op(
    "RandomCrop", needs=(known_rank(), condition("a constant size", lambda n: const(n.inputs[1]) is not None))
)
def random_crop(op, node, image, size):
    slack = op.Sub(op.Shape(image, end=2), as_int64(op, size))
    begin = as_int64(op, _random_below(op, op.Cast(op.Add(slack, ints(1)), to=int(T.FLOAT))))
    return op.Slice(image, begin, op.Add(begin, as_int64(op, size)), ints(0, 1))


def _has_boxes(node: Any) -> bool:
    """False only if the model is known to receive no boxes."""
    known = const(node.inputs[1])
    return (known is None or known.size > 0) and list(node.inputs[1].shape or [])[1:2] != [0]


BOXES = condition(
    "boxes, or use_image_if_no_bounding_boxes",
    lambda n: n.get("use_image_if_no_bounding_boxes") or _has_boxes(n),
)


@ops.op("SampleDistortedBoundingBox", "SampleDistortedBoundingBoxV2", needs=(BOXES, known_rank(1)))
def sample_distorted_bounding_box(op, node, size, boxes, covered=None):
    """Draw all attempts at once and take the first whose area and overlap fit; without one the whole
    image."""
    min_covered = (
        op.const(np.array(node.get("min_object_covered", 0.1), np.float32)) if covered is None else covered
    )
    lengths = op.Cast(size, to=int(T.FLOAT))
    height, width = (op.Slice(lengths, ints(n), ints(n + 1), ints(0)) for n in (0, 1))
    fits, corner, extent = _attempts(op, node, height, width)
    begin, end = corner, op.Add(corner, extent)
    box_pixels = op.Mul(op.Reshape(boxes, ints(-1, 4)), op.Concat(height, width, height, width, axis=0))
    box_corners = op.Unsqueeze(op.Floor(box_pixels), ints(0))
    box_begin, box_end = (op.Slice(box_corners, ints(a), ints(a + 2), ints(2)) for a in (0, 2))
    overlap = op.Max(
        op.Sub(op.Min(box_end, op.Unsqueeze(end, ints(1))), op.Max(box_begin, op.Unsqueeze(begin, ints(1)))),
        0.0,
    )
    area = op.ReduceProd(op.Sub(box_end, box_begin), ints(2), keepdims=0)
    is_covered = op.GreaterOrEqual(op.ReduceProd(overlap, ints(2), keepdims=0), op.Mul(area, min_covered))
    is_covered = op.And(is_covered, op.Greater(area, 0.0))
    no_boxes = op.Equal(op.Size(boxes), op.const(np.array(0, np.int64)))
    any_covered = op.Greater(
        op.ReduceSum(op.Cast(is_covered, to=int(T.INT32)), ints(1), keepdims=0),
        op.const(np.array(0, np.int32)),
    )
    is_accepted = op.Cast(op.And(fits, op.Or(any_covered, no_boxes)), to=int(T.INT32))
    first = op.ArgMax(is_accepted, axis=0, keepdims=1)
    has_accepted = op.Cast(op.ReduceMax(is_accepted, ints(0), keepdims=1), to=int(T.BOOL))
    image_size = op.Concat(height, width, axis=0)
    corner = op.Where(
        has_accepted, op.Squeeze(op.Gather(corner, first, axis=0), ints(0)), op.Sub(image_size, image_size)
    )
    extent = op.Where(has_accepted, op.Squeeze(op.Gather(extent, first, axis=0), ints(0)), image_size)
    corners = op.Div(
        op.Concat(corner, op.Add(corner, extent), axis=0), op.Concat(image_size, image_size, axis=0)
    )
    begin = op.Concat(as_dtype(op, corner, size.dtype), op.const(np.zeros(1, size.dtype.numpy())), axis=0)
    extent = op.Concat(
        as_dtype(op, extent, size.dtype), op.const(np.full(1, -1).astype(size.dtype.numpy())), axis=0
    )
    return begin, extent, op.Reshape(corners, ints(1, 1, 4))


def _attempts(op: Any, node: Any, height: Any, width: Any) -> tuple[Any, Any, Any]:
    """Per attempt: if its area is in range, its upper left corner and its size, both as (rows, columns)."""
    count = node.get("max_attempts")
    flattest, widest = node.get("aspect_ratio_range") or (0.75, 1.33)
    smallest, largest = node.get("area_range") or (0.05, 1.0)
    ratio = op.Add(op.Mul(uniform(op, count), widest - flattest), flattest)
    image_area = op.Mul(height, width)
    min_area, max_area = op.Mul(image_area, smallest), op.Mul(image_area, largest)

    def width_of(rows: Any) -> Any:
        return op.Round(op.Mul(rows, ratio))

    rows, limit = (op.Round(op.Sqrt(op.Div(area, ratio))) for area in (min_area, max_area))
    fitting = op.Floor(op.Div(op.Add(width, 0.5 - 1e-7), ratio))
    fitting = op.Where(op.Greater(width_of(fitting), width), op.Sub(fitting, 1.0), fitting)
    limit = op.Min(op.Where(op.Greater(width_of(limit), width), fitting, limit), height)
    rows = op.Min(rows, limit)
    rows = op.Add(rows, _random_below(op, op.Add(op.Sub(limit, rows), 1.0)))
    for bound, step in ((min_area, 1.0), (max_area, -1.0)):
        area = op.Mul(rows, width_of(rows))
        is_outside = op.Less(area, bound) if step > 0 else op.Greater(area, bound)
        rows = op.Where(is_outside, op.Add(rows, step), rows)
    columns = width_of(rows)
    area = op.Mul(rows, columns)
    fits = op.And(op.GreaterOrEqual(area, min_area), op.LessOrEqual(area, max_area))
    for value, bound in ((rows, height), (columns, width)):
        fits = op.And(fits, op.And(op.Greater(value, 0.0), op.LessOrEqual(value, bound)))
    corner = [
        _random_below(op, op.Max(op.Sub(bound, value), 1.0))
        for value, bound in ((rows, height), (columns, width))
    ]
    pairs = [
        op.Concat(*(op.Unsqueeze(v, ints(1)) for v in pair), axis=1) for pair in (corner, (rows, columns))
    ]
    return fits, *pairs
