"""Shapes, slices, gathers, joins."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_int64, constant, constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import Need, OpTable
from bridge.passes.slices import python_slice
from bridge_tflite.import_ops.common import (
    BOOL,
    FLOAT,
    FUSED,
    INT32,
    INT64,
    activate,
    bounded,
    counted,
    spread,
)

ops = OpTable()

FAR = 2**31 - 1
REFLECT = 0


def few(place: int) -> Need:
    """Input `place` is a shape of a rank that tensors have."""
    return condition(
        "a shape of 64 dimensions at most", lambda n: all((d or 0) <= 64 for d in n.shape(place))
    )


@ops.op("RESHAPE", needs=(condition("a shape", lambda n: n.has(1) or n.get("newShape", None) is not None),))
def reshape(op, node, x, shape=None):
    """A length of 0 is 0, not the input's."""
    wanted = [int(d) for d in node.get("newShape", [])] if shape is None else constant_ints(shape)
    if wanted is None:
        return op.Reshape(x, int64_vector(op, shape), allowzero=1)
    return op.Reshape(x, ints(*wanted), allowzero=1 if 0 in wanted else None)


@ops.op("SQUEEZE")
def squeeze(op, node, x):
    axes = node.get("squeezeDims", None)
    found = [] if axes is None else [int(a) for a in axes]
    return op.Squeeze(x, ints(*found) if found else None)


@ops.op("EXPAND_DIMS")
def expand_dims(op, node, x, axis):
    return op.Unsqueeze(x, int64_vector(op, axis))


@ops.op("TRANSPOSE", needs=(constant(1, "permutation"),))
def transpose(op, node, x, perm):
    return op.Transpose(x, perm=[p % rank_of(x) for p in constant_ints(perm)])


@ops.op("CONCATENATION", needs=(FUSED,))
def concatenation(op, node, *inputs):
    return activate(op, node, op.Concat(*inputs, axis=node.get("axis", 0)))


@ops.op("PACK")
def pack(op, node, *inputs):
    axis = node.get("axis", 0)
    axis = axis if axis >= 0 else axis + len(node.out(0).dims)
    return op.Concat(*(op.Unsqueeze(v, [axis]) for v in inputs), axis=axis)


@ops.op("UNPACK")
def unpack(op, node, x):
    axis, count = node.get("axis", 0), len(node.outputs)
    parts = op.Split(x, axis=axis, num_outputs=count, _outputs=count)
    parts = parts if isinstance(parts, tuple) else (parts,)
    return tuple(op.Squeeze(p, [axis]) for p in parts)


@ops.op("SPLIT", needs=(constant(0, "axis"),))
def split(op, node, axis, x):
    count = len(node.outputs)
    return op.Split(x, axis=constant_ints(axis)[0], num_outputs=count, _outputs=count)


@ops.op("SPLIT_V", needs=(constant(2, "axis"),))
def split_v(op, node, x, sizes, axis):
    """A size of -1 takes what the others leave."""
    axis, count, sizes = constant_ints(axis)[0], len(node.outputs), int64_vector(op, sizes)
    known = constant_ints(sizes)
    if known is None or -1 in known:
        length = op.Shape(x, start=axis, end=axis + 1 if axis != -1 else None)
        rest = op.Sub(length, op.ReduceSum(op.Max(sizes, ints(0)), keepdims=1))
        if node.shape(0)[axis] is not None and known is not None:
            taken = sum(v for v in known if v > 0)
            sizes = op.const(ints(*(node.shape(0)[axis] - taken if v < 0 else v for v in known)))
        else:
            sizes = op.Where(op.Less(sizes, ints(0)), rest, sizes)
    return op.Split(x, sizes, axis=axis, _outputs=count)


@ops.op("PAD", "PADV2")
def pad(op, node, x, paddings, value=None):
    return op.Pad(x, _amounts(op, paddings), None if value is None else op.Reshape(value, ints()))


def _amounts(op: Any, paddings: Any) -> Any:
    """A table of (before, after) of each axis as ONNX has it: all before, then all after."""
    table = const(paddings)
    if table is not None:
        return op.const(table.reshape(-1, 2).T.ravel().astype(np.int64))
    wide = as_int64(op, paddings)
    columns = (op.Slice(wide, ints(i), ints(i + 1), ints(1)) for i in (0, 1))
    return op.Reshape(op.Concat(*columns, axis=0), ints(-1))


