"""Image resizing, DEPTH_TO_SPACE, SPACE_TO_DEPTH."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import shape_of
from bridge.importing import constant, constant_ints, int64_vector, ints, to_channels_first, to_channels_last
from bridge.interpolation import ResizeAxis, nearest_index, original_coordinates, step_between
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FLOAT, INT64, check_count

ops = OpTable()


@ops.op("DEPTH_TO_SPACE")
def depth_to_space(op, node, x):
    return to_channels_last(
        op, op.DepthToSpace(to_channels_first(op, x), blocksize=node.get("blockSize", 1), mode="DCR")
    )


@ops.op("SPACE_TO_DEPTH")
def space_to_depth(op, node, x):
    return to_channels_last(op, op.SpaceToDepth(to_channels_first(op, x), blocksize=node.get("blockSize", 1)))


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
    constant_size = constant_ints(size)
    if constant_size is not None:
        return op.const(np.int64(check_count(constant_size[index])))
    return op.Squeeze(op.Slice(int64_vector(op, size), ints(index), ints(index + 1)), ints(0))


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
    sizes = op.Concat(
        op.Shape(to_channels_first(op, x), end=2), op.const(np.array(constant_ints(size), np.int64)), axis=0
    )
    if shape_of(x):
        sizes = op.const(np.array([x.shape[0], x.shape[3], *constant_ints(size)], np.int64))
    mode = _coordinate_mode(node)
    return to_channels_last(
        op,
        op.Resize(
            to_channels_first(op, x), None, None, sizes, mode="linear", coordinate_transformation_mode=mode
        ),
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
    """Gather by float32 coordinates, rounded half up with align_corners and down otherwise."""
    align, half_pixel = node.get("alignCorners", False), node.get("halfPixelCenters", False)
    for axis, length_resized in zip((1, 2), constant_ints(size), strict=True):
        length_original = node.shape(0)[axis]
        step = step_between(length_original, check_count(length_resized), align)
        resized = ResizeAxis.static(length_original, length_resized, np.float32, step=step)
        x_original = original_coordinates(resized, "tf_half_pixel_for_nn" if half_pixel else "asymmetric")
        index = nearest_index(x_original, "round_prefer_ceil" if align else "floor", length_original)
        x = op.Gather(x, index, axis=axis)
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
