"""Convolutions, plain, depthwise and transposed, and what is computed as one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge import dims, elements, geometry
from bridge.geometry import crop_pads, halves, same_total
from bridge.hub import const, largest, rank_of, shape_of
from bridge.importing import as_int64, ints, permuted, to_channels_first, to_channels_last
from bridge.inputs.linear import Linear, number
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import (
    T,
    channels_last,
    explicit_pairs,
    from_data_format,
    known_rank,
    spatial_attribute,
    to_data_format,
    window_padding,
)
from bridge_savedmodel.import_ops.tensor import mirror_pad

ops = OpTable()


FLOATS = condition("floats", lambda n: n.inputs[0].dtype.is_floating_point())


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
    strides, dilations = spatial_attribute(node, "strides", rank), spatial_attribute(node, "dilations", rank)
    result = op.Conv(
        from_data_format(op, node, x),
        weights,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=group,
        **window_padding(node),
    )
    return to_data_format(op, node, result)


@ops.op("Conv2D", "Conv3D", "Conv", needs=(known_rank(), FLOATS, KERNEL, CHANNELS))
def conv(op, node, x, w):
    rank, sizes = rank_of(x), shape_of(w)
    channels = list(x.shape)[-1 if channels_last(node) else 1]
    weights = permuted(op, w, [rank - 1, rank - 2, *range(rank - 2)])
    return _convolve(op, node, x, weights, sizes[:-2], channels // sizes[-2])


@ops.op("DepthwiseConv2dNative", needs=(known_rank(), FLOATS, KERNEL))
def depthwise(op, node, x, w):
    h, width, channels, multiplier = shape_of(w)
    transposed = permuted(op, w, [2, 3, 0, 1])
    known = const(transposed)
    shape = [channels * multiplier, 1, h, width]
    weights = op.const(known.reshape(shape)) if known is not None else op.Reshape(transposed, ints(*shape))
    return _convolve(op, node, x, weights, [h, width], channels)


@ops.op("DepthwiseConv2dNativeBackpropInput", needs=(KERNEL, known_rank(2)))
def depthwise_backprop(op, node, sizes, w, x):
    """A transposed convolution with one group per channel."""
    h, width, channels, multiplier = shape_of(w)
    return conv_backprop(
        op, node, sizes, _one_group_per_channel(op, w, [h, width, channels, multiplier]), x, channels
    )


def _one_group_per_channel(op: Any, w: Any, shape: list[int]) -> Any:
    """Filters [height, width, 1, channels × multiplier]."""
    target = ints(*shape[:2], 1, shape[2] * shape[3])
    known = const(w)
    return op.const(known.reshape(target)) if known is not None else op.Reshape(w, target)


@ops.op("Conv2DBackpropInput", "Conv3DBackpropInputV2", needs=(KERNEL, known_rank(2)))
def conv_backprop(op, node, sizes, w, x, group=1):
    """ConvTranspose with the padding that the convolution of an input of the requested size would have."""
    rank, shape = rank_of(x), shape_of(w)
    strides, dilations = spatial_attribute(node, "strides", rank), spatial_attribute(node, "dilations", rank)
    source = from_data_format(op, node, x)
    asked = _asked_lengths(node, sizes, shape[-2] * group, rank)
    if asked is None:
        return NotImplemented
    spans = [(k - 1) * d + 1 for k, d in zip(shape[:-2], dilations, strict=True)]
    rows = zip([elements.length(source, i) for i in range(2, rank)], spans, strides, asked, strict=True)
    totals = [elements.difference(n.times(stride) + number(span - stride), o) for n, span, stride, o in rows]
    attributes = {"kernel_shape": shape[:-2], "strides": strides, "dilations": dilations, "group": group}
    weights = permuted(op, w, [rank - 1, rank - 2, *range(rank - 2)])
    if None in totals:
        result = _cut_to(op, node, op.ConvTranspose(source, weights, **attributes), sizes, spans, strides)
    else:
        pads, more = _transposed_padding(node, totals)
        more = more if any(more) else None
        result = op.ConvTranspose(source, weights, pads=pads, output_padding=more, **attributes)
    return to_data_format(op, node, result)


def _asked_lengths(node: Any, sizes: Any, channels: int, rank: int) -> list[Linear] | None:
    """Lengths of the result; None where their number, or that of its channels, is not what the filters say.
    Lengths may come without those of the batch and the channels."""
    asked = elements.elements(sizes)
    if asked is None or asked.shape not in ((rank,), (rank - 2,)):
        return None
    if len(asked) == rank - 2:
        return list(asked)
    last = channels_last(node)
    known = asked[-1 if last else 1].whole
    return list(asked[1:-1] if last else asked[2:]) if known in (None, channels) else None


def _transposed_padding(node: Any, totals: list[int]) -> tuple[list[int], list[int]]:
    """`pads` and `output_padding` of a ConvTranspose that cuts off `totals` elements of each axis."""
    if node.get("padding") != "EXPLICIT":
        return crop_pads(totals)
    begins = [before for before, _ in explicit_pairs(node)]
    ends = [total - before for total, before in zip(totals, begins, strict=True)]
    return [*begins, *(max(end, 0) for end in ends)], [max(-end, 0) for end in ends]


def _cut_to(op: Any, node: Any, full: Any, sizes: Any, spans: list[int], strides: list[int]) -> Any:
    """The result of a transposed convolution without padding, cut, or filled with zeros behind, to lengths
    known at run time alone."""
    count = len(spans)
    wide = as_int64(op, sizes)
    first = 0 if shape_of(sizes) == [count] else 1 if channels_last(node) else 2
    asked = dims.entries(op, wide, range(first, first + count))
    lengths = dims.lengths(op, full)[2:]
    if node.get("padding") == "EXPLICIT":
        begins: list[Any] = [before for before, _ in explicit_pairs(node)]
    elif node.get("padding") == "VALID":
        begins = [0] * count
    else:
        begins = [largest(n - o, 0) // 2 for n, o in zip(lengths, asked, strict=True)]
    missing = [largest(b + o - n, 0) for b, o, n in zip(begins, asked, lengths, strict=True)]
    padded = op.Pad(full, dims.vector(op, [0] * (count + 4 - 2) + [0, 0, *missing]))
    ends = [b + o for b, o in zip(begins, asked, strict=True)]
    axes = np.arange(2, count + 2, dtype=np.int64)
    result = op.Slice(padded, dims.vector(op, begins), dims.vector(op, ends), op.const(axes))
    return result


def _one_hot_filters(sizes: list[int]) -> np.ndarray:
    """Filters that select one element of a window each: [elements, channels, ...]."""
    count = math.prod(sizes)
    return np.moveaxis(np.eye(count, dtype=np.float32).reshape(-1, *sizes), -1, 1)


@ops.op(
    "ExtractVolumePatches",
    needs=(known_rank(), CHANNELS, condition("float32", lambda n: n.get("T") == T.FLOAT)),
)
def volume_patches(op, node, x):
    sizes = [*node.get("ksizes")[1:4], list(x.shape)[-1]]
    return _convolve(op, node, x, op.const(np.ascontiguousarray(_one_hot_filters(sizes))), sizes[:3], 1)


@ops.op("FusedPadConv2D", needs=(KERNEL, CHANNELS, constant(1, "paddings")))
def pad_conv(op, node, x, paddings, w):
    """A reflecting or symmetric pad, then a convolution."""
    return conv(op, node, mirror_pad(op, node, x, paddings), w)


@ops.op(
    "Dilation2D",
    needs=(KERNEL, CHANNELS, known_rank(), condition("float32", lambda n: n.get("T") == T.FLOAT)),
)
def dilation(op, node, x, w):
    """Morphological dilation: the maximum over a window of image plus filter; pixels beyond the image are
    ignored."""
    height, width, _ = shape_of(w)
    sizes, steps, rates = [height, width], node.get("strides")[1:3], node.get("rates")[1:3]
    source = to_channels_first(op, x)
    if node.get("padding") == "SAME":
        lowest = op.const(np.array(np.finfo(np.float32).min, np.float32))
        window = geometry.Window(sizes, steps, rates)
        rows = zip(dims.lengths(op, source)[2:], window.spans, steps, strict=True)
        before, after = zip(*(halves(same_total(*row), True) for row in rows), strict=True)
        source = op.Pad(source, dims.vector(op, [0, 0, *before, 0, 0, *after]), lowest)
    largest = None
    weights = permuted(op, w, [2, 0, 1])
    for row in range(height):
        for column in range(width):
            begin = ints(row * rates[0], column * rates[1])
            ends = [-(height - 1 - row) * rates[0], -(width - 1 - column) * rates[1]]
            end = ints(*(e or 2**31 - 1 for e in ends))
            pixels = op.Slice(source, begin, end, ints(2, 3), ints(*steps))
            weight = op.Slice(weights, ints(row, column), ints(row + 1, column + 1), ints(1, 2))
            total = op.Add(pixels, weight)
            largest = total if largest is None else op.Max(largest, total)
    return to_channels_last(op, largest)
