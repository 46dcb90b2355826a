"""Resizing, cropping, colour and boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange
from bridge.hub import const, rank_of
from bridge.importing import (
    as_int64,
    int64_vector,
    ints,
    like,
    select_boxes,
    to_channels_first,
    to_channels_last,
)
from bridge.interpolation import (
    ResizeAxis,
    cubic_kernel,
    cubic_taps,
    dense,
    excluding_outside,
    linear_kernel,
    original_coordinates,
    same_elements,
    step_between,
)
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, as_scalar, known_rank, window_padding

ops = OpTable()


def transformation_mode(node: Any) -> str:
    if node.get("align_corners"):
        return "align_corners"
    return "half_pixel" if node.get("half_pixel_centers") else "asymmetric"


@ops.op("ResizeBilinear", needs=(known_rank(),))
def resize_bilinear(op, node, x, size):
    source = to_channels_first(op, x if x.dtype.is_floating_point() else op.Cast(x, to=int(T.FLOAT)))
    source = source if source.dtype == T.FLOAT else op.Cast(source, to=int(T.FLOAT))
    mode = transformation_mode(node)
    return to_channels_last(op, _resize(op, source, size, mode="linear", coordinate_transformation_mode=mode))


@ops.op("ResizeNearestNeighbor", needs=(known_rank(),))
def resize_nearest(op, node, x, size):
    """Half-pixel centers: floor after adding the half. Aligned corners: round half up. Else: floor.
    TensorFlow multiplies positions by a quotient of lengths, ONNX Runtime divides by its inverse: a Resize
    where that leads to the same elements."""
    mode, images, asked = transformation_mode(node), to_channels_first(op, x), const(size)
    lengths = list(images.shape)[2:]
    known = asked is not None and all(isinstance(n, int) for n in lengths)
    if known and mode == "asymmetric" and all(map(same_elements, lengths, asked.ravel().tolist())):
        floor = {"coordinate_transformation_mode": mode, "nearest_mode": "floor"}
        return to_channels_last(op, _resize(op, images, size, mode="nearest", **floor))
    for index, axis in enumerate((2, 3)):
        images = op.Gather(images, _nearest_elements(op, images, axis, size, index, mode), axis=axis)
    return to_channels_last(op, images)


STATIC_SIZES = condition(
    "a constant size, and images of known size",
    lambda n: (
        const(n.inputs[1]) is not None
        and all(isinstance(d, int) for d in list(n.inputs[0].shape or [None])[1:3])
    ),
)
DISTANCE_STEPS = 1024


@ops.op("ResizeBicubic", needs=(known_rank(), STATIC_SIZES))
def resize_bicubic(op, node, x, size):
    """Matrix products with the weights of rows, then of columns. TensorFlow rounds distances to 1/1024."""
    rows, columns = (
        _cubic_weights(int(in_length), int(out_length), transformation_mode(node))
        for in_length, out_length in zip(list(x.shape)[1:3], const(size).ravel(), strict=True)
    )
    source = to_channels_first(op, x if x.dtype == T.FLOAT else op.Cast(x, to=int(T.FLOAT)))
    return to_channels_last(
        op, op.MatMul(op.MatMul(op.const(rows), source), op.const(np.ascontiguousarray(columns.T)))
    )


def _cubic_weights(length_original: int, length_resized: int, mode: str) -> np.ndarray:
    """Weights [length_resized, length_original]; with half-pixel centers elements beyond the image are left
    out."""
    is_half_pixel, step = (
        mode == "half_pixel",
        step_between(length_original, length_resized, mode == "align_corners"),
    )
    axis = ResizeAxis.static(length_original, length_resized, np.float32, step=step)
    x_original = original_coordinates(axis, "half_pixel" if is_half_pixel else "asymmetric")
    low = np.floor(x_original)
    rounded = low + np.rint((x_original - low) * DISTANCE_STEPS).astype(np.float64) / DISTANCE_STEPS
    taps = cubic_taps(rounded, -0.5 if is_half_pixel else -0.75)
    taps = excluding_outside(taps, length_original) if is_half_pixel else taps
    return dense(taps, length_original).astype(np.float32)


def _resize(op: Any, x: Any, size: Any, **attributes: Any) -> Any:
    return op.Resize(x, None, None, int64_vector(op, size), axes=[2, 3], **attributes)


def step_of(op: Any, length: Any, resized: Any, aligned: bool) -> Any:
    """The distance of two new elements, in old ones, of lengths in float32."""
    step = op.Div(length, resized)
    if not aligned:
        return step
    gaps = op.Div(op.Sub(length, 1.0), op.Max(op.Sub(resized, 1.0), 1.0))
    return op.Where(op.Greater(resized, 1.0), gaps, step)


def _nearest_elements(op: Any, x: Any, axis: int, size: Any, index: int, mode: str) -> Any:
    """Element of `axis` nearest to each sample, int64, computed in float32."""
    out_length = op.Slice(int64_vector(op, size), ints(index), ints(index + 1), ints(0))
    length, resized = (
        op.Cast(n, to=int(T.FLOAT)) for n in (op.Shape(x, start=axis, end=axis + 1), out_length)
    )
    step = step_of(op, length, resized, mode == "align_corners")
    positions = op.Cast(arange(op, out_length), to=int(T.FLOAT))
    positions = op.Mul(op.Add(positions, 0.5) if mode == "half_pixel" else positions, step)
    positions = op.Floor(op.Add(positions, 0.5) if mode == "align_corners" else positions)
    return op.Cast(op.Min(positions, op.Sub(length, 1.0)), to=int(T.INT64))


CROP = condition("a constant crop size", lambda n: const(n.inputs[3]) is not None)
BILINEAR = condition("method=bilinear", lambda n: n.get("method") == "bilinear")


@ops.op("CropAndResize", needs=(known_rank(), CROP, BILINEAR))
def crop_and_resize(op, node, images, boxes, box_indices, size):
    """Samples on a grid over each box; beyond the image the extrapolation value."""
    height, width = (int(v) for v in const(size))
    source = images if images.dtype == T.FLOAT else op.Cast(images, to=int(T.FLOAT))
    selected = op.Gather(to_channels_first(op, source), as_int64(op, box_indices), axis=0)
    y1, x1, y2, x2 = op.Split(boxes, axis=1, num_outputs=4, _outputs=4)

    def coordinates(low: Any, end: Any, count: int) -> Any:
        if count == 1:
            return op.Mul(op.Add(low, end), 0.5)
        steps = op.const((np.arange(count, dtype=np.float32) / (count - 1))[None])
        return op.Add(low, op.Mul(op.Sub(end, low), steps))

    row_coordinates, column_coordinates = coordinates(y1, y2, height), coordinates(x1, x2, width)
    shape = op.Concat(op.Shape(boxes, start=0, end=1), ints(height, width), axis=0)
    rows = op.Expand(op.Unsqueeze(row_coordinates, ints(2)), shape)
    columns = op.Expand(op.Unsqueeze(column_coordinates, ints(1)), shape)
    grid = op.Concat(op.Unsqueeze(columns, ints(3)), op.Unsqueeze(rows, ints(3)), axis=3)
    sampled = op.GridSample(
        selected, op.Sub(op.Mul(grid, 2.0), 1.0), align_corners=1, mode="linear", padding_mode="border"
    )
    in_range = [
        op.And(op.GreaterOrEqual(place, 0.0), op.LessOrEqual(place, last))
        for place, last in (_places(op, images, i + 1, v) for i, v in enumerate((rows, columns)))
    ]
    is_inside = op.Unsqueeze(op.And(*in_range), ints(1))
    result = op.Where(is_inside, sampled, op.const(np.array(node.get("extrapolation_value"), np.float32)))
    result.shape = ir.Shape([None, list(images.shape)[3], height, width])
    return to_channels_last(op, result)


def _places(op: Any, images: Any, axis: int, places: Any) -> tuple[Any, Any]:
    """Places from 0 to 1 along an axis as places of elements, and that of the last element."""
    last = op.Cast(op.Sub(op.Shape(images, start=axis, end=axis + 1), ints(1)), to=int(T.FLOAT))
    return op.Mul(places, last), last


SUPPRESSIONS = ("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV3", "NonMaxSuppressionV4")


FLOATS = condition("boxes of float32", lambda n: n.inputs[0].dtype == T.FLOAT)
HARD = condition(
    "soft_nms_sigma=0",
    lambda n: len(n.inputs) < 6 or not np.any(const(n.inputs[5]) if const(n.inputs[5]) is not None else 1),
)


@ops.op(*SUPPRESSIONS, "NonMaxSuppressionV5", needs=(FLOATS, HARD))
def non_max_suppression(
    op, node, boxes, scores, max_output_size, iou_threshold=None, score_threshold=None, sigma=None
):
    if iou_threshold is None:
        iou_threshold = op.const(np.array(node.get("iou_threshold", 0.5), np.float32))
    thresholds = [None if t is None else op.Reshape(t, ints(1)) for t in (iou_threshold, score_threshold)]
    selected = select_boxes(op, boxes, scores, int64_vector(op, max_output_size), *thresholds)
    indices = op.Cast(selected, to=int(T.INT32))
    count = op.Cast(op.Size(selected), to=int(T.INT32))
    padded = indices
    if node.get("pad_to_max_output_size"):
        missing = op.Sub(int64_vector(op, max_output_size), op.Shape(selected))
        padded = op.Pad(indices, op.Concat(ints(0), missing, axis=0))
    if node.op == "NonMaxSuppressionV4":
        return padded, count
    if node.op == "NonMaxSuppressionV5":
        selected_scores = op.Gather(scores, selected, axis=0)
        if node.get("pad_to_max_output_size"):
            selected_scores = op.Pad(
                selected_scores,
                op.Concat(ints(0), op.Sub(int64_vector(op, max_output_size), op.Shape(selected)), axis=0),
            )
        return padded, selected_scores, count
    return padded


@ops.op("AdjustContrastv2", needs=(known_rank(),))
def adjust_contrast(op, node, x, factor):
    rank = rank_of(x)
    mean = op.ReduceMean(x, ints(rank - 3, rank - 2))
    return op.Add(op.Mul(op.Sub(x, mean), factor), mean)


@ops.op("RGBToHSV")
def rgb_to_hsv(op, node, x):
    r, g, b = op.Split(x, axis=-1, num_outputs=3, _outputs=3)
    value = op.Max(op.Max(r, g), b)
    chroma = op.Sub(value, op.Min(op.Min(r, g), b))
    zero = like(op, x, 0)
    saturation = op.Where(
        op.Greater(value, zero),
        op.Div(chroma, op.Where(op.Greater(value, zero), value, like(op, x, 1))),
        zero,
    )
    divisor = op.Where(op.Greater(chroma, zero), chroma, like(op, x, 1))
    red = op.Div(op.Sub(g, b), divisor)
    green = op.Add(op.Div(op.Sub(b, r), divisor), 2.0)
    blue = op.Add(op.Div(op.Sub(r, g), divisor), 4.0)
    hue = op.Div(op.Where(op.Equal(value, r), red, op.Where(op.Equal(value, g), green, blue)), 6.0)
    hue = op.Where(op.Less(hue, zero), op.Add(hue, 1.0), hue)
    return op.Concat(op.Where(op.Greater(chroma, zero), hue, zero), saturation, value, axis=-1)


@ops.op("HSVToRGB")
def hsv_to_rgb(op, node, x):
    h, s, v = op.Split(x, axis=-1, num_outputs=3, _outputs=3)
    six = op.Mul(h, 6.0)

    def channel(center: float, sign: float, offset: float) -> Any:
        distance = op.Abs(op.Sub(six, center))
        return op.Clip(op.Add(op.Mul(distance, sign), offset), like(op, x, 0), like(op, x, 1))

    colours = [channel(3.0, 1.0, -1.0), channel(2.0, -1.0, 2.0), channel(4.0, -1.0, 2.0)]
    white = op.Sub(1.0, s)
    return op.Concat(*(op.Mul(op.Add(white, op.Mul(s, c)), v) for c in colours), axis=-1)


@ops.op("AdjustHue", "AdjustSaturation")
def adjust_colours(op, node, x, amount):
    h, s, v = op.Split(rgb_to_hsv(op, node, x), axis=-1, num_outputs=3, _outputs=3)
    if node.op == "AdjustHue":
        shifted = op.Add(h, as_scalar(op, amount))
        h = op.Sub(shifted, op.Floor(shifted))
    else:
        s = op.Clip(op.Mul(s, as_scalar(op, amount)), like(op, x, 0), like(op, x, 1))
    return hsv_to_rgb(op, node, op.Concat(h, s, v, axis=-1))


@ops.op(
    "ResizeArea",
    needs=(
        known_rank(),
        STATIC_SIZES,
        condition("align_corners=False", lambda n: not n.get("align_corners")),
    ),
)
def resize_area(op, node, x, size):
    """The mean of the area that each new element covers."""
    pairs = zip(list(x.shape)[1:3], const(size).ravel(), strict=True)
    return _resample(
        op, x, *(_area_weights(int(in_length), int(out_length)) for in_length, out_length in pairs)
    )


def _resample(op: Any, x: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Matrix products with the weights of rows, then of columns."""
    source = to_channels_first(op, x if x.dtype == T.FLOAT else op.Cast(x, to=int(T.FLOAT)))
    return to_channels_last(
        op, op.MatMul(op.MatMul(op.const(rows), source), op.const(np.ascontiguousarray(columns.T)))
    )