@ops.op(
    "MIRROR_PAD",
    needs=(condition("mode REFLECT", lambda n: n.get("mode", 0) == REFLECT), constant(1, "paddings")),
)
def mirror_pad(op, node, x, paddings):
    return op.Pad(x, op.const(const(paddings).T.ravel().astype(np.int64)), mode="reflect")


@ops.op(
    "MIRROR_PAD",
    needs=(condition("mode SYMMETRIC", lambda n: n.get("mode", 0) == 1), constant(1, "paddings")),
)
def mirror_pad_symmetric(op, node, x, paddings):
    """The edge is mirrored too: each axis is gathered in the order before, itself, after."""
    for axis, (before, after) in enumerate(const(paddings).tolist()):
        if before or after:
            x = op.Gather(x, _mirrored(op, node, x, axis, before, after), axis=axis)
    return x


def _mirrored(op: Any, node: Any, x: Any, axis: int, before: int, after: int) -> Any:
    size = node.shape(0)[axis]
    if size is not None:
        places = counted(size)
        return np.concatenate([places[:before][::-1], places, places[size - after :][::-1]]).astype(np.int64)
    length = op.Squeeze(op.Shape(x, start=axis, end=axis + 1), ints(0))
    places = op.Range(op.Neg(op.const(np.int64(before))), op.Add(length, np.int64(after)), np.int64(1))
    low = op.Where(op.Less(places, np.int64(0)), op.Sub(np.int64(-1), places), places)
    return op.Where(op.Less(low, length), low, op.Sub(op.Sub(op.Add(length, length), np.int64(1)), low))


@ops.op("SLICE")
def slice_(op, node, x, begin, size):
    """A size of -1 reaches the end."""
    start, length = int64_vector(op, begin), int64_vector(op, size)
    begins, sizes = constant_ints(start), constant_ints(length)
    axes = op.const(np.arange(len(node.shape(0))))
    if begins is not None and sizes is not None:
        ends = op.const(ints(*(FAR if n < 0 else b + n for b, n in zip(begins, sizes, strict=True))))
    else:
        ends = op.Where(op.Less(length, ints(0)), ints(FAR), op.Add(start, length))
    return op.Slice(x, start, ends, axes)


@ops.op(
    "STRIDED_SLICE",
    needs=(constant(3, "strides"), condition("begin of known length", lambda n: n.shape(1)[0] is not None)),
)
def strided_slice(op, node, x, begin, end, strides):
    """Ellipses become whole axes and new axes are made first; then one Slice, and the shrunken axes go."""
    entries = _entries(node, len(node.shape(0)))
    fresh = [axis for axis, kind, _ in entries if kind == "new"]
    if fresh:
        x = op.Unsqueeze(x, ints(*fresh))
    starts, ends, steps = int64_vector(op, begin), int64_vector(op, end), constant_ints(strides)
    columns, axes, shrunk = [], [], []
    for axis, kind, place in entries:
        if kind == "shrink":
            shrunk.append(axis)
        if kind in ("cut", "shrink"):
            axes.append(axis)
            columns.append(_bounds(op, node, starts, ends, steps[place], place, kind == "shrink"))
    if columns:
        low, high, step = zip(*columns, strict=True)
        x = python_slice(op, x, _joined(op, low), _joined(op, high), axes, step)
    return op.Squeeze(x, ints(*shrunk)) if shrunk else x


@ops.op(
    "STRIDED_SLICE",
    needs=(
        condition("begin of known length", lambda n: n.shape(1)[0] is not None),
        condition("ends, not offsets", lambda n: not n.get("offset", False)),
    ),
)
def strided_slice_by_places(op, node, x, begin, end, strides):
    """Strides that are computed: each axis is gathered at its places, which are counted then."""
    entries = _entries(node, len(node.shape(0)))
    fresh = [axis for axis, kind, _ in entries if kind == "new"]
    x = op.Unsqueeze(x, ints(*fresh)) if fresh else x
    values = [int64_vector(op, v) for v in (begin, end, strides)]
    shrunk = [axis for axis, kind, _ in entries if kind == "shrink"]
    for axis, kind, place in entries:
        if kind != "new":
            low, high, step = (op.Reshape(_one(op, _at(op, v, place)), ints()) for v in values)
            masks = [node.get(name, 0) >> place & 1 for name in ("beginMask", "endMask")]
            start, places = _places(op, op.Shape(x, start=axis, end=axis + 1), low, high, step, masks)
            x = op.Gather(x, op.Reshape(start, ints(1)) if kind == "shrink" else places, axis=axis)
    return op.Squeeze(x, ints(*shrunk)) if shrunk else x


