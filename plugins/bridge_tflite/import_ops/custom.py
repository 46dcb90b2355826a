"""Custom operators of MediaPipe."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from bridge.importing import ints, permuted, to_channels_first, to_channels_last
from bridge.needs import condition
from bridge.ops import Need, OpTable
from bridge_tflite.import_ops.common import FLOAT, INT32, INT64, bounded, counted
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


def _whole(*places: int) -> Need:
    return condition("static shapes", lambda n: all(None not in n.shape(i) for i in places))


def _numbers(node: Any, count: int) -> tuple[int, ...]:
    """The first integers of the operator's C struct."""
    raw = node.operator.custom_options
    return struct.unpack(f"<{count}i", raw[: 4 * count])


def _pool(node: Any) -> tuple[int, list[int], list[int]]:
    """Padding, strides and kernel (rows, columns) of TfLitePoolParams, or of a flexbuffer map."""
    options = node.custom
    if "ksize" in options:
        padding = SAME if options["padding"] == "SAME" else SAME + 1
        return padding, list(options["strides"][1:3]), list(options["ksize"][1:3])
    padding, across, down, width, height = _numbers(node, 5)
    return padding, [down, across], [height, width]


POOL = condition("pool parameters", lambda n: "ksize" in n.custom or len(n.operator.custom_options) >= 24)

MOST = 4096


def _sizes(node: Any) -> bool:
    """Whether strides and windows are of one element or more, and windows of no more than anybody pools."""
    if not POOL.holds(node):
        return False
    _, strides, kernel = _pool(node)
    return min(*strides, *kernel) > 0 and math.prod(kernel) <= MOST


SIZES = condition(f"windows of at most {MOST} elements", _sizes)


def _before(size: int, out: int, kernel: int, stride: int) -> int:
    return max((out - 1) * stride + kernel - size, 0)


