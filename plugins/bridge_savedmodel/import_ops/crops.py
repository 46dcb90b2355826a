"""Crops of images drawn at random, anew in every run."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const
from bridge.importing import as_dtype, as_int64, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, ranked

ops = OpTable()


def uniform(op: Any, *size: int) -> Any:
    """Numbers of [0, 1)."""
    return op.RandomUniformLike(op.const(np.zeros(size, np.float32)))


def _below(op: Any, limit: Any) -> Any:
    """A whole number under each of the `limit`, all of them above zero."""
    drawn = op.Floor(op.Mul(op.RandomUniformLike(limit), limit))
    return op.Min(drawn, op.Sub(limit, 1.0))


@ops.op(
    "RandomCrop", needs=(ranked(), condition("a constant size", lambda n: const(n.inputs[1]) is not None))
)
def random_crop(op, node, image, size):
    room = op.Sub(op.Shape(image, end=2), as_int64(op, size))
    begin = as_int64(op, _below(op, op.Cast(op.Add(room, ints(1)), to=int(T.FLOAT))))
    return op.Slice(image, begin, op.Add(begin, as_int64(op, size)), ints(0, 1))


def _boxes(node: Any) -> bool:
    given = const(node.inputs[1])
    return (given is None or given.size > 0) and list(node.inputs[1].shape or [])[1:2] != [0]


WANTED = condition(
    "boxes, or use_image_if_no_bounding_boxes",
    lambda n: n.get("use_image_if_no_bounding_boxes") or _boxes(n),
)


@ops.op("SampleDistortedBoundingBox", "SampleDistortedBoundingBoxV2", needs=(WANTED, ranked(1)))
def sample_distorted_bounding_box(op, node, size, boxes, covered=None):
    """All attempts at once, and the first of them whose area and overlap are those asked for; else the whole
    image."""
    least = (
        op.const(np.array(node.get("min_object_covered", 0.1), np.float32)) if covered is None else covered
    )
    sides = op.Cast(size, to=int(T.FLOAT))
    high, wide = (op.Slice(sides, ints(n), ints(n + 1), ints(0)) for n in (0, 1))
    fits, place, extent = _attempts(op, node, high, wide)
    begin, end = place, op.Add(place, extent)
    flat = op.Mul(op.Reshape(boxes, ints(-1, 4)), op.Concat(high, wide, high, wide, axis=0))
    own = op.Unsqueeze(op.Floor(flat), ints(0))
    low, far = (op.Slice(own, ints(a), ints(a + 2), ints(2)) for a in (0, 2))
    shared = op.Max(
        op.Sub(op.Min(far, op.Unsqueeze(end, ints(1))), op.Max(low, op.Unsqueeze(begin, ints(1)))), 0.0
    )
    area = op.ReduceProd(op.Sub(far, low), ints(2), keepdims=0)
    enough = op.GreaterOrEqual(op.ReduceProd(shared, ints(2), keepdims=0), op.Mul(area, least))
    enough = op.And(enough, op.Greater(area, 0.0))
    none = op.Equal(op.Size(boxes), op.const(np.array(0, np.int64)))
    some = op.Greater(
        op.ReduceSum(op.Cast(enough, to=int(T.INT32)), ints(1), keepdims=0), op.const(np.array(0, np.int32))
    )
    right = op.Cast(op.And(fits, op.Or(some, none)), to=int(T.INT32))
    first = op.ArgMax(right, axis=0, keepdims=1)
    found = op.Cast(op.ReduceMax(right, ints(0), keepdims=1), to=int(T.BOOL))
    whole = op.Concat(high, wide, axis=0)
    place = op.Where(found, op.Squeeze(op.Gather(place, first, axis=0), ints(0)), op.Sub(whole, whole))
    extent = op.Where(found, op.Squeeze(op.Gather(extent, first, axis=0), ints(0)), whole)
    corners = op.Div(op.Concat(place, op.Add(place, extent), axis=0), op.Concat(whole, whole, axis=0))
    begin = op.Concat(as_dtype(op, place, size.dtype), op.const(np.zeros(1, size.dtype.numpy())), axis=0)
    extent = op.Concat(
        as_dtype(op, extent, size.dtype), op.const(np.full(1, -1).astype(size.dtype.numpy())), axis=0
    )
    return begin, extent, op.Reshape(corners, ints(1, 1, 4))


def _attempts(op: Any, node: Any, high: Any, wide: Any) -> tuple[Any, Any, Any]:
    """Of every attempt whether its area is within bounds, and its upper left corner and size as rows and
    columns."""
    count = node.get("max_attempts")
    flattest, widest = node.get("aspect_ratio_range") or (0.75, 1.33)
    smallest, largest = node.get("area_range") or (0.05, 1.0)
    ratio = op.Add(op.Mul(uniform(op, count), widest - flattest), flattest)
    whole = op.Mul(high, wide)
    low, most = op.Mul(whole, smallest), op.Mul(whole, largest)

    def width(rows: Any) -> Any:
        return op.Round(op.Mul(rows, ratio))

    rows, limit = (op.Round(op.Sqrt(op.Div(area, ratio))) for area in (low, most))
    fitting = op.Floor(op.Div(op.Add(wide, 0.5 - 1e-7), ratio))
    fitting = op.Where(op.Greater(width(fitting), wide), op.Sub(fitting, 1.0), fitting)
    limit = op.Min(op.Where(op.Greater(width(limit), wide), fitting, limit), high)
    rows = op.Min(rows, limit)
    rows = op.Add(rows, _below(op, op.Add(op.Sub(limit, rows), 1.0)))
    for bound, step in ((low, 1.0), (most, -1.0)):
        area = op.Mul(rows, width(rows))
        off = op.Less(area, bound) if step > 0 else op.Greater(area, bound)
        rows = op.Where(off, op.Add(rows, step), rows)
    columns = width(rows)
    area = op.Mul(rows, columns)
    fits = op.And(op.GreaterOrEqual(area, low), op.LessOrEqual(area, most))
    for value, bound in ((rows, high), (columns, wide)):
        fits = op.And(fits, op.And(op.Greater(value, 0.0), op.LessOrEqual(value, bound)))
    corner = [
        _below(op, op.Max(op.Sub(bound, value), 1.0)) for value, bound in ((rows, high), (columns, wide))
    ]
    pairs = [
        op.Concat(*(op.Unsqueeze(v, ints(1)) for v in pair), axis=1) for pair in (corner, (rows, columns))
    ]
    return fits, *pairs
