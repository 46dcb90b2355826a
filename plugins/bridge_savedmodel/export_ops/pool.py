"""Pooling over one to three spatial dimensions, channels last."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import unused_output
from bridge.ops import OpTable
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


def _kernel_size(node: ir.Node) -> list[int]:
    """The window over batch, spatial dimensions and channels."""
    sizes = attr(node, "kernel_shape")
    return [1, *([1] if len(sizes) == 1 else []), *sizes, 1]


@ops.op("bridge.nhwc::MaxPool", needs=(RANKED, unused_output(1, "Indices")))
def max_pool(tf, node, x):
    rank = rank_of(x)
    lowest = x.dtype.numpy().type(-np.inf) if x.dtype.is_floating_point() else np.iinfo(x.dtype.numpy()).min
    padding, pads = padding_mode(node)
    source = with_height(tf, pad_spatial(tf, x, pads, tf.constant(lowest, x.dtype)), rank)
    common = {
        "ksize": _kernel_size(node),
        "strides": with_batch_and_channels(spatial_attribute(node, "strides")),
        "padding": padding,
    }
    return without_height(tf, (tf.MaxPool3D if rank == 5 else tf.MaxPool)(source, **common), rank)


@ops.op("bridge.nhwc::AveragePool", needs=(RANKED,))
def average_pool(tf, node, x):
    """Average pooling. If padding does not count, divide by the share of each window that lies inside the
    image."""
    rank, sizes = rank_of(x), list(x.shape[1:-1])
    padding, pads = padding_mode(node)
    common = {
        "ksize": _kernel_size(node),
        "strides": with_batch_and_channels(spatial_attribute(node, "strides")),
        "padding": padding,
    }
    pool = tf.AvgPool3D if rank == 5 else tf.AvgPool

    def average(v: Any, amounts: Any) -> Any:
        return without_height(tf, pool(with_height(tf, pad_spatial(tf, v, amounts), rank), **common), rank)

    mean = average(x, pads)
    pads_attribute = attr(node, "pads") or [0] * 2 * len(sizes)
    declared = list(zip(pads_attribute[: len(sizes)], pads_attribute[len(sizes) :], strict=True))
    count_include_pad = attr(node, "count_include_pad")
    if not any(map(any, pads)) or (count_include_pad and pads == declared):
        return mean
    included = (
        [(0, 0)] * len(sizes)
        if not count_include_pad
        else declared
        if attr(node, "auto_pad") == "NOTSET"
        else pads
    )
    excluded = [(a - b, c - d) for (a, c), (b, d) in zip(pads, included, strict=True)]
    dims = tf.vector(
        [1, *[_add_length(tf, n, sum(p)) for n, p in zip(tf.lengths(x)[1:-1], included, strict=True)], 1]
    )
    ones = tf.Fill(dims, tf.constant(x.dtype.numpy().type(1), x.dtype))
    return tf.RealDiv(mean, average(ones, excluded))


def _add_length(tf: Any, length: Any, amount: int) -> Any:
    return length + amount if isinstance(length, int) else tf.AddV2(length, np.int64(amount))
