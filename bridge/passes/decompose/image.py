"""Reading tensors between their elements: Resize, GridSample, RoiAlign, DeformConv."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.arrays import HubArray
from bridge.dims import arange, entries, lengths, on_last_axis, product, reshape, scalar, vector
from bridge.hub import attr, const, rank_of, shape_of
from bridge.interpolation import (
    ResizeAxis,
    Tap,
    cubic_kernel,
    cubic_taps,
    excluding_outside,
    filter_taps,
    inside,
    linear_kernel,
    linear_taps,
    nearest,
    normalize_taps,
    original_coordinates,
    within,
)
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, zero

ops = OpTable()

RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)
FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
I64 = int(ir.DataType.INT64)


def nearest_of_anything(node: ir.Node) -> bool:
    x = node.inputs[0]
    return (x is not None and x.dtype in FLOATS) or attr(node, "mode") == "nearest"


@ops.op("Resize", needs=(RANKED, condition("floats, or mode nearest", nearest_of_anything)))
def resize(op, node, x, roi=None, scales=None, sizes=None):
    """An axis at a time: the elements a sample reads, each times its weight."""
    rank = rank_of(x)
    axes = [a % rank for a in attr(node, "axes") or range(rank)]
    factors = _factors(op, node, x, axes, scales, sizes)
    if factors is None:
        return NotImplemented
    within_roi, mode = None, attr(node, "coordinate_transformation_mode")
    for index, (axis, (scale, length_resized)) in enumerate(zip(axes, factors, strict=True)):
        length_original = lengths(op, x)[axis]
        if _untouched(node, scale, length_original, length_resized):
            continue
        resized = _axis(op, scale, length_original, length_resized)
        ends = [] if roi is None else [_roi_end(op, roi, i) for i in (index, index + len(axes))]
        x_original = original_coordinates(resized, mode, ends)
        if attr(node, "antialias") and not isinstance(scale, float) and attr(node, "mode") != "nearest":
            x = _filtered(op, node, x, axis, resized, x_original)
        else:
            x = _sum_of_taps(op, x, axis, resized, _taps(node, resized, x_original))
        if mode == "tf_crop_and_resize":
            covered = np.logical_and(x_original >= 0.0, x_original <= resized.length_original - 1)
            covered = along(op, _as_value(op, covered), axis, rank)
            within_roi = covered if within_roi is None else op.And(within_roi, covered)
    outside = zero(op, x, attr(node, "extrapolation_value"))
    return op.Identity(x) if within_roi is None else op.Where(within_roi, x, outside)


def _factors(op: Any, node: ir.Node, x: ir.Value, axes: list[int], scales: Any, sizes: Any) -> list | None:
    """Scale (a float, or a one-element value) and output length (an int, or a one-element value) of each
    axis."""
    static, result = lengths(op, x), node.outputs[0].shape
    if scales is not None:
        known, factors = const(scales), []
        for i, axis in enumerate(axes):
            n = static[axis]
            scale = float(known[i]) if known is not None else op.Slice(scales, [i], [i + 1], [0])
            if known is not None and isinstance(n, int):
                length_resized: Any = math.floor(np.float32(n) * np.float32(scale))
            elif result is not None and isinstance(result[axis], int):
                length_resized = int(result[axis])
            else:
                wide = op.const(np.array([n], np.float32)) if isinstance(n, int) else op.Cast(n, to=1)
                length_resized = op.Cast(
                    op.Floor(op.Mul(wide, np.float32(scale) if known is not None else scale)), to=I64
                )
            factors.append((scale, length_resized))
        return factors
    known, policy = const(sizes), attr(node, "keep_aspect_ratio_policy")
    if policy != "stretch":
        if known is None or not all(isinstance(static[a], int) for a in axes):
            return _common_scale(op, policy, sizes, [static[a] for a in axes])
        ratios = [int(n) / static[a] for n, a in zip(known, axes, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        return [(ratio, math.floor(static[a] * ratio + 0.5)) for a in axes]
    factors = []
    for i, axis in enumerate(axes):
        length_resized = int(known[i]) if known is not None else op.Slice(sizes, [i], [i + 1], [0])
        if known is None and result is not None and isinstance(result[axis], int):
            length_resized = int(result[axis])
        n = static[axis]
        if isinstance(length_resized, int) and isinstance(n, int):
            factors.append((length_resized / n if n else 1.0, length_resized))
        else:
            both = (
                op.const(np.array([v], np.float32)) if isinstance(v, int) else op.Cast(v, to=1)
                for v in (length_resized, n)
            )
            factors.append((op.Div(*both), length_resized))
    return factors


def _common_scale(op: Any, policy: str, sizes: ir.Value, static: list[Any]) -> list:
    """One scale for all axes, the smallest or the largest of those that `sizes` ask for, known at run
    time."""
    length_original = op.Cast(vector(op, static), to=1)
    ratios = op.Div(op.Cast(sizes, to=1), length_original)
    scale = (op.ReduceMin if policy == "not_larger" else op.ReduceMax)(ratios, [0])
    length_resized = op.Cast(op.Floor(op.Add(op.Mul(length_original, scale), 0.5)), to=I64)
    return [(scale, length) for length in entries(op, length_resized, range(len(static)))]


def _untouched(node: ir.Node, scale: Any, length_original: Any, length_resized: Any) -> bool:
    crop = attr(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
    return (
        not crop
        and isinstance(scale, float)
        and scale == 1.0
        and (not isinstance(length_original, int) or length_original == length_resized)
    )


def _axis(op: Any, scale: Any, length_original: Any, length_resized: Any) -> ResizeAxis:
    """Numbers of float32, as ONNX Runtime computes: which element is the nearest hangs on it."""

    def number(value: Any) -> Any:
        return np.float32(value) if isinstance(value, (int, float)) else HubArray(op, op.Cast(value, to=1))

    if isinstance(length_resized, int):
        x_resized: Any = np.arange(length_resized, dtype=np.float32)
    else:
        x_resized = HubArray(op, op.Cast(arange(op, length_resized), to=1))
    return ResizeAxis(number(length_original), number(length_resized), x_resized, number(scale))


def _roi_end(op: Any, roi: ir.Value, index: int) -> HubArray:
    end = op.Gather(roi, np.array(index), axis=0)
    return HubArray(op, op.Cast(end, to=int(ir.DataType.FLOAT)), ir.DataType.FLOAT)


def _as_value(op: Any, array: Any) -> ir.Value:
    return array.value if isinstance(array, HubArray) else op.const(np.asarray(array))


def _taps(node: ir.Node, axis: ResizeAxis, x_original: Any) -> list[Tap]:
    """The elements that each sample reads and their weights, None for 1."""
    mode, length_original = attr(node, "mode"), axis.length_original
    if mode == "nearest":
        return [(nearest(x_original, attr(node, "nearest_mode")), None)]
    scale = min(axis.scale, 1.0) if attr(node, "antialias") else 1.0
    if mode == "linear" and scale == 1:
        taps = linear_taps(x_original)
    else:
        taps = filter_taps(x_original, *_kernel(node), scale)
    if attr(node, "exclude_outside"):
        return excluding_outside(taps, length_original)
    return normalize_taps(taps) if scale < 1 else taps


def _kernel(node: ir.Node) -> tuple[Callable[[Any], Any], int]:
    """The weight of a distance in elements, and the distance from which on it is 0."""
    if attr(node, "mode") == "linear":
        return linear_kernel, 1
    a = attr(node, "cubic_coeff_a")
    return lambda distance: cubic_kernel(distance, a), 2


def _filtered(op: Any, node: ir.Node, x: ir.Value, axis: int, resized: ResizeAxis, x_original: Any) -> Any:
    """Each sample a weighted sum of the whole axis and of its ends repeated: how far a filter reaches is
    known at run time."""
    kernel, radius = _kernel(node)
    scale = np.minimum(resized.scale, 1.0)
    reach = op.Reshape(np.ceil(radius / scale).value, [])
    length_original = HubArray(op, op.Reshape(_as_value(op, resized.length_original + 0.0 * scale), []))
    end = op.Add(length_original.value, reach)
    positions = HubArray(op, op.Range(op.Neg(reach), end, op.const(np.float32(1))))
    column = HubArray(op, op.Unsqueeze(x_original.value, [1]))
    weights = kernel(np.absolute(positions - column) * scale)
    if attr(node, "exclude_outside"):
        weights = np.where(inside(positions, length_original), weights, 0.0)
    weights = op.Div(weights.value, op.ReduceSum(weights.value, [1], keepdims=1))
    index = op.Cast(within(positions, length_original).value, to=I64)
    rows = op.Gather(x, index, axis=axis)
    columns = op.Cast(op.Transpose(weights, perm=[1, 0]), to=int(x.dtype))  # type: ignore[arg-type]
    return on_last_axis(op, rows, axis, lambda v: op.MatMul(v, columns))


def _sum_of_taps(op: Any, x: ir.Value, axis: int, resized: ResizeAxis, taps: list[Tap]) -> Any:
    total, rank = None, rank_of(x) or 0
    for position, weight in taps:
        index = _as_value(op, within(position, resized.length_original))
        read = op.Gather(x, op.Cast(index, to=I64), axis=axis)
        if weight is not None:
            factor = op.Cast(_as_value(op, weight), to=int(x.dtype))  # type: ignore[arg-type]
            read = op.Mul(read, along(op, factor, axis, rank))
        total = read if total is None else op.Add(total, read)
    return total


@ops.op(
    "GridSample",
    needs=(RANKED, condition("a grid of known rank", lambda n: rank_of(n.inputs[1]) is not None)),
)
def grid_sample(op, node, x, grid):
    """Every sample a weighted sum of the elements around it (ONNX operator GridSample)."""
    sizes, count = lengths(op, x), rank_of(x) - 2
    points, mode, padding = (
        lengths(op, grid)[1:-1],
        attr(node, "mode"),
        attr(node, "padding_mode"),
    )
    axes = []
    for axis in range(count):
        g = op.Gather(grid, np.array(count - 1 - axis), axis=-1)
        size = op.Cast(scalar(op, sizes[2 + axis]), to=int(x.dtype))
        axes.append(_grid_axis(op, node, g, size, mode, padding))
    last = op.Transpose(x, perm=[0, *range(2, 2 + count), 1])
    batch = along(op, arange(op, sizes[0]), 0, 1 + len(points))
    batch = op.Expand(batch, vector(op, [sizes[0], *points]))
    total = None
    for corner in itertools.product(*axes):
        indices = [op.Unsqueeze(v, [-1]) for v in (batch, *(index for index, _ in corner))]
        read = op.GatherND(last, op.Concat(*indices, axis=-1))
        for _, weight in corner:
            read = read if weight is None else op.Mul(read, op.Unsqueeze(weight, [-1]))
        total = read if total is None else op.Add(total, read)
    return op.Transpose(total, perm=[0, 1 + count, *range(1, 1 + count)])


def _grid_axis(
    op: Any, node: ir.Node, g: ir.Value, length: ir.Value, mode: str, padding: str
) -> list[tuple[Any, Any]]:
    """Index and weight of each tap along one axis of the image."""
    corners, size = attr(node, "align_corners"), HubArray(op, length)
    x = (HubArray(op, g) + 1.0) * 0.5
    x = x * (size - 1.0) if corners else x * size - 0.5
    cubic = mode in ("cubic", "bicubic")
    x = np.rint(x) if mode == "nearest" else x
    x = x if cubic else _padded(x, size, padding, corners)
    taps: list[Tap] = [(x, None)]
    if mode != "nearest":
        taps = cubic_taps(x, -0.75) if cubic else linear_taps(x)
    index_weights = []
    for position, weight in taps:
        position = _padded(position, size, padding, corners) if cubic else position
        if padding == "zeros":
            in_image = np.logical_and(position >= 0.0, position <= size - 1.0)
            in_image = HubArray(op, op.Cast(in_image.value, to=int(g.dtype)))  # type: ignore[arg-type]
            weight = in_image if weight is None else weight * in_image
        index = op.Cast(np.rint(within(position, size)).value, to=I64)
        index_weights.append((index, None if weight is None else weight.value))
    return index_weights


def _padded(x: HubArray, size: HubArray, padding: str, corners: int) -> HubArray:
    """Coordinates brought into the image by padding_mode border or reflection."""
    if padding == "border":
        return within(x, size)
    if padding != "reflection":
        return x
    low = 0.0 if corners else -0.5
    last = size - 1.0
    span = np.maximum(last, 1.0) if corners else size
    distance = np.absolute(x - low)
    reflections = np.floor(distance / span)
    remainder = distance - reflections * span
    odd = reflections - np.floor(reflections * 0.5) * 2.0 == 1.0
    reflected = np.where(odd, span - remainder, remainder) + low
    return np.minimum(reflected, last) if corners else reflected


def bilinear(op: Any, last: ir.Value, batch: ir.Value, ys: list, xs: list, largest: bool = False) -> Any:
    """Elements of [N, H, W, C] at the taps (place, weight) of two axes, broadcast against each other: summed,
    or the largest."""
    total = None
    for (y, wy), (x, wx) in itertools.product(ys, xs):
        shape = op.Add(op.Add(op.Mul(y, 0), op.Mul(x, 0)), op.Mul(batch, 0))
        indices = [op.Unsqueeze(op.Add(v, shape), [-1]) for v in (batch, y, x)]
        read = op.Mul(op.GatherND(last, op.Concat(*indices, axis=-1)), op.Unsqueeze(op.Mul(wy, wx), [-1]))
        total = read if total is None else op.Max(total, read) if largest else op.Add(total, read)
    return total


def matrices(node: ir.Node) -> bool:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return shape is not None and len(shape) == 3 and shape[1] in (2, 3)  # type: ignore[operator]


@ops.op(
    "AffineGrid",
    needs=(condition("matrices of 2 by 3 or 3 by 4", matrices),),
)
def affine_grid(op, node, theta, size):
    """Every place of the image, from -1 to 1 along each axis, the last axis first, under the matrices of the
    batch."""
    count = theta.shape[1]
    spatial_lengths = entries(op, size, range(2, 2 + count))
    columns = []
    for axis, length in reversed(list(enumerate(spatial_lengths))):
        points = along(op, _even(op, length, theta.dtype, attr(node, "align_corners")), axis, count)
        columns.append(
            reshape(op, op.Expand(points, vector(op, spatial_lengths)), [product(op, spatial_lengths), 1])
        )
    transposed = op.Transpose(theta, perm=[0, 2, 1])
    linear, shift = (op.Slice(transposed, [a], [b], [1]) for a, b in ((0, count), (count, count + 1)))
    coordinates = op.Add(op.MatMul(op.Concat(*columns, axis=1), linear), shift)
    return reshape(op, coordinates, [lengths(op, theta)[0], *spatial_lengths, count])


def _even(op: Any, length: Any, dtype: ir.DataType, corners: int) -> ir.Value:
    """The middles of `length` equal parts of -1 to 1, or points from end to end; of these, a single one is
    the last."""
    last = length - 1
    before = op.Cast(op.Sub(scalar(op, last), arange(op, length)), to=int(dtype))
    divisor = op.Cast(op.Max(scalar(op, last if corners else length), 1), to=int(dtype))
    distance = op.Div(op.Mul(before, 2.0) if corners else op.Add(op.Mul(before, 2.0), 1.0), divisor)
    return op.Sub(1.0, distance)


@ops.op(
    "RoiAlign",
    needs=(RANKED, condition("sampling_ratio of 1 or more", lambda n: attr(n, "sampling_ratio") > 0)),
)
def roi_align(op, node, x, rois, batch):
    """The average, or the largest, of `sampling_ratio`² bilinear samples of each bin."""
    count, sizes = attr(node, "sampling_ratio"), lengths(op, x)[2:]
    bins = attr(node, "output_height"), attr(node, "output_width")
    shift = 0.5 if attr(node, "coordinate_transformation_mode") == "half_pixel" else 0.0
    scale, taps = attr(node, "spatial_scale"), []
    for axis, bin_count in enumerate(bins):
        start, end = (
            op.Sub(op.Mul(op.Slice(rois, [i], [i + 1], [1]), scale), shift) for i in (1 - axis, 3 - axis)
        )
        span = op.Sub(end, start) if shift else op.Max(op.Sub(end, start), 1.0)
        fractions = (np.arange(bin_count)[:, None] + (np.arange(count)[None] + 0.5) / count) / bin_count
        coordinates = op.Add(start, op.Mul(span, op.const(fractions.reshape(1, -1).astype(np.float32))))
        size = op.Cast(scalar(op, sizes[axis]), to=int(x.dtype))
        taps.append(
            [
                (op.Unsqueeze(p, [2 - axis]), op.Unsqueeze(w, [2 - axis]))
                for p, w in _roi_axis(op, coordinates, size)
            ]
        )
    last = op.Transpose(x, perm=[0, 2, 3, 1])
    largest = attr(node, "mode") == "max"
    samples = bilinear(op, last, reshape(op, batch, [-1, 1, 1]), *taps, largest=largest)
    channels = lengths(op, x)[1]
    split = reshape(op, samples, [lengths(op, rois)[0], bins[0], count, bins[1], count, channels])
    pooled = op.ReduceMax(split, [2, 4], keepdims=0) if largest else op.ReduceMean(split, [2, 4], keepdims=0)
    return op.Transpose(pooled, perm=[0, 3, 1, 2])


def _roi_axis(op: Any, coordinates: ir.Value, size: ir.Value) -> list[tuple[Any, Any]]:
    """Nothing more than one element outside; the edge up to there."""
    covered = op.Cast(
        op.And(op.GreaterOrEqual(coordinates, -1.0), op.LessOrEqual(coordinates, size)),
        to=int(coordinates.dtype),
    )  # type: ignore[arg-type]
    edge = op.Sub(size, 1.0)
    coordinates = op.Min(op.Max(coordinates, 0.0), edge)
    low = op.Floor(coordinates)
    fraction = op.Sub(coordinates, low)
    high = op.Min(op.Add(low, 1.0), edge)
    pairs = (low, op.Sub(1.0, fraction)), (high, fraction)
    return [(op.Cast(index, to=I64), op.Mul(weight, covered)) for index, weight in pairs]


@ops.op(
    "DeformConv",
    needs=(
        condition("images of two dimensions", lambda n: rank_of(n.inputs[0]) == 4),
        condition("static shapes", lambda n: all(v is None or shape_of(v) is not None for v in n.inputs)),
    ),
)
def deform_conv(op, node, x, weights, offset, bias=None, mask=None):
    """Windows read at their places plus offsets, times the mask, as the rows of a matrix product."""
    (n, c, h, w), (out_channels, depth, kh, kw) = shape_of(x), shape_of(weights)
    oh, ow = shape_of(offset)[2:]
    groups, group = attr(node, "offset_group"), attr(node, "group")
    strides, dilations = attr(node, "strides") or [1, 1], attr(node, "dilations") or [1, 1]
    pads = attr(node, "pads") or [0] * 4
    offsets = op.Transpose(op.Reshape(offset, [n, groups, kh * kw, 2, oh, ow]), perm=[0, 1, 3, 4, 5, 2])
    taps = []
    for axis, (size, output_length, kernel) in enumerate(((h, oh, kh), (w, ow, kw))):
        base = (
            np.arange(output_length)[:, None] * strides[axis]
            - pads[axis]
            + np.arange(kernel)[None] * dilations[axis]
        )
        base = base[:, None, :, None] if axis == 0 else base[None, :, None, :]
        base = np.broadcast_to(base, (oh, ow, kh, kw)).reshape(1, oh, ow, kh * kw).astype(np.float32)
        coordinates = op.Add(op.Gather(offsets, np.array(axis), axis=2), op.const(base[None]))
        low = op.Floor(coordinates)
        fraction = op.Sub(coordinates, low)
        pairs = (low, op.Sub(1.0, fraction)), (op.Add(low, 1.0), fraction)
        taps.append([_deform_tap(op, place, weight, size) for place, weight in pairs])
    split = op.Transpose(op.Reshape(x, [n, groups, c // groups, h, w]), perm=[0, 1, 3, 4, 2])
    batch = op.const(np.arange(n * groups).reshape(n, groups, 1, 1, 1))
    read = bilinear(op, op.Reshape(split, [n * groups, h, w, c // groups]), batch, *taps)
    if mask is not None:
        transposed = op.Transpose(op.Reshape(mask, [n, groups, kh * kw, oh, ow]), perm=[0, 1, 3, 4, 2])
        read = op.Mul(read, op.Unsqueeze(transposed, [-1]))
    columns = op.Reshape(
        op.Transpose(read, perm=[0, 2, 3, 1, 5, 4]), [n, oh * ow, group, c // group * kh * kw]
    )
    rows = op.Transpose(op.Reshape(weights, [group, out_channels // group, depth * kh * kw]), perm=[0, 2, 1])
    product = op.MatMul(op.Transpose(columns, perm=[0, 2, 1, 3]), rows)
    result = op.Reshape(op.Transpose(product, perm=[0, 1, 3, 2]), [n, out_channels, oh, ow])
    return result if bias is None else op.Add(result, along(op, bias, 1, 4))


def _deform_tap(op: Any, coordinate: ir.Value, weight: ir.Value, size: int) -> tuple[Any, Any]:
    in_image = op.Cast(
        op.And(op.GreaterOrEqual(coordinate, 0.0), op.LessOrEqual(coordinate, float(size - 1))),
        to=int(coordinate.dtype),
    )  # type: ignore[arg-type]
    return op.Cast(op.Min(op.Max(coordinate, 0.0), float(size - 1)), to=I64), op.Mul(weight, in_image)
