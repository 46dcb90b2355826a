"""Convolutions, pools, dense layers, normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import rank_of, shape_of
from bridge.importing import (
    constant,
    constant_ints,
    int64_vector,
    ints,
    permuted,
    to_channels_first,
    to_channels_last,
)
from bridge.interpolation import ResizeAxis, nearest_index, original_coordinates, step_between
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FLOAT, FUSED, INT64, activate, bounded, told

ops = OpTable()

SAME, VALID = 0, 1


def padding(node: Any, x: Any, kernel: list[int], strides: list[int], dilations: list[int]) -> dict[str, Any]:
    """ONNX attributes for TFLite's SAME or VALID on the channels-last input `x`."""
    if node.get("padding", SAME) == VALID:
        return {}
    dims = list(x.shape)[1:-1] if x.shape is not None else [None]
    if not all(isinstance(d, int) for d in dims):
        return {"auto_pad": "SAME_UPPER"}
    begin, end = [], []
    for size, k, s, d in zip(dims, kernel, strides, dilations, strict=True):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return {"pads": begin + end} if any(begin + end) else {}


def window(node: Any) -> tuple[list[int], list[int]]:
    return [node.get("strideH", 1), node.get("strideW", 1)], [
        node.get("dilationHFactor", 1),
        node.get("dilationWFactor", 1),
    ]


STATIC_WINDOW = condition(
    "a static input size where SAME padding meets dilation",
    lambda n: (
        n.get("padding", SAME) == VALID
        or max(window(n)[1]) == 1
        or all(d is not None for d in n.tensor(0).dims[1:-1])
    ),
)


CHANNELS = condition("a known number of channels", lambda n: n.shape(0)[-1] is not None)


@ops.op("CONV_2D", needs=(FUSED, STATIC_WINDOW, CHANNELS))
def conv_2d(op, node, x, w, bias=None):
    strides, dilations = window(node)
    kernel = node.shape(1)[1:3]
    group = node.shape(0)[3] // node.shape(1)[3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [0, 3, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **padding(node, x, kernel, strides, dilations),
    )
    return to_channels_last(op, activate(op, node, told(node, y, 1)))


@ops.op("DEPTHWISE_CONV_2D", needs=(FUSED, STATIC_WINDOW))
def depthwise_conv_2d(op, node, x, w, bias=None):
    strides, dilations = window(node)
    kernel = node.shape(1)[1:3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.shape(0)[3] or node.shape(1)[3] // node.get("depthMultiplier", 1),
        **padding(node, x, kernel, strides, dilations),
    )
    return to_channels_last(op, activate(op, node, told(node, y, 1)))


STATIC = condition("a static input size", lambda n: all(d is not None for d in n.tensor(2).dims[1:]))
STATIC_VOLUME = condition(
    "a static input size where SAME padding meets dilation",
    lambda n: (
        n.get("padding", SAME) == VALID
        or max(_volume(n)[1]) == 1
        or all(d is not None for d in n.tensor(0).dims[1:-1])
    ),
)


def _transposed(
    op: Any,
    node: Any,
    x: Any,
    w: Any,
    bias: Any,
    out: list[int],
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
) -> Any:
    """ConvTranspose to the size `out`: cut before as the convolution of `out` is padded, cut or padded behind."""
    begin, end, extra = [], [], []
    rank = len(out)
    for size, k, s, d, wanted in zip(
        node.shape(2)[1 : 1 + rank], kernel, strides, dilations, out, strict=True
    ):
        reach = (k - 1) * d + 1
        full = (size - 1) * s + reach
        steps = (wanted - reach + s) // s if node.get("padding", SAME) == VALID else -(-wanted // s)
        before = max((steps - 1) * s + reach - wanted, 0) // 2
        begin.append(before)
        end.append(full - before - wanted if full - before > wanted else 0)
        extra.append(max(wanted - (full - before), 0))
    y = op.ConvTranspose(
        to_channels_first(op, x),
        w,
        None,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=begin + end,
    )
    if any(extra):
        y = op.Pad(y, ints(0, 0, *[0] * rank, 0, 0, *extra))
    return y if bias is None else op.Add(y, op.Reshape(bias, ints(-1, *[1] * rank)))


