"""Reading tensors between their elements: Resize, GridSample, RoiAlign, DeformConv."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts
from bridge.dims import arange, entries, lengths, product, reshape, scalar, vector
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import along, zero

ops = OpTable()

RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)
FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
I64 = int(ir.DataType.INT64)


def nearest_of_anything(node: ir.Node) -> bool:
    x = node.inputs[0]
    return (x is not None and x.dtype in FLOATS) or attr(node, "mode") == "nearest"


@ops.op("Resize", needs=(RANKED, condition("floats, or mode nearest", nearest_of_anything)))
def resize(op, node, x, roi=None, scales=None, sizes=None):
    """An axis at a time: the elements a place reads, each times its weight."""
    rank = rank_of(x)
    axes = [a % rank for a in attr(node, "axes") or range(rank)]
    factors = _factors(op, node, x, axes, scales, sizes)
    if factors is None:
        return NotImplemented
    inside = None
    for index, (axis, (scale, places)) in enumerate(zip(axes, factors, strict=True)):
        length = lengths(op, x)[axis]
        if _untouched(node, scale, length, places):
            continue
        kind = (
            np.float64
            if isinstance(scale, float) and isinstance(length, int) and isinstance(places, int)
            else np.float32
        )
        line = Line(op, kind, scale, length, places)
        ends = (
            None if roi is None else [op.Gather(roi, np.array(i), axis=0) for i in (index, index + len(axes))]
        )
        at = _coordinate(line, attr(node, "coordinate_transformation_mode"), ends)
        if attr(node, "antialias") and line.ratio is None and attr(node, "mode") != "nearest":
            x = _blended(op, node, x, axis, line, at)
        else:
            x = _read(op, x, axis, line, _taps(line, node, at))
        if attr(node, "coordinate_transformation_mode") == "tf_crop_and_resize":
            within = op.And(
                op.GreaterOrEqual(at, line.number(0)), op.LessOrEqual(at, op.Sub(line.size, line.number(1)))
            )
            within = along(op, within, axis, rank)
            inside = within if inside is None else op.And(inside, within)
    outside = zero(op, x, attr(node, "extrapolation_value"))
    made = op.Identity(x) if inside is None else op.Where(inside, x, outside)
    if attr(node, "coordinate_transformation_mode") == "align_corners" and _fraction(node, axes, scales):
        facts.APPROXIMATED.set(made.producer(), FRACTION)
    return made


FRACTION = (
    "corners are aligned to a length that is no whole number, as in ONNX's own cases; ONNX Runtime "
    "rounds the length down"
)


def _fraction(node: ir.Node, axes: list[int], scales: ir.Value | None) -> bool:
    """True if the scales surely ask for lengths that are no whole numbers."""
    known, shape = const(scales), node.inputs[0].shape  # type: ignore[union-attr]
    lengths = [shape[axis] for axis in axes]  # type: ignore[index]
    return known is not None and any(
        isinstance(n, int) and not float(n * scale).is_integer()
        for n, scale in zip(lengths, known, strict=True)
    )


def _factors(op: Any, node: ir.Node, x: ir.Value, axes: list[int], scales: Any, sizes: Any) -> list | None:
    """Scale (a float, or a one-element value) and output length (an int, or a one-element value) of each
    axis."""
    static, result = lengths(op, x), node.outputs[0].shape
    if scales is not None:
        known, made = const(scales), []
        for i, axis in enumerate(axes):
            n = static[axis]
            scale = float(known[i]) if known is not None else op.Slice(scales, [i], [i + 1], [0])
            if known is not None and isinstance(n, int):
                places: Any = math.floor(np.float32(n) * np.float32(scale))
            elif result is not None and isinstance(result[axis], int):
                places = int(result[axis])
            else:
                wide = op.const(np.array([n], np.float32)) if isinstance(n, int) else op.Cast(n, to=1)
                places = op.Cast(
                    op.Floor(op.Mul(wide, np.float32(scale) if known is not None else scale)), to=I64
                )
            made.append((scale, places))
        return made
    known, policy = const(sizes), attr(node, "keep_aspect_ratio_policy")
    if policy != "stretch":
        if known is None or not all(isinstance(static[a], int) for a in axes):
            return _alike(op, policy, sizes, [static[a] for a in axes])
        ratios = [int(n) / static[a] for n, a in zip(known, axes, strict=True)]
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        return [(ratio, math.floor(static[a] * ratio + 0.5)) for a in axes]
    made = []
    for i, axis in enumerate(axes):
        places = int(known[i]) if known is not None else op.Slice(sizes, [i], [i + 1], [0])
        if known is None and result is not None and isinstance(result[axis], int):
            places = int(result[axis])
        n = static[axis]
        if isinstance(places, int) and isinstance(n, int):
            made.append((places / n if n else 1.0, places))
        else:
            both = (
                op.const(np.array([v], np.float32)) if isinstance(v, int) else op.Cast(v, to=1)
                for v in (places, n)
            )
            made.append((op.Div(*both), places))
    return made


def _alike(op: Any, policy: str, sizes: ir.Value, before: list[Any]) -> list:
    """One scale for all axes, the smallest or the largest of those that `sizes` ask for, known at run
    time."""
    old = op.Cast(vector(op, before), to=1)
    ratio = (op.ReduceMin if policy == "not_larger" else op.ReduceMax)(op.Div(op.Cast(sizes, to=1), old), [0])
    places = op.Cast(op.Floor(op.Add(op.Mul(old, ratio), 0.5)), to=I64)
    return [(ratio, length) for length in entries(op, places, range(len(before)))]


def _untouched(node: ir.Node, scale: Any, length: Any, places: Any) -> bool:
    crop = attr(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
    return (
        not crop
        and isinstance(scale, float)
        and scale == 1.0
        and (not isinstance(length, int) or length == places)
    )


class Line:
    """One axis being resized: float values in which its coordinates are computed."""

    def __init__(self, op: Any, kind: Any, scale: Any, length: Any, places: Any) -> None:
        self.op, self.kind, self.places = op, kind, places
        self.ratio = scale if isinstance(scale, float) else None
        self.scale = self.number(scale) if isinstance(scale, float) else scale
        self.size = self.float(length)
        self.count = op.Mul(self.size, self.scale)
        self.place = self.float(arange(op, places))

    def number(self, value: float) -> ir.Value:
        return self.op.const(np.array(value, self.kind))

    def float(self, value: Any) -> ir.Value:
        to = 11 if self.kind is np.float64 else 1
        return self.number(value) if isinstance(value, int) else self.op.Cast(value, to=to)


def _coordinate(line: Line, mode: str, roi: list | None) -> ir.Value:
    """Where in the input each place of the output lies (ONNX operator Resize,
    coordinate_transformation_mode)."""
    op, one, half = line.op, line.number(1), line.number(0.5)
    alone = op.const(np.array(line.places == 1)) if isinstance(line.places, int) else op.Equal(line.places, 1)
    if mode == "asymmetric":
        return op.Div(line.place, line.scale)
    if mode == "align_corners":
        spread = op.Div(
            op.Mul(line.place, op.Sub(line.size, one)), op.Where(alone, one, op.Sub(line.count, one))
        )
        return op.Where(alone, line.number(0), spread)
    if mode == "tf_crop_and_resize":
        start, end = (op.Cast(v, to=int(ir.DataType.from_numpy(np.dtype(line.kind)))) for v in roi)  # type: ignore[union-attr]
        last = op.Sub(line.size, one)
        step = op.Div(op.Mul(op.Sub(end, start), last), op.Where(alone, one, op.Sub(line.count, one)))
        spread = op.Add(op.Mul(start, last), op.Mul(line.place, step))
        return op.Where(alone, op.Mul(op.Mul(op.Add(start, end), last), half), spread)
    centred = op.Sub(op.Div(op.Add(line.place, half), line.scale), half)
    if mode == "pytorch_half_pixel":
        return op.Where(alone, line.number(0), centred)
    if mode == "half_pixel_symmetric":
        adjusted = op.Sub(one, op.Div(line.float(line.places), line.count))
        return op.Add(op.Mul(op.Mul(line.size, half), adjusted), centred)
    return centred


def _taps(line: Line, node: ir.Node, at: ir.Value) -> list[tuple[Any, Any]]:
    """Element and weight (None for 1) of each tap."""
    op, mode = line.op, attr(node, "mode")
    if mode == "nearest":
        rounding, half = attr(node, "nearest_mode"), line.number(0.5)
        place = {
            "round_prefer_floor": lambda: op.Ceil(op.Sub(at, half)),
            "round_prefer_ceil": lambda: op.Floor(op.Add(at, half)),
            "floor": lambda: op.Floor(at),
            "ceil": lambda: op.Ceil(at),
        }[rounding]()
        return [(place, None)]
    low = op.Floor(at)
    rest = op.Sub(at, low)
    shrunk = 1.0
    if attr(node, "antialias") and line.ratio is not None:
        shrunk = min(line.ratio, 1.0)
    reach = 1 if mode == "linear" else 2
    first = math.floor(-reach / shrunk) + 1
    offsets = range(first, first + 2 * reach - 2 * first if shrunk < 1 else reach + 1)
    taps = []
    for offset in offsets:
        distance = op.Mul(op.Abs(op.Sub(line.number(offset), rest)), line.number(shrunk))
        taps.append((op.Add(low, line.number(offset)), _weight(line, node, distance)))
    if attr(node, "exclude_outside"):
        taps = [(place, op.Where(_inside(line, place), weight, line.number(0))) for place, weight in taps]
    if attr(node, "exclude_outside") or shrunk < 1:
        total = taps[0][1]
        for _, weight in taps[1:]:
            total = op.Add(total, weight)
        taps = [(place, op.Div(weight, total)) for place, weight in taps]
    return taps


def _weight(line: Line, node: ir.Node, distance: ir.Value) -> ir.Value:
    if attr(node, "mode") == "linear":
        return _triangle(line, distance)
    return _cubic(line, distance, attr(node, "cubic_coeff_a"))


def _blended(op: Any, node: ir.Node, x: ir.Value, axis: int, line: Line, at: ir.Value) -> ir.Value:
    """Each place a weighted sum of the whole axis and of its ends repeated: how far a filter reaches is known
    at run time."""
    shrunk = op.Min(line.scale, line.number(1))
    reach = op.Reshape(op.Ceil(op.Div(line.number(1 if attr(node, "mode") == "linear" else 2), shrunk)), [])
    size = op.Reshape(line.size, [])
    places = op.Range(op.Neg(reach), op.Add(size, reach), line.number(1))
    distance = op.Mul(op.Abs(op.Sub(places, op.Unsqueeze(at, [1]))), shrunk)
    weights = _weight(line, node, distance)
    if attr(node, "exclude_outside"):
        weights = op.Where(_inside(line, places), weights, line.number(0))
    weights = op.Div(weights, op.ReduceSum(weights, [1], keepdims=1))
    index = op.Cast(op.Min(op.Max(places, line.number(0)), op.Sub(size, line.number(1))), to=I64)
    rank = rank_of(x) or 0
    order = [*range(axis), *range(axis + 1, rank), axis]
    rows = op.Transpose(op.Gather(x, index, axis=axis), perm=order)
    made = op.MatMul(rows, op.Cast(op.Transpose(weights, perm=[1, 0]), to=int(x.dtype)))  # type: ignore[arg-type]
    return op.Transpose(made, perm=[order.index(i) for i in range(rank)])


def _inside(line: Line, place: ir.Value) -> ir.Value:
    return line.op.And(line.op.GreaterOrEqual(place, line.number(0)), line.op.Less(place, line.size))


def _triangle(line: Line, distance: ir.Value) -> ir.Value:
    return line.op.Max(line.op.Sub(line.number(1), distance), line.number(0))


def _cubic(line: Line, t: ir.Value, a: float) -> ir.Value:
    """Keys' kernel: ((a + 2) t - (a + 3)) t² + 1 up to 1, ((a t - 5 a) t + 8 a) t - 4 a up to 2."""
    op = line.op
    near = op.Mul(op.Sub(op.Mul(t, line.number(a + 2)), line.number(a + 3)), op.Mul(t, t))
    far = op.Add(op.Mul(op.Sub(op.Mul(t, line.number(a)), line.number(5 * a)), t), line.number(8 * a))
    far = op.Sub(op.Mul(far, t), line.number(4 * a))
    outer = op.Where(op.Less(t, line.number(2)), far, line.number(0))
    return op.Where(op.LessOrEqual(t, line.number(1)), op.Add(near, line.number(1)), outer)


