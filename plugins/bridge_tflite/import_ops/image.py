"""Images resized, and blocks moved between depth and space."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import shape_of
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import (
    FLOAT,
    INT64,
    arange,
    as_int64,
    bounded,
    constant,
    first,
    ints,
    last,
    need,
    vector,
)

ops = OpTable()


@ops.op("DEPTH_TO_SPACE")
def depth_to_space(op, node, x):
    return last(op, op.DepthToSpace(first(op, x), blocksize=node.get("blockSize", 1), mode="DCR"))


@ops.op("SPACE_TO_DEPTH")
def space_to_depth(op, node, x):
    return last(op, op.SpaceToDepth(first(op, x), blocksize=node.get("blockSize", 1)))


def _mode(node: Any) -> str:
    if node.get("alignCorners", False):
        return "align_corners"
    return "half_pixel" if node.get("halfPixelCenters", False) else "asymmetric"


def _corners(op: Any, node: Any, x: Any, axis: int, wanted: Any) -> tuple[Any, Any]:
    """Where each of `wanted` places lies between the rows of `axis`: lower, upper, and how far from the lower."""
    align, half = node.get("alignCorners", False), node.get("halfPixelCenters", False)
    number = op.Cast(wanted, to=FLOAT)
    have = op.Cast(op.Squeeze(op.Shape(x, start=axis, end=axis + 1), ints(0)), to=FLOAT)
    one, half_one = np.float32(1), np.float32(0.5)
    ratio = op.Div(have, number)
    if align:
        inner = op.Div(op.Sub(have, one), op.Max(op.Sub(number, one), one))
        ratio = op.Where(op.Greater(number, one), inner, ratio)
    places = op.Cast(op.Range(np.int64(0), wanted, np.int64(1)), to=FLOAT)
    if half:
        return op.Mul(op.Add(places, half_one), ratio), have
    return op.Mul(places, ratio), have


def _length(op: Any, size: Any, place: int) -> Any:
    known = vector(size)
    if known is not None:
        return op.const(np.int64(bounded(known[place])))
    return op.Squeeze(op.Slice(as_int64(op, size), ints(place), ints(place + 1)), ints(0))


@ops.op(
    "RESIZE_BILINEAR",
    needs=(
        constant(1, "size"),
        need(
            "an input size that ONNX resizes alike",
            lambda n: n.get("alignCorners", False) or 0 not in n.tensor(0).dims,
        ),
    ),
)
def resize_bilinear(op, node, x, size):
    sizes = op.Concat(op.Shape(first(op, x), end=2), op.const(np.array(vector(size), np.int64)), axis=0)
    if shape_of(x):
        sizes = op.const(np.array([x.shape[0], x.shape[3], *vector(size)], np.int64))
    mode = _mode(node)
    return last(
        op, op.Resize(first(op, x), None, None, sizes, mode="linear", coordinate_transformation_mode=mode)
    )


@ops.op("RESIZE_BILINEAR")
def resize_bilinear_computed(op, node, x, size):
    """Rows, then columns: two are gathered and mixed."""
    for axis in (1, 2):
        places, have = _corners(op, node, x, axis, _length(op, size, axis - 1))
        if node.get("halfPixelCenters", False):
            places = op.Sub(places, np.float32(0.5))
        low = op.Max(op.Floor(places), np.float32(0))
        high = op.Min(op.Ceil(places), op.Sub(have, np.float32(1)))
        share = op.Reshape(op.Sub(places, low), ints(-1, *[1] * (3 - axis)))
        below, above = (op.Gather(x, op.Cast(p, to=INT64), axis=axis) for p in (low, high))
        x = op.Add(op.Mul(below, op.Sub(np.float32(1), share)), op.Mul(above, share))
    return x


@ops.op(
    "RESIZE_NEAREST_NEIGHBOR",
    needs=(constant(1, "size"), need("a static input", lambda n: None not in n.tensor(0).dims[1:3])),
)
def resize_nearest(op, node, x, size):
    """Rows and columns are gathered: TFLite rounds otherwise than ONNX."""
    for axis, wanted in zip((1, 2), vector(size), strict=True):
        have = node.shape(0)[axis]
        align, half = node.get("alignCorners", False), node.get("halfPixelCenters", False)
        ratio = (
            np.float32(have - 1) / np.float32(wanted - 1)
            if align and wanted > 1
            else np.float32(have) / np.float32(wanted)
        )
        place = (arange(wanted).astype(np.float32) + np.float32(0.5 if half else 0)) * ratio
        index = np.floor(place + np.float32(0.5)) if align else np.floor(place)
        x = op.Gather(x, np.clip(index, 0, have - 1).astype(np.int64), axis=axis)
    return x


@ops.op("RESIZE_NEAREST_NEIGHBOR")
def resize_nearest_computed(op, node, x, size):
    for axis in (1, 2):
        places, have = _corners(op, node, x, axis, _length(op, size, axis - 1))
        if node.get("alignCorners", False):
            places = op.Add(places, np.float32(0.5))
        index = op.Max(op.Min(op.Floor(places), op.Sub(have, np.float32(1))), np.float32(0))
        x = op.Gather(x, op.Cast(index, to=INT64), axis=axis)
    return x