def _area_weights(in_length: int, out_length: int) -> np.ndarray:
    """Weights [out_length, in_length] of the covered areas."""
    edges = np.arange(out_length + 1) * (in_length / out_length)
    positions = np.arange(in_length)
    covered = np.minimum(edges[1:, None], positions + 1) - np.maximum(edges[:-1, None], positions)
    return (np.maximum(covered, 0) * (out_length / in_length)).astype(np.float32)


KERNELS = {"triangle": 1.0, "keyscubic": 2.0, "lanczos1": 1.0, "lanczos3": 3.0, "lanczos5": 5.0, "box": 0.5}
CONSTANT_SCALE = condition(
    "constant scales and translations",
    lambda n: const(n.inputs[2]) is not None and const(n.inputs[3]) is not None,
)
KNOWN_KERNEL = condition("a kernel without parameters", lambda n: n.get("kernel_type") in KERNELS)


@ops.op("ScaleAndTranslate", needs=(known_rank(), STATIC_SIZES, CONSTANT_SCALE, KNOWN_KERNEL))
def scale_and_translate(op, node, x, size, scale, translation):
    """Weighted means over the support of a kernel, which widens for shrinking with antialias."""
    kernel_type, antialias = node.get("kernel_type"), node.get("antialias")
    pairs = zip(
        list(x.shape)[1:3], const(size).ravel(), const(scale).ravel(), const(translation).ravel(), strict=True
    )
    return _resample(
        op,
        x,
        *(
            _kernel_weights(int(n), int(m), float(s), float(t), kernel_type, antialias)
            for n, m, s, t in pairs
        ),
    )