def _read(op: Any, x: ir.Value, axis: int, line: Line, taps: list) -> Any:
    total, rank = None, rank_of(x) or 0
    last = op.Sub(line.size, line.number(1))
    for place, weight in taps:
        index = op.Cast(op.Min(op.Max(place, line.number(0)), last), to=I64)
        read = op.Gather(x, index, axis=axis)
        if weight is not None:
            read = op.Mul(read, along(op, op.Cast(weight, to=int(x.dtype)), axis, rank))  # type: ignore[arg-type]
        total = read if total is None else op.Add(total, read)
    return total


@ops.op(
    "GridSample",
    needs=(RANKED, condition("a grid of known rank", lambda n: rank_of(n.inputs[1]) is not None)),
)
def grid_sample(op, node, x, grid):
    """Every sample a weighted sum of the elements around it (ONNX operator GridSample)."""
    sizes, count = lengths(op, x), rank_of(x) - 2
    points, mode, padding = (
        lengths(op, grid)[1:-1],
        attr(node, "mode"),
        attr(node, "padding_mode"),
    )
    axes = []
    for axis in range(count):
        g = op.Gather(grid, np.array(count - 1 - axis), axis=-1)
        size = op.Cast(scalar(op, sizes[2 + axis]), to=int(x.dtype))
        axes.append(_grid_axis(op, node, g, size, mode, padding))
    last = op.Transpose(x, perm=[0, *range(2, 2 + count), 1])
    batch = along(op, arange(op, sizes[0]), 0, 1 + len(points))
    batch = op.Expand(batch, vector(op, [sizes[0], *points]))
    total = None
    for corner in itertools.product(*axes):
        parts = [op.Unsqueeze(v, [-1]) for v in (batch, *(place for place, _ in corner))]
        read = op.GatherND(last, op.Concat(*parts, axis=-1))
        for _, weight in corner:
            read = read if weight is None else op.Mul(read, op.Unsqueeze(weight, [-1]))
        total = read if total is None else op.Add(total, read)
    return op.Transpose(total, perm=[0, 1 + count, *range(1, 1 + count)])


