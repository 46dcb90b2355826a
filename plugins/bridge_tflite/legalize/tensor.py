"""Moving, choosing and making elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, on_last_axis, product, reshape, vector
from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import wrapped
from bridge_tflite.export_ops.common import COMMON, EVERY, PADDED_RANK, TEXT, TFLITE

ops = OpTable()

INT32 = int(ir.DataType.INT32)
I32_MAX = 2**31 - 1
MOVED = {
    **dict.fromkeys(
        (
            "Slice",
            "Expand",
            "Tile",
            "Reshape",
            "Squeeze",
            "Unsqueeze",
            "Flatten",
            "Identity",
            "Transpose",
            "Where",
        ),
        EVERY,
    ),
    **dict.fromkeys(("Gather", "GatherND", "GatherElements", "Concat", "Compress"), COMMON),
    "Pad": COMMON,
    "Split": ("int8", "int16", "uint8"),
    "Shape": (*EVERY, "string"),
    "Size": (*EVERY, "string"),
    "DepthToSpace": EVERY,
    "SpaceToDepth": EVERY,
    "ReverseSequence": ("int16", "uint8"),
}
RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)


def int32(op: Any, value: ir.Value) -> Any:
    """A vector of int64 as int32, clamped to what int32 holds."""
    array = const(value)
    if array is not None:
        return op.const(np.clip(array, -I32_MAX, I32_MAX).astype(np.int32))
    return op.Cast(op.Min(op.Max(value, -I32_MAX), I32_MAX), to=INT32)


def plain(op: Any, value: ir.Value) -> Any:
    """A vector of int64 known to fit as int32."""
    array = const(value)
    return op.const(array.astype(np.int32)) if array is not None else op.Cast(value, to=INT32)


@ops.op("Reshape", needs=(RANKED,))
def reshape_to(op, node, x, shape):
    """A run-time shape, 0 for the dimension of the input replaced by it unless allowzero says otherwise; constant where the result is
    known but for one dimension."""
    if static_result(node):
        dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
        return NotImplemented if const(shape) is not None else op.Reshape(x, dims, allowzero=int(0 in dims))
    count = shape_of(shape)
    if count is None:
        return NotImplemented
    if not attr(node, "allowzero"):
        shape = _without_zeros(op, x, shape, count[0])
    return op.Reshape(x, plain(op, shape), _domain=TFLITE)


def static_result(node: ir.Node) -> bool:
    shape = node.outputs[0].shape
    return shape is not None and (
        shape.is_static() or (sum(not isinstance(d, int) for d in shape) == 1 and 0 not in list(shape))
    )


def _without_zeros(op: Any, x: ir.Value, shape: ir.Value, count: int) -> ir.Value:
    array, sizes = const(shape), None
    if array is not None:
        sizes = lengths(op, x) if (array == 0).any() else []
        return vector(op, [sizes[i] if n == 0 else int(n) for i, n in enumerate(array)])
    rank = rank_of(x) or 0
    if not _may_hold_zero(shape):
        return shape
    kept = vector(op, [*lengths(op, x)[:count], *[0] * (count - rank)])
    return op.Where(op.Equal(shape, 0), kept, shape)


def _may_hold_zero(shape: ir.Value) -> bool:
    """Vectors put together from the lengths of other values mean what they say."""
    node = shape.producer()
    if node is None:
        array = const(shape)
        return array is None or bool((array == 0).any())
    if node.op_type in ("Concat", "Slice", "Mul", "Unsqueeze", "Reshape", "Cast", "Gather"):
        sources = node.inputs if node.op_type in ("Concat", "Mul") else node.inputs[:1]
        return any(_may_hold_zero(v) for v in sources)
    return node.op_type != "Shape"


@ops.op("Flatten", needs=(RANKED,))
def flatten(op, node, x):
    if static_result(node):
        return NotImplemented
    axis = attr(node, "axis")
    rank = rank_of(x)
    axis = axis + rank if axis < 0 else axis

    sizes = lengths(op, x)
    return reshape(op, x, [product(op, sizes[:axis]), product(op, sizes[axis:])])


@ops.op("Unsqueeze", needs=(RANKED,))
def unsqueeze(op, node, x, axes):
    known = const(axes)
    if static_result(node) or known is None:
        return NotImplemented
    rank = rank_of(x) + known.size
    for axis in sorted(int(a) % rank for a in known.reshape(-1)):
        dims = [*list(x.shape)[:axis], 1, *list(x.shape)[axis:]]
        x = op.ExpandDims(x, _domain=TFLITE, _dtype=x.dtype, _shape=dims, axis=axis)
    return x


@ops.op("Squeeze", needs=(RANKED,))
def squeeze(op, node, x, axes=None):
    if axes is not None or static_result(node):
        return NotImplemented
    ones = [i for i, d in enumerate(x.shape) if d == 1]
    return op.Squeeze(x, ones) if all(isinstance(d, int) for d in x.shape) else NotImplemented


@ops.op("Expand", needs=(dtype(*EVERY), RANKED))
def expand(op, node, x, shape):
    result = shape_of(node.outputs[0])
    if result is not None:
        return op.BroadcastTo(x, op.const(np.array(result, np.int32)), _domain=TFLITE)
    if rank_of(x) == 0:
        return op.Fill(x, plain(op, shape), _domain=TFLITE)
    count = max(rank_of(x) or 0, (shape_of(shape) or [0])[0])
    sizes = plain(op, op.Shape(x)), plain(op, shape)
    whole = op.BroadcastArgs(*sizes, _domain=TFLITE, _dtype=ir.DataType.INT32, _shape=[count])
    return op.BroadcastTo(x, whole, _domain=TFLITE)


def deep_text(node: ir.Node) -> bool:
    return node.inputs[0].dtype == ir.DataType.STRING and rank_of(node.inputs[0]) != 1


@ops.op(
    "Gather",
    needs=(
        dtype(*TEXT, *COMMON),
        condition(
            "a known rank, not 0, for text 1", lambda n: bool(rank_of(n.inputs[0])) and not deep_text(n)
        ),
    ),
)
def gather(op, node, x, indices):
    """LiteRT takes no negative index."""
    axis = attr(node, "axis") % rank_of(x)
    array, length = const(indices), x.shape[axis]
    if array is None or ((array < 0).any() and not isinstance(length, int)):
        at = wrapped(op, indices, lengths(op, x)[axis])
    else:
        at = op.const(
            np.where(array < 0, array + (length if isinstance(length, int) else 0), array).astype(np.int32)
        )
    return op.Gather(x, at, _domain=TFLITE, axis=axis)


@ops.op(
    "GatherND",
    needs=(
        dtype(*TEXT, *COMMON),
        RANKED,
        condition("batch_dims=0", lambda n: not attr(n, "batch_dims")),
        condition("indices of known depth", lambda n: isinstance(list(n.inputs[1].shape or [None])[-1], int)),
    ),
)
def gather_nd(op, node, x, indices):
    """LiteRT takes no negative index."""
    sizes = vector(op, lengths(op, x)[: indices.shape[-1]])
    at = op.Where(op.Less(indices, 0), op.Add(indices, sizes), indices)
    return op.GatherND(x, at, _domain=TFLITE)


@ops.op(
    "Slice",
    needs=(
        dtype(*TEXT, *EVERY),
        condition(
            "a known rank and number of axes",
            lambda n: rank_of(n.inputs[0]) is not None and shape_of(n.inputs[1]) is not None,
        ),
    ),
)
def strided_slice(op, node, x, starts, ends, axes=None, steps=None):
    rank, count = rank_of(x), shape_of(starts)[0]
    known = [None if v is None else const(v) for v in (starts, ends, axes, steps)]
    unknown = [v is not None and k is None for v, k in zip((starts, ends, axes, steps), known, strict=True)]
    if not any(unknown):
        named = range(count) if known[2] is None else [int(a) % rank for a in known[2]]
        bounds = _constant_bounds(
            x, named, known[0], known[1], np.ones(count, int) if known[3] is None else known[3]
        )
        if bounds is not None:
            return _sliced(op, x, *bounds)
    parts = [
        _spread(op, axes, rank, count, int32(op, v), default) for v, default in ((starts, 0), (ends, I32_MAX))
    ]
    stride = (
        op.const(np.ones(rank, np.int32))
        if steps is None
        else _spread(op, axes, rank, count, int32(op, steps), 1)
    )
    return op.StridedSlice(x, parts[0], parts[1], stride, _domain=TFLITE)


def _sliced(op: Any, x: ir.Value, begin: Any, end: Any, stride: Any, masks: dict[str, int]) -> ir.Value:
    """XNNPACK takes the whole axis for a slice of nothing; a gather of nothing is LiteRT's own."""
    gone = [a for a in range(len(begin)) if begin[a] == end[a] == 0 and not masks["end_mask"] >> a & 1]
    for axis in gone:
        masks = {name: mask | 1 << axis for name, mask in masks.items()}
        x = op.Gather(x, op.const(np.zeros(0, np.int32)), axis=axis)
    return op.StridedSlice(
        x, *(op.const(v.astype(np.int32)) for v in (begin, end, stride)), _domain=TFLITE, **masks
    )