def _kernel_weights(
    in_length: int, out_length: int, scale: float, translation: float, kernel_type: str, antialias: bool
) -> np.ndarray:
    """Weights [out_length, in_length], normalized per output element."""
    matrix = np.zeros((out_length, in_length), np.float64)
    inverse, radius = 1.0 / scale, KERNELS[kernel_type]
    kernel_scale = max(inverse, 1.0) if antialias else 1.0
    for index in range(out_length):
        center = (index + 0.5) * inverse - translation * inverse
        if not 0 <= center <= in_length:
            continue
        begin = max(int(np.ceil(center - kernel_scale * radius - 0.5)), 0)
        end = min(int(np.floor(center + kernel_scale * radius - 0.5)), in_length - 1)
        taps = np.arange(begin, end + 1)
        weights = _kernel_values(np.abs(taps + 0.5 - center) / kernel_scale, kernel_type, radius)
        total = weights.sum()
        if abs(total) >= 1000 * np.finfo(np.float32).tiny:
            matrix[index, taps] = weights / total
    return matrix.astype(np.float32)


def _kernel_values(distance: np.ndarray, kernel_type: str, radius: float) -> np.ndarray:
    """A kernel's value at these distances."""
    if kernel_type == "triangle":
        return linear_kernel(distance)
    if kernel_type == "box":
        return np.where(distance < 0.5, 1.0, np.where(distance == 0.5, 0.5, 0.0))
    if kernel_type == "keyscubic":
        return cubic_kernel(distance, -0.5)
    return np.where(distance > radius, 0.0, np.sinc(distance) * np.sinc(distance / radius))