def _grid_axis(
    op: Any, node: ir.Node, g: ir.Value, size: ir.Value, mode: str, padding: str
) -> list[tuple[Any, Any]]:
    """Element and weight of each tap along one axis of the image."""
    corners = attr(node, "align_corners")
    at = op.Mul(op.Add(g, 1.0), 0.5)
    at = op.Mul(at, op.Sub(size, 1.0)) if corners else op.Sub(op.Mul(at, size), 0.5)
    cubic = mode in ("cubic", "bicubic")
    if mode == "nearest":
        at = op.Round(at)
    if not cubic:
        at = _within(op, at, size, padding, corners)
    low = at if mode == "nearest" else op.Floor(at)
    rest = op.Sub(at, low)
    taps = []
    for offset in range(-1, 3) if cubic else range(1) if mode == "nearest" else range(2):
        place = op.Add(low, float(offset)) if offset else low
        distance = op.Abs(op.Sub(rest, float(offset)))
        weight = None
        if mode != "nearest":
            line = _Plain(op, g)
            weight = _cubic(line, distance, -0.75) if cubic else _triangle(line, distance)  # type: ignore[arg-type]
        if cubic:
            place = _within(op, place, size, padding, corners)
        if padding == "zeros":
            there = op.Cast(
                op.And(op.GreaterOrEqual(place, 0.0), op.LessOrEqual(place, op.Sub(size, 1.0))),
                to=int(g.dtype),
            )  # type: ignore[arg-type]
            weight = there if weight is None else op.Mul(weight, there)
        index = op.Cast(op.Round(op.Min(op.Max(place, 0.0), op.Sub(size, 1.0))), to=I64)
        taps.append((index, weight))
    return taps


