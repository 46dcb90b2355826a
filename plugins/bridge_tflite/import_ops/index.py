"""Slices, gathers and scatters."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.ops import OpTable
from bridge.passes.slices import python_slice
from bridge_tflite.import_ops.common import (
    BOOL,
    INT32,
    INT64,
    as_int64,
    axis_length,
    bounded,
    constant,
    ints,
    need,
    vector,
)

ops = OpTable()

FAR = 2**31 - 1


@ops.op("SLICE")
def slice_(op, node, x, begin, size):
    """A size of -1 reaches the end."""
    start, length = as_int64(op, begin), as_int64(op, size)
    begins, sizes = vector(start), vector(length)
    axes = op.const(np.arange(len(node.shape(0))))
    if begins is not None and sizes is not None:
        ends = op.const(ints(*(FAR if n < 0 else b + n for b, n in zip(begins, sizes, strict=True))))
    else:
        ends = op.Where(op.Less(length, ints(0)), ints(FAR), op.Add(start, length))
    return op.Slice(x, start, ends, axes)


@ops.op(
    "STRIDED_SLICE",
    needs=(constant(3, "strides"), need("begin of known length", lambda n: n.shape(1)[0] is not None)),
)
def strided_slice(op, node, x, begin, end, strides):
    """Ellipses become whole axes and new axes are made first; then one Slice, and the shrunken axes go."""
    entries = _entries(node, len(node.shape(0)))
    fresh = [axis for axis, kind, _ in entries if kind == "new"]
    if fresh:
        x = op.Unsqueeze(x, ints(*fresh))
    starts, ends, steps = as_int64(op, begin), as_int64(op, end), vector(strides)
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
        need("begin of known length", lambda n: n.shape(1)[0] is not None),
        need("ends, not offsets", lambda n: not n.get("offset", False)),
    ),
)
def strided_slice_by_places(op, node, x, begin, end, strides):
    """Strides that are computed: each axis is gathered at its places, which are counted then."""
    entries = _entries(node, len(node.shape(0)))
    fresh = [axis for axis, kind, _ in entries if kind == "new"]
    x = op.Unsqueeze(x, ints(*fresh)) if fresh else x
    values = [as_int64(op, v) for v in (begin, end, strides)]
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
    known = vector(values)
    return op.Slice(values, ints(place), ints(place + 1)) if known is None else known[place]


def _one(op: Any, value: Any) -> Any:
    return op.const(ints(value)) if isinstance(value, int) else value


def _joined(op: Any, parts: list[Any]) -> Any:
    if all(isinstance(p, int) for p in parts):
        return op.const(ints(*parts))
    return op.Concat(*(_one(op, p) for p in parts), axis=0)


NUMBERED = need("indices of numbers", lambda n: n.kind(1).startswith("INT"))


def wide(op: Any, indices: Any) -> Any:
    """Indices in a width that ONNX takes."""
    return indices if int(indices.dtype) in (INT32, INT64) else op.Cast(indices, to=INT64)


@ops.op("GATHER", needs=(NUMBERED, need("no batch dimensions", lambda n: n.get("batchDims", 0) == 0)))
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


def _rows(op: Any, like: Any, shape: Any, value: float = 0) -> Any:
    return op.Expand(np.array(value, like.dtype.numpy()), as_int64(op, shape))


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
    whole = op.Expand(op.Reshape(default, ints()), as_int64(op, shape))
    return op.ScatterND(whole, places, spread)


@ops.op("ONE_HOT")
def one_hot(op, node, indices, depth, on, off):
    """An index below zero or beyond the depth is off."""
    rank = len(node.shape(0))
    axis = node.get("axis", -1) % (rank + 1)
    known = vector(depth)
    count = (
        op.Reshape(op.Cast(depth, to=INT64), ints())
        if known is None
        else op.const(np.int64(bounded(known[0])))
    )
    places = op.Range(np.int64(0), count, np.int64(1))
    lengths = op.Reshape(places, ints(-1, *[1] * (rank - axis)))
    same = op.Equal(op.Unsqueeze(op.Cast(indices, to=INT64), ints(axis)), lengths)
    return op.Where(same, op.Reshape(on, ints()), op.Reshape(off, ints()))


@ops.op("WHERE")
def where(op, node, condition):
    flags = condition if int(condition.dtype) == BOOL else op.Cast(condition, to=BOOL)
    return op.Transpose(op.NonZero(flags), perm=[1, 0])


@ops.op("DYNAMIC_UPDATE_SLICE")
def dynamic_update_slice(op, node, x, update, start):
    """Each axis of the update is gathered to the input's length; where it then lies inside, it stands."""
    begins, inside = op.Cast(start, to=INT64), None
    rank = len(node.shape(0))
    for axis in range(rank):
        length, own = axis_length(op, x, axis), axis_length(op, update, axis)
        begin = op.Squeeze(op.Slice(begins, ints(axis), ints(axis + 1)), ints(0))
        begin = op.Min(op.Max(begin, np.int64(0)), op.Sub(length, own))
        places = op.Sub(op.Range(np.int64(0), length, np.int64(1)), begin)
        here = op.And(op.GreaterOrEqual(places, np.int64(0)), op.Less(places, own))
        here = op.Reshape(here, ints(-1, *[1] * (rank - 1 - axis)))
        inside = here if inside is None else op.And(inside, here)
        update = op.Gather(update, op.Max(op.Min(places, op.Sub(own, np.int64(1))), np.int64(0)), axis=axis)
    return op.Where(inside, update, x) if rank else update
