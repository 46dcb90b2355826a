"""Slicing, gathering and scattering."""

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
from bridge_savedmodel.import_ops.common import FAR, known_elements

ops = OpTable()


@ops.op("Slice", needs=(condition("a known number of axes", lambda n: shape_of(n.inputs[1]) is not None),))
def slice_(op, node, x, begin, size):
    sizes, begin = constant_ints(size), as_int64(op, begin)
    start = const(begin)
    if start is not None and sizes is not None:
        pairs = list(zip(start.tolist(), sizes, strict=True))
        axes = [n for n, pair in enumerate(pairs) if pair != (0, -1)]
        ends = [FAR if s < 0 else b + s for b, s in pairs]
        sliced = (
            op.Slice(x, *(ints(*(v[n] for n in axes)) for v in (start.tolist(), ends)), ints(*axes))
            if axes
            else op.Identity(x)
        )
    else:
        size_int64 = as_int64(op, size)
        ends = op.Where(op.Less(size_int64, ints(0)), ints(FAR), op.Add(begin, size_int64))
        sliced = op.Slice(x, begin, ends, op.const(np.arange(shape_of(begin)[0])))
    if sizes is not None and x.shape is not None:
        sliced.shape = ir.Shape(
            [s if s >= 0 else d for s, d in zip(sizes, sliced.shape or x.shape, strict=True)]
        )
    return sliced


MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def _has_known_spec(node: Any) -> bool:
    return const(node.inputs[3]) is not None


@ops.op("StridedSlice", needs=(condition("constant strides", _has_known_spec),))
def strided_slice(op, node, x, begin, end, strides):
    """Slice, squeeze and unsqueeze: an entry of the specification slices an axis, selects one of its
    elements, adds an axis, or (ellipsis) skips axes."""
    steps = constant_ints(strides)
    constant = (
        _constant_slice(node, x, constant_ints(begin), constant_ints(end), steps) if rank_of(x) == 1 else None
    )
    if constant is not None:
        return op.const(constant)
    masks = {m: [node.get(m) >> i & 1 for i in range(len(steps))] for m in MASKS}
    consumed = sum(
        1 for i in range(len(steps)) if not masks["new_axis_mask"][i] and not masks["ellipsis_mask"][i]
    )
    if any(masks["ellipsis_mask"]) and rank_of(x) is None:
        return NotImplemented
    axis, plan, squeezed, new_axes, output_axis = 0, [], [], [], 0
    for i, step in enumerate(steps):
        if masks["ellipsis_mask"][i]:
            skipped = rank_of(x) - consumed
            axis, output_axis = axis + skipped, output_axis + skipped
            continue
        if masks["new_axis_mask"][i]:
            new_axes.append(output_axis)
            output_axis += 1
            continue
        is_element = masks["shrink_axis_mask"][i]
        plan.append((axis, i, 1 if is_element else step, is_element))
        squeezed += [axis] if is_element else []
        axis, output_axis = axis + 1, output_axis + (0 if is_element else 1)
    sliced = _apply_spec(op, x, begin, end, plan, masks) if plan else x
    sliced = op.Squeeze(sliced, ints(*squeezed)) if squeezed else sliced
    return op.Unsqueeze(sliced, ints(*new_axes)) if new_axes else sliced


def _constant_slice(node: Any, x: Any, begin: Any, end: Any, steps: list[int]) -> np.ndarray | None:
    """The slice of a vector such as a shape, if all its elements are known."""
    values = known_elements(x)
    if (
        values is None
        or begin is None
        or len(steps) != 1
        or node.get("new_axis_mask")
        or node.get("ellipsis_mask")
    ):
        return None
    if node.get("shrink_axis_mask"):
        selected = values[begin[0] :][:1]
    elif end is None and not node.get("end_mask"):
        return None
    else:
        start = None if node.get("begin_mask") else begin[0]
        selected = values[start : None if node.get("end_mask") else end[0] : steps[0]]
    if not selected or None in selected:
        return None
    array = np.array(selected, x.dtype.numpy())
    return array.reshape(()) if node.get("shrink_axis_mask") else array


def _apply_spec(op: Any, x: Any, begin: Any, end: Any, plan: list, masks: dict) -> Any:
    starts, stops = constant_ints(begin), constant_ints(end)
    begins, ends = [], []
    for _, i, step, is_element in plan:
        if masks["begin_mask"][i] and not is_element:
            begins.append(0 if step > 0 else FAR)
        else:
            begins.append(starts[i] if starts is not None else _element(op, begin, i))
        if is_element:
            ends.append(_next_index(op, begins[-1]))
        elif masks["end_mask"][i]:
            ends.append(FAR if step > 0 else -FAR)
        else:
            ends.append(stops[i] if stops is not None else _element(op, end, i))
    slices = [
        (f, e, axis, step)
        for f, e, (axis, _, step, _) in zip(begins, ends, plan, strict=True)
        if _has_value(f, e) or (f, e, step) != (0, FAR, 1)
    ]
    if not slices:
        return op.Identity(x)
    begin_values, end_values, axes, steps = (list(v) for v in zip(*slices, strict=True))
    return python_slice(
        op, x, _concat_lengths(op, begin_values), _concat_lengths(op, end_values), axes, steps
    )


def _has_value(*values: Any) -> bool:
    return any(isinstance(v, ir.Value) for v in values)


def _element(op: Any, values: Any, index: int) -> Any:
    known = (known_elements(values) or [None] * (index + 1))[index]
    return (
        known if known is not None else op.Slice(as_int64(op, values), ints(index), ints(index + 1), ints(0))
    )


