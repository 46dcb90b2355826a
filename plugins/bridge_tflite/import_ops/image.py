"""Image resizing, DEPTH_TO_SPACE, SPACE_TO_DEPTH."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import (
    FLOAT,
    INT64,
    arange,
    as_int64,
    check_count,
    constant,
    ints,
    to_nchw,
    to_nhwc,
    vector,
)

ops = OpTable()


@ops.op("DEPTH_TO_SPACE")
def depth_to_space(op, node, x):
    return to_nhwc(op, op.DepthToSpace(to_nchw(op, x), blocksize=node.get("blockSize", 1), mode="DCR"))


@ops.op("SPACE_TO_DEPTH")
def space_to_depth(op, node, x):
    return to_nhwc(op, op.SpaceToDepth(to_nchw(op, x), blocksize=node.get("blockSize", 1)))


def _coordinate_mode(node: Any) -> str:
    if node.get("alignCorners", False):
        return "align_corners"
    return "half_pixel" if node.get("halfPixelCenters", False) else "asymmetric"


def _source_coordinates(op: Any, node: Any, x: Any, axis: int, out_length: Any) -> tuple[Any, Any]:
    """Coordinates [out_length] along `axis` in the input, and the input length, both float32."""
    align, half_pixel = node.get("alignCorners", False), node.get("halfPixelCenters", False)
    out_float = op.Cast(out_length, to=FLOAT)
    in_length = op.Cast(op.Squeeze(op.Shape(x, start=axis, end=axis + 1), ints(0)), to=FLOAT)
    one, half_one = np.float32(1), np.float32(0.5)
    ratio = op.Div(in_length, out_float)
    if align:
        inner = op.Div(op.Sub(in_length, one), op.Max(op.Sub(out_float, one), one))
        ratio = op.Where(op.Greater(out_float, one), inner, ratio)
    positions = op.Cast(op.Range(np.int64(0), out_length, np.int64(1)), to=FLOAT)
    if half_pixel:
        return op.Mul(op.Add(positions, half_one), ratio), in_length
    return op.Mul(positions, ratio), in_length


def _output_length(op: Any, size: Any, index: int) -> Any:
    constant_size = vector(size)
    if constant_size is not None:
        return op.const(np.int64(check_count(constant_size[index])))
    return op.Squeeze(op.Slice(as_int64(op, size), ints(index), ints(index + 1)), ints(0))


@ops.op(
    "RESIZE_BILINEAR",
    needs=(
        constant(1, "size"),
        condition(
            "an input size that ONNX resizes alike",
            lambda n: n.get("alignCorners", False) or 0 not in n.tensor(0).dims,
        ),
    ),
)
def resize_bilinear(op, node, x, size):
    sizes = op.Concat(op.Shape(to_nchw(op, x), end=2), op.const(np.array(vector(size), np.int64)), axis=0)
    if shape_of(x):
        sizes = op.const(np.array([x.shape[0], x.shape[3], *vector(size)], np.int64))
    mode = _coordinate_mode(node)
    return to_nhwc(
        op, op.Resize(to_nchw(op, x), None, None, sizes, mode="linear", coordinate_transformation_mode=mode)
    )


@ops.op("RESIZE_BILINEAR")
def resize_bilinear_computed(op, node, x, size):
    """Interpolate along rows, then along columns."""
    for axis in (1, 2):
        positions, in_length = _source_coordinates(op, node, x, axis, _output_length(op, size, axis - 1))
        if node.get("halfPixelCenters", False):
            positions = op.Sub(positions, np.float32(0.5))
        low = op.Max(op.Floor(positions), np.float32(0))
        high = op.Min(op.Ceil(positions), op.Sub(in_length, np.float32(1)))
        fraction = op.Reshape(op.Sub(positions, low), ints(-1, *[1] * (3 - axis)))
        below, above = (op.Gather(x, op.Cast(p, to=INT64), axis=axis) for p in (low, high))
        x = op.Add(op.Mul(below, op.Sub(np.float32(1), fraction)), op.Mul(above, fraction))
    return x


@ops.op(
    "RESIZE_NEAREST_NEIGHBOR",
    needs=(constant(1, "size"), condition("a static input", lambda n: None not in n.tensor(0).dims[1:3])),
)
def resize_nearest(op, node, x, size):
    """Gather rows and columns: TFLite rounds half up with align_corners, and down otherwise."""
    for axis, out_length in zip((1, 2), vector(size), strict=True):
        in_length = node.shape(0)[axis]
        align, half_pixel = node.get("alignCorners", False), node.get("halfPixelCenters", False)
        ratio = (
            np.float32(in_length - 1) / np.float32(out_length - 1)
            if align and out_length > 1
            else np.float32(in_length) / np.float32(out_length)
        )
        coordinate = (arange(out_length).astype(np.float32) + np.float32(0.5 if half_pixel else 0)) * ratio
        index = np.floor(coordinate + np.float32(0.5)) if align else np.floor(coordinate)
        x = op.Gather(x, np.clip(index, 0, in_length - 1).astype(np.int64), axis=axis)
    return x


@ops.op("RESIZE_NEAREST_NEIGHBOR")
def resize_nearest_computed(op, node, x, size):
    for axis in (1, 2):
        positions, in_length = _source_coordinates(op, node, x, axis, _output_length(op, size, axis - 1))
        if node.get("alignCorners", False):
            positions = op.Add(positions, np.float32(0.5))
        index = op.Max(op.Min(op.Floor(positions), op.Sub(in_length, np.float32(1))), np.float32(0))
        x = op.Gather(x, op.Cast(index, to=INT64), axis=axis)
    return x
