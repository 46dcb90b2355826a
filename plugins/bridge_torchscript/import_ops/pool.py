"""Pooling, padding, grid sampling and shuffles."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, length_of, lengths, on_last_axis, reshape, vector
from bridge.hub import shape_of
from bridge.importing import ints, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    dims_of,
    int64_scalar,
    is_float,
    length,
    lengths_vector,
    number,
    rank,
    spatial_list,
    static_shape,
    tensor,
)
from bridge_torchscript.values import Poison, Sym, Unsupported

ops = OpTable()


def with_batch(op: Any, x: ir.Value, count: int, make: Any) -> Any:
    """Apply `make` to a batch. An unbatched input gets a batch dimension, which its results lose."""
    if rank(x) == count + 2:
        return make(x)
    outputs = make(op.Unsqueeze(x, ints(0)))
    unbatched = outputs if isinstance(outputs, tuple) else (outputs,)
    unbatched = tuple(op.Squeeze(p, ints(0)) for p in unbatched)
    return unbatched if isinstance(outputs, tuple) else unbatched[0]


def register_max_pool(count: int) -> None:
    def pooled(
        op: Any, x: ir.Value, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, outputs: int
    ) -> Any:
        window = spatial_list(kernel, count)
        step = spatial_list(stride, count) if stride else window
        pads = spatial_list(padding, count)
        return op.MaxPool(
            x,
            kernel_shape=window,
            strides=step,
            pads=[*pads, *pads],
            dilations=spatial_list(dilation, count),
            ceil_mode=int(bool(ceil)),
            _outputs=outputs,
        )

    @ops.op(f"aten::max_pool{count}d")
    def pool(op, x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        return with_batch(
            op, x, count, lambda v: pooled(op, v, kernel_size, stride, padding, dilation, ceil_mode, 1)
        )

    @ops.op(f"aten::max_pool{count}d_with_indices")
    def pool_with_indices(op, x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        def make(v: ir.Value) -> Any:
            values, indices = pooled(op, v, kernel_size, stride, padding, dilation, ceil_mode, 2)
            size = op.ReduceProd(op.Shape(v, start=2), keepdims=0)
            return values, op.Mod(indices, size)

        return with_batch(op, x, count, make)


for dims in (1, 2, 3):
    register_max_pool(dims)


def register_average_pool(count: int) -> None:
    @ops.op(f"aten::avg_pool{count}d")
    def pool(
        op,
        x,
        kernel_size,
        stride=(),
        padding=0,
        ceil_mode=False,
        count_include_pad=True,
        divisor_override=None,
    ):
        window = spatial_list(kernel_size, count)
        step = spatial_list(stride, count) if stride else window
        pads = spatial_list(padding, count)

        def make(v: ir.Value) -> Any:
            if ceil_mode and ((count_include_pad and any(pads)) or divisor_override is not None):
                return average_pool_ceil(op, v, window, step, pads, bool(count_include_pad), divisor_override)
            shared = {
                "kernel_shape": window,
                "strides": step,
                "pads": [*pads, *pads],
                "ceil_mode": int(bool(ceil_mode)),
            }
            if divisor_override is None:
                return op.AveragePool(v, count_include_pad=int(bool(count_include_pad)), **shared)
            total = op.AveragePool(v, count_include_pad=1, **shared)
            return op.Mul(total, number(op, math.prod(window) / divisor_override, v))

        return with_batch(op, x, count, make)


for dims in (1, 2, 3):
    register_average_pool(dims)


def average_pool_ceil(
    op: Any,
    x: ir.Value,
    window: list[int],
    step: list[int],
    pads: list[int],
    padding_counts: bool,
    divisor: Any,
) -> ir.Value:
    """Average pooling with ceil_mode as in torch: a sum per axis by a matrix, divided by window sizes that
    end with the padding.
    """
    first, sums, window_sizes = rank(x) - len(window), [], []
    for k, s, p, size in zip(window, step, pads, static_shape(x)[first:], strict=True):
        count = -(-(size + 2 * p - k) // s) + 1
        count -= (count - 1) * s >= size + p
        matrix, widths = np.zeros((size, count)), np.zeros(count)
        for position in range(count):
            low = position * s - p
            high = min(low + k, size + p)
            inside = max(low, 0), min(high, size)
            matrix[inside[0] : inside[1], position] = 1
            widths[position] = high - low if padding_counts else inside[1] - inside[0]
        sums.append(matrix)
        window_sizes.append(widths)
    for index, matrix in enumerate(sums):
        x = matmul_axis(op, x, first + index, op.const(matrix.astype(x.dtype.numpy())))
    total = functools.reduce(np.multiply.outer, window_sizes) if divisor is None else np.array(divisor)
    return op.Div(x, op.const(total.astype(x.dtype.numpy())))


def register_adaptive_average(count: int) -> None:
    @ops.op(f"aten::adaptive_avg_pool{count}d", f"aten::_adaptive_avg_pool{count}d")
    def pool(op, x, output_size):
        """Adaptive average pooling: a matrix product per axis, a mean for length 1."""
        first = rank(x) - count
        for index, target in enumerate(output_size):
            at = first + index
            if target is None or _is_length_of(target, x, at):
                continue
            if target == 1:
                x = op.ReduceMean(x, ints(at))
                continue
            size, wanted = lengths(op, x)[at], length_of(op, int64_scalar(op, target))
            if isinstance(size, int) and isinstance(wanted, int):
                matrix = op.const(_average_matrix(size, wanted).astype(x.dtype.numpy()))
            else:
                matrix = _run_time_matrix(op, size, wanted, x)
            x = matmul_axis(op, x, at, matrix)
        return op.Identity(x)


def _average_matrix(size: int, target: int) -> np.ndarray:
    """Weights [size, target] of each element in each average."""
    weights = np.zeros((size, target), np.float64)
    for position in range(target):
        low, high = position * size // target, -(-((position + 1) * size) // target)
        weights[low:high, position] = 1 / (high - low)
    return weights


def _run_time_matrix(op: Any, size: Any, target: Any, x: ir.Value) -> ir.Value:
    """The weights of `_average_matrix` where a length is known at run time alone, in the dtype of `x`."""
    low, high = _run_time_windows(op, size, target)
    element = op.Unsqueeze(arange(op, size), ints(1))
    inside = op.And(op.GreaterOrEqual(element, low), op.Less(element, high))
    return op.Div(op.CastLike(inside, x), op.CastLike(op.Sub(high, low), x))


def _run_time_windows(op: Any, size: Any, target: Any) -> tuple[ir.Value, ir.Value]:
    """The first element of each of `target` windows of an axis of `size`, and the one after its last."""
    place = arange(op, target)
    size, target = (vector(op, [n]) for n in (size, target))
    low = op.Div(op.Mul(place, size), target)
    return low, op.Div(op.Add(op.Mul(op.Add(place, ints(1)), size), op.Sub(target, ints(1))), target)


def _is_length_of(target: Any, x: ir.Value, at: int) -> bool:
    """True for the length that `x` has along an axis anyway."""
    size = dims_of(x)[at]
    if isinstance(size, int):
        return target == size
    shape = target.value if isinstance(target, Sym) else None
    while (node := shape.producer() if shape is not None else None) is not None:
        if node.op_type == "Shape":
            return node.inputs[0] is x and hub.attr(node, "start") == at
        shape = node.inputs[0] if node.op_type in ("Squeeze", "Reshape", "Cast") else None
    return False


def matmul_axis(op: Any, x: ir.Value, at: int, matrix: ir.Value) -> ir.Value:
    """Product of a matrix [size, target] along axis `at` of `x`, whose rank must be known."""
    rank(x)
    return on_last_axis(op, x, at, lambda rows: op.MatMul(rows, matrix))


for dims in (1, 2, 3):
    register_adaptive_average(dims)


def register_adaptive_max(count: int) -> None:
    @ops.op(f"aten::adaptive_max_pool{count}d")
    def pool(op, x, output_size):
        """Adaptive max pooling; windows of equal size are a MaxPool."""
        shape = dims_of(x)[-count:]
        if not all(isinstance(n, int) for n in (*shape, *output_size)):
            return max_pool_at_run_time(op, x, output_size), Poison(
                "has places of maxima known at run time alone"
            )
        target = spatial_list(output_size, count)
        if any(n % t for n, t in zip(shape, target, strict=True)):
            return max_pool_unequal(op, x, shape, target)
        window = [n // t for n, t in zip(shape, target, strict=True)]
        rule = ops.find(f"aten::max_pool{count}d_with_indices", {})
        return rule.handler(op, x, window, window)


for dims in (1, 2, 3):
    register_adaptive_max(dims)


def max_pool_at_run_time(op: Any, x: ir.Value, output_size: Any) -> ir.Value:
    """Maxima of windows, each filled up with its last element to the length of the longest."""
    for at, target in enumerate(output_size, rank(x) - len(output_size)):
        if target is None or _is_length_of(target, x, at):
            continue
        low, high = _run_time_windows(op, lengths(op, x)[at], length_of(op, int64_scalar(op, target)))
        width = op.ReduceMax(op.Sub(high, low), keepdims=0)
        places = op.Add(op.Unsqueeze(low, ints(1)), arange(op, length_of(op, width)))
        last = op.Unsqueeze(op.Sub(high, ints(1)), ints(1))
        x = op.ReduceMax(op.Gather(x, op.Min(places, last), axis=at), ints(at + 1), keepdims=0)
    return op.Identity(x)


def max_pool_unequal(op: Any, x: ir.Value, shape: list[int], target: list[int]) -> tuple[ir.Value, ir.Value]:
    """Maxima and indices of windows of different sizes; short ones are filled up with their last element."""
    count, first = len(target), rank(x) - len(target)
    tables = []
    for n, t in zip(shape, target, strict=True):
        bounds = [(i * n // t, -(-((i + 1) * n) // t)) for i in range(t)]
        width = max(b - a for a, b in bounds)
        tables.append(np.array([[min(a + j, b - 1) for j in range(width)] for a, b in bounds]))
    for index, table in enumerate(tables):
        x = op.Gather(x, op.const(table), axis=first + 2 * index)
    order = [*range(first), *range(first, first + 2 * count, 2), *range(first + 1, first + 2 * count, 2)]
    flat = op.Reshape(op.Transpose(x, perm=order), ints(*static_shape(x)[:first], *target, -1))
    indices = np.zeros([1] * (2 * count), np.int64)
    for index, (table, n) in enumerate(zip(tables, shape, strict=True)):
        axis_shape = [1] * (2 * count)
        axis_shape[index], axis_shape[count + index] = table.shape
        indices = indices * n + table.reshape(axis_shape)
    largest = op.ArgMax(flat, axis=rank(flat) - 1, keepdims=1)
    all_indices = op.Expand(op.const(indices.reshape([*target, -1])), shape_tensor(op, flat))
    last = ints(rank(flat) - 1)
    return op.Squeeze(op.GatherElements(flat, largest, axis=-1), last), op.Squeeze(
        op.GatherElements(all_indices, largest, axis=-1), last
    )


def _pads(pad: Any, count: int) -> list[Any]:
    """Pads in ONNX order from torch's pads, which start with the last axis."""
    before, after = [0] * count, [0] * count
    for index in range(len(pad) // 2):
        before[count - 1 - index], after[count - 1 - index] = pad[2 * index], pad[2 * index + 1]
    return [*before, *after]


def _crop_negative_pads(op: Any, x: ir.Value, amounts: list[int]) -> tuple[ir.Value, list[int]]:
    """Input sliced by its negative pads, and the pads that are left."""
    count = rank(x)
    starts = [max(-a, 0) for a in amounts[:count]]
    stops = [a if a < 0 else np.iinfo(np.int64).max for a in amounts[count:]]
    return op.Slice(x, ints(*starts), ints(*stops), ints(*range(count))), [max(a, 0) for a in amounts]


def pad_with_mode(op: Any, x: ir.Value, pad: Any, mode: str, value: Any = 0) -> ir.Value:
    amounts = _pads(list(pad), rank(x))
    if all(isinstance(a, int) and a == 0 for a in amounts):
        return op.Identity(x)
    if mode == "edge" and any(isinstance(a, int) and a < 0 for a in amounts):
        for at, size in enumerate(static_shape(x)):
            indices = np.clip(np.arange(-amounts[at], size + amounts[at + rank(x)]), 0, size - 1)
            x = op.Gather(x, op.const(indices), axis=at) if indices.tolist() != list(range(size)) else x
        return op.Identity(x)
    if mode == "constant" and all(isinstance(a, int) for a in amounts) and min(amounts) < 0:
        x, amounts = _crop_negative_pads(op, x, amounts)
    filler = tensor(op, value or 0, x.dtype) if mode == "constant" else None
    if x.dtype == T.BOOL:
        return op.Cast(
            op.Pad(op.Cast(x, to=6), lengths_vector(op, amounts), tensor(op, value or 0, T.INT32), mode=mode),
            to=9,
        )
    return op.Pad(x, lengths_vector(op, amounts), filler, mode=mode)


@ops.op("aten::constant_pad_nd")
def constant_pad(op, x, pad, value=0):
    return pad_with_mode(op, x, pad, "constant", value)


PADDING = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@ops.op("aten::pad")
def pad(op, x, pad, mode="constant", value=None):
    return pad_with_mode(op, x, pad, PADDING[mode], value)


for dims in (1, 2, 3):

    @ops.op(f"aten::reflection_pad{dims}d")
    def reflection_pad(op, x, padding):
        return pad_with_mode(op, x, padding, "reflect")

    @ops.op(f"aten::replication_pad{dims}d")
    def replication_pad(op, x, padding):
        return pad_with_mode(op, x, padding, "edge")


MODES = {0: "linear", 1: "nearest", 2: "cubic"}
BORDERS = {0: "zeros", 1: "border", 2: "reflection"}


@ops.op("aten::grid_sampler", "aten::grid_sampler_2d", "aten::grid_sampler_3d")
def grid_sampler(op, x, grid, interpolation_mode=0, padding_mode=0, align_corners=False):
    return op.GridSample(
        x,
        grid,
        mode=MODES[interpolation_mode],
        padding_mode=BORDERS[padding_mode],
        align_corners=int(bool(align_corners)),
    )


@ops.op("aten::affine_grid_generator")
def affine_grid(op, theta, size, align_corners=False):
    return op.AffineGrid(theta, lengths_vector(op, size), align_corners=int(bool(align_corners)))


@ops.op("aten::pixel_shuffle")
def pixel_shuffle(op, x, upscale_factor):
    image = reshape(op, x, [-1, *lengths(op, x)[-3:]]) if rank(x) != 4 else x
    result = op.DepthToSpace(image, blocksize=upscale_factor, mode="CRD")
    return result if rank(x) == 4 else reshape(op, result, [*lengths(op, x)[:-3], *lengths(op, result)[1:]])


@ops.op("aten::pixel_unshuffle")
def pixel_unshuffle(op, x, downscale_factor):
    *lead, c, h, w = lengths(op, x)
    r = downscale_factor
    if r == 1:
        return op.Identity(x)
    count = len(lead)
    blocks = reshape(op, x, [*lead, c, h // r, r, w // r, r])
    order = [*range(count), count, count + 2, count + 4, count + 1, count + 3]
    return reshape(op, op.Transpose(blocks, perm=order), [*lead, c * (r * r), h // r, w // r])


@ops.op("aten::channel_shuffle", "aten::native_channel_shuffle")
def channel_shuffle(op, x, groups):
    n, c, *rest = lengths(op, x)
    grouped = reshape(op, x, [n, groups, c // groups, *rest])
    shuffled = op.Transpose(grouped, perm=[0, 2, 1, *range(3, 3 + len(rest))])
    return reshape(op, shuffled, [n, c, *rest])


def _window_indices(
    kernel: list[int], dilation: list[int], stride: list[int], sizes: list[int]
) -> list[np.ndarray]:
    """Indices [kernel, window] of padded elements, for each axis."""
    tables = []
    for k, d, s, n in zip(kernel, dilation, stride, sizes, strict=True):
        starts = np.arange(0, n - d * (k - 1), s)
        tables.append(np.arange(k)[:, None] * d + starts[None])
    return tables


def _im2col_by_conv(op: Any, x: ir.Value, k: list[int], d: list[int], p: list[int], s: list[int]) -> ir.Value:
    """Columns of an image of dynamic size: a depthwise convolution with one-hot kernels."""
    channels, size = dims_of(x)[1], k[0] * k[1]
    if not isinstance(channels, int) or not is_float(x):
        raise Unsupported("needs floats of a known number of channels, or a static shape")
    kernels = np.tile(np.eye(size).reshape(size, 1, *k), (channels, 1, 1, 1)).astype(x.dtype.numpy())
    columns = op.Conv(x, op.const(kernels), group=channels, dilations=d, pads=[*p, *p], strides=s)
    return op.Reshape(columns, ints(0, channels * size, -1))


@ops.op("aten::im2col")
def im2col(op, x, kernel_size, dilation, padding, stride):
    k, d, p, s = (spatial_list(v, 2) for v in (kernel_size, dilation, padding, stride))

    def make(v: ir.Value) -> Any:
        if shape_of(v) is None:
            return _im2col_by_conv(op, v, k, d, p, s)
        n, c, h, w = static_shape(v)
        image = op.Pad(v, ints(0, 0, *p, 0, 0, *p)) if any(p) else v
        rows, columns = _window_indices(k, d, s, [h + 2 * p[0], w + 2 * p[1]])
        windows = op.Gather(op.Gather(image, op.const(rows), axis=2), op.const(columns), axis=4)
        windows = op.Transpose(windows, perm=[0, 1, 2, 4, 3, 5])
        return op.Reshape(windows, ints(n, c * k[0] * k[1], rows.shape[1] * columns.shape[1]))

    return with_batch(op, x, 2, make)


@ops.op("aten::col2im")
def col2im(op, x, output_size, kernel_size, dilation, padding, stride):
    k, d, p, s = (spatial_list(v, 2) for v in (kernel_size, dilation, padding, stride))
    batch = x if rank(x) == 3 else op.Unsqueeze(x, ints(0))
    result = op.Col2Im(batch, ints(*output_size), ints(*k), dilations=d, pads=[*p, *p], strides=s)
    return result if rank(x) == 3 else op.Squeeze(result, ints(0))


@ops.op("aten::max_unpool2d")
def max_unpool2d(op, x, indices, output_size):
    return _unpooled(op, x, indices, output_size, "none")


@ops.op("aten::max_unpool3d")
def max_unpool3d(op, x, indices, output_size, stride=None, padding=None):
    return _unpooled(op, x, indices, output_size, "none")


@ops.op("aten::max_pool2d_with_indices_backward")
def max_pool2d_backward(
    op,
    grad_output,
    x,
    kernel_size=None,
    stride=None,
    padding=None,
    dilation=None,
    ceil_mode=None,
    indices=None,
):
    return _unpooled(op, grad_output, indices, static_shape(x)[-2:], "add")


def _unpooled(op: Any, x: ir.Value, indices: ir.Value, size: list[int], reduction: str) -> ir.Value:
    """Zeros of the last lengths `size`, with the elements of `x` at `indices` into these taken as one."""
    if not all(isinstance(n, int) for n in size):
        raise Unsupported("needs the lengths of the result to be known before run time")
    before = [length(op, x, i) for i in range(rank(x) - len(size))]
    flat, whole = (lengths_vector(op, [*before, *last]) for last in ([-1], size))
    zeros = op.Expand(number(op, 0, x), lengths_vector(op, [*before, math.prod(size)]))
    filled = op.ScatterElements(
        zeros, op.Reshape(indices, flat), op.Reshape(x, flat), axis=-1, reduction=reduction
    )
    return op.Reshape(filled, whole)