def _places(op: Any, length: Any, low: Any, high: Any, step: Any, masks: Any) -> tuple[Any, Any]:
    """Where an axis of `length` is read first, and every place towards `high`, as Python counts them; from or to its end where masked."""
    forward, size = op.Greater(step, np.int64(0)), op.Reshape(length, ints())
    last = op.Sub(size, np.int64(1))
    first, behind = (op.Where(forward, np.int64(n), v) for n, v in ((0, last), (0, np.int64(-1))))
    limit = op.Where(forward, size, last)
    bounds = [
        op.Min(op.Max(op.Where(op.Less(v, np.int64(0)), op.Add(v, size), v), behind), limit)
        for v in (low, high)
    ]
    high = op.Where(forward, size, np.int64(-1)) if masks[1] else bounds[1]
    return first if masks[0] else low, op.Range(first if masks[0] else bounds[0], high, step)


def _entries(node: Any, rank: int) -> list[tuple[int, str, int]]:
    """Axis of the input with its new axes, what happens to it, and where in begin, end and strides that is said."""
    count = node.shape(1)[0]

    def mask(name: str, place: int) -> int:
        return node.get(name, 0) >> place & 1

    added = sum(mask("newAxisMask", i) and not mask("ellipsisMask", i) for i in range(count))
    found, axis = [], 0
    for place in range(count):
        if mask("ellipsisMask", place):
            axis += max(rank + added - (count - 1), 0)
        elif mask("newAxisMask", place):
            found.append((axis, "new", place))
            axis += 1
        else:
            found.append((axis, "shrink" if mask("shrinkAxisMask", place) else "cut", place))
            axis += 1
    return found


def _bounds(
    op: Any, node: Any, starts: Any, ends: Any, step: int, place: int, shrink: bool
) -> tuple[Any, Any, Any]:
    """Begin, end and stride of one axis: numbers, or vectors of one where they are computed."""
    low, high = (_at(op, v, place) for v in (starts, ends))
    whole_low, whole_high = node.get("beginMask", 0) >> place & 1, node.get("endMask", 0) >> place & 1
    if whole_low:
        low = 0 if step > 0 else FAR
    if shrink:
        if isinstance(low, int):
            return low, low + 1 or FAR, 1
        return low, op.Where(op.Equal(low, ints(-1)), ints(FAR), op.Add(low, ints(1))), 1
    if node.get("offset", False) and not whole_high:
        high = _behind(op, low, high)
    if whole_high:
        high = FAR if step > 0 else -FAR
    return low, high, step


def _behind(op: Any, low: Any, length: Any) -> Any:
    """The end `length` behind `low`; where low counts from the end and this passes it, far away."""
    if isinstance(low, int) and isinstance(length, int):
        return FAR if low < 0 <= low + length else low + length
    start = _one(op, low)
    end = op.Add(start, _one(op, length))
    passed = op.And(op.Less(start, ints(0)), op.GreaterOrEqual(end, ints(0)))
    return op.Where(passed, ints(FAR), end)


def _at(op: Any, values: Any, place: int) -> Any:
    known = constant_ints(values)
    return op.Slice(values, ints(place), ints(place + 1)) if known is None else known[place]


def _one(op: Any, value: Any) -> Any:
    return op.const(ints(value)) if isinstance(value, int) else value


def _joined(op: Any, parts: list[Any]) -> Any:
    if all(isinstance(p, int) for p in parts):
        return op.const(ints(*parts))
    return op.Concat(*(_one(op, p) for p in parts), axis=0)


NUMBERED = condition("indices of numbers", lambda n: n.kind(1).startswith("INT"))


def wide(op: Any, indices: Any) -> Any:
    """Indices in a width that ONNX takes."""
    return indices if int(indices.dtype) in (INT32, INT64) else op.Cast(indices, to=INT64)