@ops.op(
    "Expand",
    "Gather",
    "GatherElements",
    "Transpose",
    needs=(
        dtype(*TEXT),
        condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None),
    ),
)
def text(op, node, x, *rest):
    """What moves text moves its places, by which the flat text is gathered."""
    places = np.arange(int(np.prod(shape_of(x)))).reshape(shape_of(x))
    kept = {name: attr(node, name) for name in node.attributes}
    moved = op.node(node.op_type, op.const(places), *rest, **kept)
    found = op.Gather(op.Reshape(x, [-1]), op.Reshape(moved, [-1]), axis=0)
    return reshape(op, found, lengths(op, moved))


def _spread(op: Any, axes: Any, rank: int, count: int, values: ir.Value, default: int) -> ir.Value:
    """A value for each of `rank` axes: that of the axis where it is named, else `default`."""
    named = const(axes) if axes is not None else np.arange(count)
    if named is not None:
        order = [int(a) % rank for a in named]
        whole = op.Concat(values, op.const(np.array([default], np.int32)), axis=0)
        at = [order.index(a) if a in order else count for a in range(rank)]
        return op.Gather(whole, op.const(np.array(at, np.int64)), axis=0)
    turned = op.Unsqueeze(wrapped(op, op.Cast(axes, to=INT32), rank), [1])
    hit = op.Equal(turned, op.const(np.arange(rank, dtype=np.int32)[None]))
    summed = op.ReduceSum(
        op.Where(hit, op.Unsqueeze(values, [1]), op.const(np.array(0, np.int32))), [0], keepdims=0
    )
    found = op.ReduceMax(op.Cast(hit, to=INT32), [0], keepdims=0)
    return op.Where(
        op.Equal(found, op.const(np.array(1, np.int32))), summed, op.const(np.array(default, np.int32))
    )


