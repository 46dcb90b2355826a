"""Convolutions, pools, dense layers, normalizations."""

from __future__ import annotations

import numpy as np

from bridge.hub import rank_of, shape_of
from bridge_tflite.import_ops.common import (
    FUSED,
    activate,
    constant,
    first,
    last,
    need,
    ops,
    permuted,
    vector,
)

SAME, VALID = 0, 1


def padding(node, x, kernel, strides, dilations):
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


def window(node):
    return [node.get("strideH", 1), node.get("strideW", 1)], [
        node.get("dilationHFactor", 1),
        node.get("dilationWFactor", 1),
    ]


STATIC_WINDOW = need(
    "a static input size where SAME padding meets dilation",
    lambda n: (
        n.get("padding", SAME) == VALID
        or max(window(n)[1]) == 1
        or all(d is not None for d in n.tensor(0).dims[1:-1])
    ),
)


@ops.op("CONV_2D", needs=(FUSED, STATIC_WINDOW))
def conv_2d(op, node, x, w, bias=None):
    strides, dilations = window(node)
    kernel = node.shape(1)[1:3]
    group = node.shape(0)[3] // node.shape(1)[3]
    y = op.Conv(
        first(op, x),
        permuted(op, w, [0, 3, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **padding(node, x, kernel, strides, dilations),
    )
    return last(op, activate(op, node, y))


@ops.op("DEPTHWISE_CONV_2D", needs=(FUSED, STATIC_WINDOW))
def depthwise_conv_2d(op, node, x, w, bias=None):
    strides, dilations = window(node)
    kernel = node.shape(1)[1:3]
    y = op.Conv(
        first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=node.shape(0)[3],
        **padding(node, x, kernel, strides, dilations),
    )
    return last(op, activate(op, node, y))


STATIC = need("a static input size", lambda n: all(d is not None for d in n.tensor(2).dims[1:]))


@ops.op("TRANSPOSE_CONV", needs=(FUSED, constant(0, "output shape"), STATIC))
def transpose_conv(op, node, shape, w, x, bias=None):
    strides, _ = window(node)
    kernel, out = node.shape(1)[1:3], vector(shape)[1:3]
    begin, end, extra = [], [], []
    for size, k, s, wanted in zip(node.shape(2)[1:3], kernel, strides, out, strict=True):
        full = (size - 1) * s + k
        total = max(full - wanted, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
        extra.append(max(wanted - full, 0))
    y = op.ConvTranspose(
        first(op, x),
        permuted(op, w, [3, 0, 1, 2]),
        bias,
        kernel_shape=kernel,
        strides=strides,
        pads=begin + end,
        output_padding=extra if any(extra) else None,
    )
    return last(op, activate(op, node, y))


@ops.op("MAX_POOL_2D", "AVERAGE_POOL_2D", needs=(FUSED,))
def pool_2d(op, node, x):
    kernel, strides = [node.get("filterHeight", 1), node.get("filterWidth", 1)], window(node)[0]
    pool = op.MaxPool if node.op == "MAX_POOL_2D" else op.AveragePool
    y = pool(first(op, x), kernel_shape=kernel, strides=strides, **padding(node, x, kernel, strides, [1, 1]))
    return last(op, activate(op, node, y))


@ops.op(
    "FULLY_CONNECTED",
    needs=(FUSED, need("weights in the default format", lambda n: n.get("weightsFormat", 0) == 0)),
)
def fully_connected(op, node, x, w, bias=None):
    if not node.get("keepNumDims", False) and rank_of(x) != 2:
        x = op.Reshape(x, [-1, node.shape(1)[1]])
    y = op.MatMul(x, permuted(op, w, [1, 0]))
    return activate(op, node, y if bias is None else op.Add(y, bias))


@ops.op("BATCH_MATMUL")
def batch_matmul(op, node, x, y):
    def turned(value):
        rank = rank_of(value)
        return op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])

    x = turned(x) if node.get("adjX", False) else x
    return op.MatMul(x, turned(y) if node.get("adjY", False) else y)


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
    return last(op, op.DepthToSpace(first(op, x), blocksize=node.get("blockSize", 1), mode="DCR"))


@ops.op("SPACE_TO_DEPTH")
def space_to_depth(op, node, x):
    return last(op, op.SpaceToDepth(first(op, x), blocksize=node.get("blockSize", 1)))


def _mode(node):
    if node.get("alignCorners", False):
        return "align_corners"
    return "half_pixel" if node.get("halfPixelCenters", False) else "asymmetric"


@ops.op("RESIZE_BILINEAR", needs=(constant(1, "size"),))
def resize_bilinear(op, node, x, size):
    sizes = op.Concat(op.Shape(first(op, x), end=2), op.const(np.array(vector(size), np.int64)), axis=0)
    if shape_of(x):
        sizes = op.const(np.array([x.shape[0], x.shape[3], *vector(size)], np.int64))
    mode = _mode(node)
    return last(
        op, op.Resize(first(op, x), None, None, sizes, mode="linear", coordinate_transformation_mode=mode)
    )


@ops.op(
    "RESIZE_NEAREST_NEIGHBOR",
    needs=(constant(1, "size"), need("a static input", lambda n: None not in n.tensor(0).dims)),
)
def resize_nearest(op, node, x, size):
    """Rows and columns are gathered: TFLite rounds otherwise than ONNX."""
    for axis, wanted in zip((1, 2), vector(size), strict=True):
        have = node.shape(0)[axis]
        align, half = node.get("alignCorners", False), node.get("halfPixelCenters", False)
        ratio = np.float32((have - 1) / (wanted - 1)) if align and wanted > 1 else np.float32(have / wanted)
        place = (np.arange(wanted, dtype=np.float32) + np.float32(0.5 if half else 0)) * ratio
        index = np.floor(place + np.float32(0.5)) if align else np.floor(place)
        x = op.Gather(x, np.clip(index, 0, have - 1).astype(np.int64), axis=axis)
    return x
