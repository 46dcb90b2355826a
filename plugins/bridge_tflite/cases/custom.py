"""MediaPipe's custom operators: LiteRT has no kernel for most, so they are compared with their formulas."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from bridge_tflite.cases.common import RNG, b, case, cf, f
from bridge_tflite.cases.file import T

SAME, VALID = 1, 2


def pool_params(padding: int, stride: int, size: int) -> bytes:
    """TfLitePoolParams."""
    return struct.pack("<8i", padding, stride, stride, size, size, 0, -1, -1)


def max_pool_with_argmax(x: np.ndarray, padding: int, stride: int, size: int, flat: bool) -> list[np.ndarray]:
    batch, height, width, channels = x.shape
    out = [-(-n // stride) if padding == SAME else (n - size) // stride + 1 for n in (height, width)]
    before = [
        max((o - 1) * stride + size - n, 0) // 2 * (padding == SAME)
        for o, n in zip(out, (height, width), strict=True)
    ]
    maxima = np.full((batch, *out, channels), -np.inf, np.float32)
    indices = np.zeros(maxima.shape, np.float32 if not flat else np.int32)
    for n, oy, ox, ch in np.ndindex(*maxima.shape):
        for fy in range(size):
            for fx in range(size):
                y, xx = oy * stride - before[0] + fy, ox * stride - before[1] + fx
                if 0 <= y < height and 0 <= xx < width and x[n, y, xx, ch] > maxima[n, oy, ox, ch]:
                    maxima[n, oy, ox, ch] = x[n, y, xx, ch]
                    indices[n, oy, ox, ch] = (
                        (y * width + xx) * channels + ch if flat else fy * size + fx + np.float32(0.1)
                    )
    return [maxima, indices]


for _padding, _stride, _size in ((SAME, 2, 2), (VALID, 2, 2), (SAME, 2, 3), (VALID, 1, 2)):
    for _flat in (False, True):
        _x = f(2, 6, 5, 3)
        _sample = max_pool_with_argmax(_x.value, _padding, _stride, _size, _flat)
        _options = pool_params(_padding, _stride, _size)
        if _flat:
            _names = {"padding": "SAME" if _padding == SAME else "VALID", "include_batch_in_index": False}
            _options = bytes(
                flexbuffers.Dumps(
                    {**_names, "ksize": [1, _size, _size, 1], "strides": [1, _stride, _stride, 1]}
                )
            )
        case(
            "MaxPoolingWithArgmax2D",
            [_x],
            [T(v) for v in _sample],
            custom=_options,
            want=lambda x, p=_padding, s=_stride, k=_size, flat=_flat: max_pool_with_argmax(x, p, s, k, flat),
            name=f"{_padding}{_stride}{_size}{_flat:d}",
        )


def max_unpool(x: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    batch, height, width, channels = x.shape
    out = np.zeros((batch, 2 * height, 2 * width, channels), np.float32)
    for n, y, xx, ch in np.ndindex(*x.shape):
        if indices.dtype == np.float32:
            local = int(indices[n, y, xx, ch])
            out[n, 2 * y + local // 2, 2 * xx + local % 2, ch] = x[n, y, xx, ch]
        else:
            out[n].reshape(-1)[indices[n, y, xx, ch]] = x[n, y, xx, ch]
    return [out]


_image = f(2, 6, 4, 3)
for _flat in (False, True):
    _best, _places = max_pool_with_argmax(_image.value, VALID, 2, 2, _flat)
    case(
        "MaxUnpooling2D",
        [T(_best), T(_places)],
        [T(_image.value)],
        custom=pool_params(VALID, 2, 2),
        want=max_unpool,
        name=f"{_flat:d}",
    )


def conv_transpose(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray, same: bool, stride: int
) -> list[np.ndarray]:
    batch, height, width, _ = x.shape
    out, rows, columns, _ = w.shape
    full = np.zeros((batch, stride * (height - 1) + rows, stride * (width - 1) + columns, out), np.float32)
    for y, xx in np.ndindex(height, width):
        full[:, stride * y : stride * y + rows, stride * xx : stride * xx + columns] += np.einsum(
            "bi,ohwi->bhwo", x[:, y, xx], w
        )
    cut = [max(k - (n - 1) % stride - 1, 0) * same for k, n in ((rows, height), (columns, width))]
    limits = [n - c + c // 2 for n, c in zip(full.shape[1:3], cut, strict=True)]
    return [full[:, cut[0] // 2 : limits[0], cut[1] // 2 : limits[1]] + bias]


for _padding in (SAME, VALID):
    for _stride in (1, 2):
        _given = [f(1, 4, 5, 3), cf(2, 3, 3, 3), cf(2)]
        _weights = [np.asarray(t.value) for t in _given[1:]]
        _out = conv_transpose(_given[0].value, _weights[0], _weights[1], _padding == SAME, _stride)
        case(
            "Convolution2DTransposeBias",
            _given,
            [T(_out[0])],
            custom=struct.pack("<3i", _padding, _stride, _stride),
            want=lambda x, w=_weights, p=_padding, s=_stride: conv_transpose(x, w[0], w[1], p == SAME, s),
            name=f"{_padding}{_stride}",
        )

LANDMARKS = {
    "left_rotation_idx": 1,
    "right_rotation_idx": 5,
    "output_width": 16,
    "output_height": 12,
    "scale_x": 1.5,
    "scale_y": 1.25,
    "target_rotation_radians": 0.3,
    "subset_idxs": [0, 2, 3, 4, 5, 1],
}


def translation(x: float, y: float) -> np.ndarray:
    return np.array([[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, 0], [0, 0, 0, 1]])


def rotation_matrix(angle: float) -> np.ndarray:
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return rotation


def landmark_matrix(landmarks: np.ndarray) -> list[np.ndarray]:
    points = landmarks[0, :, :2].astype(np.float64)
    apart = points[5] - points[1]
    angle = LANDMARKS["target_rotation_radians"] - np.arctan2(apart[1], apart[0])
    rotated = points[np.array(LANDMARKS["subset_idxs"])] @ rotation_matrix(angle)[:2, :2].T
    low, high = rotated.min(0), rotated.max(0)
    center = rotation_matrix(-angle)[:2, :2] @ ((low + high) / 2)
    scale = np.diag([1.5 * (high - low)[0] / 16, 1.25 * (high - low)[1] / 12, 1, 1])
    return [
        (translation(*center) @ rotation_matrix(-angle) @ scale @ translation(-8, -6)).astype(np.float32)[
            None
        ]
    ]


for _trial in range(3):
    case(
        "Landmarks2TransformMatrix",
        [f(1, 6, 3)],
        [T(np.zeros((1, 4, 4), np.float32))],
        custom=bytes(flexbuffers.Dumps(LANDMARKS)),
        want=landmark_matrix,
    )
MATRIX = T(np.concatenate([RNG.uniform(-1, 1, (1, 2, 4)), np.eye(4)[None, 2:]], 1).astype(np.float32))


def transform_points(points: np.ndarray, m: np.ndarray) -> list[np.ndarray]:
    transformed = points.copy()
    transformed[0, :, :2] = points[0, :, :2] @ m[0, :2, :2].T + m[0, :2, 3]
    return [transformed]


for _count in (2, 3):
    case(
        "TransformLandmarks",
        [f(1, 5, _count), MATRIX],
        [T(np.zeros((1, 5, _count), np.float32))],
        custom=b"",
        want=transform_points,
        name=str(_count),
    )


def sample_bilinear(x: np.ndarray, m: np.ndarray) -> list[np.ndarray]:
    _, height, width, channels = x.shape
    out = np.zeros((1, 4, 5, channels), np.float32)
    a = m[0, :2].astype(np.float64)
    a[:, 3] += (a[:, 0] + a[:, 1]) * 0.5 - 0.5
    for oy, ox in np.ndindex(4, 5):
        px, py = a @ [ox, oy, 0, 1]
        if 0 <= px <= width - 1 and 0 <= py <= height - 1:
            left, top = int(px), int(py)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            dx, dy = px - left, py - top
            upper = (1 - dx) * x[0, top, left] + dx * x[0, top, right]
            lower = (1 - dx) * x[0, bottom, left] + dx * x[0, bottom, right]
            out[0, oy, ox] = dy * lower + (1 - dy) * upper
    return [out]


_turn = np.float32([[[0.8, 0.3, 0, 0.4], [-0.2, 0.9, 0, 1.1], [0, 0, 1, 0], [0, 0, 0, 1]]])
case(
    "TransformTensorBilinear",
    [f(1, 6, 5, 3), T(_turn)],
    [T(np.zeros((1, 4, 5, 3), np.float32))],
    custom=bytes(flexbuffers.Dumps({"output_height": 4, "output_width": 5})),
    want=sample_bilinear,
)

ERF = np.vectorize(math.erf, [np.float32])
UNARY = {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Erf": ERF,
    "Exp": np.exp,
    "Floor": np.floor,
    "Identity": lambda x: x,
    "Inv": np.reciprocal,
    "IsInf": np.isinf,
    "Log": np.log,
    "Neg": np.negative,
    "Reciprocal": np.reciprocal,
    "Relu": lambda x: np.maximum(x, 0),
    "Round": np.rint,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Softplus": lambda x: np.log1p(np.exp(x)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Sqrt": np.sqrt,
    "Tan": np.tan,
    "Tanh": np.tanh,
}
BINARY = {
    "AddV2": np.add,
    "Equal": np.equal,
    "Greater": np.greater,
    "Less": np.less,
    "LogicalAnd": np.logical_and,
    "LogicalOr": np.logical_or,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Pow": np.power,
    "RealDiv": np.divide,
    "Sub": np.subtract,
}
FLAGS = ("Equal", "Greater", "IsInf", "Less", "LogicalAnd", "LogicalOr", "LogicalNot")


def by(formula: Callable[..., Any]) -> Callable[..., list[Any]]:
    return lambda *inputs: [formula(*inputs)]


for _name, _formula in UNARY.items():
    _tensor = T(np.linspace(0.1, 0.9, 6, dtype=np.float32) + np.float32(_name == "Acosh"))
    case(f"Flex{_name}", [_tensor], bool if _name in FLAGS else np.float32, custom=b"", want=by(_formula))
for _name, _formula in BINARY.items():
    _pair = [b(2, 3), b(2, 3)] if _name.startswith("Logical") else [f(2, 3, low=0.5), f(3, low=0.5)]
    case(f"Flex{_name}", _pair, bool if _name in FLAGS else np.float32, custom=b"", want=by(_formula))
case("FlexLogicalNot", [b(2, 3)], bool, custom=b"", want=lambda x: [~x])
