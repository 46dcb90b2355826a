"""Custom operators: MediaPipe's, and TensorFlow's (Flex)."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from bridge.geometry import crop_pads, halves, same_total
from bridge.importing import ints, permuted, to_channels_first, to_channels_last
from bridge.needs import condition
from bridge.ops import Need, OpTable
from bridge_tflite.import_ops.common import FLOAT, INT32, INT64, arange, check_count
from bridge_tflite.import_ops.math import atan2

ops = OpTable()

SAME = 1
FLEX = {
    "AddV2": "Add",
    "RealDiv": "Div",
    "Maximum": "Max",
    "Minimum": "Min",
    "LogicalAnd": "And",
    "LogicalOr": "Or",
    "LogicalNot": "Not",
    "Inv": "Reciprocal",
    **{
        name: name
        for name in [
            "Abs",
            "Acos",
            "Acosh",
            "Asin",
            "Asinh",
            "Atan",
            "Atanh",
            "Ceil",
            "Cos",
            "Cosh",
            "Equal",
            "Erf",
            "Exp",
            "Floor",
            "Greater",
            "Identity",
            "IsInf",
            "Less",
            "Log",
            "Mul",
            "Neg",
            "Pow",
            "Reciprocal",
            "Relu",
            "Round",
            "Sigmoid",
            "Sign",
            "Sin",
            "Sinh",
            "Softplus",
            "Softsign",
            "Sqrt",
            "Sub",
            "Tan",
            "Tanh",
        ]
    },
}


def _static_shapes(*inputs: int) -> Need:
    return condition("static shapes", lambda n: all(None not in n.shape(i) for i in inputs))


def _struct_fields(node: Any, count: int) -> tuple[int, ...]:
    """First `count` int32 fields of the operator's C struct."""
    raw = node.operator.custom_options
    return struct.unpack(f"<{count}i", raw[: 4 * count])


def _pool(node: Any) -> tuple[int, list[int], list[int]]:
    """Padding, strides and kernel (rows, columns) of TfLitePoolParams, or of a flexbuffer map."""
    options = node.custom
    if "ksize" in options:
        padding = SAME if options["padding"] == "SAME" else SAME + 1
        return padding, list(options["strides"][1:3]), list(options["ksize"][1:3])
    padding, across, down, width, height = _struct_fields(node, 5)
    return padding, [down, across], [height, width]


POOL = condition("pool parameters", lambda n: "ksize" in n.custom or len(n.operator.custom_options) >= 24)

LARGEST_WINDOW = 4096


def _has_bounded_windows(node: Any) -> bool:
    """True if strides and windows are positive and the windows have at most LARGEST_WINDOW elements."""
    if not POOL.holds(node):
        return False
    _, strides, kernel = _pool(node)
    return min(*strides, *kernel) > 0 and math.prod(kernel) <= LARGEST_WINDOW


BOUNDED_WINDOWS = condition(f"windows of at most {LARGEST_WINDOW} elements", _has_bounded_windows)