def _constant_bounds(x: ir.Value, named: Any, firsts: Any, lasts: Any, steps: Any) -> Any:
    rank = rank_of(x) or 0
    begin, end, stride = np.zeros(rank, np.int64), np.zeros(rank, np.int64), np.ones(rank, np.int64)
    begin_mask = end_mask = (1 << rank) - 1
    for axis, first, last, step in zip(named, firsts, lasts, steps, strict=True):
        bounds = _bounds(x.shape[axis], int(first), int(last), int(step))  # type: ignore[index]
        if bounds is None:
            return None
        begin_mask &= ~(1 << axis)
        begin[axis], stride[axis] = bounds[0], step
        if bounds[1] is not None:
            end[axis] = bounds[1]
            end_mask &= ~(1 << axis)
    return begin, end, stride, {"begin_mask": begin_mask, "end_mask": end_mask}


def _bounds(length: Any, first: int, last: int, step: int) -> tuple[int, int | None] | None:
    """First index and end (None for "to the end") as LiteRT clamps them; None for what is said at run time."""
    if isinstance(length, int):
        span = range(*slice(first, last, step).indices(length))
        if not span:
            return 0, 0
        return span.start, (None if span.stop < 0 or span.stop >= length else span.stop)
    if step < 0 or abs(first) >= 2**31:
        return None
    if last == 0 or (first >= last and (first < 0) == (last < 0)):
        return 0, 0
    return first, (None if last >= I32_MAX else max(last, -I32_MAX))