@ops.op("GATHER", needs=(NUMBERED, condition("no batch dimensions", lambda n: n.get("batchDims", 0) == 0)))
def gather(op, node, x, indices):
    return op.Gather(x, wide(op, indices), axis=node.get("axis", 0))


@ops.op("GATHER", needs=(NUMBERED,))
def gather_in_batches(op, node, x, indices):
    """The axis goes right behind the batch dimensions, and back behind those of the indices."""
    rank, places = len(node.shape(0)), len(node.shape(1))
    batch = (
        node.get("batchDims", 0) % max(places, 1)
        if node.get("batchDims", 0) < 0
        else node.get("batchDims", 0)
    )
    axis = node.get("axis", 0) % rank
    rest = [a for a in range(batch, rank) if a != axis]
    turned = op.Transpose(x, perm=[*range(batch), axis, *rest])
    found = op.GatherND(turned, op.Unsqueeze(op.Cast(indices, to=INT64), ints(places)), batch_dims=batch)
    middle = list(range(batch, places))
    before, after = axis - batch, rank - 1 - axis
    order = [
        *range(batch),
        *range(places, places + before),
        *middle,
        *range(places + before, places + before + after),
    ]
    return op.Transpose(found, perm=order)


@ops.op("GATHER_ND", needs=(NUMBERED,))
def gather_nd(op, node, x, indices):
    return op.GatherND(x, op.Cast(indices, to=INT64))


@ops.op("TILE")
def tile(op, node, x, repeats):
    return op.Tile(x, int64_vector(op, repeats))


@ops.op("BROADCAST_TO", needs=(few(1),))
def broadcast_to(op, node, x, shape):
    return op.Expand(x, int64_vector(op, shape))


@ops.op("FILL", needs=(few(0),))
def fill(op, node, shape, value):
    return op.Expand(value, int64_vector(op, shape))


@ops.op("SHAPE")
def shape(op, node, x):
    return op.Cast(op.Shape(x), to=int(node.out_dtype()))


@ops.op("RANK")
def rank(op, node, x):
    return op.Cast(op.Size(op.Shape(x)), to=6)


@ops.op("RANGE")
def range_(op, node, start, limit, delta):
    known = [const(v) for v in (start, limit, delta)]
    if all(v is not None and v.size == 1 for v in known):
        first, last, step = (float(v.ravel()[0]) for v in known)
        bounded(max((last - first) / step, 0) if step and np.isfinite([first, last, step]).all() else -1)
    return op.Range(*(op.Reshape(v, ints()) for v in (start, limit, delta)))


@ops.op("REVERSE_V2", needs=(constant(1, "axis"),))
def reverse_v2(op, node, x, axis):
    axes = constant_ints(axis)
    return op.Slice(
        x, ints(*[-1] * len(axes)), ints(*[-FAR] * len(axes)), ints(*axes), ints(*[-1] * len(axes))
    )


@ops.op("REVERSE_SEQUENCE")
def reverse_sequence(op, node, x, lengths):
    """ONNX takes time and batch as the first two axes."""
    rank = len(node.shape(0))
    time, batch = node.get("seqDim", 0) % rank, node.get("batchDim", 0) % rank
    order = [time, batch, *(a for a in range(rank) if a not in (time, batch))]
    turned = op.ReverseSequence(
        op.Transpose(x, perm=order), op.Cast(lengths, to=INT64), time_axis=0, batch_axis=1
    )
    return op.Transpose(turned, perm=[order.index(a) for a in range(rank)])


@ops.op("SPACE_TO_BATCH_ND", needs=(constant(1, "block shape"),))
def space_to_batch_nd(op, node, x, block, paddings):
    blocks, rank = constant_ints(block), len(node.shape(0))
    count = len(blocks)
    padded = op.Pad(x, _amounts(op, paddings), None, ints(*range(1, count + 1)))
    parts = [op.Shape(padded, start=i, end=i + 1) for i in range(rank)]
    inner = [v for i, b in enumerate(blocks) for v in (op.Div(parts[1 + i], ints(b)), op.const(ints(b)))]
    cut = op.Reshape(padded, op.Concat(parts[0], *inner, *parts[1 + count :], axis=0))
    perm = [
        *(2 + 2 * i for i in range(count)),
        0,
        *(1 + 2 * i for i in range(count)),
        *range(1 + 2 * count, rank + count),
    ]
    turned = op.Transpose(cut, perm=perm)
    batch = op.Mul(parts[0], ints(int(np.prod(blocks))))
    outer = [op.Div(parts[1 + i], ints(b)) for i, b in enumerate(blocks)]
    return op.Reshape(turned, op.Concat(batch, *outer, *parts[1 + count :], axis=0))


