"""Layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_tflite.cases.common import RNG, TABLE, c, case, cf, f, q, qo, w8
from bridge_tflite.cases.file import T, const


def bias(x: T, w: T, count: int, dtype: Any = np.int32) -> T:
    scale = np.float32(x.scale) * np.broadcast_to(np.float32(w.scale), count if np.ndim(w.scale) else 1)
    return const(RNG.integers(-2000, 2000, count, dtype=dtype), scale=scale, zero=0)


PADDINGS = {"same": 0, "valid": 1}
for _name, _padding in PADDINGS.items():
    for _stride, _dilation in ((1, 1), (2, 1), (1, 2)):
        _window = {"padding": _padding, "strideH": _stride, "strideW": _stride, "dilationHFactor": _dilation}
        _window["dilationWFactor"] = _dilation
        _n = f"{_name}-{_stride}-{_dilation}"
        case("CONV_2D", [f(2, 7, 8, 4), cf(5, 3, 2, 4), cf(5)], name=_n, fusedActivationFunction=1, **_window)
        case(
            "DEPTHWISE_CONV_2D", [f(2, 7, 8, 4), cf(1, 3, 2, 8), cf(8)], name=_n, depthMultiplier=2, **_window
        )
        if _dilation == 1:
            _pool = {
                "padding": _padding,
                "strideH": _stride,
                "strideW": _stride,
                "filterHeight": 3,
                "filterWidth": 2,
            }
            for _op in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"):
                case(_op, [f(2, 7, 8, 3)], name=_n, **_pool)
            for _dtype in (np.int8, np.uint8):
                for _op in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
                    case(
                        _op,
                        [q(2, 7, 8, 3, dtype=_dtype)],
                        qo(_dtype),
                        name=f"{_n}-{np.dtype(_dtype).name}",
                        **_pool,
                    )
        _conv3 = {
            "padding": _padding,
            "strideD": _stride,
            "strideH": _stride,
            "strideW": 1,
            "dilationDFactor": _dilation,
        }
        _conv3 |= {"dilationHFactor": _dilation, "dilationWFactor": 1}
        case(
            "CONV_3D",
            [f(1, 5, 6, 5, 2), cf(2, 3, 2, 2, 4), cf(4)],
            name=_n,
            fusedActivationFunction=1,
            **_conv3,
        )
case(
    "CONV_2D",
    [f(1, 6, 6, 4), cf(6, 3, 3, 2), cf(6)],
    name="groups",
    padding=0,
    strideH=1,
    strideW=1,
    dilationHFactor=1,
    dilationWFactor=1,
)
_plain = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
for _axis in (None, 0):
    for _act in (0, 1, 3):
        _x, _w = q(2, 6, 7, 8), w8(6, 3, 3, 8, axis=_axis)
        case(
            "CONV_2D",
            [_x, _w, bias(_x, _w, 6)],
            qo(scale=0.15),
            name=f"int8-{_axis}-{_act}",
            fusedActivationFunction=_act,
            **_plain,
        )
    _x, _w = q(2, 6, 7, 8), w8(1, 3, 3, 8, axis=None if _axis is None else 3)
    case(
        "DEPTHWISE_CONV_2D",
        [_x, _w, bias(_x, _w, 8)],
        qo(scale=0.1),
        name=f"int8-{_axis}",
        depthMultiplier=1,
        **_plain,
    )
    _x, _w = q(3, 20), w8(5, 20, axis=_axis)
    case(
        "FULLY_CONNECTED",
        [_x, _w, bias(_x, _w, 5)],
        qo(scale=0.1),
        name=f"int8-{_axis}",
        fusedActivationFunction=1,
    )
_x = q(2, 6, 7, 8, dtype=np.int16, scale=2e-4)
_w = w8(6, 3, 3, 8, axis=0)
case("CONV_2D", [_x, _w, bias(_x, _w, 6, np.int64)], qo(np.int16, 1e-3), name="int16", **_plain)
_w = w8(1, 3, 3, 8, axis=3)
case(
    "DEPTHWISE_CONV_2D",
    [_x, _w, bias(_x, _w, 8, np.int64)],
    qo(np.int16, 1e-3),
    name="int16",
    depthMultiplier=1,
    **_plain,
)
_x, _w = q(3, 20, dtype=np.int16, scale=2e-4), w8(5, 20)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5, np.int64)], qo(np.int16, 1e-3), name="int16")
_x = q(2, 6, 7, 8, dtype=np.uint8)
_w = const(RNG.integers(0, 256, (6, 3, 3, 8), dtype=np.uint8), scale=0.02, zero=131)
case("CONV_2D", [_x, _w, bias(_x, _w, 6)], qo(np.uint8, 0.15), name="uint8", **_plain)
_w = const(RNG.integers(0, 256, (1, 3, 3, 8), dtype=np.uint8), scale=0.02, zero=131)
case(
    "DEPTHWISE_CONV_2D",
    [_x, _w, bias(_x, _w, 8)],
    qo(np.uint8, 0.15),
    name="uint8",
    depthMultiplier=1,
    **_plain,
)
_x, _w = q(3, 20, dtype=np.uint8), const(RNG.integers(0, 256, (5, 20), dtype=np.uint8), scale=0.02, zero=131)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5)], qo(np.uint8, 0.15), name="uint8")
case("FULLY_CONNECTED", [f(3, 4), cf(5, 4), cf(5)], fusedActivationFunction=3)
case("FULLY_CONNECTED", [f(2, 3, 4), cf(5, 4)], keepNumDims=True, name="keep")
case("FULLY_CONNECTED", [f(2, 3, 4), cf(5, 12)], name="flat")
case("FULLY_CONNECTED", [f(3, 4), f(5, 4), f(5)], name="computed")
_x, _w = q(3, 20), const(RNG.integers(-7, 8, (5, 20), dtype=np.int8), type_name="INT4", scale=0.1, zero=0)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5)], qo(scale=0.2), name="int4")
for _name, _padding in PADDINGS.items():
    for _stride in (1, 2):
        _out = (
            [1, 5 * _stride, 4 * _stride, 3]
            if _padding == 0
            else [1, 5 * _stride + 3 - _stride, 4 * _stride + 3 - _stride, 3]
        )
        case(
            "TRANSPOSE_CONV",
            [c(_out), cf(3, 3, 3, 2), f(1, 5, 4, 2)],
            name=f"{_name}-{_stride}",
            padding=_padding,
            strideH=_stride,
            strideW=_stride,
        )
        _out = (
            [1, 3 * _stride, 4 * _stride, 3, 2]
            if _padding == 0
            else [1, 3 * _stride + 3 - _stride, 4 * _stride + 2 - _stride, 3, 2]
        )
        case(
            "CONV_3D_TRANSPOSE",
            [c(_out), cf(3, 2, 1, 2, 4), f(1, 3, 4, 3, 4)],
            name=f"{_name}-{_stride}",
            padding=_padding,
            strideD=_stride,
            strideH=_stride,
            strideW=1,
        )
case(
    "TRANSPOSE_CONV",
    [c([2, 10, 8, 3]), cf(3, 3, 3, 2), f(2, 5, 4, 2), cf(3)],
    name="bias",
    padding=0,
    strideH=2,
    strideW=2,
    fusedActivationFunction=1,
)
_x, _w = q(1, 5, 4, 8), w8(3, 3, 3, 8, axis=0)
case(
    "TRANSPOSE_CONV",
    [c([1, 10, 8, 3]), _w, _x, bias(_x, _w, 3)],
    qo(scale=0.1),
    name="int8",
    padding=0,
    strideH=2,
    strideW=2,
)
_x = q(1, 5, 4, 8, dtype=np.int16, scale=2e-4)
case(
    "TRANSPOSE_CONV",
    [c([1, 10, 8, 3]), _w, _x, bias(_x, _w, 3, np.int64)],
    qo(np.int16, 1e-3),
    name="int16",
    padding=0,
    strideH=2,
    strideW=2,
)
for _left, _right in ((False, False), (True, False), (False, True)):
    case(
        "BATCH_MATMUL",
        [f(2, 4, 3) if _left else f(2, 3, 4), f(2, 5, 4) if _right else f(2, 4, 5)],
        adjX=_left,
        adjY=_right,
        name=f"{_left:d}{_right:d}",
    )
case("BATCH_MATMUL", [f(2, 1, 3, 4), f(3, 4, 5)], name="broadcast")
case("BATCH_MATMUL", [q(2, 3, 4), q(2, 4, 5)], qo(scale=0.3), name="int8")
case("SOFTMAX", [f(2, 3, 4)], beta=1.0)
case("SOFTMAX", [f(3, 4)], beta=0.5, name="beta")
case("SOFTMAX", [q(3, 9)], qo(scale=1 / 256, zero=-128), beta=1.0, name="int8")
case("SOFTMAX", [q(3, 9, dtype=np.uint8)], qo(np.uint8, 1 / 256, 0), beta=1.0, name="uint8")
case(
    "SOFTMAX",
    [q(3, 9, dtype=np.int16, scale=2e-4)],
    qo(np.int16, 1 / 32768),
    beta=1.0,
    name="int16",
    quanta=TABLE,
)
case("LOG_SOFTMAX", [f(2, 3, 4)])
case("LOG_SOFTMAX", [q(3, 9)], qo(scale=16 / 256, zero=127), name="int8")
case("L2_NORMALIZATION", [f(2, 3, 4)])
case("L2_NORMALIZATION", [q(3, 9)], qo(scale=1 / 128, zero=0), name="int8")
case("LOCAL_RESPONSE_NORMALIZATION", [f(1, 3, 4, 9)], radius=2, bias=1.0, alpha=0.3, beta=0.5)
case("DEPTH_TO_SPACE", [f(2, 3, 4, 8)], blockSize=2)
case("SPACE_TO_DEPTH", [f(2, 4, 6, 3)], blockSize=2)
case("DEPTH_TO_SPACE", [q(2, 3, 4, 8)], qo(), blockSize=2, name="int8")
case("SPACE_TO_DEPTH", [q(2, 4, 6, 3)], qo(), blockSize=2, name="int8")
for _align, _half in ((False, False), (True, False), (False, True)):
    for _to in ([9, 5], [3, 11], [1, 1]):
        _n = f"{_align:d}{_half:d}-{_to[0]}"
        case("RESIZE_BILINEAR", [f(2, 5, 7, 3), c(_to)], alignCorners=_align, halfPixelCenters=_half, name=_n)
        case(
            "RESIZE_NEAREST_NEIGHBOR",
            [f(2, 5, 7, 3), c(_to)],
            alignCorners=_align,
            halfPixelCenters=_half,
            name=_n,
        )
    case(
        "RESIZE_BILINEAR",
        [q(2, 5, 7, 3), c([9, 4])],
        qo(),
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"int8-{_align:d}{_half:d}",
    )
    case(
        "RESIZE_BILINEAR",
        [f(1, 5, 7, 2), T(np.int32([9, 4]))],
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"computed-{_align:d}{_half:d}",
    )
    case(
        "RESIZE_NEAREST_NEIGHBOR",
        [f(1, 5, 7, 2), T(np.int32([9, 4]))],
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"computed-{_align:d}{_half:d}",
    )

# Hybrid kernels: 8-bit weights, float activations. LiteRT quantizes these at run time, to 127 steps.


def hybrid(op: str, x: T, w: T, more_inputs: list, out_axis: int, name: str = "", **options: Any) -> None:
    scale = np.broadcast_to(np.float32(w.scale), w.value.shape[out_axis] if np.ndim(w.scale) else 1)
    reduced_axes = tuple(a for a in range(w.value.ndim) if a != out_axis)
    largest_sum = float((np.abs(w.value.astype(np.float32)).sum(reduced_axes) * scale).max())
    case(
        op,
        [x, w, *more_inputs],
        name=f"hybrid{name}",
        bound=largest_sum * float(np.abs(x.value).max()) / 127 / 2,
        **options,
    )


for _axis in (None, 0):
    hybrid("CONV_2D", f(2, 6, 7, 8), w8(6, 3, 3, 8, axis=_axis), [cf(6)], 0, f"-{_axis}", **_plain)
    hybrid("FULLY_CONNECTED", f(3, 20), w8(5, 20, axis=_axis), [cf(5)], 0, f"-{_axis}")
hybrid(
    "FULLY_CONNECTED", f(3, 20), w8(5, 20, axis=0), [cf(5)], 0, "-asymmetric", asymmetricQuantizeInputs=True
)
for _block in (32, 64):
    _blocks = const(RNG.random((5, 64 // _block)).astype(np.float16) * np.float16(0.1))
    _w = const(RNG.integers(-7, 8, (5, 64), dtype=np.int8), type_name="INT4", blocks=_blocks)
    _x = f(3, 64)
    _sums = (np.abs(_w.value) * np.repeat(_blocks.value.astype(np.float32), _block, 1)).sum(1)
    case(
        "FULLY_CONNECTED",
        [_x, _w, cf(5)],
        name=f"int4 in blocks of {_block}",
        bound=float(_sums.max() * np.abs(_x.value).max()) / 127 / 2,
    )
hybrid("DEPTHWISE_CONV_2D", f(2, 6, 7, 8), w8(1, 3, 3, 8, axis=3), [cf(8)], 3, depthMultiplier=1, **_plain)
hybrid("BATCH_MATMUL", f(2, 3, 20), w8(2, 20, 5), [], 2)
for _name, _padding in PADDINGS.items():
    case(
        "TRANSPOSE_CONV",
        [T(np.int32([1, 9, 8, 3])), cf(3, 3, 3, 2), f(1, 4 + (not _padding), 4 - _padding, 2), cf(3)],
        name=f"computed-{_name}",
        padding=_padding,
        strideH=2,
        strideW=2,
    )