PATCHES = condition(
    "images with a known number of channels", lambda n: isinstance(list(n.inputs[0].shape or [None])[-1], int)
)


NARROW = (T.UINT8, T.INT8, T.UINT16, T.INT16)
WITHIN = condition(
    "floats, or whole numbers of 16 bits or less",
    lambda n: n.inputs[0].dtype.is_floating_point() or n.inputs[0].dtype in NARROW,
)


@ops.op("ExtractImagePatches", needs=(PATCHES, known_rank(), WITHIN))
def extract_image_patches(op, node, x):
    """A convolution whose filters each select one element of the window."""
    _, height, width, _ = node.get("ksizes")
    channels, count = list(x.shape)[-1], height * width * list(x.shape)[-1]
    source = op.Cast(x, to=int(T.FLOAT)) if x.dtype in NARROW else x
    identity = np.eye(count, dtype=source.dtype.numpy()).reshape(-1, height, width, channels)
    strides, rates = node.get("strides")[1:3], node.get("rates")[1:3]
    filters = op.const(np.ascontiguousarray(identity.transpose(0, 3, 1, 2)))
    patches = to_channels_last(
        op,
        op.Conv(
            to_channels_first(op, source), filters, strides=strides, dilations=rates, **window_padding(node)
        ),
    )
    return op.Cast(patches, to=int(x.dtype)) if x.dtype in NARROW else patches