class _Plain:
    """Numbers of the dtype of a value, as the kernels above ask for them."""

    def __init__(self, op: Any, value: ir.Value) -> None:
        self.op, self.dtype = op, value.dtype

    def number(self, value: float) -> ir.Value:
        return self.op.const(value, self.dtype)


def _within(op: Any, at: ir.Value, size: ir.Value, padding: str, corners: int) -> ir.Value:
    """Coordinates brought into the image by padding border or reflection."""
    if padding == "border":
        return op.Min(op.Max(at, 0.0), op.Sub(size, 1.0))
    if padding != "reflection":
        return at
    low = 0.0 if corners else -0.5
    last = op.Sub(size, 1.0)
    span = op.Max(last, 1.0) if corners else size
    moved = op.Abs(op.Sub(at, low))
    turns = op.Floor(op.Div(moved, span))
    rest = op.Sub(moved, op.Mul(turns, span))
    odd = op.Equal(op.Sub(turns, op.Mul(op.Floor(op.Mul(turns, 0.5)), 2.0)), 1.0)
    reflected = op.Add(op.Where(odd, op.Sub(span, rest), rest), low)
    return op.Min(reflected, last) if corners else reflected


def bilinear(op: Any, last: ir.Value, batch: ir.Value, ys: list, xs: list, largest: bool = False) -> Any:
    """Elements of [N, H, W, C] at the taps (place, weight) of two axes, broadcast against each other: summed,
    or the largest."""
    total = None
    for (y, wy), (x, wx) in itertools.product(ys, xs):
        shape = op.Add(op.Add(op.Mul(y, 0), op.Mul(x, 0)), op.Mul(batch, 0))
        parts = [op.Unsqueeze(op.Add(v, shape), [-1]) for v in (batch, y, x)]
        read = op.Mul(op.GatherND(last, op.Concat(*parts, axis=-1)), op.Unsqueeze(op.Mul(wy, wx), [-1]))
        total = read if total is None else op.Max(total, read) if largest else op.Add(total, read)
    return total


