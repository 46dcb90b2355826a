"""Layers: products, convolutions, pools, normalizations, losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge import dims, geometry
from bridge.geometry import halves, same_total
from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_int64, constant_ints, ints, permuted, to_channels_first, to_channels_last
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, channels_last, get, parts, ranked
from bridge_savedmodel.import_ops.tensor import mirror_pad

ops = OpTable(get)


@ops.op("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", needs=(ranked(), ranked(1)))
def matmul(op, node, x, y):
    turned = []
    for value, names in ((x, ("transpose_a", "adj_x")), (y, ("transpose_b", "adj_y"))):
        if any(node.get(n) for n in names):
            rank = rank_of(value)
            value = permuted(op, value, [*range(rank - 2), rank - 1, rank - 2])
        turned.append(value)
    return op.MatMul(*turned)


ops.same(attributes={"equation": "equation"}, Einsum="Einsum", XlaEinsum="Einsum")


@ops.op("BiasAdd", "BiasAddV1", needs=(ranked(),))
def bias_add(op, node, x, bias):
    if channels_last(node):
        return op.Add(x, bias)
    return op.Add(x, op.Unsqueeze(bias, np.arange(1, rank_of(x) - 1, dtype=np.int64)))


def _spatial(node: Any, name: str, rank: int) -> list[int]:
    values = node.get(name) or [1] * rank
    return list(values[1:-1] if channels_last(node) else values[2:])


def padding_of(node: Any) -> dict[str, Any]:
    """Padding of a window as ONNX attributes."""
    if node.get("padding") == "SAME":
        return {"auto_pad": "SAME_UPPER"}
    if node.get("padding") == "EXPLICIT":
        own = node.get("explicit_paddings")
        pairs = list(zip(own[::2], own[1::2], strict=True))
        pairs = pairs[1:-1] if channels_last(node) else pairs[2:]
        return {"pads": [p[0] for p in pairs] + [p[1] for p in pairs]}
    return {}


def _channels_first(op: Any, node: Any, x: Any) -> Any:
    return to_channels_first(op, x) if channels_last(node) else x


def _back(op: Any, node: Any, y: Any) -> Any:
    return to_channels_last(op, y) if channels_last(node) else y


FLOATS = condition("floats", lambda n: n.inputs[0].dtype.is_floating_point())
POOLED = condition(
    "floats, or whole numbers of 8 bits",
    lambda n: (
        n.inputs[0].dtype.is_floating_point()
        or (n.op.startswith("Max") and n.inputs[0].dtype in (T.INT8, T.UINT8))
    ),
)
KERNEL = condition("filters of static shape", lambda n: shape_of(n.inputs[1]) is not None)
CHANNELS = condition(
    "a known number of channels",
    lambda n: (
        n.inputs[0].shape is not None
        and isinstance(list(n.inputs[0].shape)[-1 if channels_last(n) else 1], int)
    ),
)


def _convolve(op: Any, node: Any, x: Any, weights: Any, kernel: list[int], group: int) -> Any:
    rank = rank_of(x)
    strides, dilations = _spatial(node, "strides", rank), _spatial(node, "dilations", rank)
    result = op.Conv(
        _channels_first(op, node, x),
        weights,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **padding_of(node),
    )
    return _back(op, node, result)


@ops.op("Conv2D", "Conv3D", "Conv", needs=(ranked(), FLOATS, KERNEL, CHANNELS))
def conv(op, node, x, w):
    rank, sizes = rank_of(x), shape_of(w)
    channels = list(x.shape)[-1 if channels_last(node) else 1]
    weights = permuted(op, w, [rank - 1, rank - 2, *range(rank - 2)])
    return _convolve(op, node, x, weights, sizes[:-2], channels // sizes[-2])


@ops.op("DepthwiseConv2dNative", needs=(ranked(), FLOATS, KERNEL))
def depthwise(op, node, x, w):
    h, width, channels, multiple = shape_of(w)
    turned = permuted(op, w, [2, 3, 0, 1])
    known = const(turned)
    shape = [channels * multiple, 1, h, width]
    weights = op.const(known.reshape(shape)) if known is not None else op.Reshape(turned, ints(*shape))
    return _convolve(op, node, x, weights, [h, width], channels)


@ops.op("DepthwiseConv2dNativeBackpropInput", needs=(KERNEL, ranked(2)))
def depthwise_backprop(op, node, sizes, w, x):
    """A transposed convolution in as many groups as there are channels."""
    h, width, channels, multiple = shape_of(w)
    return conv_backprop(op, node, sizes, _grouped(op, w, [h, width, channels, multiple]), x, channels)


def _grouped(op: Any, w: Any, shape: list[int]) -> Any:
    """Filters of each channel apart: [height, width, 1, channels x multiple]."""
    target = ints(*shape[:2], 1, shape[2] * shape[3])
    known = const(w)
    return op.const(known.reshape(target)) if known is not None else op.Reshape(w, target)


@ops.op("Conv2DBackpropInput", "Conv3DBackpropInputV2", needs=(KERNEL, ranked(2)))
def conv_backprop(op, node, sizes, w, x, group=1):
    """The padding that the convolution of the asked-for size would have had is cut off; what it left over is
    added."""
    rank, shape = rank_of(x), shape_of(w)
    strides, dilations = _spatial(node, "strides", rank), _spatial(node, "dilations", rank)
    source = _channels_first(op, node, x)
    asked = parts(sizes)
    lengths = list(source.shape)[2:]
    wanted = None if asked is None else asked[1:-1] if channels_last(node) else asked[2:]
    channels = None if asked is None else asked[-1 if channels_last(node) else 1]
    if wanted is None or (channels is not None and channels != shape[-2] * group):
        return NotImplemented
    before, after, more = [], [], []
    for i, (size, out) in enumerate(zip(lengths, wanted, strict=True)):
        span = (shape[i] - 1) * dilations[i] + 1
        if isinstance(size, int) and out is not None:
            left = (size - 1) * strides[i] + span - out
        elif node.get("padding") == "VALID":
            return NotImplemented
        else:
            left = span - strides[i]
        if node.get("padding") == "EXPLICIT":
            return NotImplemented
        total = max(left, 0)
        before.append(total // 2)
        after.append(total - total // 2)
        more.append(max(-left, 0))
    weights = permuted(op, w, [rank - 1, rank - 2, *range(rank - 2)])
    made = op.ConvTranspose(
        source,
        weights,
        kernel_shape=shape[:-2],
        strides=strides,
        dilations=dilations,
        pads=before + after,
        output_padding=more if any(more) else None,
        group=group,
    )
    return _back(op, node, made)


def _pool(op: Any, node: Any, native: str, x: Any, ksize: list[int], strides: list[int], **more: Any) -> Any:
    inner = slice(1, -1) if channels_last(node) else slice(2, None)
    outer = [v for i, v in enumerate(ksize + strides) if i % len(ksize) not in range(len(ksize))[inner]]
    if set(outer) != {1}:
        return NotImplemented
    kernel, steps = ksize[inner], strides[inner]
    source = _channels_first(op, node, x)
    return op.node(native, source, kernel_shape=kernel, strides=steps, **padding_of(node), **more)


@ops.op("MaxPool", "MaxPool3D", "AvgPool", "AvgPool3D", needs=(ranked(), POOLED))
def pool(op, node, x):
    native = "MaxPool" if node.op.startswith("Max") else "AveragePool"
    made = _pool(op, node, native, x, node.get("ksize"), node.get("strides"))
    return made if made is NotImplemented else _back(op, node, made)


@ops.op("MaxPoolV2", needs=(ranked(), POOLED, constant(1, "ksize"), constant(2, "strides")))
def max_pool_v2(op, node, x, ksize, strides):
    made = _pool(op, node, "MaxPool", x, constant_ints(ksize), constant_ints(strides))
    return made if made is NotImplemented else _back(op, node, made)


IMAGE_KNOWN = condition(
    "images of known size",
    lambda n: n.inputs[0].shape is not None and all(isinstance(d, int) for d in list(n.inputs[0].shape)[1:]),
)


@ops.op("MaxPoolWithArgmax", needs=(ranked(), POOLED, IMAGE_KNOWN))
def max_pool_with_places(op, node, x):
    """Places count rows, columns, then channels."""
    made = _pool(op, node, "MaxPool", x, node.get("ksize"), node.get("strides"), _outputs=2)
    if made is NotImplemented:
        return made
    values, flat = made
    _, h, w, c = list(x.shape)
    plane = op.Mod(flat, ints(h * w))
    channel = op.Mod(op.Div(flat, ints(h * w)), ints(c))
    places = op.Add(op.Mul(plane, ints(c)), channel)
    if node.get("include_batch_in_index"):
        places = op.Add(places, op.Mul(op.Div(flat, ints(h * w * c)), ints(h * w * c)))
    places = to_channels_last(op, places)
    return to_channels_last(op, values), places if node.get("Targmax") == T.INT64 else op.Cast(
        places, to=int(T.INT32)
    )


@ops.op("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", needs=(ranked(),))
def batch_norm(op, node, x, scale, offset, mean, variance):
    epsilon = node.get("epsilon")
    source = _channels_first(op, node, x)
    if not node.get("is_training"):
        made = op.BatchNormalization(source, scale, offset, mean, variance, epsilon=epsilon)
        return [_back(op, node, made), mean, variance, mean, variance, op.const(np.zeros(0, np.float32))]
    axes = ints(0, *range(2, rank_of(x)))
    average = op.ReduceMean(source, axes, keepdims=0)
    centred = op.Sub(source, op.ReduceMean(source, axes))
    spread = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=0)
    made = op.BatchNormalization(source, scale, offset, average, spread, epsilon=epsilon)
    return [_back(op, node, made), average, spread, average, spread, op.const(np.zeros(0, np.float32))]


@ops.op("BatchNormWithGlobalNormalization")
def older_batch_norm(op, node, x, mean, variance, shift, scale):
    """Channels last, as the first graphs of TensorFlow have it."""
    factor = op.Reciprocal(op.Sqrt(op.Add(variance, float(node.get("variance_epsilon")))))
    factor = op.Mul(factor, scale) if node.get("scale_after_normalization") else factor
    return op.Add(op.Mul(op.Sub(x, mean), factor), shift)


@ops.op("LRN", needs=(ranked(),))
def lrn(op, node, x):
    size = 2 * node.get("depth_radius") + 1
    made = op.LRN(
        to_channels_first(op, x),
        size=size,
        alpha=node.get("alpha") * size,
        beta=node.get("beta"),
        bias=node.get("bias"),
    )
    return to_channels_last(op, made)


@ops.op("SoftmaxCrossEntropyWithLogits")
def softmax_cross_entropy(op, node, logits, labels):
    logs = op.LogSoftmax(logits, axis=-1)
    loss = op.Neg(op.ReduceSum(op.Mul(labels, logs), ints(-1), keepdims=0))
    return loss, op.Sub(op.Exp(logs), labels)


@ops.op("SparseSoftmaxCrossEntropyWithLogits")
def sparse_softmax_cross_entropy(op, node, logits, labels):
    logs = op.LogSoftmax(logits, axis=-1)
    own = op.GatherElements(logs, op.Unsqueeze(as_int64(op, labels), ints(-1)), axis=1)
    return op.Neg(op.Squeeze(own, ints(-1)))


@ops.op(
    "SpaceToDepth",
    "DepthToSpace",
    needs=(
        ranked(),
        condition("data_format=NHWC or NCHW", lambda n: n.get("data_format") in ("NHWC", "NCHW")),
    ),
)
def blocks(op, node, x):
    source = _channels_first(op, node, x)
    return _back(op, node, op.node(node.op, source, blocksize=node.get("block_size")))


def _static_tail(node: Any) -> bool:
    return rank_of(node.inputs[0]) is not None and all(const(v) is not None for v in node.inputs[1:])


CONSTANTS = condition("constant block sizes and amounts", _static_tail)


@ops.op("SpaceToBatchND", needs=(CONSTANTS,))
def space_to_batch(op, node, x, block, paddings):
    sizes, count = constant_ints(block), len(constant_ints(block))
    table = np.zeros((rank_of(x), 2), np.int64)
    table[1 : count + 1] = const(paddings)
    x = op.Pad(x, op.const(np.ascontiguousarray(table.T).ravel())) if table.any() else x
    lengths = dims.lengths(op, x)
    inner = [p for i, b in enumerate(sizes) for p in (lengths[i + 1] // b, b)]
    rest = lengths[count + 1 :]
    split = dims.reshape(op, x, [lengths[0], *inner, *rest])
    order = [
        *range(2, 2 * count + 1, 2),
        0,
        *range(1, 2 * count, 2),
        *range(2 * count + 1, 2 * count + 1 + len(rest)),
    ]
    batch = lengths[0] * math.prod(sizes)
    return dims.reshape(op, op.Transpose(split, perm=order), [batch, *inner[::2], *rest])


@ops.op("BatchToSpaceND", needs=(CONSTANTS,))
def batch_to_space(op, node, x, block, crops):
    sizes, count = constant_ints(block), len(constant_ints(block))
    lengths = dims.lengths(op, x)
    rest = lengths[count + 1 :]
    batch = lengths[0] // math.prod(sizes)
    split = dims.reshape(op, x, [*sizes, batch, *lengths[1 : count + 1], *rest])
    pairs = [a for i in range(count) for a in (count + 1 + i, i)]
    order = [count, *pairs, *range(2 * count + 1, 2 * count + 1 + len(rest))]
    grown = [d * b for d, b in zip(lengths[1 : count + 1], sizes, strict=True)]
    made = dims.reshape(op, op.Transpose(split, perm=order), [batch, *grown, *rest])
    table = const(crops)
    if not table.any():
        return made
    ends = [2**31 - 1 if not c else -int(c) for c in table[:, 1]]
    return op.Slice(
        made, op.const(table[:, 0].astype(np.int64)), ints(*ends), np.arange(1, count + 1, dtype=np.int64)
    )


@ops.op("SpaceToBatch", "BatchToSpace", needs=(CONSTANTS,))
def square_blocks(op, node, x, amounts):
    block = op.const(ints(node.get("block_size"), node.get("block_size")))
    return (space_to_batch if node.op == "SpaceToBatch" else batch_to_space)(op, node, x, block, amounts)


def _picks(sizes: list[int]) -> np.ndarray:
    """Filters that each pick one element of a window: [elements, channels, ...]."""
    count = math.prod(sizes)
    return np.moveaxis(np.eye(count, dtype=np.float32).reshape(-1, *sizes), -1, 1)


@ops.op(
    "ExtractVolumePatches", needs=(ranked(), CHANNELS, condition("float32", lambda n: n.get("T") == T.FLOAT))
)
def volume_patches(op, node, x):
    sizes = [*node.get("ksizes")[1:4], list(x.shape)[-1]]
    return _convolve(op, node, x, op.const(np.ascontiguousarray(_picks(sizes))), sizes[:3], 1)


@ops.op("FusedPadConv2D", needs=(KERNEL, CHANNELS, constant(1, "paddings")))
def padded_conv(op, node, x, paddings, w):
    """Padded by reflection or symmetry, then convolved."""
    return conv(op, node, mirror_pad(op, node, x, paddings), w)


@ops.op(
    "Dilation2D", needs=(KERNEL, CHANNELS, ranked(), condition("float32", lambda n: n.get("T") == T.FLOAT))
)
def dilation(op, node, x, w):
    """The largest sum of window and filter, channel by channel; outside of the image nothing counts."""
    high, wide, _ = shape_of(w)
    sizes, steps, rates = [high, wide], node.get("strides")[1:3], node.get("rates")[1:3]
    source = to_channels_first(op, x)
    if node.get("padding") == "SAME":
        lowest = op.const(np.array(np.finfo(np.float32).min, np.float32))
        window = geometry.Window(sizes, steps, rates)
        rows = zip(dims.lengths(op, source)[2:], window.spans, steps, strict=True)
        before, after = zip(*(halves(same_total(*row), True) for row in rows), strict=True)
        source = op.Pad(source, dims.vector(op, [0, 0, *before, 0, 0, *after]), lowest)
    found = None
    weights = permuted(op, w, [2, 0, 1])
    for row in range(high):
        for column in range(wide):
            begin = ints(row * rates[0], column * rates[1])
            ends = [-(high - 1 - row) * rates[0], -(wide - 1 - column) * rates[1]]
            end = ints(*(e or 2**31 - 1 for e in ends))
            part = op.Slice(source, begin, end, ints(2, 3), ints(*steps))
            own = op.Slice(weights, ints(row, column), ints(row + 1, column + 1), ints(1, 2))
            made = op.Add(part, own)
            found = made if found is None else op.Max(found, made)
    return to_channels_last(op, found)