@ops.op("BATCH_TO_SPACE_ND", needs=(constant(1, "block shape"),))
def batch_to_space_nd(op, node, x, block, crops):
    blocks, rank = constant_ints(block), len(node.shape(0))
    count = len(blocks)
    parts = [op.Shape(x, start=i, end=i + 1) for i in range(rank)]
    batch = op.Div(parts[0], ints(int(np.prod(blocks))))
    cut = op.Reshape(x, op.Concat(op.const(ints(*blocks)), batch, *parts[1:], axis=0))
    perm = [
        count,
        *(v for i in range(count) for v in (count + 1 + i, i)),
        *range(2 * count + 1, rank + count),
    ]
    outer = [op.Mul(parts[1 + i], ints(b)) for i, b in enumerate(blocks)]
    whole = op.Reshape(op.Transpose(cut, perm=perm), op.Concat(batch, *outer, *parts[1 + count :], axis=0))
    table = op.Reshape(as_int64(op, crops), ints(count, 2))
    starts = op.Reshape(op.Slice(table, ints(0), ints(1), ints(1)), ints(-1))
    ends = op.Sub(op.Concat(*outer, axis=0), op.Reshape(op.Slice(table, ints(1), ints(2), ints(1)), ints(-1)))
    return op.Slice(whole, starts, ends, op.const(np.arange(1, count + 1)))


def _rows(op: Any, like: Any, shape: Any, value: float = 0) -> Any:
    return op.Expand(np.array(value, like.dtype.numpy()), int64_vector(op, shape))


@ops.op("SCATTER_ND")
def scatter_nd(op, node, indices, updates, shape):
    if int(updates.dtype) == BOOL:
        return op.ScatterND(_rows(op, updates, shape), op.Cast(indices, to=INT64), updates)
    return op.ScatterND(_rows(op, updates, shape), op.Cast(indices, to=INT64), updates, reduction="add")


@ops.op("SPARSE_TO_DENSE")
def sparse_to_dense(op, node, indices, shape, values, default):
    rank = len(node.shape(0))
    places = op.Cast(indices, to=INT64)
    if rank < 2:
        places = op.Reshape(places, ints(-1, 1))
    count = op.Shape(places, start=0, end=1)
    spread = op.Expand(op.Reshape(values, ints(-1)), count)
    whole = op.Expand(op.Reshape(default, ints()), int64_vector(op, shape))
    return op.ScatterND(whole, places, spread)


@ops.op("ONE_HOT")
def one_hot(op, node, indices, depth, on, off):
    """An index below zero or beyond the depth is off."""
    rank = len(node.shape(0))
    axis = node.get("axis", -1) % (rank + 1)
    known = constant_ints(depth)
    count = (
        op.Reshape(op.Cast(depth, to=INT64), ints())
        if known is None
        else op.const(np.int64(bounded(known[0])))
    )
    places = op.Range(np.int64(0), count, np.int64(1))
    lengths = op.Reshape(places, ints(-1, *[1] * (rank - axis)))
    same = op.Equal(op.Unsqueeze(op.Cast(indices, to=INT64), ints(axis)), lengths)
    return op.Where(same, op.Reshape(on, ints()), op.Reshape(off, ints()))


@ops.op("UNIQUE")
def unique(op, node, x):
    values, _, places = op.Unique(x, sorted=0, _outputs=4)[:3]
    return values, op.Cast(places, to=int(node.out_dtype(1)))


@ops.op("WHERE")
def where(op, node, condition):
    flags = condition if int(condition.dtype) == BOOL else op.Cast(condition, to=BOOL)
    return op.Transpose(op.NonZero(flags), perm=[1, 0])


def _diagonal(op: Any, rows: Any, columns: Any) -> Any:
    down, across = (op.Range(np.int64(0), n, np.int64(1)) for n in (rows, columns))
    return op.Equal(op.Unsqueeze(down, ints(1)), op.Unsqueeze(across, ints(0)))