def _next_index(op: Any, start: Any) -> Any:
    """The exclusive end of the slice of one element at `start`."""
    if isinstance(start, int):
        return start + 1 if start != -1 else FAR
    return op.Where(op.Equal(start, ints(-1)), ints(FAR), op.Add(start, ints(1)))


def _concat_lengths(op: Any, values: list) -> Any:
    if not _has_value(*values):
        return op.const(ints(*values))
    vectors = [v if isinstance(v, ir.Value) else op.const(ints(v)) for v in values]
    return op.Concat(*vectors, axis=0) if len(vectors) > 1 else vectors[0]


@ops.op("Gather", "GatherV2", "ResourceGather")
def gather(op, node, x, indices, axis=None):
    constant_axis = 0 if axis is None else constant_ints(axis)[0] if const(axis) is not None else None
    batch_dims = node.get("batch_dims")
    if constant_axis is None:
        return NotImplemented
    x = x.read() if hasattr(x, "read") else x
    if rank_of(x) == 1 and constant_ints(indices) is not None:
        selected = [(known_elements(x) or [None] * (i + 1))[i] for i in constant_ints(indices)]
        if None not in selected:
            return op.const(np.array(selected, x.dtype.numpy()).reshape(const(indices).shape))
    if not batch_dims:
        return op.Gather(x, as_int64(op, indices), axis=constant_axis)
    return _batched_gather(op, x, indices, constant_axis, batch_dims)


def _batched_gather(op: Any, x: Any, indices: Any, axis: int, batch: int) -> Any:
    """Gather along the axis after the batch dimensions, by GatherND."""
    rank, indices_rank = rank_of(x), rank_of(indices)
    if rank is None or indices_rank is None:
        return NotImplemented
    axis, batch = axis % rank, batch % indices_rank if batch < 0 else batch
    if axis != batch:
        order = [*range(batch), axis, *range(batch, axis), *range(axis + 1, rank)]
        gathered = _batched_gather(op, op.Transpose(x, perm=order), indices, batch, batch)
        distance = axis - batch
        between, trailing = (
            range(indices_rank, indices_rank + distance),
            range(indices_rank + distance, rank - 1 + indices_rank - batch),
        )
        perm = [*range(batch), *between, *range(batch, indices_rank), *trailing]
        return op.Transpose(gathered, perm=perm)
    return op.GatherND(x, op.Unsqueeze(as_int64(op, indices), ints(-1)), batch_dims=batch)


@ops.op("GatherNd", "ResourceGatherNd")
def gather_nd(op, node, x, indices):
    x = x.read() if hasattr(x, "read") else x
    return op.GatherND(x, as_int64(op, indices))


@ops.op("ScatterNd")
def scatter_nd(op, node, indices, updates, target):
    """Scatter into zeros; updates of the same index are added."""
    zeros = op.Expand(like(op, updates, 0), as_int64(op, target))
    return op.ScatterND(zeros, as_int64(op, indices), updates, reduction="add")


SCATTER = {"Update": "none", "Add": "add", "Max": "max", "Min": "min"}


@ops.op("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMax", "TensorScatterMin", "TensorScatterSub")
def tensor_scatter(op, node, x, indices, updates):
    reduction = node.op.removeprefix("TensorScatter")
    if reduction == "Sub":
        reduction, updates = "Add", op.Neg(updates)
    return op.ScatterND(x, as_int64(op, indices), updates, reduction=SCATTER[reduction])


@ops.op("SparseToDense")
def sparse_to_dense(op, node, indices, target, values, default):
    size = as_int64(op, target)
    coordinates = as_int64(op, indices)
    if rank_of(coordinates) is None or rank_of(coordinates) == 0:
        return NotImplemented
    coordinates = op.Unsqueeze(coordinates, ints(1)) if rank_of(coordinates) == 1 else coordinates
    if rank_of(values) == 0:
        values = op.Expand(values, op.Shape(coordinates, start=0, end=1))
    return op.ScatterND(op.Expand(default, size), coordinates, values)


@ops.op(
    "TensorStridedSliceUpdate",
    needs=(condition("constant strides", _has_known_spec),),
)
def strided_slice_update(op, node, x, begin, end, strides, value):
    return update_slice(op, node, x, begin, end, strides, value)


def update_slice(op: Any, node: Any, x: Any, begin: Any, end: Any, strides: Any, value: Any) -> Any:
    """`x` with `value`, broadcast, in place of the elements a StridedSlice selects."""
    if rank_of(x) is None:
        return NotImplemented
    flat = op.Reshape(x, ints(-1))
    positions = op.Reshape(arange(op, op.Size(x)), op.Shape(x))
    positions.shape = x.shape
    selected = strided_slice(op, node, positions, begin, end, strides)
    if selected is NotImplemented:
        return selected
    values = op.Reshape(op.Expand(value, op.Shape(selected)), ints(-1))
    return op.Reshape(op.ScatterElements(flat, op.Reshape(selected, ints(-1)), values), op.Shape(x))


@ops.op("InplaceUpdate", "InplaceAdd", "InplaceSub")
def in_place(op, node, x, rows, values):
    """Rows replaced, or added to."""
    coordinates = op.Unsqueeze(int64_vector(op, rows), ints(1))
    values = values if node.op != "InplaceSub" else op.Sub(like(op, values, 0), values)
    return op.ScatterND(x, coordinates, values, reduction="none" if node.op == "InplaceUpdate" else "add")


@ops.op("ScatterNdNonAliasingAdd")
def scatter_nd_add(op, node, x, indices, updates):
    return op.ScatterND(x, as_int64(op, indices), updates, reduction="add")
