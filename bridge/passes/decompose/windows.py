"""Windows over spatial dimensions: the geometry convolutions and pools share, and pools by gathering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange, entries, lengths, product, reshape, scalar, sizes_of, vector
from bridge.geometry import pads_of, transposed_pads, window_of
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, zero

ops = OpTable()

SPATIAL = condition("a known rank of 3 or more", lambda n: (rank_of(n.inputs[0]) or 0) >= 3)


@dataclass(frozen=True)
class Axis:
    """The windows along one spatial axis: their size, padding before and after, what ceil_mode adds behind
    it, and how many there are (a length)."""

    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    extra: int
    places: Any

    def index(self, op: Any) -> ir.Value:
        """Position in the padded axis of every element of every window: [places, kernel] of int64."""
        first = op.Mul(op.Unsqueeze(arange(op, self.places), [1]), self.stride)
        return op.Add(first, op.const(np.arange(self.kernel, dtype=np.int64)[None] * self.dilation))


def axes_of(node: ir.Node, sizes: list[Any]) -> list[Axis] | None:
    """An Axis for each spatial axis of a Conv or pool; None where padding depends on lengths that are
    dynamic."""
    window = window_of(node)
    static = [n if isinstance(n, int) else None for n in sizes]
    pads, padded = pads_of(node, static), pads_of(node, static, ceil=True)
    if window is None or pads is None or padded is None:
        return None
    made = []
    for i, (before, after) in enumerate(pads):
        span, stride, extra = window.spans[i], window.strides[i], padded[i][1] - after
        places = (sizes[i] + (before + after + extra - span)) // stride + 1
        made.append(Axis(window.kernel[i], stride, window.dilations[i], before, after, extra, places))
    return made


def padded(op: Any, x: ir.Value, windows: list[Axis], number: Any) -> ir.Value:
    """`x` with its spatial axes padded by `number`."""
    ends = [w.before for w in windows], [w.after + w.extra for w in windows]
    if not any(ends[0]) and not any(ends[1]):
        return x
    pads = np.array([0, 0, *ends[0], 0, 0, *ends[1]], np.int64)
    return op.Pad(x, op.const(pads), zero(op, x, number))


def unfold(op: Any, x: ir.Value, windows: list[Axis]) -> ir.Value:
    """[N, C, places, kernel, places, kernel, …] of a padded [N, C, spatial…]."""
    for axis in reversed(range(len(windows))):
        x = op.Gather(x, windows[axis].index(op), axis=axis + 2)
    return x


def combine(op: Any, x: ir.Value, windows: list[Axis], reduction: str) -> ir.Value:
    """A separable reduction of every window, an axis at a time."""
    for axis, window in enumerate(windows):
        if window.kernel == window.stride == 1 and not window.extra:
            continue
        found = op.Gather(x, window.index(op), axis=axis + 2)
        x = op.node(reduction, found, [axis + 3], keepdims=0)
    return x


def padded_at_run_time(node: ir.Node) -> bool:
    """True if the padding of a window of known size depends on a dynamic length."""
    rank, window = rank_of(node.inputs[0]), window_of(node)
    if rank is None or rank < 3 or window is None or len(node.outputs) > 1:
        return False
    return pads_of(node, ceil=True) is None


@ops.op(
    "Conv",
    "MaxPool",
    "AveragePool",
    "LpPool",
    needs=(condition("padding that depends on dynamic lengths, by one output", padded_at_run_time),),
)
def padded_first(op, node, x, *rest):
    """A Pad of amounts computed at run time. An average of fewer elements than its window has is divided by
    their share."""
    count = rank_of(x) - 2
    below = node.op_type == "MaxPool"
    lowest = -np.inf if x.dtype.is_floating_point() else np.iinfo(x.dtype.numpy()).min
    fixed = attr(node, "pads") or [0] * 2 * count
    ends = pads_of(node, lengths(op, x)[2:], ceil=True)
    axes = op.const(np.arange(2, 2 + count))
    table = vector(op, [pair[side] for side in (0, 1) for pair in ends])
    wide = op.Pad(x, table, zero(op, x, lowest if below else 0), axes)
    dropped = ("auto_pad", "pads", "ceil_mode")
    kept = {name: attr(node, name) for name in node.attributes if name not in dropped}
    made = op.node(node.op_type, wide, *rest, **kept)
    counted = attr(node, "count_include_pad")
    if node.op_type != "AveragePool" or (counted and attr(node, "auto_pad").startswith("SAME")):
        return made
    ones = op.Expand(zero(op, x, 1), sizes_of(op, x))
    if counted:
        ones = op.Pad(ones, op.const(np.array(fixed)), zero(op, x, 1), axes)
        table = op.Sub(table, op.const(np.array(fixed)))
    return op.Div(made, op.AveragePool(op.Pad(ones, table, zero(op, x), axes), **kept))


@ops.op("MaxPool", needs=(SPATIAL,))
def max_pool(op, node, x):
    windows = axes_of(node, lengths(op, x)[2:])
    if windows is None:
        return NotImplemented
    lowest = -np.inf if x.dtype.is_floating_point() else np.iinfo(x.dtype.numpy()).min
    wide = padded(op, x, windows, lowest)
    asked = len(node.outputs) > 1 and (node.outputs[1].uses() or node.outputs[1].is_graph_output())
    return _with_places(op, node, x, wide, windows) if asked else combine(op, wide, windows, "ReduceMax")


def _with_places(op: Any, node: ir.Node, x: ir.Value, wide: ir.Value, windows: list[Axis]) -> Any:
    """Values, and where in the flattened input the first of the largest was."""
    shape = shape_of(x)
    if shape is None:
        return NotImplemented
    plane = np.arange(np.prod(shape[2:])).reshape(shape[2:])
    if attr(node, "storage_order"):
        plane = np.arange(plane.size).reshape(shape[:1:-1]).T
    places = np.arange(shape[0] * shape[1]).reshape(*shape[:2], *[1] * len(windows)) * plane.size + plane
    ends = [(0, 0), (0, 0), *((w.before, w.after + w.extra) for w in windows)]
    at = op.const(np.pad(places, ends, constant_values=-1).astype(np.int64))
    for axis, window in enumerate(windows):
        index = window.index(op)
        wide, at = (op.Gather(v, index, axis=axis + 2) for v in (wide, at))
        best = op.ArgMax(wide, axis=axis + 3, keepdims=1)
        wide, at = (op.Squeeze(op.GatherElements(v, best, axis=axis + 3), [axis + 3]) for v in (wide, at))
    return wide, at


@ops.op("AveragePool", needs=(SPATIAL,))
def average_pool(op, node, x):
    sizes = lengths(op, x)[2:]
    windows = axes_of(node, sizes)
    if windows is None:
        return NotImplemented
    total = combine(op, padded(op, x, windows, 0), windows, "ReduceSum")
    for axis, (window, size) in enumerate(zip(windows, sizes, strict=True)):
        index, counted = window.index(op), attr(node, "count_include_pad")
        first = 0 if counted else window.before
        end = op.Add(scalar(op, size), window.before + (window.after if counted else 0))
        inside = op.And(op.GreaterOrEqual(index, first), op.Less(index, end))
        count = op.ReduceSum(op.Cast(inside, to=int(x.dtype)), [1], keepdims=0)
        total = op.Div(total, along(op, count, axis + 2, rank_of(x)))
    return total


@ops.op("LpPool", needs=(SPATIAL,))
def lp_pool(op, node, x):
    windows = axes_of(node, lengths(op, x)[2:])
    if windows is None:
        return NotImplemented
    p = float(attr(node, "p"))
    powers = op.Pow(op.Abs(padded(op, x, windows, 0)), p)
    return op.Pow(combine(op, powers, windows, "ReduceSum"), 1 / p)


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
    index = Axis(size, 1, 1, 0, 0, 0, channels).index(op)
    total = op.ReduceSum(op.Gather(squares, index, axis=1), [2], keepdims=0)
    scale = op.Add(op.Mul(total, attr(node, "alpha") / size), attr(node, "bias"))
    return op.Div(x, op.Pow(scale, attr(node, "beta")))


@ops.op(
    "Conv", needs=(SPATIAL, condition("weights of static shape", lambda n: shape_of(n.inputs[1]) is not None))
)
def conv(op, node, x, weights, bias=None):
    """Windows as the rows of a matrix product, a group at a time."""
    sizes, (out, depth, *kernel) = lengths(op, x), shape_of(weights)
    windows = axes_of(node, sizes[2:])
    if windows is None:
        return NotImplemented
    count, group = len(kernel), attr(node, "group")
    places = [w.places for w in windows]
    total = -1 if any(not isinstance(p, int) for p in places) else int(np.prod(places))
    size = int(np.prod(kernel))
    columns = unfold(op, padded(op, x, windows, 0), windows)
    order = [0, 1, *range(2, 2 + 2 * count, 2), *range(3, 3 + 2 * count, 2)]
    columns = reshape(op, op.Transpose(columns, perm=order), [sizes[0], group, depth, total, size])
    columns = reshape(op, op.Transpose(columns, perm=[0, 1, 3, 2, 4]), [sizes[0], group, total, depth * size])
    rows = op.Transpose(reshape(op, weights, [group, out // group, depth * size]), perm=[0, 2, 1])
    made = op.Transpose(op.MatMul(columns, rows), perm=[0, 1, 3, 2])
    result = reshape(op, made, [sizes[0], out, *places])
    return result if bias is None else op.Add(result, along(op, bias, 1, rank_of(x)))


@ops.op(
    "ConvTranspose",
    needs=(SPATIAL, condition("weights of static shape", lambda n: shape_of(n.inputs[1]) is not None)),
)
def conv_transpose(op, node, x, weights, bias=None):
    """A convolution, with flipped weights, of the input spread out with zeros between."""
    channels, depth, *kernel = shape_of(weights)
    count, group = len(kernel), attr(node, "group")
    window, cut = window_of(node), transposed_pads(node)
    more = attr(node, "output_padding") or [0] * count
    if cut is None:
        return NotImplemented
    for axis, stride in enumerate(window.strides):
        x = _spread_out(op, x, axis + 2, stride)
    spans = [span - 1 for span in window.spans]
    before = [span - first for span, (first, _) in zip(spans, cut, strict=True)]
    after = [
        span - last + extra - (stride - 1)
        for span, (_, last), extra, stride in zip(spans, cut, more, window.strides, strict=True)
    ]
    pads = np.array([0, 0, *before, 0, 0, *after], np.int64)
    x = op.Pad(x, op.const(pads)) if pads.any() else x
    turned = reshape(op, weights, [group, channels // group, depth, *kernel])
    turned = op.Transpose(turned, perm=[0, 2, 1, *range(3, 3 + count)])
    turned = reshape(op, turned, [group * depth, channels // group, *kernel])
    spatial = list(range(2, 2 + count))
    flipped = op.Slice(turned, [-1] * count, [-(2**31)] * count, spatial, [-1] * count)
    return op.Conv(x, flipped, bias, group=group, dilations=window.dilations, kernel_shape=kernel)


def _spread_out(op: Any, x: ir.Value, axis: int, stride: int) -> ir.Value:
    """`stride` - 1 zeros after each element of `axis`."""
    if stride == 1:
        return x
    sizes = lengths(op, x)
    pads = np.zeros((2, len(sizes) + 1), np.int64)
    pads[1, axis + 1] = stride - 1
    wide = op.Pad(op.Unsqueeze(x, [axis + 1]), op.const(pads.ravel()))
    return reshape(op, wide, [*sizes[:axis], sizes[axis] * stride, *sizes[axis + 1 :]])


@ops.op("MaxUnpool", needs=(condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None),))
def max_unpool(op, node, x, indices, output_shape=None):
    """Every value put back where its index in the flattened unpooled tensor says: by the largest, as windows
    that overlap name a place twice."""
    shape, kernel = shape_of(x), attr(node, "kernel_shape")
    count = len(kernel)
    strides, pads = attr(node, "strides") or [1] * count, attr(node, "pads") or [0] * 2 * count
    plain = [
        (n - 1) * s - pads[i] - pads[i + count] + k
        for i, (n, s, k) in enumerate(zip(shape[2:], strides, kernel, strict=True))
    ]
    result = op.const(np.array([*shape[:2], *plain], np.int64)) if output_shape is None else output_shape
    if output_shape is not None:
        known = const(output_shape)
        asked = known.tolist() if known is not None else shape_of(node.outputs[0])
        if asked is None:
            return NotImplemented
        at = _moved(op, indices, [*shape[:2], *plain], asked)
    else:
        asked, at = [*shape[:2], *plain], indices
    at, parts = reshape(op, at, [-1, 1]), reshape(op, x, [-1])
    none = np.zeros(int(np.prod(asked)), x.dtype.numpy())
    one = op.const(1, x.dtype)
    found = op.ScatterND(op.const(none - np.inf), at, parts, reduction="max")
    named = op.ScatterND(op.const(none), at, op.Expand(one, op.Shape(parts)), reduction="max")
    return op.Reshape(op.Where(op.Equal(named, one), found, op.const(none)), result)


def _moved(op: Any, indices: ir.Value, before: list[int], after: list[int]) -> Any:
    """Indices into a tensor of shape `before` as those of the same place in one of shape `after`."""
    result, rest = None, indices
    steps = np.cumprod([1, *before[:0:-1]])[::-1]
    grown = np.cumprod([1, *after[:0:-1]])[::-1]
    for step, size in zip(steps, grown, strict=True):
        place = op.Div(rest, int(step))
        rest = op.Sub(rest, op.Mul(place, int(step)))
        term = op.Mul(place, int(size))
        result = term if result is None else op.Add(result, term)
    return result


@ops.op(
    "Col2Im",
    needs=(
        condition("a known number of dimensions", lambda n: shape_of(n.inputs[1]) is not None),
        condition("columns of known rank", lambda n: rank_of(n.inputs[0]) == 3),
    ),
)
def col2im(op, node, x, image, block):
    """Every column added where its block lies in the padded image; the padding is cut off."""
    count = shape_of(image)[0]
    inner, kernel = (entries(op, v, range(count)) for v in (image, block))
    pads, dilations = attr(node, "pads") or [0] * 2 * count, attr(node, "dilations") or [1] * count
    sizes = [n + (pads[i] + pads[i + count]) for i, n in enumerate(inner)]
    flat = op.const(np.zeros((), np.int64))
    for size, k, s, d in zip(sizes, kernel, attr(node, "strides") or [1] * count, dilations, strict=True):
        places = (size + (d - 1) - k * d) // s + 1
        starts, steps = op.Mul(arange(op, places), s), op.Mul(arange(op, k), d)
        place = op.Add(op.Unsqueeze(steps, [1]), op.Unsqueeze(starts, [0]))
        flat = op.Add(op.Mul(op.Unsqueeze(flat, [-2, -1]), scalar(op, size)), place)
    flat = op.Transpose(flat, perm=[*range(0, 2 * count, 2), *range(1, 2 * count, 2)])
    batch, rows, columns = lengths(op, x)
    whole = product(op, kernel)
    depth, total = rows // whole, whole * columns
    parts = reshape(op, op.Transpose(x, perm=[1, 2, 0]), [depth, total, batch])
    empty = op.Expand(zero(op, x), vector(op, [product(op, sizes), depth, batch]))
    at = reshape(op, flat, [total, 1])
    summed = op.ScatterND(empty, at, op.Transpose(parts, perm=[1, 0, 2]), reduction="add")
    made = reshape(op, op.Transpose(summed, perm=[2, 1, 0]), [batch, depth, *sizes])
    ends = vector(op, [n + pads[i] for i, n in enumerate(inner)])
    return op.Slice(made, pads[:count], ends, list(range(2, 2 + count)))