def matrices(node: ir.Node) -> bool:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return shape is not None and len(shape) == 3 and shape[1] in (2, 3)  # type: ignore[operator]


@ops.op(
    "AffineGrid",
    needs=(condition("matrices of 2 by 3 or 3 by 4", matrices),),
)
def affine_grid(op, node, theta, size):
    """Every place of the image, from -1 to 1 along each axis, the last axis first, under the matrices of the
    batch."""
    count = theta.shape[1]
    spots = entries(op, size, range(2, 2 + count))
    columns = []
    for axis, length in reversed(list(enumerate(spots))):
        line = along(op, _even(op, length, theta.dtype, attr(node, "align_corners")), axis, count)
        columns.append(reshape(op, op.Expand(line, vector(op, spots)), [product(op, spots), 1]))
    turned = op.Transpose(theta, perm=[0, 2, 1])
    linear, shift = (op.Slice(turned, [a], [b], [1]) for a, b in ((0, count), (count, count + 1)))
    made = op.Add(op.MatMul(op.Concat(*columns, axis=1), linear), shift)
    return reshape(op, made, [lengths(op, theta)[0], *spots, count])


def _even(op: Any, length: Any, dtype: ir.DataType, corners: int) -> ir.Value:
    """The middles of `length` equal parts of -1 to 1, or points from end to end; of these, a single one is
    the last."""
    last = length - 1
    before = op.Cast(op.Sub(scalar(op, last), arange(op, length)), to=int(dtype))
    whole = op.Cast(op.Max(scalar(op, last if corners else length), 1), to=int(dtype))
    place = op.Div(op.Mul(before, 2.0) if corners else op.Add(op.Mul(before, 2.0), 1.0), whole)
    return op.Sub(1.0, place)


@ops.op(
    "RoiAlign",
    needs=(RANKED, condition("sampling_ratio of 1 or more", lambda n: attr(n, "sampling_ratio") > 0)),
)
def roi_align(op, node, x, rois, batch):
    """The average, or the largest, of `sampling_ratio`² bilinear samples of each bin."""
    count, sizes = attr(node, "sampling_ratio"), lengths(op, x)[2:]
    bins = attr(node, "output_height"), attr(node, "output_width")
    shift = 0.5 if attr(node, "coordinate_transformation_mode") == "half_pixel" else 0.0
    scale, taps = attr(node, "spatial_scale"), []
    for axis, places in enumerate(bins):
        start, end = (
            op.Sub(op.Mul(op.Slice(rois, [i], [i + 1], [1]), scale), shift) for i in (1 - axis, 3 - axis)
        )
        span = op.Sub(end, start) if shift else op.Max(op.Sub(end, start), 1.0)
        inner = (np.arange(places)[:, None] + (np.arange(count)[None] + 0.5) / count) / places
        at = op.Add(start, op.Mul(span, op.const(inner.reshape(1, -1).astype(np.float32))))
        size = op.Cast(scalar(op, sizes[axis]), to=int(x.dtype))
        taps.append(
            [(op.Unsqueeze(p, [2 - axis]), op.Unsqueeze(w, [2 - axis])) for p, w in _roi_axis(op, at, size)]
        )
    last = op.Transpose(x, perm=[0, 2, 3, 1])
    largest = attr(node, "mode") == "max"
    found = bilinear(op, last, reshape(op, batch, [-1, 1, 1]), *taps, largest=largest)
    channels = lengths(op, x)[1]
    split = reshape(op, found, [lengths(op, rois)[0], bins[0], count, bins[1], count, channels])
    pooled = op.ReduceMax(split, [2, 4], keepdims=0) if largest else op.ReduceMean(split, [2, 4], keepdims=0)
    return op.Transpose(pooled, perm=[0, 3, 1, 2])


