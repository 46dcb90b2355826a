"""Pools by gathering their windows, unpooling, and the window geometry that convolutions use too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, lengths, product, reshape, scalar, sizes_of, vector
from bridge.geometry import pads_of, window_count, window_of
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, zero

ops = OpTable()

SPATIAL = condition("a known rank of 3 or more", lambda n: (rank_of(n.inputs[0]) or 0) >= 3)


@dataclass(frozen=True)
class Axis:
    """The windows along one spatial axis: their size, the padding before and after, the elements ceil_mode
    adds after that, and the number of windows (a length)."""

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    extra: int
    output_length: Any

    def window_indices(self, op: Any) -> ir.Value:
        """Position in the padded axis of every element of every window: int64 [output_length, kernel]."""
        starts = op.Mul(op.Unsqueeze(arange(op, self.output_length), [1]), self.stride)
        return op.Add(starts, op.const(np.arange(self.kernel, dtype=np.int64)[None] * self.dilation))


def axes_of(node: ir.Node, sizes: list[Any]) -> list[Axis] | None:
    """An Axis for each spatial axis of a Conv or pool; None where padding depends on lengths that are
    dynamic."""
    window = window_of(node)
    static = [n if isinstance(n, int) else None for n in sizes]
    pads, ceil_pads = pads_of(node, static), pads_of(node, static, ceil=True)
    if window is None or pads is None or ceil_pads is None:
        return None
    axes = []
    for i, (before, after) in enumerate(pads):
        span, stride, extra = window.spans[i], window.strides[i], ceil_pads[i][1] - after
        output_length = window_count(sizes[i] + (before + after + extra), span, stride)
        axes.append(Axis(window.kernel[i], stride, window.dilations[i], before, after, extra, output_length))
    return axes


def pad_spatial(op: Any, x: ir.Value, axes: list[Axis], number: Any) -> ir.Value:
    """`x` with its spatial axes padded by `number`."""
    before, after = [a.before for a in axes], [a.after + a.extra for a in axes]
    if not any(before) and not any(after):
        return x
    pads = np.array([0, 0, *before, 0, 0, *after], np.int64)
    return op.Pad(x, op.const(pads), zero(op, x, number))


def unfold(op: Any, x: ir.Value, axes: list[Axis]) -> ir.Value:
    """[N, C, output_length, kernel, output_length, kernel, …] of a padded [N, C, spatial…]."""
    for i in reversed(range(len(axes))):
        x = op.Gather(x, axes[i].window_indices(op), axis=i + 2)
    return x


def reduce_windows(op: Any, x: ir.Value, axes: list[Axis], reduction: str) -> ir.Value:
    """A separable reduction of every window, an axis at a time."""
    for i, axis in enumerate(axes):
        if axis.kernel == axis.stride == 1 and not axis.extra:
            continue
        elements = op.Gather(x, axis.window_indices(op), axis=i + 2)
        x = op.node(reduction, elements, [i + 3], keepdims=0)
    return x


def padded_at_run_time(node: ir.Node) -> bool:
    """True if the padding of a window of known size depends on a dynamic length."""
    rank, window = rank_of(node.inputs[0]), window_of(node)
    if rank is None or rank < 3 or window is None or len(node.outputs) > 1:
        return False
    return pads_of(node, ceil=True) is None


PADDED_AT_RUN_TIME = condition("padding that depends on dynamic lengths, by one output", padded_at_run_time)


@ops.op("MaxPool", "AveragePool", "LpPool", needs=(PADDED_AT_RUN_TIME,))
def pad_at_run_time(op, node, x, *others):
    """A Pad of amounts computed at run time. An average of fewer elements than its window has is divided by
    their share."""
    rank = rank_of(x) - 2
    padding = _lowest(x) if node.op_type == "MaxPool" else 0
    own_pads = np.array(attr(node, "pads") or [0] * 2 * rank)
    pairs = pads_of(node, lengths(op, x)[2:], ceil=True)
    pads = vector(op, [n for side in (0, 1) for n in (0, 0, *(pair[side] for pair in pairs))])
    padded = op.Pad(x, pads, zero(op, x, padding))
    dropped = ("auto_pad", "pads", "ceil_mode")
    attributes = {name: attr(node, name) for name in node.attributes if name not in dropped}
    result = op.node(node.op_type, padded, *others, **attributes)
    count_include_pad = attr(node, "count_include_pad")
    if node.op_type != "AveragePool" or (count_include_pad and attr(node, "auto_pad").startswith("SAME")):
        return result
    ones = op.Expand(zero(op, x, 1), sizes_of(op, x))
    if count_include_pad:
        own_pads = np.pad(own_pads.reshape(2, rank), ((0, 0), (2, 0))).ravel()
        ones = op.Pad(ones, op.const(own_pads), zero(op, x, 1))
        pads = op.Sub(pads, op.const(own_pads))
    return op.Div(result, op.AveragePool(op.Pad(ones, pads, zero(op, x)), **attributes))


def _lowest(x: ir.Value) -> Any:
    """The smallest number of the dtype of `x`."""
    dtype = x.dtype
    assert dtype is not None
    return -np.inf if dtype.is_floating_point() else np.iinfo(dtype.numpy()).min


@ops.op("MaxPool", needs=(SPATIAL,))
def max_pool(op, node, x):
    axes = axes_of(node, lengths(op, x)[2:])
    if axes is None:
        return NotImplemented
    padded = pad_spatial(op, x, axes, _lowest(x))
    has_indices = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
    return (
        _with_indices(op, node, x, padded, axes)
        if has_indices
        else reduce_windows(op, padded, axes, "ReduceMax")
    )


def _with_indices(op: Any, node: ir.Node, x: ir.Value, padded: ir.Value, axes: list[Axis]) -> Any:
    """The maxima, and the index in the flattened input of the first of each, rows before columns."""
    sizes, columns = lengths(op, x), attr(node, "storage_order")
    ordered = [*sizes[:2], *(sizes[:1:-1] if columns else sizes[2:])]
    flat = reshape(op, arange(op, product(op, ordered)), ordered)
    if columns:
        flat = op.Transpose(flat, perm=[0, 1, *range(len(sizes) - 1, 1, -1)])
    indices = pad_spatial(op, flat, axes, -1)
    values = padded
    for i, axis in reversed(list(enumerate(axes))):
        windows = axis.window_indices(op)
        values, indices = (op.Gather(v, windows, axis=i + 2) for v in (values, indices))
        best = op.ArgMax(values, axis=i + 3, keepdims=1)
        values, indices = (
            op.Squeeze(op.GatherElements(v, best, axis=i + 3), [i + 3]) for v in (values, indices)
        )
    return values, indices


@ops.op("AveragePool", needs=(SPATIAL,))
def average_pool(op, node, x):
    sizes = lengths(op, x)[2:]
    axes = axes_of(node, sizes)
    if axes is None:
        return NotImplemented
    total = reduce_windows(op, pad_spatial(op, x, axes, 0), axes, "ReduceSum")
    count_include_pad = attr(node, "count_include_pad")
    for i, (axis, size) in enumerate(zip(axes, sizes, strict=True)):
        indices = axis.window_indices(op)
        first = 0 if count_include_pad else axis.before
        end = op.Add(scalar(op, size), axis.before + (axis.after if count_include_pad else 0))
        inside = op.And(op.GreaterOrEqual(indices, first), op.Less(indices, end))
        count = op.ReduceSum(op.Cast(inside, to=int(x.dtype)), [1], keepdims=0)
        total = op.Div(total, along(op, count, i + 2, rank_of(x)))
    return total


@ops.op("LpPool", needs=(SPATIAL,))
def lp_pool(op, node, x):
    axes = axes_of(node, lengths(op, x)[2:])
    if axes is None:
        return NotImplemented
    p = float(attr(node, "p"))
    powers = op.Pow(op.Abs(pad_spatial(op, x, axes, 0)), p)
    return op.Pow(reduce_windows(op, powers, axes, "ReduceSum"), 1 / p)


@ops.op("GlobalLpPool", needs=(SPATIAL,))
def global_lp_pool(op, node, x):
    p = float(attr(node, "p"))
    return op.Pow(op.ReduceSum(op.Pow(op.Abs(x), p), list(range(2, rank_of(x)))), 1 / p)


@ops.op("LRN", needs=(SPATIAL,))
def lrn(op, node, x):
    """x / (bias + alpha / size · sum of squares of neighbouring channels) ** beta."""
    size, channels = attr(node, "size"), lengths(op, x)[1]
    pads = np.zeros((2, rank_of(x)), np.int64)
    pads[:, 1] = (size - 1) // 2, size // 2
    squares = op.Pad(op.Mul(x, x), op.const(pads.ravel()))
    indices = Axis(size, 1, 1, 0, 0, 0, channels).window_indices(op)
    total = op.ReduceSum(op.Gather(squares, indices, axis=1), [2], keepdims=0)
    scale = op.Add(op.Mul(total, attr(node, "alpha") / size), attr(node, "bias"))
    return op.Div(x, op.Pow(scale, attr(node, "beta")))


@ops.op("MaxUnpool", needs=(condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None),))
def max_unpool(op, node, x, indices, output_shape=None):
    """Every value at its index in the flattened unpooled tensor. Overlapping windows may name an index twice:
    the larger value stays."""
    shape, kernel = shape_of(x), attr(node, "kernel_shape")
    rank = len(kernel)
    strides, pads = attr(node, "strides") or [1] * rank, attr(node, "pads") or [0] * 2 * rank
    inferred = [
        *shape[:2],
        *(
            (n - 1) * s - pads[i] - pads[i + rank] + k
            for i, (n, s, k) in enumerate(zip(shape[2:], strides, kernel, strict=True))
        ),
    ]
    if output_shape is None:
        sizes, output_shape = inferred, op.const(np.array(inferred, np.int64))
    else:
        known = const(output_shape)
        sizes = known.tolist() if known is not None else shape_of(node.outputs[0])
        if sizes is None:
            return NotImplemented
        indices = _reindex(op, indices, inferred, sizes)
    indices, values = reshape(op, indices, [-1, 1]), reshape(op, x, [-1])
    zeros = np.zeros(int(np.prod(sizes)), x.dtype.numpy())
    one = op.const(1, x.dtype)
    largest = op.ScatterND(op.const(zeros - np.inf), indices, values, reduction="max")
    ones = op.Expand(one, op.Shape(values))
    written = op.ScatterND(op.const(zeros), indices, ones, reduction="max")
    return op.Reshape(op.Where(op.Equal(written, one), largest, op.const(zeros)), output_shape)


def _reindex(op: Any, indices: ir.Value, before: list[int], after: list[int]) -> Any:
    """Flat indices into a tensor of shape `before` as flat indices of the same elements in one of shape
    `after`."""
    result, remainder = None, indices
    old_strides = np.cumprod([1, *before[:0:-1]])[::-1]
    new_strides = np.cumprod([1, *after[:0:-1]])[::-1]
    for old, new in zip(old_strides, new_strides, strict=True):
        position = op.Div(remainder, int(old))
        remainder = op.Sub(remainder, op.Mul(position, int(old)))
        term = op.Mul(position, int(new))
        result = term if result is None else op.Add(result, term)
    return result
