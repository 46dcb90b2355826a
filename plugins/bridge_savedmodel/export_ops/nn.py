"""Layers: products, convolutions, pooling, resizing, choosing boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.geometry import pads_of, same_at_run_time, spatial_lengths
from bridge.hub import NHWC, attr, const, rank_of, shape_of
from bridge.needs import attribute, condition, unused_output
from bridge.ops import OpTable
from bridge_savedmodel.convolution import filter_order, transposed_lengths
from bridge_savedmodel.export_ops.common import RANKED
from bridge_savedmodel.tensorflow import DOMAIN, kernel

ops = OpTable()

MATRICES = condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2)


@ops.op("MatMul", needs=(MATRICES, kernel("BatchMatMulV2")))
def matmul(tf, node, x, y):
    """Multiply matrices. Batches of two dimensions or more that differ are broadcast first, and products over
    an empty dimension go to the batched kernel: TensorFlow's kernels crash on some of these."""
    ranks = rank_of(x), rank_of(y)
    if set(ranks) == {2} and node.inputs[0].shape[-1] != 0:
        return tf.MatMul(x, y)
    if max(ranks) > 3 and list(x.shape)[:-2] != list(y.shape)[:-2]:
        x, y = _broadcast_batches(tf, x, y)
    return tf.BatchMatMulV2(x, y)


def _broadcast_batches(tf: Any, *operands: ir.Value) -> list[Any]:
    sizes = [tf.Shape(v) for v in operands]
    batch = tf.BroadcastArgs(*(s[:-2] for s in sizes))
    return [tf.BroadcastTo(v, tf.ConcatV2([batch, s[-2:]], 0)) for v, s in zip(operands, sizes, strict=True)]


ops.same(needs=(kernel("MatrixDeterminant"),), Det="MatrixDeterminant")


def spatial(node: ir.Node, name: str) -> list[int]:
    return attr(node, name) or [1] * ((rank_of(node.inputs[0]) or 2) - 2)


def _wide(values: list[int]) -> list[int]:
    """A number for each spatial dimension as one for each of two or three, and for batch and channels."""
    return [1, *(values * 2 if len(values) == 1 else values), 1]


def _window(node: ir.Node) -> list[int]:
    sizes = attr(node, "kernel_shape")
    return [1, *([1] if len(sizes) == 1 else []), *sizes, 1]


def _two(tf: Any, x: Any, rank: int) -> Any:
    return tf.ExpandDims(x, 1) if rank == 3 else x


def _back(tf: Any, x: Any, rank: int) -> Any:
    return tf.Squeeze(x, axis=[1]) if rank == 3 else x


def padded(tf: Any, x: Any, pads: list[tuple[int, int]], number: Any = None) -> Any:
    """Spatial dimensions padded. By int32: what oneDNN makes of a Pad and a convolution reads no other."""
    if not any(map(any, pads)):
        return x
    table = np.array([(0, 0), *pads, (0, 0)], np.int32)
    made = tf.Pad(x, np.maximum(table, 0)) if number is None else tf.PadV2(x, np.maximum(table, 0), number)
    return made


def padding(node: ir.Node) -> tuple[str, list[tuple[int, int]]]:
    """TensorFlow's word, and what is padded before."""
    if same_at_run_time(node, spatial_lengths(node)):
        return "SAME", []
    return "VALID", pads_of(node, ceil=True) or []


def filters(tf: Any, node: ir.Node) -> Any:
    """Weights in TensorFlow's layout, of two spatial dimensions where the node has one."""
    weights, order = node.inputs[1], filter_order(node, 1)
    turned = tf.weights(weights, order) if const(weights) is not None else tf.Transpose(weights, order)
    return tf.ExpandDims(turned, 0) if len(order) == 3 else turned


