"""Choosing elements by range and by index, and putting elements in their places."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import arange
from bridge.hub import const, rank_of, shape_of
from bridge.importing import as_int64, constant_ints, int64_vector, ints, like
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.slices import python_slice
from bridge_savedmodel.import_ops.common import FAR, parts

ops = OpTable()


@ops.op("Slice", needs=(condition("a known number of axes", lambda n: shape_of(n.inputs[1]) is not None),))
def slice_(op, node, x, begin, size):
    sizes, begin = constant_ints(size), as_int64(op, begin)
    start = const(begin)
    if start is not None and sizes is not None:
        pairs = list(zip(start.tolist(), sizes, strict=True))
        axes = [n for n, pair in enumerate(pairs) if pair != (0, -1)]
        ends = [FAR if s < 0 else b + s for b, s in pairs]
        made = (
            op.Slice(x, *(ints(*(v[n] for n in axes)) for v in (start.tolist(), ends)), ints(*axes))
            if axes
            else op.Identity(x)
        )
    else:
        whole = as_int64(op, size)
        ends = op.Where(op.Less(whole, ints(0)), ints(FAR), op.Add(begin, whole))
        made = op.Slice(x, begin, ends, op.const(np.arange(shape_of(begin)[0])))
    if sizes is not None and x.shape is not None:
        made.shape = ir.Shape([s if s >= 0 else d for s, d in zip(sizes, made.shape or x.shape, strict=True)])
    return made


MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _spec_known(node: Any) -> bool:
    return shape_of(node.inputs[1]) is not None and const(node.inputs[3]) is not None


@ops.op("StridedSlice", needs=(condition("a known number of axes, and constant strides", _spec_known),))
def strided_slice(op, node, x, begin, end, strides):
    """Every entry of the specification is a slice of an axis, one element of it, a new axis, or the axes in
    between."""
    steps = constant_ints(strides)
    known = _known_part(node, x, constant_ints(begin), constant_ints(end), steps) if rank_of(x) == 1 else None
    if known is not None:
        return op.const(known)
    on = {m: [node.get(m) >> i & 1 for i in range(len(steps))] for m in MASKS}
    used = sum(1 for i in range(len(steps)) if not on["new_axis_mask"][i] and not on["ellipsis_mask"][i])
    if any(on["ellipsis_mask"]) and rank_of(x) is None:
        return NotImplemented
    axis, plan, shrunk, new, out = 0, [], [], [], 0
    for i, step in enumerate(steps):
        if on["ellipsis_mask"][i]:
            hidden = rank_of(x) - used
            axis, out = axis + hidden, out + hidden
            continue
        if on["new_axis_mask"][i]:
            new.append(out)
            out += 1
            continue
        one = on["shrink_axis_mask"][i]
        plan.append((axis, i, 1 if one else step, one))
        shrunk += [axis] if one else []
        axis, out = axis + 1, out + (0 if one else 1)
    made = _sliced(op, x, begin, end, plan, on) if plan else x
    made = op.Squeeze(made, ints(*shrunk)) if shrunk else made
    return op.Unsqueeze(made, ints(*new)) if new else made


def _known_part(node: Any, x: Any, begin: Any, end: Any, steps: list[int]) -> np.ndarray | None:
    """The chosen part of a vector, such as a shape, where all of it is known."""
    values = parts(x)
    if (
        values is None
        or begin is None
        or len(steps) != 1
        or node.get("new_axis_mask")
        or node.get("ellipsis_mask")
    ):
        return None
    if node.get("shrink_axis_mask"):
        chosen = values[begin[0] :][:1]
    elif end is None and not node.get("end_mask"):
        return None
    else:
        start = None if node.get("begin_mask") else begin[0]
        chosen = values[start : None if node.get("end_mask") else end[0] : steps[0]]
    if not chosen or None in chosen:
        return None
    array = np.array(chosen, x.dtype.numpy())
    return array.reshape(()) if node.get("shrink_axis_mask") else array


def _sliced(op: Any, x: Any, begin: Any, end: Any, plan: list, on: dict) -> Any:
    starts, ends = constant_ints(begin), constant_ints(end)
    firsts, lasts = [], []
    for _, i, step, one in plan:
        if on["begin_mask"][i] and not one:
            firsts.append(0 if step > 0 else FAR)
        else:
            firsts.append(starts[i] if starts is not None else _element(op, begin, i))
        if one:
            lasts.append(_next(op, firsts[-1]))
        elif on["end_mask"][i]:
            lasts.append(FAR if step > 0 else -FAR)
        else:
            lasts.append(ends[i] if ends is not None else _element(op, end, i))
    chosen = [
        (f, e, axis, step)
        for f, e, (axis, _, step, _) in zip(firsts, lasts, plan, strict=True)
        if _is_value(f, e) or (f, e, step) != (0, FAR, 1)
    ]
    if not chosen:
        return op.Identity(x)
    first, last, axes, steps = (list(v) for v in zip(*chosen, strict=True))
    return python_slice(op, x, _joined(op, first), _joined(op, last), axes, steps)


def _is_value(*values: Any) -> bool:
    return any(isinstance(v, ir.Value) for v in values)


def _element(op: Any, values: Any, index: int) -> Any:
    known = (parts(values) or [None] * (index + 1))[index]
    return (
        known if known is not None else op.Slice(as_int64(op, values), ints(index), ints(index + 1), ints(0))
    )


def _next(op: Any, start: Any) -> Any:
    """The end of a slice of the one element at `start`."""
    if isinstance(start, int):
        return start + 1 if start != -1 else FAR
    return op.Where(op.Equal(start, ints(-1)), ints(FAR), op.Add(start, ints(1)))


def _joined(op: Any, values: list) -> Any:
    if not _is_value(*values):
        return op.const(ints(*values))
    made = [v if isinstance(v, ir.Value) else op.const(ints(v)) for v in values]
    return op.Concat(*made, axis=0) if len(made) > 1 else made[0]


@ops.op("Gather", "GatherV2", "ResourceGather")
def gather(op, node, x, indices, axis=None):
    at = 0 if axis is None else constant_ints(axis)[0] if const(axis) is not None else None
    batch = node.get("batch_dims")
    if at is None:
        return NotImplemented
    x = x.read() if hasattr(x, "read") else x
    if rank_of(x) == 1 and constant_ints(indices) is not None:
        known = [(parts(x) or [None] * (i + 1))[i] for i in constant_ints(indices)]
        if None not in known:
            return op.const(np.array(known, x.dtype.numpy()).reshape(const(indices).shape))
    if not batch:
        return op.Gather(x, as_int64(op, indices), axis=at)
    return _batched_gather(op, x, indices, at, batch)


def _batched_gather(op: Any, x: Any, indices: Any, axis: int, batch: int) -> Any:
    """Along the axis right after the batch dimensions: a GatherND of whole rows."""
    rank, own = rank_of(x), rank_of(indices)
    if rank is None or own is None:
        return NotImplemented
    axis, batch = axis % rank, batch % own if batch < 0 else batch
    if axis != batch:
        order = [*range(batch), axis, *range(batch, axis), *range(axis + 1, rank)]
        found = _batched_gather(op, op.Transpose(x, perm=order), indices, batch, batch)
        moved = axis - batch
        between, rest = range(own, own + moved), range(own + moved, rank - 1 + own - batch)
        back = [*range(batch), *between, *range(batch, own), *rest]
        return op.Transpose(found, perm=back)
    return op.GatherND(x, op.Unsqueeze(as_int64(op, indices), ints(-1)), batch_dims=batch)


@ops.op("GatherNd", "ResourceGatherNd")
def gather_nd(op, node, x, indices):
    x = x.read() if hasattr(x, "read") else x
    return op.GatherND(x, as_int64(op, indices))


@ops.op("ScatterNd")
def scatter_nd(op, node, indices, updates, target):
    """What comes to one place is added."""
    empty = op.Expand(like(op, updates, 0), as_int64(op, target))
    return op.ScatterND(empty, as_int64(op, indices), updates, reduction="add")


SCATTER = {"Update": "none", "Add": "add", "Max": "max", "Min": "min"}


@ops.op("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMax", "TensorScatterMin", "TensorScatterSub")
def tensor_scatter(op, node, x, indices, updates):
    kind = node.op.removeprefix("TensorScatter")
    if kind == "Sub":
        kind, updates = "Add", op.Neg(updates)
    return op.ScatterND(x, as_int64(op, indices), updates, reduction=SCATTER[kind])


@ops.op("SparseToDense")
def sparse_to_dense(op, node, indices, target, values, default):
    size = as_int64(op, target)
    at = as_int64(op, indices)
    if rank_of(at) is None or rank_of(at) == 0:
        return NotImplemented
    at = op.Unsqueeze(at, ints(1)) if rank_of(at) == 1 else at
    if rank_of(values) == 0:
        values = op.Expand(values, op.Shape(at, start=0, end=1))
    return op.ScatterND(op.Expand(default, size), at, values)


@ops.op(
    "TensorStridedSliceUpdate",
    needs=(condition("a known number of axes, and constant strides", _spec_known),),
)
def strided_slice_update(op, node, x, begin, end, strides, value):
    return written(op, node, x, begin, end, strides, value)


def written(op: Any, node: Any, x: Any, begin: Any, end: Any, strides: Any, value: Any) -> Any:
    """`x` with `value`, broadcast, at the elements a StridedSlice would choose."""
    if rank_of(x) is None:
        return NotImplemented
    flat = op.Reshape(x, ints(-1))
    numbers = op.Reshape(arange(op, op.Size(x)), op.Shape(x))
    numbers.shape = x.shape
    chosen = strided_slice(op, node, numbers, begin, end, strides)
    if chosen is NotImplemented:
        return chosen
    values = op.Reshape(op.Expand(value, op.Shape(chosen)), ints(-1))
    return op.Reshape(op.ScatterElements(flat, op.Reshape(chosen, ints(-1)), values), op.Shape(x))


@ops.op("InplaceUpdate", "InplaceAdd", "InplaceSub")
def in_place(op, node, x, rows, values):
    """Rows replaced, or added to."""
    at = op.Unsqueeze(int64_vector(op, rows), ints(1))
    values = values if node.op != "InplaceSub" else op.Sub(like(op, values, 0), values)
    return op.ScatterND(x, at, values, reduction="none" if node.op == "InplaceUpdate" else "add")


@ops.op("ScatterNdNonAliasingAdd")
def scatter_nd_add(op, node, x, indices, updates):
    return op.ScatterND(x, as_int64(op, indices), updates, reduction="add")
