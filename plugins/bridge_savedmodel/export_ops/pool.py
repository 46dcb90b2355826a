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
    sizes = attr(node, "kernel_shape")
    return [1, *([1] if len(sizes) == 1 else []), *sizes, 1]


@ops.op("bridge.nhwc::MaxPool", needs=(RANKED, unused_output(1, "Indices")))
def max_pool(tf, node, x):
    rank = rank_of(x)
    lowest = x.dtype.numpy().type(-np.inf) if x.dtype.is_floating_point() else np.iinfo(x.dtype.numpy()).min
    word, pads = padding_mode(node)
    source = with_height(tf, pad_spatial(tf, x, pads, tf.constant(lowest, x.dtype)), rank)
    common = {
        "ksize": _kernel_size(node),
        "strides": with_batch_and_channels(spatial_attribute(node, "strides")),
        "padding": word,
    }
    return without_height(tf, (tf.MaxPool3D if rank == 5 else tf.MaxPool)(source, **common), rank)


@ops.op("bridge.nhwc::AveragePool", needs=(RANKED,))
def average_pool(tf, node, x):
    """Where padding does not count, divide by the share of each window that lies inside the image."""
    rank, sizes = rank_of(x), list(x.shape[1:-1])
    word, pads = padding_mode(node)
    common = {
        "ksize": _kernel_size(node),
        "strides": with_batch_and_channels(spatial_attribute(node, "strides")),
        "padding": word,
    }
    pool = tf.AvgPool3D if rank == 5 else tf.AvgPool

    def pooled(v: Any, amounts: Any) -> Any:
        return without_height(tf, pool(with_height(tf, pad_spatial(tf, v, amounts), rank), **common), rank)

    made = pooled(x, pads)
    own = attr(node, "pads") or [0] * 2 * len(sizes)
    declared = list(zip(own[: len(sizes)], own[len(sizes) :], strict=True))
    counted = attr(node, "count_include_pad")
    if not any(map(any, pads)) or (counted and pads == declared):
        return made
    inner = [(0, 0)] * len(sizes) if not counted else declared if attr(node, "auto_pad") == "NOTSET" else pads
    outer = [(a - b, c - d) for (a, c), (b, d) in zip(pads, inner, strict=True)]
    dims = tf.vector(
        [1, *[_add_length(tf, n, sum(p)) for n, p in zip(tf.lengths(x)[1:-1], inner, strict=True)], 1]
    )
    ones = tf.Fill(dims, tf.constant(x.dtype.numpy().type(1), x.dtype))
    return tf.RealDiv(made, pooled(ones, outer))


def _add_length(tf: Any, length: Any, amount: int) -> Any:
    return length + amount if isinstance(length, int) else tf.AddV2(length, np.int64(amount))