def _transposed_to(
    op: Any,
    node: Any,
    x: Any,
    w: Any,
    bias: Any,
    shape: Any,
    kernel: list[int],
    strides: list[int],
    dilations: list[int],
) -> Any:
    """`_transposed` where the size of the result, or of the input, is known at run time only: cut out of the whole, channels last."""
    rank, same = len(kernel), node.get("padding", SAME) != VALID
    whole = op.ConvTranspose(
        to_channels_first(op, x), w, None, kernel_shape=kernel, strides=strides, dilations=dilations
    )
    wanted = op.Slice(int64_vector(op, shape), ints(1), ints(1 + rank), ints(0))
    step, reach = ints(*strides), ints(*((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)))
    steps = op.Div(op.Add(wanted, step - 1 if same else step - reach), step)
    over = op.Sub(op.Add(op.Mul(op.Sub(steps, ints(*[1] * rank)), step), reach), wanted)
    before = op.Div(op.Max(over, ints(*[0] * rank)), ints(*[2] * rank))
    pads = op.Concat(ints(*[0] * (rank + 3)), wanted, ints(0), axis=0)
    y = op.Slice(
        op.Pad(to_channels_last(op, whole), pads), before, op.Add(before, wanted), ints(*range(1, rank + 1))
    )
    return y if bias is None else op.Add(y, bias)


@ops.op("TRANSPOSE_CONV", needs=(FUSED, constant(0, "output shape"), STATIC))
def transpose_conv(op, node, shape, w, x, bias=None):
    strides, _ = window(node)
    kernel, out = node.shape(1)[1:3], constant_ints(shape)[1:3]
    y = _transposed(op, node, x, permuted(op, w, [3, 0, 1, 2]), bias, out, kernel, strides, [1, 1])
    return to_channels_last(op, activate(op, node, y))


@ops.op("TRANSPOSE_CONV", needs=(FUSED,))
def transpose_conv_computed(op, node, shape, w, x, bias=None):
    turned, kernel = permuted(op, w, [3, 0, 1, 2]), node.shape(1)[1:3]
    return activate(
        op, node, _transposed_to(op, node, x, turned, bias, shape, kernel, window(node)[0], [1, 1])
    )


@ops.op("MAX_POOL_2D", "AVERAGE_POOL_2D", needs=(FUSED,))
def pool_2d(op, node, x):
    kernel, strides = [node.get("filterHeight", 1), node.get("filterWidth", 1)], window(node)[0]
    pool = op.MaxPool if node.op == "MAX_POOL_2D" else op.AveragePool
    y = pool(
        to_channels_first(op, x),
        kernel_shape=kernel,
        strides=strides,
        **padding(node, x, kernel, strides, [1, 1]),
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op(
    "FULLY_CONNECTED",
    needs=(FUSED, condition("weights in the default format", lambda n: n.get("weightsFormat", 0) == 0)),
)
def fully_connected(op, node, x, w, bias=None):
    if not node.get("keepNumDims", False) and rank_of(x) != 2:
        x = op.Reshape(x, [-1, node.shape(1)[1]])
    y = told(node, op.MatMul(x, permuted(op, w, [1, 0])), 1)
    return activate(op, node, y if bias is None else op.Add(y, bias))


@ops.op("BATCH_MATMUL")
def batch_matmul(op, node, x, y):
    def turned(value):
        rank = rank_of(value)
        return op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])

    x = turned(x) if node.get("adjX", False) else x
    return told(node, op.MatMul(x, turned(y) if node.get("adjY", False) else y), 1)


@ops.op("SOFTMAX")
def softmax(op, node, x):
    beta = float(node.get("beta", 1.0))
    return op.Softmax(x if beta == 1 else op.Mul(x, beta), axis=-1)


@ops.op("LOG_SOFTMAX")
def log_softmax(op, node, x):
    return op.LogSoftmax(x, axis=-1)


@ops.op("L2_NORMALIZATION", needs=(FUSED,))
def l2_normalization(op, node, x):
    total = op.ReduceSum(op.Mul(x, x), [-1], keepdims=1)
    return activate(op, node, op.Div(x, op.Sqrt(op.Max(total, np.array(1e-6, np.float32)))))


@ops.op("DEPTH_TO_SPACE")
def depth_to_space(op, node, x):
    return to_channels_last(
        op, op.DepthToSpace(to_channels_first(op, x), blocksize=node.get("blockSize", 1), mode="DCR")
    )


@ops.op("SPACE_TO_DEPTH")
def space_to_depth(op, node, x):
    return to_channels_last(op, op.SpaceToDepth(to_channels_first(op, x), blocksize=node.get("blockSize", 1)))


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
    known = constant_ints(size)
    if known is not None:
        return op.const(np.int64(bounded(known[place])))
    return op.Squeeze(op.Slice(int64_vector(op, size), ints(place), ints(place + 1)), ints(0))


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
    mode = _mode(node)
    return to_channels_last(
        op,
        op.Resize(
            to_channels_first(op, x), None, None, sizes, mode="linear", coordinate_transformation_mode=mode
        ),
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
    needs=(constant(1, "size"), condition("a static input", lambda n: None not in n.tensor(0).dims[1:3])),
)
def resize_nearest(op, node, x, size):
    """Rows and columns are gathered: coordinates are of float32, rounded half up where corners are aligned, else down."""
    align, half = node.get("alignCorners", False), node.get("halfPixelCenters", False)
    for axis, length_resized in zip((1, 2), constant_ints(size), strict=True):
        length_original = node.shape(0)[axis]
        step = step_between(length_original, bounded(length_resized), align)
        resized = ResizeAxis.static(length_original, length_resized, np.float32, step=step)
        x_original = original_coordinates(resized, "tf_half_pixel_for_nn" if half else "asymmetric")
        index = nearest_index(x_original, "round_prefer_ceil" if align else "floor", length_original)
        x = op.Gather(x, index, axis=axis)
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


