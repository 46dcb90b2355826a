"""Convolutions over one to three spatial dimensions, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, held, rank_of
from bridge.ops import OpTable
from bridge_savedmodel.convolution import filter_order, transposed_lengths
from bridge_savedmodel.export_ops.common import (
    RANKED,
    pad_spatial,
    padding_mode,
    spatial_attribute,
    with_batch_and_channels,
    with_height,
    without_height,
)

ops = OpTable()


def filters(tf: Any, node: ir.Node) -> Any:
    """Weights in TensorFlow's layout; a filter of one spatial dimension gets a height of 1."""
    weights, order = node.inputs[1], filter_order(node, 1)
    tf_weights = (
        tf.weight_tensor(weights, order) if held(weights) is not None else tf.Transpose(weights, order)
    )
    return tf.ExpandDims(tf_weights, 0) if len(order) == 3 else tf_weights


@ops.op("bridge.nhwc::Conv", needs=(RANKED,))
def conv(tf, node, x, weights, bias=None):
    """A depthwise convolution for one filter per channel, else one convolution per group."""
    rank, group = rank_of(x), attr(node, "group")
    strides, dilations = (
        with_batch_and_channels(spatial_attribute(node, "strides")),
        with_batch_and_channels(spatial_attribute(node, "dilations")),
    )
    padding, pads = padding_mode(node)
    source = with_height(tf, pad_spatial(tf, x, pads), rank)
    tf_weights = filters(tf, node)
    common = {"strides": strides, "padding": padding, "dilations": dilations}
    depth, out = weights.shape[1], weights.shape[0]
    if rank > 3 and depth == 1 and len({*strides[1:-1]}) > 1:
        source, tf_weights = _add_zero_channel(tf, source, tf_weights, rank, group)
    if group == 1:
        result = (
            tf.Conv3D(source, tf_weights, **common) if rank == 5 else tf.Conv2D(source, tf_weights, **common)
        )
    elif depth == 1 and rank < 5 and len({*strides[1:3]}) == 1:
        shape = [*tf_weights.shape[:2], group, out // group]
        result = tf.DepthwiseConv2dNative(source, tf.Reshape(tf_weights, np.array(shape, np.int64)), **common)
    else:
        native = "Conv3D" if rank == 5 else "Conv2D"
        pieces = zip(
            tf.Split(rank - 1 if rank > 3 else 3, source, num_split=group),
            tf.Split(-1, tf_weights, num_split=group),
            strict=True,
        )
        result = tf.ConcatV2([tf.call(native, *piece, **common) for piece in pieces], -1)
    result = without_height(tf, result, rank)
    return result if bias is None else tf.BiasAdd(result, bias)


def _add_zero_channel(tf: Any, x: Any, weights: Any, rank: int, group: int) -> tuple[Any, Any]:
    """A second channel of zeros for each group: oneDNN's kernel for one channel is wrong for some unequal
    strides.

    The weights are extended without a Pad: oneDNN ends the process if a Pad computes the filters of a
    convolution.
    """
    shape = tf.Shape(x)
    expanded = tf.Reshape(x, tf.ConcatV2([shape, np.ones(1, np.int32)], 0))
    padded = tf.Pad(expanded, np.array([(0, 0)] * rank + [(0, 1)], np.int32))
    sizes = tf.ConcatV2([tf.Slice(shape, [0], [rank - 1]), np.array([2 * group], np.int32)], 0)
    return tf.Reshape(padded, sizes), tf.ConcatV2([weights, tf.ZerosLike(weights)], rank - 2)


@ops.op("bridge.nhwc::ConvTranspose", needs=(RANKED,))
def conv_transpose(tf, node, x, weights, bias=None):
    """The gradient of a convolution, sliced to the requested padding."""
    rank, group = rank_of(x), attr(node, "group")
    strides, dilations = spatial_attribute(node, "strides"), [1] * (rank - 2)
    begins, sizes, full_lengths = transposed_lengths(tf, node, x)
    tf_weights = filters(tf, node)
    lengths = tf.lengths(x)
    out = weights.shape[1]
    shape = tf.Cast(
        tf.vector([lengths[0], *([1] if rank == 3 else []), *full_lengths, out]), DstT=tf.api.int32
    )
    common = {
        "strides": with_batch_and_channels(strides),
        "padding": "VALID",
        "dilations": with_batch_and_channels(dilations),
    }
    native = "Conv3DBackpropInputV2" if rank == 5 else "Conv2DBackpropInput"
    pieces = [
        tf.Split(-1, v, num_split=group) if group > 1 else [v] for v in (with_height(tf, x, rank), tf_weights)
    ]
    results = [tf.call(native, shape, w, v, **common) for v, w in zip(*pieces, strict=True)]
    result = without_height(tf, tf.ConcatV2(results, -1) if group > 1 else results[0], rank)
    size = tf.vector([lengths[0], *sizes, out * group])
    result = tf.Slice(result, np.array([0, *begins, 0], np.int64), size)
    return result if bias is None else tf.BiasAdd(result, bias)