def mirrored(node: ir.Node) -> bool:
    """LiteRT mirrors by less than the length."""
    full, shape = _table(node), shape_of(node.inputs[0])
    return (
        full is not None
        and shape is not None
        and bool((full >= 0).all())
        and all(max(c) < d for c, d in zip(full.T, shape, strict=True))
    )


def _table(node: ir.Node) -> np.ndarray | None:
    """Constant amounts before and after every axis."""
    x, amounts = node.inputs[0], const(node.inputs[1])
    axes = input_at(node, 3)
    rank = rank_of(x)
    if rank is None or amounts is None or (axes is not None and const(axes) is None):
        return None
    named = range(rank) if axes is None else [int(a) % rank for a in const(axes)]
    full = np.zeros((2, rank), np.int64)
    full[:, list(named)] = amounts.reshape(2, -1)
    return full


@ops.op(
    "Pad",
    needs=(
        dtype(*EVERY),
        condition(
            "mode reflect by less than each length",
            lambda n: attr(n, "mode") == "reflect" and mirrored(n),
        ),
    ),
)
def mirror_pad(op, node, x, pads, value=None, axes=None):
    return op.MirrorPad(x, op.const(_table(node).T.astype(np.int32)), _domain=TFLITE)


@ops.op(
    "Pad",
    needs=(
        dtype(*COMMON),
        RANKED,
        condition("mode constant", lambda n: attr(n, "mode") == "constant"),
        condition("a known number of pads", lambda n: shape_of(n.inputs[1]) is not None),
    ),
)
def constant_pad(op, node, x, pads, value=None, axes=None):
    full, rank = _table(node), rank_of(x)
    value = None if value is None or (const(value) is not None and not const(value).any()) else value
    if full is not None and (full < 0).any():
        ends = [int(n) if n < 0 else I32_MAX for n in full[1]]
        x = op.Slice(x, np.maximum(-full[0], 0), np.array(ends))
        full = np.maximum(full, 0)
    if full is not None and rank > PADDED_RANK:
        return _padded_by_axis(op, x, full, value)
    if full is not None:
        return op.Pad(x, op.const(full.T.astype(np.int32)), value, _domain=TFLITE)
    count = shape_of(pads)[0] // 2
    both = [
        _spread(op, axes, rank, count, plain(op, op.Slice(pads, [i * count], [(i + 1) * count], [0])), 0)
        for i in (0, 1)
    ]
    cut = [op.Max(op.Neg(b), 0) for b in both]
    sizes = plain(op, op.Shape(x))
    ones = op.const(np.ones(rank, np.int32))
    kind = {"_domain": TFLITE, "_dtype": x.dtype, "_shape": [None] * rank}
    x = op.StridedSlice(x, cut[0], op.Sub(sizes, cut[1]), ones, **kind)
    columns = [op.Unsqueeze(op.Max(b, 0), [1]) for b in both]
    return op.Pad(x, op.Concat(*columns, axis=1), value, _domain=TFLITE)


def _padded_by_axis(op: Any, x: ir.Value, full: np.ndarray, value: ir.Value | None) -> ir.Value:
    """One axis after the other, the others joined before and behind it."""
    sizes = lengths(op, x)
    for axis, (before, after) in enumerate(full.T.tolist()):
        if before or after:
            flat = reshape(op, x, [product(op, sizes[:axis]), sizes[axis], product(op, sizes[axis + 1 :])])
            table = op.const(np.array([[0, 0], [before, after], [0, 0]], np.int32))
            more = before + after
            sizes[axis] = sizes[axis] + more if isinstance(sizes[axis], int) else op.Add(sizes[axis], more)
            dims = [d if isinstance(d, int) else None for d in (flat.shape[0], sizes[axis], flat.shape[2])]  # type: ignore[index]
            x = op.Pad(flat, table, value, _domain=TFLITE, _dtype=x.dtype, _shape=dims)
    return reshape(op, x, sizes)


def vectors(node: ir.Node) -> bool:
    return any(rank_of(v) != 0 for v in node.inputs)


@ops.op("Range", needs=(condition("bounds that are no scalars", vectors),))
def range_(op, node, *bounds):
    return op.Range(*(reshape(op, v, []) for v in bounds))


@ops.op("NonZero", needs=(dtype("bool"),))
def non_zero(op, node, x):
    found = op.Where(x, _domain=TFLITE, _dtype=ir.DataType.INT64, _shape=[None, rank_of(x)])
    return op.Transpose(found, perm=[1, 0])