@ops.op("L2_POOL_2D", needs=(FUSED,))
def l2_pool_2d(op, node, x):
    kernel, strides = [node.get("filterHeight", 1), node.get("filterWidth", 1)], window(node)[0]
    pads = padding(node, x, kernel, strides, [1, 1])
    y = op.AveragePool(to_channels_first(op, op.Mul(x, x)), kernel_shape=kernel, strides=strides, **pads)
    return to_channels_last(op, activate(op, node, op.Sqrt(y)))


@ops.op("LOCAL_RESPONSE_NORMALIZATION")
def local_response_normalization(op, node, x):
    """TFLite's alpha is of each element, ONNX's of their mean."""
    size = 2 * node.get("radius", 0) + 1
    alpha = float(node.get("alpha", 0.0)) * size
    y = op.LRN(
        to_channels_first(op, x),
        alpha=alpha,
        beta=float(node.get("beta", 0.0)),
        bias=float(node.get("bias", 0.0)),
        size=size,
    )
    return to_channels_last(op, y)


def _volume(node: Any) -> tuple[list[int], list[int]]:
    strides = [node.get("strideD", 1), node.get("strideH", 1), node.get("strideW", 1)]
    names = ("dilationDFactor", "dilationHFactor", "dilationWFactor")
    return strides, [node.get(n, 1) for n in names]


@ops.op("CONV_3D", needs=(FUSED, STATIC_VOLUME, CHANNELS))
def conv_3d(op, node, x, w, bias=None):
    strides, dilations = _volume(node)
    kernel = node.shape(1)[:3]
    y = op.Conv(
        to_channels_first(op, x),
        permuted(op, w, [4, 3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.shape(0)[4] // node.shape(1)[3],
        **padding(node, x, kernel, strides, dilations),
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op("CONV_3D_TRANSPOSE", needs=(FUSED, constant(0, "output shape"), STATIC))
def conv_3d_transpose(op, node, shape, w, x, bias=None):
    strides, dilations = _volume(node)
    y = _transposed(
        op,
        node,
        x,
        permuted(op, w, [4, 3, 0, 1, 2]),
        bias,
        constant_ints(shape)[1:4],
        node.shape(1)[:3],
        strides,
        dilations,
    )
    return to_channels_last(op, activate(op, node, y))


@ops.op("CONV_3D_TRANSPOSE", needs=(FUSED,))
def conv_3d_transpose_computed(op, node, shape, w, x, bias=None):
    turned, kernel = permuted(op, w, [4, 3, 0, 1, 2]), node.shape(1)[:3]
    return activate(op, node, _transposed_to(op, node, x, turned, bias, shape, kernel, *_volume(node)))


@ops.op("RFFT2D", needs=(constant(1, "length"),))
def rfft2d(op, node, x, length):
    """Both last axes, cut or padded to the length; complex numbers are pairs in a last axis of the hub."""
    rank, sizes = rank_of(x), constant_ints(length)
    for axis, size in zip((rank - 2, rank - 1), sizes, strict=True):
        x = op.Slice(x, ints(0), ints(size), ints(axis))
        x = op.Pad(
            x,
            op.Concat(ints(0), op.Sub(ints(size), op.Shape(x, start=axis, end=axis + 1)), axis=0),
            None,
            ints(axis),
        )
    pairs = op.Unsqueeze(x, ints(rank))
    across = op.DFT(pairs, None, np.int64(rank - 1), onesided=1)
    return op.DFT(across, None, np.int64(rank - 2))


def _part(op: Any, x: Any, place: int) -> Any:
    return op.Gather(x, np.int64(place), axis=-1)


@ops.op("REAL")
def real(op, node, x):
    return _part(op, x, 0)


@ops.op("IMAG")
def imag(op, node, x):
    return _part(op, x, 1)


@ops.op("COMPLEX_ABS")
def complex_abs(op, node, x):
    return op.Sqrt(op.ReduceSum(op.Mul(x, x), ints(-1), keepdims=0))