def _roi_axis(op: Any, at: ir.Value, size: ir.Value) -> list[tuple[Any, Any]]:
    """Nothing more than one element outside; the edge up to there."""
    there = op.Cast(op.And(op.GreaterOrEqual(at, -1.0), op.LessOrEqual(at, size)), to=int(at.dtype))  # type: ignore[arg-type]
    edge = op.Sub(size, 1.0)
    at = op.Min(op.Max(at, 0.0), edge)
    low = op.Floor(at)
    rest = op.Sub(at, low)
    high = op.Min(op.Add(low, 1.0), edge)
    pairs = (low, op.Sub(1.0, rest)), (high, rest)
    return [(op.Cast(place, to=I64), op.Mul(weight, there)) for place, weight in pairs]


@ops.op(
    "DeformConv",
    needs=(
        condition("images of two dimensions", lambda n: rank_of(n.inputs[0]) == 4),
        condition("static shapes", lambda n: all(v is None or shape_of(v) is not None for v in n.inputs)),
    ),
)
def deform_conv(op, node, x, weights, offset, bias=None, mask=None):
    """Windows read at their places plus offsets, times the mask, as the rows of a matrix product."""
    (n, c, h, w), (out, depth, kh, kw) = shape_of(x), shape_of(weights)
    oh, ow = shape_of(offset)[2:]
    groups, group = attr(node, "offset_group"), attr(node, "group")
    strides, dilations = attr(node, "strides") or [1, 1], attr(node, "dilations") or [1, 1]
    pads = attr(node, "pads") or [0] * 4
    moved = op.Transpose(op.Reshape(offset, [n, groups, kh * kw, 2, oh, ow]), perm=[0, 1, 3, 4, 5, 2])
    taps = []
    for axis, (size, places, kernel) in enumerate(((h, oh, kh), (w, ow, kw))):
        base = (
            np.arange(places)[:, None] * strides[axis]
            - pads[axis]
            + np.arange(kernel)[None] * dilations[axis]
        )
        base = base[:, None, :, None] if axis == 0 else base[None, :, None, :]
        base = np.broadcast_to(base, (oh, ow, kh, kw)).reshape(1, oh, ow, kh * kw).astype(np.float32)
        at = op.Add(op.Gather(moved, np.array(axis), axis=2), op.const(base[None]))
        low = op.Floor(at)
        rest = op.Sub(at, low)
        pairs = (low, op.Sub(1.0, rest)), (op.Add(low, 1.0), rest)
        taps.append([_deform_tap(op, place, weight, size) for place, weight in pairs])
    split = op.Transpose(op.Reshape(x, [n, groups, c // groups, h, w]), perm=[0, 1, 3, 4, 2])
    batch = op.const(np.arange(n * groups).reshape(n, groups, 1, 1, 1))
    read = bilinear(op, op.Reshape(split, [n * groups, h, w, c // groups]), batch, *taps)
    if mask is not None:
        turned = op.Transpose(op.Reshape(mask, [n, groups, kh * kw, oh, ow]), perm=[0, 1, 3, 4, 2])
        read = op.Mul(read, op.Unsqueeze(turned, [-1]))
    columns = op.Reshape(
        op.Transpose(read, perm=[0, 2, 3, 1, 5, 4]), [n, oh * ow, group, c // group * kh * kw]
    )
    rows = op.Transpose(op.Reshape(weights, [group, out // group, depth * kh * kw]), perm=[0, 2, 1])
    made = op.MatMul(op.Transpose(columns, perm=[0, 2, 1, 3]), rows)
    result = op.Reshape(op.Transpose(made, perm=[0, 1, 3, 2]), [n, out, oh, ow])
    return result if bias is None else op.Add(result, along(op, bias, 1, 4))


def _deform_tap(op: Any, place: ir.Value, weight: ir.Value, size: int) -> tuple[Any, Any]:
    there = op.Cast(
        op.And(op.GreaterOrEqual(place, 0.0), op.LessOrEqual(place, float(size - 1))), to=int(place.dtype)
    )  # type: ignore[arg-type]
    return op.Cast(op.Min(op.Max(place, 0.0), float(size - 1)), to=I64), op.Mul(weight, there)