def _length(op: Any, x: Any, axis: int) -> Any:
    rank = rank_of(x) or 1
    size = x.shape[axis % rank]
    if isinstance(size, int):
        return op.const(np.int64(bounded(size)))
    return op.Squeeze(op.Shape(x, start=axis % rank, end=axis % rank + 1), ints(0))


@ops.op("MATRIX_DIAG")
def matrix_diag(op, node, x):
    size = _length(op, x, -1)
    return op.Where(_diagonal(op, size, size), op.Unsqueeze(x, ints(-1)), np.zeros((), x.dtype.numpy()))


@ops.op("MATRIX_SET_DIAG")
def matrix_set_diag(op, node, x, diagonal):
    """The diagonal is as long as the shorter side; what is filled in below it is never read."""
    rows, columns = _length(op, x, -2), _length(op, x, -1)
    rank = len(node.shape(1))
    missing = op.Unsqueeze(op.Sub(rows, _length(op, diagonal, -1)), ints(0))
    full = op.Pad(diagonal, op.Concat(op.const(np.zeros(2 * rank - 1, np.int64)), missing, axis=0))
    return op.Where(_diagonal(op, rows, columns), op.Unsqueeze(full, ints(-1)), x)


@ops.op("DYNAMIC_UPDATE_SLICE")
def dynamic_update_slice(op, node, x, update, start):
    """Each axis of the update is gathered to the input's length; where it then lies inside, it stands."""
    begins, inside = op.Cast(start, to=INT64), None
    rank = len(node.shape(0))
    for axis in range(rank):
        length, own = _length(op, x, axis), _length(op, update, axis)
        begin = op.Squeeze(op.Slice(begins, ints(axis), ints(axis + 1)), ints(0))
        begin = op.Min(op.Max(begin, np.int64(0)), op.Sub(length, own))
        places = op.Sub(op.Range(np.int64(0), length, np.int64(1)), begin)
        here = op.And(op.GreaterOrEqual(places, np.int64(0)), op.Less(places, own))
        here = op.Reshape(here, ints(-1, *[1] * (rank - 1 - axis)))
        inside = here if inside is None else op.And(inside, here)
        update = op.Gather(update, op.Max(op.Min(places, op.Sub(own, np.int64(1))), np.int64(0)), axis=axis)
    return op.Where(inside, update, x) if rank else update


@ops.op("BROADCAST_ARGS")
def broadcast_args(op, node, a, b):
    """Shapes aligned at their ends; a length of 1 gives way."""
    lengths = [op.Shape(v) for v in (a, b)]
    longest = op.Max(*lengths)
    aligned = [
        op.Pad(v, op.Concat(op.Sub(longest, n), ints(0), axis=0), np.ones((), v.dtype.numpy()))
        for v, n in zip((a, b), lengths, strict=True)
    ]
    one = np.ones((), a.dtype.numpy())
    return op.Where(op.Equal(aligned[0], one), aligned[1], aligned[0])


@ops.op("BUCKETIZE")
def bucketize(op, node, x):
    """How many boundaries are not above each element."""
    bounds = np.asarray(node.get("boundaries", []), np.float32)
    wide = x if x.dtype.is_floating_point() else op.Cast(x, to=FLOAT)
    above = op.GreaterOrEqual(op.Unsqueeze(wide, ints(-1)), op.const(bounds))
    return op.ReduceSum(op.Cast(above, to=INT32), ints(-1), keepdims=0)


@ops.op("DILATE", needs=(constant(1, "dilations"),))
def dilate(op, node, x, dilations, padding):
    """Every element but the last of an axis is followed by copies of the padding value."""
    for axis, step in enumerate(constant_ints(dilations)):
        spread(x, axis, max(step, 0))
        if step > 1:
            rank = len(node.shape(0))
            pads = [0] * (2 * rank + 2)
            pads[rank + 1 + axis + 1] = step - 1
            spaced = op.Pad(op.Unsqueeze(x, ints(axis + 1)), ints(*pads), op.Reshape(padding, ints()))
            lengths = [op.Shape(x, start=i, end=i + 1) for i in range(rank)]
            lengths[axis] = op.Mul(lengths[axis], ints(step))
            joined = op.Reshape(spaced, op.Concat(*lengths, axis=0))
            x = op.Slice(joined, ints(0), ints(-(step - 1)), ints(axis))
    return x