@ops.op("custom::MaxPoolingWithArgmax2D", needs=(POOL, SIZES, _whole(0)))
def max_pooling_with_argmax(op, node, x):
    """Indices are places inside the window as floats (and 0.1), or flat places in the image as integers."""
    padding, strides, kernel = _pool(node)
    _, height, width, channels = node.shape(0)
    pads = [0, 0, 0, 0]
    for i, size in enumerate((height, width)):
        if padding == SAME:
            total = _before(size, -(-size // strides[i]), kernel[i], strides[i])
            pads[i], pads[i + 2] = total // 2, total - total // 2
    best = to_channels_last(
        op, op.MaxPool(to_channels_first(op, x), kernel_shape=kernel, strides=strides, pads=pads)
    )
    rows, columns = (
        -(-(s + pads[i] + pads[i + 2] - kernel[i] + 1) // strides[i]) for i, s in enumerate((height, width))
    )
    inside = op.ArgMax(_windows(op, x, pads, kernel, strides, (rows, columns)), axis=0, keepdims=0)
    if node.out_kind(1) == "FLOAT32":
        return best, op.Add(op.Cast(inside, to=FLOAT), np.float32(0.1))
    down, across = op.Div(inside, np.int64(kernel[1])), op.Mod(inside, np.int64(kernel[1]))
    row = op.Add(down, (counted(rows) * strides[0] - pads[0]).reshape(-1, 1, 1))
    column = op.Add(across, (counted(columns) * strides[1] - pads[1]).reshape(-1, 1))
    flat = op.Add(op.Mul(row, np.int64(width)), column)
    return best, op.Cast(op.Add(op.Mul(flat, np.int64(channels)), counted(channels)), to=INT32)


def _windows(
    op: Any, x: Any, pads: list[int], kernel: list[int], strides: list[int], counts: list[int]
) -> Any:
    """For each place inside a window, what every window has there; below all numbers outside of the image."""
    if any(pads):
        x = op.Pad(x, ints(0, *pads[:2], 0, 0, *pads[2:], 0), np.float32(-np.inf))
    found = []
    for place in np.ndindex(*kernel):
        ends = [p + (n - 1) * s + 1 for p, n, s in zip(place, counts, strides, strict=True)]
        found.append(
            op.Unsqueeze(op.Slice(x, ints(*place), ints(*ends), ints(1, 2), ints(*strides)), ints(0))
        )
    return op.Concat(*found, axis=0)


APART = condition("windows that do not overlap", lambda n: _sizes(n) and _pool(n)[1] == _pool(n)[2])


@ops.op("custom::MaxUnpooling2D", needs=(POOL, SIZES, _whole(0), APART))
def max_unpooling(op, node, x, indices):
    """Every element goes to its place, all other places are zero."""
    _, strides, kernel = _pool(node)
    batch, height, width, channels = node.shape(0)
    out = [batch, height * kernel[0], width * kernel[1], channels]
    size = out[1] * out[2] * channels
    images = (counted(batch) * size).reshape(-1, 1, 1, 1)
    if node.kind(1) != "FLOAT32":
        places = op.Add(op.Cast(indices, to=INT64), images)
    else:
        local = op.Cast(indices, to=INT64)
        row = op.Add(op.Div(local, np.int64(kernel[1])), (counted(height) * strides[0]).reshape(-1, 1, 1))
        column = op.Add(op.Mod(local, np.int64(kernel[1])), (counted(width) * strides[1]).reshape(-1, 1))
        pixel = op.Add(op.Mul(row, np.int64(out[2])), column)
        places = op.Add(op.Add(op.Mul(pixel, np.int64(channels)), counted(channels)), images)
    zeros = op.const(np.zeros(bounded(batch * size), np.float32))
    flat = op.ScatterElements(zeros, op.Reshape(places, ints(-1)), op.Reshape(x, ints(-1)), axis=0)
    return op.Reshape(flat, ints(*out))


@ops.op(
    "custom::Convolution2DTransposeBias",
    needs=(condition("static sizes", lambda n: None not in n.shape(0)[1:3]),),
)
def transpose_conv_bias(op, node, x, w, bias):
    padding, across, down = _numbers(node, 3)
    strides, kernel = [down, across], node.shape(1)[1:3]
    begin, end = [], []
    for size, k, s in zip(node.shape(0)[1:3], kernel, strides, strict=True):
        total = max(k - (size - 1) % s - 1, 0) if padding == SAME else 0
        begin.append(total // 2)
        end.append(total - total // 2)
    y = op.ConvTranspose(
        to_channels_first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        pads=begin + end,
    )
    return to_channels_last(op, y)


THREE = condition("an input of rank 3", lambda n: len(n.shape(0)) == 3)


@ops.op("custom::Landmarks2TransformMatrix", needs=(THREE,))
def landmarks_to_transform_matrix(op, node, landmarks):
    """The matrix from the places of a crop to the image: around some landmarks, turned so that two of them are level."""
    o = node.custom
    points = op.Slice(op.Squeeze(landmarks, ints(0)), ints(0), ints(2), ints(1))
    left, right = (op.Gather(points, np.int64(o[f"{s}_rotation_idx"]), axis=0) for s in ("left", "right"))
    apart = op.Sub(right, left)
    angle = atan2(op, node, _item(op, apart, 1), _item(op, apart, 0))
    turn = op.Sub(np.float32(o.get("target_rotation_radians", 0.0)), angle)
    cos, sin = op.Cos(turn), op.Sin(turn)
    chosen = op.Gather(points, ints(*o["subset_idxs"]), axis=0)
    x, y = (op.Gather(chosen, np.int64(i), axis=1) for i in (0, 1))
    turned = (op.Sub(op.Mul(cos, x), op.Mul(sin, y)), op.Add(op.Mul(sin, x), op.Mul(cos, y)))
    high, low = ([op.node(k, v, None, keepdims=0) for v in turned] for k in ("ReduceMax", "ReduceMin"))
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


def _item(op: Any, vector: Any, place: int) -> Any:
    return op.Gather(vector, np.int64(place), axis=0)


def _transformed(op: Any, matrix: Any, x: Any, y: Any, shift: float = 0.0) -> list[Any]:
    """Both coordinates of points under the first two rows of a 4 × 4 matrix."""
    rows = op.Squeeze(matrix, ints(0))
    found = []
    for row in (0, 1):
        a, b, d = (_item(op, _item(op, rows, row), i) for i in (0, 1, 3))
        if shift:
            d = op.Add(d, op.Sub(op.Mul(op.Add(a, b), np.float32(shift)), np.float32(shift)))
        found.append(op.Add(op.Add(op.Mul(a, x), op.Mul(b, y)), d))
    return found


@ops.op(
    "custom::TransformLandmarks",
    needs=(THREE, condition("points of 2 or 3 coordinates", lambda n: n.shape(0)[2] in (2, 3))),
)
def transform_landmarks(op, node, landmarks, matrix):
    parts = [op.Slice(landmarks, ints(i), ints(i + 1), ints(2)) for i in range(node.shape(0)[2])]
    moved = _transformed(op, matrix, parts[0], parts[1])
    return op.Concat(*moved, *parts[2:], axis=2)


ONE = condition("a batch of 1 and static sizes", lambda n: n.shape(0)[0] == 1 and None not in n.shape(0))


@ops.op("custom::TransformTensorBilinear", needs=(ONE,))
def transform_tensor_bilinear(op, node, x, matrix):
    """Each place of the output is looked up in the input under the matrix; outside of it there is 0."""
    down, across = int(node.custom["output_height"]), int(node.custom["output_width"])
    _, height, width, channels = node.shape(0)
    columns, rows = np.meshgrid(*(counted(n).astype(np.float32) for n in (across, down)))
    px, py = _transformed(op, matrix, columns, rows, 0.5)
    bounds = ((px, width), (py, height))
    outside = None
    for value, size in bounds:
        out = op.Or(op.Less(value, np.float32(0)), op.Greater(value, np.float32(size - 1)))
        outside = out if outside is None else op.Or(outside, out)
    (left, right, dx), (top, bottom, dy) = (_around(op, v, n) for v, n in bounds)
    flat = op.Reshape(x, ints(-1, channels))

    def pixel(row, column):
        return op.Gather(flat, op.Add(op.Mul(row, np.int64(width)), column), axis=0)

    upper = _mixed(op, pixel(top, left), pixel(top, right), dx)
    lower = _mixed(op, pixel(bottom, left), pixel(bottom, right), dx)
    result = op.Where(op.Unsqueeze(outside, ints(2)), np.float32(0), _mixed(op, upper, lower, dy))
    return op.Unsqueeze(result, ints(0))


def _around(op: Any, value: Any, size: int) -> tuple[Any, Any, Any]:
    low = op.Floor(value)
    limits = (np.float32(0), np.float32(size - 1))
    first_, second = (op.Cast(op.Clip(v, *limits), to=INT64) for v in (low, op.Add(low, np.float32(1))))
    return first_, second, op.Unsqueeze(op.Sub(value, low), ints(2))


def _mixed(op: Any, a: Any, b: Any, share: Any) -> Any:
    return op.Add(op.Mul(a, op.Sub(np.float32(1), share)), op.Mul(b, share))


@ops.op(*(f"custom::Flex{name}" for name in FLEX))
def flex(op, node, *inputs):
    """TensorFlow's operators without attributes, which some converters leave in a file."""
    return op.node(FLEX[node.op.removeprefix("Flex")], *inputs)