@ops.op("custom::MaxPoolingWithArgmax2D", needs=(POOL, BOUNDED_WINDOWS, _static_shapes(0)))
def max_pooling_with_argmax(op, node, x):
    """Indices are offsets inside the window as floats (plus 0.1), or flat indices into the image as int32."""
    padding, strides, kernel = _pool(node)
    _, height, width, channels = node.shape(0)
    pads = [0, 0, 0, 0]
    for i, size in enumerate((height, width)):
        if padding == SAME:
            pads[i], pads[i + 2] = halves(same_total(size, kernel[i], strides[i]), upper=True)
    best = to_channels_last(
        op, op.MaxPool(to_channels_first(op, x), kernel_shape=kernel, strides=strides, pads=pads)
    )
    rows, columns = (
        -(-(s + pads[i] + pads[i + 2] - kernel[i] + 1) // strides[i]) for i, s in enumerate((height, width))
    )
    inside = op.ArgMax(_stack_windows(op, x, pads, kernel, strides, (rows, columns)), axis=0, keepdims=0)
    if node.out_type(1) == "FLOAT32":
        return best, op.Add(op.Cast(inside, to=FLOAT), np.float32(0.1))
    down, across = op.Div(inside, np.int64(kernel[1])), op.Mod(inside, np.int64(kernel[1]))
    row = op.Add(down, (arange(rows) * strides[0] - pads[0]).reshape(-1, 1, 1))
    column = op.Add(across, (arange(columns) * strides[1] - pads[1]).reshape(-1, 1))
    flat = op.Add(op.Mul(row, np.int64(width)), column)
    return best, op.Cast(op.Add(op.Mul(flat, np.int64(channels)), arange(channels)), to=INT32)


def _stack_windows(
    op: Any, x: Any, pads: list[int], kernel: list[int], strides: list[int], counts: list[int]
) -> Any:
    """Elements of every window, stacked along a new first axis by their offset; outside of the image -inf."""
    if any(pads):
        x = op.Pad(x, ints(0, *pads[:2], 0, 0, *pads[2:], 0), np.float32(-np.inf))
    slices = []
    for offset in np.ndindex(*kernel):
        ends = [p + (n - 1) * s + 1 for p, n, s in zip(offset, counts, strides, strict=True)]
        slices.append(
            op.Unsqueeze(op.Slice(x, ints(*offset), ints(*ends), ints(1, 2), ints(*strides)), ints(0))
        )
    return op.Concat(*slices, axis=0)


DISJOINT_WINDOWS = condition(
    "windows that do not overlap", lambda n: _has_bounded_windows(n) and _pool(n)[1] == _pool(n)[2]
)


@ops.op("custom::MaxUnpooling2D", needs=(POOL, BOUNDED_WINDOWS, _static_shapes(0), DISJOINT_WINDOWS))
def max_unpooling(op, node, x, indices):
    """Scatter every element to its index; all other elements are zero."""
    _, strides, kernel = _pool(node)
    batch, height, width, channels = node.shape(0)
    out = [batch, height * kernel[0], width * kernel[1], channels]
    size = out[1] * out[2] * channels
    images = (arange(batch) * size).reshape(-1, 1, 1, 1)
    if node.type(1) != "FLOAT32":
        positions = op.Add(op.Cast(indices, to=INT64), images)
    else:
        local = op.Cast(indices, to=INT64)
        row = op.Add(op.Div(local, np.int64(kernel[1])), (arange(height) * strides[0]).reshape(-1, 1, 1))
        column = op.Add(op.Mod(local, np.int64(kernel[1])), (arange(width) * strides[1]).reshape(-1, 1))
        pixel = op.Add(op.Mul(row, np.int64(out[2])), column)
        positions = op.Add(op.Add(op.Mul(pixel, np.int64(channels)), arange(channels)), images)
    zeros = op.const(np.zeros(check_count(batch * size), np.float32))
    flat = op.ScatterElements(zeros, op.Reshape(positions, ints(-1)), op.Reshape(x, ints(-1)), axis=0)
    return op.Reshape(flat, ints(*out))


@ops.op(
    "custom::Convolution2DTransposeBias",
    needs=(condition("static sizes", lambda n: None not in n.shape(0)[1:3]),),
)
def transpose_conv_bias(op, node, x, w, bias):
    padding, across, down = _struct_fields(node, 3)
    strides, kernel = [down, across], node.shape(1)[1:3]
    rows = zip(node.shape(0)[1:3], kernel, strides, strict=True)
    pads, _ = crop_pads([k - (size - 1) % s - 1 if padding == SAME else 0 for size, k, s in rows])
    y = op.ConvTranspose(
        to_channels_first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
    )
    return to_channels_last(op, y)


RANK_3 = condition("an input of rank 3", lambda n: len(n.shape(0)) == 3)


@ops.op("custom::Landmarks2TransformMatrix", needs=(RANK_3,))
def landmarks_to_transform_matrix(op, node, landmarks):
    """Matrix [1, 4, 4] from crop to image coordinates.

    The crop surrounds some landmarks and is rotated so that two of them are level.
    """
    o = node.custom
    points = op.Slice(op.Squeeze(landmarks, ints(0)), ints(0), ints(2), ints(1))
    left, right = (op.Gather(points, np.int64(o[f"{s}_rotation_idx"]), axis=0) for s in ("left", "right"))
    difference = op.Sub(right, left)
    angle = atan2(op, node, _element(op, difference, 1), _element(op, difference, 0))
    turn = op.Sub(np.float32(o.get("target_rotation_radians", 0.0)), angle)
    cos, sin = op.Cos(turn), op.Sin(turn)
    subset = op.Gather(points, ints(*o["subset_idxs"]), axis=0)
    x, y = (op.Gather(subset, np.int64(i), axis=1) for i in (0, 1))
    rotated = (op.Sub(op.Mul(cos, x), op.Mul(sin, y)), op.Add(op.Mul(sin, x), op.Mul(cos, y)))
    high, low = ([op.node(k, v, None, keepdims=0) for v in rotated] for k in ("ReduceMax", "ReduceMin"))
    middle = [op.Mul(op.Add(a, b), np.float32(0.5)) for a, b in zip(high, low, strict=True)]
    center = (
        op.Add(op.Mul(cos, middle[0]), op.Mul(sin, middle[1])),
        op.Sub(op.Mul(cos, middle[1]), op.Mul(sin, middle[0])),
    )
    sizes = (o["output_width"], o["output_height"])
    scale = [
        op.Mul(op.Sub(a, b), np.float32(o[f"scale_{n}"] / size))
        for a, b, n, size in zip(high, low, "xy", sizes, strict=True)
    ]
    row = [op.Mul(cos, scale[0]), op.Mul(sin, scale[1])]
    column = [op.Neg(op.Mul(sin, scale[0])), op.Mul(cos, scale[1])]
    zero, one = np.float32(0), np.float32(1)
    shifts = [np.float32(-s / 2) for s in sizes]
    lines = [
        [*line, zero, op.Add(op.Add(op.Mul(line[0], shifts[0]), op.Mul(line[1], shifts[1])), c)]
        for line, c in ((row, center[0]), (column, center[1]))
    ]
    cells = [*lines[0], *lines[1], zero, zero, one, zero, zero, zero, zero, one]
    return op.Reshape(
        op.Concat(*(op.Reshape(op.Cast(v, to=FLOAT), ints(1)) for v in cells), axis=0), ints(1, 4, 4)
    )


def _element(op: Any, vector: Any, index: int) -> Any:
    return op.Gather(vector, np.int64(index), axis=0)


def _transform_points(op: Any, matrix: Any, x: Any, y: Any, shift: float = 0.0) -> list[Any]:
    """Coordinates (x, y) of points transformed by the first two rows of a 4 × 4 matrix."""
    rows = op.Squeeze(matrix, ints(0))
    coordinates = []
    for row in (0, 1):
        a, b, d = (_element(op, _element(op, rows, row), i) for i in (0, 1, 3))
        if shift:
            d = op.Add(d, op.Sub(op.Mul(op.Add(a, b), np.float32(shift)), np.float32(shift)))
        coordinates.append(op.Add(op.Add(op.Mul(a, x), op.Mul(b, y)), d))
    return coordinates


@ops.op(
    "custom::TransformLandmarks",
    needs=(RANK_3, condition("points of 2 or 3 coordinates", lambda n: n.shape(0)[2] in (2, 3))),
)
def transform_landmarks(op, node, landmarks, matrix):
    coordinates = [op.Slice(landmarks, ints(i), ints(i + 1), ints(2)) for i in range(node.shape(0)[2])]
    moved = _transform_points(op, matrix, coordinates[0], coordinates[1])
    return op.Concat(*moved, *coordinates[2:], axis=2)


SINGLE_STATIC_IMAGE = condition(
    "a batch of 1 and static sizes", lambda n: n.shape(0)[0] == 1 and None not in n.shape(0)
)


@ops.op("custom::TransformTensorBilinear", needs=(SINGLE_STATIC_IMAGE,))
def transform_tensor_bilinear(op, node, x, matrix):
    """Sample the input at the transformed coordinates of each output pixel; outside of it the value is 0."""
    down, across = int(node.custom["output_height"]), int(node.custom["output_width"])
    _, height, width, channels = node.shape(0)
    columns, rows = np.meshgrid(*(arange(n).astype(np.float32) for n in (across, down)))
    px, py = _transform_points(op, matrix, columns, rows, 0.5)
    bounds = ((px, width), (py, height))
    outside = None
    for value, size in bounds:
        out = op.Or(op.Less(value, np.float32(0)), op.Greater(value, np.float32(size - 1)))
        outside = out if outside is None else op.Or(outside, out)
    (left, right, dx), (top, bottom, dy) = (_neighbours(op, v, n) for v, n in bounds)
    flat = op.Reshape(x, ints(-1, channels))

    def pixel(row, column):
        return op.Gather(flat, op.Add(op.Mul(row, np.int64(width)), column), axis=0)

    upper = _interpolate(op, pixel(top, left), pixel(top, right), dx)
    lower = _interpolate(op, pixel(bottom, left), pixel(bottom, right), dx)
    result = op.Where(op.Unsqueeze(outside, ints(2)), np.float32(0), _interpolate(op, upper, lower, dy))
    return op.Unsqueeze(result, ints(0))


def _neighbours(op: Any, value: Any, size: int) -> tuple[Any, Any, Any]:
    low = op.Floor(value)
    limits = (np.float32(0), np.float32(size - 1))
    first_, second = (op.Cast(op.Clip(v, *limits), to=INT64) for v in (low, op.Add(low, np.float32(1))))
    return first_, second, op.Unsqueeze(op.Sub(value, low), ints(2))


def _interpolate(op: Any, a: Any, b: Any, fraction: Any) -> Any:
    return op.Add(op.Mul(a, op.Sub(np.float32(1), fraction)), op.Mul(b, fraction))


@ops.op(*(f"custom::Flex{name}" for name in FLEX))
def flex(op, node, *inputs):
    """TensorFlow operators without attributes, which some converters leave in a file."""
    return op.node(FLEX[node.op.removeprefix("Flex")], *inputs)