@ops.op(
    "TopK",
    needs=(condition("a known rank", lambda n: bool(rank_of(n.inputs[0]))), dtype("float", "int32", "int64")),
)
def top_k(op, node, x, k):
    """LiteRT takes the largest of the last axis."""
    rank, shape = rank_of(x), node.outputs[0].shape
    axis, largest = attr(node, "axis") % rank, attr(node, "largest")
    dims = [None] * rank if shape is None else [*shape[:axis], *shape[axis + 1 :], shape[axis]]

    def of_last_axis(last: ir.Value) -> tuple[ir.Value, ir.Value]:
        last = last if largest else _turned(op, last)
        count = plain(op, op.Reshape(k, op.const(np.zeros(0, np.int64))))
        values, places = op.TopK(last, count, _domain=TFLITE, _outputs=2)
        places.type, values.type = ir.TensorType(ir.DataType.INT32), x.type
        values.shape = places.shape = ir.Shape(dims)
        values = values if largest else _turned(op, values)
        return values, op.Cast(places, to=int(ir.DataType.INT64))

    return on_last_axis(op, x, axis, of_last_axis)


def _turned(op: Any, x: ir.Value) -> ir.Value:
    """The same elements in reverse order of size; -1 - x where -x would overflow."""
    return op.Neg(x) if x.dtype == ir.DataType.FLOAT else op.Sub(op.const(-1, x.dtype), x)


def plain_scatter(node: ir.Node) -> bool:
    """Products and extremes at places of several coordinates need static shapes."""
    static = all(shape_of(v) is not None for v in node.inputs)
    depth = node.inputs[1].shape[-1] if rank_of(node.inputs[1]) else None  # type: ignore[index]
    ranked = all(rank_of(v) is not None for v in node.inputs) and isinstance(depth, int)
    return static or (ranked and (depth == 1 or attr(node, "reduction") in ("none", "add")))


@ops.op("ScatterND", needs=(condition("static shapes, or places of a known depth", plain_scatter),))
def scatter_nd(op, node, x, indices, updates):
    """SCATTER_ND adds up updates of zeros; what is replaced is chosen by a scattered count, and divided by it where a place may be named twice.
    Products and extremes are reduced by segments."""
    shape, depth = list(x.shape), indices.shape[-1]
    reduction = attr(node, "reduction")
    sizes = lengths(op, x)
    rows = -1 if shape_of(indices) is None else int(np.prod(shape_of(indices)[:-1]))
    at = plain(op, op.Reshape(_from_start(op, indices, vector(op, sizes[:depth])), [rows, depth]))
    parts = reshape(op, updates, [rows, *sizes[depth:]])
    if reduction not in ("none", "add"):
        return _by_segments(op, reduction, x, at, parts, sizes, depth)
    whole = plain(op, vector(op, sizes))
    found = op.ScatterND(parts, at, whole, _domain=TFLITE, _dtype=x.dtype, _shape=shape)
    if reduction == "add":
        return op.Add(x, found)
    ones = [1] * (len(shape) - depth)
    count = op.ScatterND(
        op.Expand(op.const(np.ones([1, *ones], np.int32)), vector(op, [lengths(op, at)[0], *ones])),
        at,
        plain(op, vector(op, [*sizes[:depth], *ones])),
        _domain=TFLITE,
        _dtype=ir.DataType.INT32,
        _shape=[*shape[:depth], *ones],
    )
    if x.dtype in (ir.DataType.FLOAT, ir.DataType.INT32) and not _distinct(indices):
        found = op.Div(found, op.Cast(op.Max(count, np.int32(1)), to=int(x.dtype)))
    return op.Where(op.Greater(count, op.const(np.array(0, np.int32))), found, x)


def _distinct(indices: ir.Value) -> bool:
    """Whether the places are known, and each named once."""
    known = const(indices)
    if known is None:
        return False
    rows = known.reshape(-1, known.shape[-1])
    return len(np.unique(rows, axis=0)) == len(rows)


def _from_start(op: Any, indices: ir.Value, sizes: ir.Value) -> ir.Value:
    turned = op.Add(indices, sizes)
    return op.Where(op.Less(indices, op.const(np.array(0, np.int64))), turned, indices)


