"""Convolutions as matrix products of their windows, and blocks put together again."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, entries, lengths, product, reshape, scalar, vector
from bridge.geometry import transposed_pads, window_count, window_of
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, zero
from bridge.passes.decompose.pool import (
    PADDED_AT_RUN_TIME,
    SPATIAL,
    axes_of,
    pad_at_run_time,
    pad_spatial,
    unfold,
)

ops = OpTable()

ops.op("Conv", needs=(PADDED_AT_RUN_TIME,))(pad_at_run_time)


@ops.op(
    "Conv", needs=(SPATIAL, condition("weights of static shape", lambda n: shape_of(n.inputs[1]) is not None))
)
def conv(op, node, x, weights, bias=None):
    """Windows as the rows of a matrix product, a group at a time."""
    sizes, (out_channels, depth, *kernel) = lengths(op, x), shape_of(weights)
    axes = axes_of(node, sizes[2:])
    if axes is None:
        return NotImplemented
    rank, group = len(kernel), attr(node, "group")
    output_lengths = [axis.output_length for axis in axes]
    static = all(isinstance(n, int) for n in output_lengths)
    total = int(np.prod(output_lengths)) if static else -1
    size = int(np.prod(kernel))
    columns = unfold(op, pad_spatial(op, x, axes, 0), axes)
    order = [0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 3 + 2 * rank, 2)]
    columns = reshape(op, op.Transpose(columns, perm=order), [sizes[0], group, depth, total, size])
    columns = reshape(op, op.Transpose(columns, perm=[0, 1, 3, 2, 4]), [sizes[0], group, total, depth * size])
    rows = op.Transpose(reshape(op, weights, [group, out_channels // group, depth * size]), perm=[0, 2, 1])
    product = op.Transpose(op.MatMul(columns, rows), perm=[0, 1, 3, 2])
    result = reshape(op, product, [sizes[0], out_channels, *output_lengths])
    return result if bias is None else op.Add(result, along(op, bias, 1, rank_of(x)))


@ops.op(
    "ConvTranspose",
    needs=(SPATIAL, condition("weights of static shape", lambda n: shape_of(n.inputs[1]) is not None)),
)
def conv_transpose(op, node, x, weights, bias=None):
    """A convolution, with flipped weights, of the input with zeros between its elements."""
    channels, depth, *kernel = shape_of(weights)
    rank, group = len(kernel), attr(node, "group")
    window, pads = window_of(node), transposed_pads(node)
    output_padding = attr(node, "output_padding") or [0] * rank
    if pads is None:
        return NotImplemented
    for axis, stride in enumerate(window.strides):
        x = _insert_zeros(op, x, axis + 2, stride)
    reaches = [span - 1 for span in window.spans]
    before = [reach - first for reach, (first, _) in zip(reaches, pads, strict=True)]
    after = [
        reach - last + extra - (stride - 1)
        for reach, (_, last), extra, stride in zip(reaches, pads, output_padding, window.strides, strict=True)
    ]
    input_pads = np.array([0, 0, *before, 0, 0, *after], np.int64)
    x = op.Pad(x, op.const(input_pads)) if input_pads.any() else x
    swapped = reshape(op, weights, [group, channels // group, depth, *kernel])
    swapped = op.Transpose(swapped, perm=[0, 2, 1, *range(3, 3 + rank)])
    swapped = reshape(op, swapped, [group * depth, channels // group, *kernel])
    spatial = list(range(2, 2 + rank))
    flipped = op.Slice(swapped, [-1] * rank, [-(2**31)] * rank, spatial, [-1] * rank)
    return op.Conv(x, flipped, bias, group=group, dilations=window.dilations, kernel_shape=kernel)


def _insert_zeros(op: Any, x: ir.Value, axis: int, stride: int) -> ir.Value:
    """`stride` - 1 zeros after each element of `axis`."""
    if stride == 1:
        return x
    sizes = lengths(op, x)
    pads = np.zeros((2, len(sizes) + 1), np.int64)
    pads[1, axis + 1] = stride - 1
    padded = op.Pad(op.Unsqueeze(x, [axis + 1]), op.const(pads.ravel()))
    return reshape(op, padded, [*sizes[:axis], sizes[axis] * stride, *sizes[axis + 1 :]])


@ops.op(
    "Col2Im",
    needs=(
        condition("a known number of dimensions", lambda n: shape_of(n.inputs[1]) is not None),
        condition("columns of known rank", lambda n: rank_of(n.inputs[0]) == 3),
    ),
)
def col2im(op, node, x, image_shape, block_shape):
    """Every column added where its block lies in the padded image; the padding is cut off."""
    rank = shape_of(image_shape)[0]
    image, block = (entries(op, v, range(rank)) for v in (image_shape, block_shape))
    pads, dilations = attr(node, "pads") or [0] * 2 * rank, attr(node, "dilations") or [1] * rank
    padded_lengths = [n + (pads[i] + pads[i + rank]) for i, n in enumerate(image)]
    strides = attr(node, "strides") or [1] * rank
    flat = op.const(np.zeros((), np.int64))
    for size, k, s, d in zip(padded_lengths, block, strides, dilations, strict=True):
        block_count = window_count(size, (k - 1) * d + 1, s)
        starts, steps = op.Mul(arange(op, block_count), s), op.Mul(arange(op, k), d)
        positions = op.Add(op.Unsqueeze(steps, [1]), op.Unsqueeze(starts, [0]))
        flat = op.Add(op.Mul(op.Unsqueeze(flat, [-2, -1]), scalar(op, size)), positions)
    flat = op.Transpose(flat, perm=[*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)])
    batch, rows, columns = lengths(op, x)
    block_size = product(op, block)
    channels, total = rows // block_size, block_size * columns
    updates = reshape(op, op.Transpose(x, perm=[1, 2, 0]), [channels, total, batch])
    zeros = op.Expand(zero(op, x), vector(op, [product(op, padded_lengths), channels, batch]))
    indices = reshape(op, flat, [total, 1])
    summed = op.ScatterND(zeros, indices, op.Transpose(updates, perm=[1, 0, 2]), reduction="add")
    padded = reshape(op, op.Transpose(summed, perm=[2, 1, 0]), [batch, channels, *padded_lengths])
    ends = vector(op, [n + pads[i] for i, n in enumerate(image)])
    return op.Slice(padded, pads[:rank], ends, list(range(2, 2 + rank)))
