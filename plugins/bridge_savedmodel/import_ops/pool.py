"""Pooling, with and without the indices of maxima."""

from __future__ import annotations

from typing import Any

from bridge.importing import constant_ints, ints, to_channels_last
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import (
    T,
    channels_last,
    from_data_format,
    known_rank,
    to_data_format,
    window_padding,
)

ops = OpTable()


POOLED = condition(
    "floats, or whole numbers of 8 bits",
    lambda n: (
        n.inputs[0].dtype.is_floating_point()
        or (n.op.startswith("Max") and n.inputs[0].dtype in (T.INT8, T.UINT8))
    ),
)


def _pool(op: Any, node: Any, native: str, x: Any, ksize: list[int], strides: list[int], **more: Any) -> Any:
    inner = slice(1, -1) if channels_last(node) else slice(2, None)
    outer = [v for i, v in enumerate(ksize + strides) if i % len(ksize) not in range(len(ksize))[inner]]
    if set(outer) != {1}:
        return NotImplemented
    kernel, steps = ksize[inner], strides[inner]
    source = from_data_format(op, node, x)
    return op.node(native, source, kernel_shape=kernel, strides=steps, **window_padding(node), **more)


@ops.op("MaxPool", "MaxPool3D", "AvgPool", "AvgPool3D", needs=(known_rank(), POOLED))
def pool(op, node, x):
    native = "MaxPool" if node.op.startswith("Max") else "AveragePool"
    pooled = _pool(op, node, native, x, node.get("ksize"), node.get("strides"))
    return pooled if pooled is NotImplemented else to_data_format(op, node, pooled)


@ops.op("MaxPoolV2", needs=(known_rank(), POOLED, constant(1, "ksize"), constant(2, "strides")))
def max_pool_v2(op, node, x, ksize, strides):
    pooled = _pool(op, node, "MaxPool", x, constant_ints(ksize), constant_ints(strides))
    return pooled if pooled is NotImplemented else to_data_format(op, node, pooled)


IMAGE_KNOWN = condition(
    "images of known size",
    lambda n: n.inputs[0].shape is not None and all(isinstance(d, int) for d in list(n.inputs[0].shape)[1:]),
)


@ops.op("MaxPoolWithArgmax", needs=(known_rank(), POOLED, IMAGE_KNOWN))
def max_pool_with_argmax(op, node, x):
    """Maxima and their flat indices in the order row, column, channel."""
    outputs = _pool(op, node, "MaxPool", x, node.get("ksize"), node.get("strides"), _outputs=2)
    if outputs is NotImplemented:
        return outputs
    values, flat = outputs
    _, h, w, c = list(x.shape)
    plane = op.Mod(flat, ints(h * w))
    channel = op.Mod(op.Div(flat, ints(h * w)), ints(c))
    indices = op.Add(op.Mul(plane, ints(c)), channel)
    if node.get("include_batch_in_index"):
        indices = op.Add(indices, op.Mul(op.Div(flat, ints(h * w * c)), ints(h * w * c)))
    indices = to_channels_last(op, indices)
    return to_channels_last(op, values), indices if node.get("Targmax") == T.INT64 else op.Cast(
        indices, to=int(T.INT32)
    )