SEGMENTS = {"mul": ("SegmentProd", "Mul"), "max": ("SegmentMax", "Max"), "min": ("SegmentMin", "Min")}


def _by_segments(
    op: Any, reduction: str, x: ir.Value, at: ir.Value, parts: ir.Value, sizes: list, depth: int
) -> Any:
    """`sizes` of `x` are numbers, or values where places have one coordinate."""
    if x.dtype not in (ir.DataType.FLOAT, ir.DataType.INT32):
        return NotImplemented
    if depth == 1:
        segment, total = op.Reshape(at, [-1]), sizes[0]
    else:
        steps = np.cumprod([1, *sizes[1:depth][::-1]])[::-1].astype(np.int32)
        segment = op.ReduceSum(op.Mul(at, op.const(steps)), [1], keepdims=0)
        total = int(np.prod(sizes[:depth]))
    word, combine = SEGMENTS[reduction]
    count = op.Reshape(plain(op, vector(op, [total])), [])
    rest = [d if isinstance(d, int) else None for d in sizes[depth:]]
    first = total if isinstance(total, int) else None
    found = op.node(word, parts, segment, count, _domain=TFLITE, _dtype=x.dtype, _shape=[first, *rest])
    return op.node(combine, x, reshape(op, found, sizes))


@ops.op("RandomUniformLike", needs=(RANKED,))
@ops.op("RandomNormalLike", needs=(RANKED,))
def random_like(op, node, x):
    return _drawn(op, node, op.Shape(x), list(x.shape))


@ops.op("RandomUniform")
@ops.op("RandomNormal")
def random(op, node):
    shape = attr(node, "shape")
    return _drawn(op, node, op.const(np.array(shape, np.int64)), shape)


def _drawn(op: Any, node: ir.Node, shape: ir.Value, dims: list) -> Any:
    """Standard numbers from the kernel, scaled and moved."""
    kind = node.op_type.removesuffix("Like")
    seed, low = attr(node, "seed"), attr(node, "low")
    made = op.node(
        kind,
        plain(op, shape),
        _domain=TFLITE,
        _dtype=ir.DataType.FLOAT,
        _shape=dims,
        seed=None if seed is None else int(abs(seed)) + 1,
    )
    scale, start = (
        (attr(node, "high") - low, low)
        if kind == "RandomUniform"
        else (attr(node, "scale"), attr(node, "mean"))
    )
    return op.Cast(op.Add(op.Mul(made, float(scale)), float(start)), to=int(node.outputs[0].dtype or 1))


@ops.op(
    "Unique",
    needs=(
        dtype("float", "int8", "int16", "uint8", "int32", "int64"),
        condition("elements, not slices", lambda n: attr(n, "axis") is None or rank_of(n.inputs[0]) == 1),
    ),
)
def unique(op, node, x):
    """The flattened elements; sorted, if asked, by taking all of them as the largest, backwards."""
    flat = op.Reshape(x, [-1])
    found, inverse = op.Unique(flat, _domain=TFLITE, _outputs=2)
    found.type, inverse.type = x.type, ir.TensorType(ir.DataType.INT64)
    found.shape, inverse.shape = ir.Shape([None]), flat.shape
    if attr(node, "sorted"):
        back, order = op.TopK(found, op.Shape(found), _outputs=2, largest=0)
        ranks = op.Cast(op.Equal(op.Unsqueeze(order, [0]), op.Unsqueeze(inverse, [1])), to=INT32)
        found, inverse = back, op.ArgMax(ranks, axis=1, keepdims=0)
    hits = op.Equal(op.Unsqueeze(inverse, [0]), op.Unsqueeze(_count(op, found), [1]))
    first = op.ArgMax(op.Cast(hits, to=INT32), axis=1, keepdims=0)
    return found, first, inverse, op.Cast(op.ReduceSum(op.Cast(hits, to=INT32), [1], keepdims=0), to=7)


def _count(op: Any, x: ir.Value) -> ir.Value:
    zero, one = (op.const(np.array(n, np.int64)) for n in (0, 1))
    return op.Range(zero, op.Reshape(op.Shape(x), op.const(np.zeros(0, np.int64))), one)
