"""Slices, gathers and scatters."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from bridge.importing import constant, constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.slices import python_slice
from bridge_tflite.import_ops.common import BOOL, INT32, INT64, axis_length, check_count

ops = OpTable()

FAR = 2**31 - 1


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
    """New axes are inserted first; then one Slice, and the shrunken axes are squeezed."""
    entries = _entries(node, len(node.shape(0)))
    new_axes = [axis for axis, action, _ in entries if action == "new"]
    if new_axes:
        x = op.Unsqueeze(x, ints(*new_axes))
    starts, ends, steps = int64_vector(op, begin), int64_vector(op, end), constant_ints(strides)
    columns, axes, shrunk = [], [], []
    for axis, action, position in entries:
        if action == "shrink":
            shrunk.append(axis)
        if action in ("cut", "shrink"):
            axes.append(axis)
            columns.append(_bounds(op, node, starts, ends, steps[position], position, action == "shrink"))
    if columns:
        low, high, step = zip(*columns, strict=True)
        x = python_slice(op, x, _concat_vector(op, low), _concat_vector(op, high), axes, step)
    return op.Squeeze(x, ints(*shrunk)) if shrunk else x


@ops.op(
    "STRIDED_SLICE",
    needs=(
        condition("begin of known length", lambda n: n.shape(1)[0] is not None),
        condition("ends, not offsets", lambda n: not n.get("offset", False)),
    ),
)
def strided_slice_dynamic(op, node, x, begin, end, strides):
    """Run-time strides: each axis is gathered by indices computed then."""
    entries = _entries(node, len(node.shape(0)))
    new_axes = [axis for axis, action, _ in entries if action == "new"]
    x = op.Unsqueeze(x, ints(*new_axes)) if new_axes else x
    values = [int64_vector(op, v) for v in (begin, end, strides)]
    shrunk = [axis for axis, action, _ in entries if action == "shrink"]
    for axis, action, position in entries:
        if action != "new":
            low, high, step = (op.Reshape(_as_vector(op, _element(op, v, position)), ints()) for v in values)
            masks = [node.get(name, 0) >> position & 1 for name in ("beginMask", "endMask")]
            start, indices = _slice_indices(op, op.Shape(x, start=axis, end=axis + 1), low, high, step, masks)
            x = op.Gather(x, op.Reshape(start, ints(1)) if action == "shrink" else indices, axis=axis)
    return op.Squeeze(x, ints(*shrunk)) if shrunk else x


def _slice_indices(op: Any, length: Any, low: Any, high: Any, step: Any, masks: Any) -> tuple[Any, Any]:
    """First index, and all indices from `low` to `high`, of an axis of `length` as in Python.

    `masks` replace begin or end by that of the axis.
    """
    forward, size = op.Greater(step, np.int64(0)), op.Reshape(length, ints())
    last = op.Sub(size, np.int64(1))
    first, before_first = (op.Where(forward, np.int64(n), v) for n, v in ((0, last), (0, np.int64(-1))))
    limit = op.Where(forward, size, last)
    bounds = [
        op.Min(op.Max(op.Where(op.Less(v, np.int64(0)), op.Add(v, size), v), before_first), limit)
        for v in (low, high)
    ]
    high = op.Where(forward, size, np.int64(-1)) if masks[1] else bounds[1]
    return first if masks[0] else low, op.Range(first if masks[0] else bounds[0], high, step)


class SliceEntry(NamedTuple):
    """One axis that STRIDED_SLICE specifies; `position` is its index into begin, end and strides."""

    axis: int
    """Axis of the input with its new axes inserted."""
    action: Literal["new", "shrink", "cut"]
    position: int


def _entries(node: Any, rank: int) -> list[SliceEntry]:
    """Entries of begin, end and strides by the masks; an ellipsis leaves its axes whole."""
    count = node.shape(1)[0]

    def mask(name: str, position: int) -> int:
        return node.get(name, 0) >> position & 1

    new_axes = sum(mask("newAxisMask", i) and not mask("ellipsisMask", i) for i in range(count))
    entries, axis = [], 0
    for position in range(count):
        if mask("ellipsisMask", position):
            axis += max(rank + new_axes - (count - 1), 0)
        elif mask("newAxisMask", position):
            entries.append(SliceEntry(axis, "new", position))
            axis += 1
        else:
            entries.append(
                SliceEntry(axis, "shrink" if mask("shrinkAxisMask", position) else "cut", position)
            )
            axis += 1
    return entries


def _bounds(
    op: Any, node: Any, starts: Any, ends: Any, step: int, position: int, shrink: bool
) -> tuple[Any, Any, Any]:
    """Begin, end and stride of one axis: ints, or int64 vectors [1] if computed."""
    low, high = (_element(op, v, position) for v in (starts, ends))
    whole_low, whole_high = node.get("beginMask", 0) >> position & 1, node.get("endMask", 0) >> position & 1
    if whole_low:
        low = 0 if step > 0 else FAR
    if shrink:
        if isinstance(low, int):
            return low, low + 1 or FAR, 1
        return low, op.Where(op.Equal(low, ints(-1)), ints(FAR), op.Add(low, ints(1))), 1
    if node.get("offset", False) and not whole_high:
        high = _offset_end(op, low, high)
    if whole_high:
        high = FAR if step > 0 else -FAR
    return low, high, step


def _offset_end(op: Any, low: Any, length: Any) -> Any:
    """End `length` after `low`. If low counts from the end and the sum passes it, the end of the axis."""
    if isinstance(low, int) and isinstance(length, int):
        return FAR if low < 0 <= low + length else low + length
    start = _as_vector(op, low)
    end = op.Add(start, _as_vector(op, length))
    passed = op.And(op.Less(start, ints(0)), op.GreaterOrEqual(end, ints(0)))
    return op.Where(passed, ints(FAR), end)


def _element(op: Any, values: Any, position: int) -> Any:
    constants = constant_ints(values)
    return op.Slice(values, ints(position), ints(position + 1)) if constants is None else constants[position]


def _as_vector(op: Any, value: Any) -> Any:
    return op.const(ints(value)) if isinstance(value, int) else value


def _concat_vector(op: Any, elements: list[Any]) -> Any:
    if all(isinstance(p, int) for p in elements):
        return op.const(ints(*elements))
    return op.Concat(*(_as_vector(op, p) for p in elements), axis=0)


INTEGER_INDICES = condition("indices of numbers", lambda n: n.type(1).startswith("INT"))


def as_index_dtype(op: Any, indices: Any) -> Any:
    """Indices as int32 or int64, which ONNX takes."""
    return indices if int(indices.dtype) in (INT32, INT64) else op.Cast(indices, to=INT64)


@ops.op(
    "GATHER", needs=(INTEGER_INDICES, condition("no batch dimensions", lambda n: n.get("batchDims", 0) == 0))
)
def gather(op, node, x, indices):
    return op.Gather(x, as_index_dtype(op, indices), axis=node.get("axis", 0))


@ops.op("GATHER", needs=(INTEGER_INDICES,))
def gather_in_batches(op, node, x, indices):
    """Move the axis after the batch dimensions for GatherND, and the result's axes back."""
    rank, indices_rank = len(node.shape(0)), len(node.shape(1))
    batch = (
        node.get("batchDims", 0) % max(indices_rank, 1)
        if node.get("batchDims", 0) < 0
        else node.get("batchDims", 0)
    )
    axis = node.get("axis", 0) % rank
    other_axes = [a for a in range(batch, rank) if a != axis]
    transposed = op.Transpose(x, perm=[*range(batch), axis, *other_axes])
    gathered = op.GatherND(
        transposed, op.Unsqueeze(op.Cast(indices, to=INT64), ints(indices_rank)), batch_dims=batch
    )
    middle = list(range(batch, indices_rank))
    before, after = axis - batch, rank - 1 - axis
    order = [
        *range(batch),
        *range(indices_rank, indices_rank + before),
        *middle,
        *range(indices_rank + before, indices_rank + before + after),
    ]
    return op.Transpose(gathered, perm=order)