LIMITS = condition(
    "a constant total size, and a known number of boxes and classes",
    lambda n: (
        n.inputs[0].shape is not None
        and isinstance(list(n.inputs[0].shape)[2], int)
        and const(n.inputs[3]) is not None
        and const(n.inputs[2]) is not None
        and all(isinstance(d, int) for d in list(n.inputs[1].shape or [None])[1:])
    ),
)


@ops.op("CombinedNonMaxSuppression", needs=(LIMITS, FLOATS))
def combined_non_max_suppression(
    op, node, boxes, scores, max_per_class, max_total, iou_threshold, score_threshold
):
    """The best of the selected boxes of all classes, followed by zeros."""
    count, classes = list(scores.shape)[1:]
    size, per_class = int(const(max_total).reshape(())), int(const(max_per_class).reshape(()))
    size = min(size, per_class * classes) if node.get("pad_per_class") else size
    by_class = op.Transpose(scores, perm=[0, 2, 1])
    is_shared = list(boxes.shape)[2] == 1
    flat_boxes = op.Squeeze(boxes, ints(2)) if is_shared else op.Transpose(boxes, perm=[0, 2, 1, 3])
    if not is_shared:
        flat_boxes, by_class = (
            op.Reshape(flat_boxes, ints(-1, count, 4)),
            op.Reshape(by_class, ints(-1, 1, count)),
        )
    bounds = (op.Reshape(iou_threshold, ints(1)), op.Reshape(score_threshold, ints(1)))
    selected = op.NonMaxSuppression(flat_boxes, by_class, int64_vector(op, max_per_class), *bounds)
    lowest = op.Expand(op.const(np.array(-np.inf, np.float32)), op.Shape(by_class))
    table = op.Reshape(
        op.ScatterND(lowest, selected, op.GatherND(by_class, selected)), ints(-1, classes * count)
    )
    flat_boxes = flat_boxes if is_shared else op.Reshape(flat_boxes, ints(-1, classes * count, 4))
    candidates = min(size, classes * count)
    best, indices = op.TopK(table, ints(candidates), axis=1, _outputs=2)
    valid = op.Not(op.IsInf(best))
    zero = op.const(np.array(0, np.float32))
    box_indices = op.Mod(indices, ints(count)) if is_shared else indices
    selected_boxes = op.GatherND(flat_boxes, op.Unsqueeze(box_indices, ints(2)), batch_dims=1)
    selected_boxes = (
        op.Clip(selected_boxes, zero, op.const(np.array(1, np.float32)))
        if node.get("clip_boxes")
        else selected_boxes
    )
    results = [
        op.Where(op.Unsqueeze(valid, ints(2)), selected_boxes, zero),
        op.Where(valid, best, zero),
        op.Where(valid, op.Cast(op.Div(indices, ints(count)), to=int(T.FLOAT)), zero),
    ]
    if candidates < size:
        paddings = [ints(*[0] * (r + 1), size - candidates, *[0] * (r - 2)) for r in (3, 2, 2)]
        results = [op.Pad(v, e) for v, e in zip(results, paddings, strict=True)]
    return [*results, op.ReduceSum(op.Cast(valid, to=int(T.INT32)), ints(1), keepdims=0)]