@ops.op("bridge.nhwc::Conv", needs=(RANKED,))
def conv(tf, node, x, weights, bias=None):
    """One filter for each channel as a depthwise convolution, other groups one by one."""
    rank, group = rank_of(x), attr(node, "group")
    strides, dilations = _wide(spatial(node, "strides")), _wide(spatial(node, "dilations"))
    word, pads = padding(node)
    source = _two(tf, padded(tf, x, pads), rank)
    turned = filters(tf, node)
    common = {"strides": strides, "padding": word, "dilations": dilations}
    depth, out = weights.shape[1], weights.shape[0]
    if rank > 3 and depth == 1 and len({*strides[1:-1]}) > 1:
        source, turned = _another_channel(tf, source, turned, rank, group)
    if group == 1:
        made = tf.Conv3D(source, turned, **common) if rank == 5 else tf.Conv2D(source, turned, **common)
    elif depth == 1 and rank < 5 and len({*strides[1:3]}) == 1:
        shape = [*turned.shape[:2], group, out // group]
        made = tf.DepthwiseConv2dNative(source, tf.Reshape(turned, np.array(shape, np.int64)), **common)
    else:
        native = "Conv3D" if rank == 5 else "Conv2D"
        pieces = zip(
            tf.Split(rank - 1 if rank > 3 else 3, source, num_split=group),
            tf.Split(-1, turned, num_split=group),
            strict=True,
        )
        made = tf.ConcatV2([tf.call(native, *piece, **common) for piece in pieces], -1)
    made = _back(tf, made, rank)
    return made if bias is None else tf.BiasAdd(made, bias)


def _another_channel(tf: Any, x: Any, weights: Any, rank: int, group: int) -> tuple[Any, Any]:
    """A second channel of zeros for each group: oneDNN's kernel for one channel is wrong for some strides
    that differ.

    The weights get theirs by no Pad: oneDNN ends the process where a Pad makes the filters of a convolution.
    """
    shape = tf.Shape(x)
    spread = tf.Reshape(x, tf.ConcatV2([shape, np.ones(1, np.int32)], 0))
    wide = tf.Pad(spread, np.array([(0, 0)] * rank + [(0, 1)], np.int32))
    sizes = tf.ConcatV2([tf.Slice(shape, [0], [rank - 1]), np.array([2 * group], np.int32)], 0)
    return tf.Reshape(wide, sizes), tf.ConcatV2([weights, tf.ZerosLike(weights)], rank - 2)


@ops.op("bridge.nhwc::ConvTranspose", needs=(RANKED,))
def conv_transpose(tf, node, x, weights, bias=None):
    """The gradient of a convolution, cut to the padding asked for."""
    rank, group = rank_of(x), attr(node, "group")
    strides, dilations = spatial(node, "strides"), [1] * (rank - 2)
    begin, sizes, whole = transposed_lengths(tf, node, x)
    turned = filters(tf, node)
    lengths = tf.lengths(x)
    out = weights.shape[1]
    shape = tf.Cast(tf.vector([lengths[0], *([1] if rank == 3 else []), *whole, out]), DstT=tf.api.int32)
    common = {"strides": _wide(strides), "padding": "VALID", "dilations": _wide(dilations)}
    native = "Conv3DBackpropInputV2" if rank == 5 else "Conv2DBackpropInput"
    pieces = [tf.Split(-1, v, num_split=group) if group > 1 else [v] for v in (_two(tf, x, rank), turned)]
    made = [tf.call(native, shape, w, v, **common) for v, w in zip(*pieces, strict=True)]
    result = _back(tf, tf.ConcatV2(made, -1) if group > 1 else made[0], rank)
    size = tf.vector([lengths[0], *sizes, out * group])
    result = tf.Slice(result, np.array([0, *begin, 0], np.int64), size)
    return result if bias is None else tf.BiasAdd(result, bias)


@ops.op("bridge.nhwc::MaxPool", needs=(RANKED, unused_output(1, "Indices")))
def max_pool(tf, node, x):
    rank = rank_of(x)
    lowest = x.dtype.numpy().type(-np.inf) if x.dtype.is_floating_point() else np.iinfo(x.dtype.numpy()).min
    word, pads = padding(node)
    source = _two(tf, padded(tf, x, pads, tf.constant(lowest, x.dtype)), rank)
    common = {
        "ksize": _window(node),
        "strides": _wide(spatial(node, "strides")),
        "padding": word,
    }
    return _back(tf, (tf.MaxPool3D if rank == 5 else tf.MaxPool)(source, **common), rank)


@ops.op("bridge.nhwc::AveragePool", needs=(RANKED,))
def average_pool(tf, node, x):
    """Where padding does not count, sums are divided by the share of each window that lies inside."""
    rank, sizes = rank_of(x), list(x.shape[1:-1])
    word, pads = padding(node)
    common = {
        "ksize": _window(node),
        "strides": _wide(spatial(node, "strides")),
        "padding": word,
    }
    pool = tf.AvgPool3D if rank == 5 else tf.AvgPool

    def pooled(v: Any, amounts: Any) -> Any:
        return _back(tf, pool(_two(tf, padded(tf, v, amounts), rank), **common), rank)

    made = pooled(x, pads)
    own = attr(node, "pads") or [0] * 2 * len(sizes)
    declared = list(zip(own[: len(sizes)], own[len(sizes) :], strict=True))
    counted = attr(node, "count_include_pad")
    if not any(map(any, pads)) or (counted and pads == declared):
        return made
    inner = [(0, 0)] * len(sizes) if not counted else declared if attr(node, "auto_pad") == "NOTSET" else pads
    outer = [(a - b, c - d) for (a, c), (b, d) in zip(pads, inner, strict=True)]
    dims = tf.vector([1, *[_plus(tf, n, sum(p)) for n, p in zip(tf.lengths(x)[1:-1], inner, strict=True)], 1])
    ones = tf.Fill(dims, tf.constant(x.dtype.numpy().type(1), x.dtype))
    return tf.RealDiv(made, pooled(ones, outer))


def _plus(tf: Any, length: Any, amount: int) -> Any:
    return length + amount if isinstance(length, int) else tf.AddV2(length, np.int64(amount))


ops.same(
    domain=NHWC,
    attributes={"blocksize": "block_size"},
    needs=(attribute("mode", "DCR"),),
    SpaceToDepth="SpaceToDepth",
    DepthToSpace="DepthToSpace",
)


@ops.op(f"{DOMAIN}::ResizeBilinear", f"{DOMAIN}::ResizeNearestNeighbor")
def resize(tf, node, x, size):
    mode = attr(node, "coordinate_transformation_mode")
    return tf.call(
        node.op_type,
        x,
        size,
        align_corners=mode == "align_corners",
        half_pixel_centers=mode == "half_pixel",
    )


def _boxes_known(node: ir.Node) -> bool:
    return all(shape_of(v) is not None for v in node.inputs[:2])


@ops.op("NonMaxSuppression", needs=(condition("static shapes of boxes and scores", _boxes_known),))
def non_max_suppression(tf, node, boxes, scores, most=None, overlap=None, threshold=None):
    """A suppression for each class of each image; what they select is put together."""
    api = tf.api
    batches, classes, count = shape_of(scores)
    corners = tf.tensor(boxes)
    if attr(node, "center_point_box"):
        x, y, w, h = api.unstack(corners, axis=2)
        corners = api.stack([y - h / 2, x - w / 2, y + h / 2, x + w / 2], 2)
    scalar = np.zeros(0, np.int32)
    limit = api.constant(0, api.int64) if most is None else tf.Reshape(most, scalar)
    limit = api.cast(api.minimum(limit, count), api.int32)
    overlap = api.constant(0.0) if overlap is None else tf.Reshape(overlap, scalar)
    threshold = api.constant(-np.inf, api.float32) if threshold is None else tf.Reshape(threshold, scalar)
    found = []
    for batch in range(batches):
        for each in range(classes):
            own = tf.tensor(scores)[batch, each]
            kept = tf.NonMaxSuppressionV3(corners[batch], own, limit, overlap, threshold)
            rows = api.cast(kept, api.int64)[:, None]
            place = api.zeros_like(rows) + np.array([[batch, each]], np.int64)
            found.append(api.concat([place, rows], 1))
    return api.concat(found, 0) if found else api.zeros([0, 3], api.int64)