@ops.op("GATHER_ND", needs=(INTEGER_INDICES,))
def gather_nd(op, node, x, indices):
    return op.GatherND(x, op.Cast(indices, to=INT64))


def _filled_like(op: Any, like: Any, shape: Any, value: float = 0) -> Any:
    return op.Expand(np.array(value, like.dtype.numpy()), int64_vector(op, shape))


@ops.op("SCATTER_ND")
def scatter_nd(op, node, indices, updates, shape):
    if int(updates.dtype) == BOOL:
        return op.ScatterND(_filled_like(op, updates, shape), op.Cast(indices, to=INT64), updates)
    return op.ScatterND(
        _filled_like(op, updates, shape), op.Cast(indices, to=INT64), updates, reduction="add"
    )


@ops.op("SPARSE_TO_DENSE")
def sparse_to_dense(op, node, indices, shape, values, default):
    rank = len(node.shape(0))
    positions = op.Cast(indices, to=INT64)
    if rank < 2:
        positions = op.Reshape(positions, ints(-1, 1))
    count = op.Shape(positions, start=0, end=1)
    expanded = op.Expand(op.Reshape(values, ints(-1)), count)
    dense = op.Expand(op.Reshape(default, ints()), int64_vector(op, shape))
    return op.ScatterND(dense, positions, expanded)