TRANSFORMS = condition(
    "images of known size, and constant transforms and size",
    lambda n: (
        all(const(v) is not None for v in n.inputs[1:3])
        and all(isinstance(d, int) for d in list(n.inputs[0].shape or [None] * 4)[1:3])
        and n.inputs[0].dtype == T.FLOAT
    ),
)
CONSTANT = condition(
    "fill_mode=CONSTANT and a constant fill value",
    lambda n: n.get("fill_mode") == "CONSTANT" and all(const(v) is not None for v in n.inputs[3:]),
)


@ops.op(
    "ImageProjectiveTransformV2", "ImageProjectiveTransformV3", needs=(known_rank(), TRANSFORMS, CONSTANT)
)
def projective_transform(op, node, images, transforms, size, fill=None):
    """Sample the image at the transformed position of each new pixel; beyond the image the fill value."""
    height, width = (int(v) for v in const(size))
    rows, columns = (int(d) for d in list(images.shape)[1:3])
    table = const(transforms).astype(np.float32).reshape(-1, 8)
    y, x = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    a = table[:, :, None, None]
    scale = a[:, 6] * x + a[:, 7] * y + 1
    source_x, source_y = (
        (a[:, 0] * x + a[:, 1] * y + a[:, 2]) / scale,
        (a[:, 3] * x + a[:, 4] * y + a[:, 5]) / scale,
    )
    grid = np.stack([(2 * source_x + 1) / columns - 1, (2 * source_y + 1) / rows - 1], -1)
    fill_number = 0.0 if fill is None else float(const(fill).reshape(()))
    sampling_grid = op.Expand(
        op.const(grid.astype(np.float32)),
        op.Concat(op.Shape(images, start=0, end=1), ints(height, width, 2), axis=0),
    )
    source = (
        op.Sub(to_channels_first(op, images), fill_number) if fill_number else to_channels_first(op, images)
    )
    mode = "nearest" if node.get("interpolation") == "NEAREST" else "linear"
    if mode == "nearest":
        return NotImplemented
    sampled = op.GridSample(source, sampling_grid, mode=mode, padding_mode="zeros", align_corners=0)
    sampled.shape = ir.Shape([images.shape[0], list(images.shape)[3], height, width])
    return to_channels_last(op, op.Add(sampled, fill_number) if fill_number else sampled)
