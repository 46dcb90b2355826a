"""Resizing, cropping, and choosing boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange
from bridge.hub import const, rank_of
from bridge.importing import as_int64, int64_vector, ints, like, to_channels_first, to_channels_last
from bridge.interpolation import (
    ResizeAxis,
    cubic_kernel,
    cubic_taps,
    dense,
    excluding_outside,
    linear_kernel,
    original_coordinates,
    step_between,
)
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, ranked, scalar
from bridge_savedmodel.import_ops.nn import padding_of

ops = OpTable()


def _coordinates(node: Any) -> str:
    if node.get("align_corners"):
        return "align_corners"
    return "half_pixel" if node.get("half_pixel_centers") else "asymmetric"


@ops.op("ResizeBilinear", needs=(ranked(),))
def resize_bilinear(op, node, x, size):
    source = to_channels_first(op, x if x.dtype.is_floating_point() else op.Cast(x, to=int(T.FLOAT)))
    source = source if source.dtype == T.FLOAT else op.Cast(source, to=int(T.FLOAT))
    mode = _coordinates(node)
    return to_channels_last(op, _resize(op, source, size, mode="linear", coordinate_transformation_mode=mode))


@ops.op("ResizeNearestNeighbor", needs=(ranked(),))
def resize_nearest(op, node, x, size):
    """With half-pixel centres the place is rounded down after the half is added; with aligned corners,
    rounded half up."""
    mode = _coordinates(node)
    if mode == "half_pixel":
        return to_channels_last(op, _nearest_centres(op, to_channels_first(op, x), size))
    rounding = "round_prefer_ceil" if mode == "align_corners" else "floor"
    return to_channels_last(
        op,
        _resize(
            op,
            to_channels_first(op, x),
            size,
            mode="nearest",
            coordinate_transformation_mode=mode,
            nearest_mode=rounding,
        ),
    )


SIZES = condition(
    "a constant size, and images of known size",
    lambda n: (
        const(n.inputs[1]) is not None
        and all(isinstance(d, int) for d in list(n.inputs[0].shape or [None])[1:3])
    ),
)
STEPS = 1024


@ops.op("ResizeBicubic", needs=(ranked(), SIZES))
def resize_bicubic(op, node, x, size):
    """A product with the weights of every row, then of every column. TensorFlow rounds distances to
    1/1024."""
    rows, columns = (
        _cubic(int(length), int(asked), _coordinates(node))
        for length, asked in zip(list(x.shape)[1:3], const(size).ravel(), strict=True)
    )
    source = to_channels_first(op, x if x.dtype == T.FLOAT else op.Cast(x, to=int(T.FLOAT)))
    return to_channels_last(
        op, op.MatMul(op.MatMul(op.const(rows), source), op.const(np.ascontiguousarray(columns.T)))
    )


def _cubic(length_original: int, length_resized: int, mode: str) -> np.ndarray:
    """Weights of shape [length_resized, length_original]; those of half-pixel centres leave out what is outside."""
    half, step = mode == "half_pixel", step_between(length_original, length_resized, mode == "align_corners")
    axis = ResizeAxis.static(length_original, length_resized, np.float32, step=step)
    x_original = original_coordinates(axis, "half_pixel" if half else "asymmetric")
    low = np.floor(x_original)
    rounded = low + np.rint((x_original - low) * STEPS).astype(np.float64) / STEPS
    taps = cubic_taps(rounded, -0.5 if half else -0.75)
    taps = excluding_outside(taps, length_original) if half else taps
    return dense(taps, length_original).astype(np.float32)


def _resize(op: Any, x: Any, size: Any, **how: Any) -> Any:
    return op.Resize(x, None, None, int64_vector(op, size), axes=[2, 3], **how)


def _nearest_centres(op: Any, x: Any, size: Any) -> Any:
    """Element floor((i + 0.5) · length / asked) for each place i."""
    for index, axis in enumerate((2, 3)):
        asked = op.Slice(int64_vector(op, size), ints(index), ints(index + 1), ints(0))
        length = op.Cast(op.Shape(x, start=axis, end=axis + 1), to=int(T.FLOAT))
        places = op.Cast(arange(op, asked), to=int(T.FLOAT))
        scale = op.Div(length, op.Cast(asked, to=int(T.FLOAT)))
        at = op.Floor(op.Mul(op.Add(places, 0.5), scale))
        x = op.Gather(x, op.Cast(op.Min(at, op.Sub(length, 1.0)), to=int(T.INT64)), axis=axis)
    return x


CROP = condition("a constant crop size", lambda n: const(n.inputs[3]) is not None)
BILINEAR = condition("method=bilinear", lambda n: n.get("method") == "bilinear")
SIZED = condition(
    "images of known size over 1",
    lambda n: all(isinstance(d, int) and d > 1 for d in list(n.inputs[0].shape or [0, 0, 0])[1:3]),
)


@ops.op("CropAndResize", needs=(CROP, BILINEAR, SIZED))
def crop_and_resize(op, node, images, boxes, places, size):
    """Sampled on a grid laid into each box; outside the image is the extrapolation value."""
    high, wide = (int(v) for v in const(size))
    source = images if images.dtype == T.FLOAT else op.Cast(images, to=int(T.FLOAT))
    chosen = op.Gather(to_channels_first(op, source), as_int64(op, places), axis=0)
    y1, x1, y2, x2 = op.Split(boxes, axis=1, num_outputs=4, _outputs=4)

    def along(low: Any, end: Any, count: int) -> Any:
        if count == 1:
            return op.Mul(op.Add(low, end), 0.5)
        steps = op.const((np.arange(count, dtype=np.float32) / (count - 1))[None])
        return op.Add(low, op.Mul(op.Sub(end, low), steps))

    down, across = along(y1, y2, high), along(x1, x2, wide)
    shape = op.Concat(op.Shape(boxes, start=0, end=1), ints(high, wide), axis=0)
    rows = op.Expand(op.Unsqueeze(down, ints(2)), shape)
    columns = op.Expand(op.Unsqueeze(across, ints(1)), shape)
    grid = op.Concat(op.Unsqueeze(columns, ints(3)), op.Unsqueeze(rows, ints(3)), axis=3)
    made = op.GridSample(
        chosen, op.Sub(op.Mul(grid, 2.0), 1.0), align_corners=1, mode="linear", padding_mode="border"
    )
    inside = [op.And(op.GreaterOrEqual(v, 0.0), op.LessOrEqual(v, 1.0)) for v in (rows, columns)]
    kept = op.Unsqueeze(op.And(*inside), ints(1))
    result = op.Where(kept, made, op.const(np.array(node.get("extrapolation_value"), np.float32)))
    result.shape = ir.Shape([None, list(images.shape)[3], high, wide])
    return to_channels_last(op, result)


SUPPRESS = ("NonMaxSuppression", "NonMaxSuppressionV2", "NonMaxSuppressionV3", "NonMaxSuppressionV4")


def _chosen(op: Any, boxes: Any, scores: Any, most: Any, overlap: Any, threshold: Any) -> Any:
    """Places of the boxes kept, in int64."""
    found = op.NonMaxSuppression(
        op.Unsqueeze(boxes, ints(0)),
        op.Unsqueeze(scores, ints(0, 1)),
        int64_vector(op, most),
        None if overlap is None else op.Reshape(overlap, ints(1)),
        None if threshold is None else op.Reshape(threshold, ints(1)),
    )
    return op.Squeeze(op.Slice(found, ints(2), ints(3), ints(1)), ints(1))


FLOATS = condition("boxes of float32", lambda n: n.inputs[0].dtype == T.FLOAT)
HARD = condition(
    "soft_nms_sigma=0",
    lambda n: len(n.inputs) < 6 or not np.any(const(n.inputs[5]) if const(n.inputs[5]) is not None else 1),
)


@ops.op(*SUPPRESS, "NonMaxSuppressionV5", needs=(FLOATS, HARD))
def non_max_suppression(op, node, boxes, scores, most, overlap=None, threshold=None, sigma=None):
    overlap = op.const(np.array(node.get("iou_threshold", 0.5), np.float32)) if overlap is None else overlap
    kept = _chosen(op, boxes, scores, most, overlap, threshold)
    places = op.Cast(kept, to=int(T.INT32))
    count = op.Cast(op.Size(kept), to=int(T.INT32))
    padded = places
    if node.get("pad_to_max_output_size"):
        missing = op.Sub(int64_vector(op, most), op.Shape(kept))
        padded = op.Pad(places, op.Concat(ints(0), missing, axis=0))
    if node.op == "NonMaxSuppressionV4":
        return padded, count
    if node.op == "NonMaxSuppressionV5":
        taken = op.Gather(scores, kept, axis=0)
        if node.get("pad_to_max_output_size"):
            taken = op.Pad(taken, op.Concat(ints(0), op.Sub(int64_vector(op, most), op.Shape(kept)), axis=0))
        return padded, taken, count
    return padded


@ops.op("AdjustContrastv2", needs=(ranked(),))
def adjust_contrast(op, node, x, factor):
    rank = rank_of(x)
    mean = op.ReduceMean(x, ints(rank - 3, rank - 2))
    return op.Add(op.Mul(op.Sub(x, mean), factor), mean)


@ops.op("RGBToHSV")
def rgb_to_hsv(op, node, x):
    r, g, b = op.Split(x, axis=-1, num_outputs=3, _outputs=3)
    value = op.Max(op.Max(r, g), b)
    spread = op.Sub(value, op.Min(op.Min(r, g), b))
    zero = like(op, x, 0)
    saturation = op.Where(
        op.Greater(value, zero),
        op.Div(spread, op.Where(op.Greater(value, zero), value, like(op, x, 1))),
        zero,
    )
    safe = op.Where(op.Greater(spread, zero), spread, like(op, x, 1))
    red = op.Div(op.Sub(g, b), safe)
    green = op.Add(op.Div(op.Sub(b, r), safe), 2.0)
    blue = op.Add(op.Div(op.Sub(r, g), safe), 4.0)
    hue = op.Div(op.Where(op.Equal(value, r), red, op.Where(op.Equal(value, g), green, blue)), 6.0)
    hue = op.Where(op.Less(hue, zero), op.Add(hue, 1.0), hue)
    return op.Concat(op.Where(op.Greater(spread, zero), hue, zero), saturation, value, axis=-1)


@ops.op("HSVToRGB")
def hsv_to_rgb(op, node, x):
    h, s, v = op.Split(x, axis=-1, num_outputs=3, _outputs=3)
    six = op.Mul(h, 6.0)

    def part(away: float, sign: float, offset: float) -> Any:
        distance = op.Abs(op.Sub(six, away))
        return op.Clip(op.Add(op.Mul(distance, sign), offset), like(op, x, 0), like(op, x, 1))

    colours = [part(3.0, 1.0, -1.0), part(2.0, -1.0, 2.0), part(4.0, -1.0, 2.0)]
    rest = op.Sub(1.0, s)
    return op.Concat(*(op.Mul(op.Add(rest, op.Mul(s, c)), v) for c in colours), axis=-1)


@ops.op("AdjustHue", "AdjustSaturation")
def adjust_colours(op, node, x, amount):
    h, s, v = op.Split(rgb_to_hsv(op, node, x), axis=-1, num_outputs=3, _outputs=3)
    if node.op == "AdjustHue":
        turned = op.Add(h, scalar(op, amount))
        h = op.Sub(turned, op.Floor(turned))
    else:
        s = op.Clip(op.Mul(s, scalar(op, amount)), like(op, x, 0), like(op, x, 1))
    return hsv_to_rgb(op, node, op.Concat(h, s, v, axis=-1))


@ops.op(
    "ResizeArea",
    needs=(ranked(), SIZES, condition("align_corners=False", lambda n: not n.get("align_corners"))),
)
def resize_area(op, node, x, size):
    """The mean of what each new element covers."""
    pairs = zip(list(x.shape)[1:3], const(size).ravel(), strict=True)
    return _by_weights(op, x, *(_areas(int(length), int(asked)) for length, asked in pairs))


def _by_weights(op: Any, x: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    source = to_channels_first(op, x if x.dtype == T.FLOAT else op.Cast(x, to=int(T.FLOAT)))
    return to_channels_last(
        op, op.MatMul(op.MatMul(op.const(rows), source), op.const(np.ascontiguousarray(columns.T)))
    )


def _areas(length: int, asked: int) -> np.ndarray:
    edges = np.arange(asked + 1) * (length / asked)
    own = np.arange(length)
    covered = np.minimum(edges[1:, None], own + 1) - np.maximum(edges[:-1, None], own)
    return (np.maximum(covered, 0) * (asked / length)).astype(np.float32)


KERNELS = {"triangle": 1.0, "keyscubic": 2.0, "lanczos1": 1.0, "lanczos3": 3.0, "lanczos5": 5.0, "box": 0.5}
SCALED = condition(
    "constant scales and translations",
    lambda n: const(n.inputs[2]) is not None and const(n.inputs[3]) is not None,
)
KNOWN_KERNEL = condition("a kernel without parameters", lambda n: n.get("kernel_type") in KERNELS)


@ops.op("ScaleAndTranslate", needs=(ranked(), SIZES, SCALED, KNOWN_KERNEL))
def scale_and_translate(op, node, x, size, scale, translation):
    """Every new element weighs those within reach of a kernel, widened when shrinking."""
    kind, wide = node.get("kernel_type"), node.get("antialias")
    pairs = zip(
        list(x.shape)[1:3], const(size).ravel(), const(scale).ravel(), const(translation).ravel(), strict=True
    )
    return _by_weights(
        op, x, *(_spans(int(n), int(m), float(s), float(t), kind, wide) for n, m, s, t in pairs)
    )


def _spans(length: int, asked: int, scale: float, translation: float, kind: str, wide: bool) -> np.ndarray:
    made = np.zeros((asked, length), np.float64)
    inverse, radius = 1.0 / scale, KERNELS[kind]
    reach = max(inverse, 1.0) if wide else 1.0
    for place in range(asked):
        at = (place + 0.5) * inverse - translation * inverse
        if not 0 <= at <= length:
            continue
        begin = max(int(np.ceil(at - reach * radius - 0.5)), 0)
        end = min(int(np.floor(at + reach * radius - 0.5)), length - 1)
        taps = np.arange(begin, end + 1)
        weights = _weigh(np.abs(taps + 0.5 - at) / reach, kind, radius)
        total = weights.sum()
        if abs(total) >= 1000 * np.finfo(np.float32).tiny:
            made[place, taps] = weights / total
    return made.astype(np.float32)


def _weigh(distance: np.ndarray, kind: str, radius: float) -> np.ndarray:
    if kind == "triangle":
        return linear_kernel(distance)
    if kind == "box":
        return np.where(distance < 0.5, 1.0, np.where(distance == 0.5, 0.5, 0.0))
    if kind == "keyscubic":
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


@ops.op("ExtractImagePatches", needs=(PATCHES, ranked(), WITHIN))
def extract_image_patches(op, node, x):
    """A convolution whose filters each pick one element of the window."""
    _, high, wide, _ = node.get("ksizes")
    channels, count = list(x.shape)[-1], high * wide * list(x.shape)[-1]
    given = op.Cast(x, to=int(T.FLOAT)) if x.dtype in NARROW else x
    every = np.eye(count, dtype=given.dtype.numpy()).reshape(-1, high, wide, channels)
    strides, rates = node.get("strides")[1:3], node.get("rates")[1:3]
    picks = op.const(np.ascontiguousarray(every.transpose(0, 3, 1, 2)))
    made = to_channels_last(
        op, op.Conv(to_channels_first(op, given), picks, strides=strides, dilations=rates, **padding_of(node))
    )
    return op.Cast(made, to=int(x.dtype)) if x.dtype in NARROW else made


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
def combined_non_max_suppression(op, node, boxes, scores, most, total, overlap, threshold):
    """The best of what is kept of every class, zeros after the last."""
    count, classes = list(scores.shape)[1:]
    size, each = int(const(total).reshape(())), int(const(most).reshape(()))
    size = min(size, each * classes) if node.get("pad_per_class") else size
    by_class = op.Transpose(scores, perm=[0, 2, 1])
    shared = list(boxes.shape)[2] == 1
    flat_boxes = op.Squeeze(boxes, ints(2)) if shared else op.Transpose(boxes, perm=[0, 2, 1, 3])
    if not shared:
        flat_boxes, by_class = (
            op.Reshape(flat_boxes, ints(-1, count, 4)),
            op.Reshape(by_class, ints(-1, 1, count)),
        )
    bounds = (op.Reshape(overlap, ints(1)), op.Reshape(threshold, ints(1)))
    kept = op.NonMaxSuppression(flat_boxes, by_class, int64_vector(op, most), *bounds)
    lowest = op.Expand(op.const(np.array(-np.inf, np.float32)), op.Shape(by_class))
    table = op.Reshape(op.ScatterND(lowest, kept, op.GatherND(by_class, kept)), ints(-1, classes * count))
    flat_boxes = flat_boxes if shared else op.Reshape(flat_boxes, ints(-1, classes * count, 4))
    taken = min(size, classes * count)
    best, places = op.TopK(table, ints(taken), axis=1, _outputs=2)
    valid = op.Not(op.IsInf(best))
    zero = op.const(np.array(0, np.float32))
    box = op.Mod(places, ints(count)) if shared else places
    own = op.GatherND(flat_boxes, op.Unsqueeze(box, ints(2)), batch_dims=1)
    own = op.Clip(own, zero, op.const(np.array(1, np.float32))) if node.get("clip_boxes") else own
    results = [
        op.Where(op.Unsqueeze(valid, ints(2)), own, zero),
        op.Where(valid, best, zero),
        op.Where(valid, op.Cast(op.Div(places, ints(count)), to=int(T.FLOAT)), zero),
    ]
    if taken < size:
        ends = [ints(*[0] * (r + 1), size - taken, *[0] * (r - 2)) for r in (3, 2, 2)]
        results = [op.Pad(v, e) for v, e in zip(results, ends, strict=True)]
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


@ops.op("ImageProjectiveTransformV2", "ImageProjectiveTransformV3", needs=(ranked(), TRANSFORMS, CONSTANT))
def projective_transform(op, node, images, transforms, size, fill=None):
    """Every new place looks up where it came from; outside of the image is the fill value."""
    high, wide = (int(v) for v in const(size))
    rows, columns = (int(d) for d in list(images.shape)[1:3])
    table = const(transforms).astype(np.float32).reshape(-1, 8)
    y, x = np.meshgrid(np.arange(high, dtype=np.float32), np.arange(wide, dtype=np.float32), indexing="ij")
    a = table[:, :, None, None]
    scale = a[:, 6] * x + a[:, 7] * y + 1
    found_x, found_y = (
        (a[:, 0] * x + a[:, 1] * y + a[:, 2]) / scale,
        (a[:, 3] * x + a[:, 4] * y + a[:, 5]) / scale,
    )
    grid = np.stack([(2 * found_x + 1) / columns - 1, (2 * found_y + 1) / rows - 1], -1)
    outer = 0.0 if fill is None else float(const(fill).reshape(()))
    places = op.Expand(
        op.const(grid.astype(np.float32)),
        op.Concat(op.Shape(images, start=0, end=1), ints(high, wide, 2), axis=0),
    )
    source = op.Sub(to_channels_first(op, images), outer) if outer else to_channels_first(op, images)
    mode = "nearest" if node.get("interpolation") == "NEAREST" else "linear"
    if mode == "nearest":
        return NotImplemented
    made = op.GridSample(source, places, mode=mode, padding_mode="zeros", align_corners=0)
    made.shape = ir.Shape([images.shape[0], list(images.shape)[3], high, wide])
    return to_channels_last(op, op.Add(made, outer) if outer else made)