@ops.op("ONE_HOT")
def one_hot(op, node, indices, depth, on, off):
    """An index out of range is off."""
    rank = len(node.shape(0))
    axis = node.get("axis", -1) % (rank + 1)
    constant_depth = constant_ints(depth)
    count = (
        op.Reshape(op.Cast(depth, to=INT64), ints())
        if constant_depth is None
        else op.const(np.int64(check_count(constant_depth[0])))
    )
    classes = op.Range(np.int64(0), count, np.int64(1))
    lengths = op.Reshape(classes, ints(-1, *[1] * (rank - axis)))
    same = op.Equal(op.Unsqueeze(op.Cast(indices, to=INT64), ints(axis)), lengths)
    return op.Where(same, op.Reshape(on, ints()), op.Reshape(off, ints()))


@ops.op("WHERE")
def where(op, node, condition):
    flags = condition if int(condition.dtype) == BOOL else op.Cast(condition, to=BOOL)
    return op.Transpose(op.NonZero(flags), perm=[1, 0])


@ops.op("DYNAMIC_UPDATE_SLICE")
def dynamic_update_slice(op, node, x, update, start):
    """Gather the update to the input's length along each axis, and select it where its slice lies."""
    begins, inside = op.Cast(start, to=INT64), None
    rank = len(node.shape(0))
    for axis in range(rank):
        length, update_length = axis_length(op, x, axis), axis_length(op, update, axis)
        begin = op.Squeeze(op.Slice(begins, ints(axis), ints(axis + 1)), ints(0))
        begin = op.Min(op.Max(begin, np.int64(0)), op.Sub(length, update_length))
        positions = op.Sub(op.Range(np.int64(0), length, np.int64(1)), begin)
        covered = op.And(op.GreaterOrEqual(positions, np.int64(0)), op.Less(positions, update_length))
        covered = op.Reshape(covered, ints(-1, *[1] * (rank - 1 - axis)))
        inside = covered if inside is None else op.And(inside, covered)
        update = op.Gather(
            update, op.Max(op.Min(positions, op.Sub(update_length, np.int64(1))), np.int64(0)), axis=axis
        )
    return op.Where(inside, update, x) if rank else update
