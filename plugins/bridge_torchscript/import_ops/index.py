"""Gather and scatter, masks, triangles and diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import ints, like, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    axis,
    cast,
    int64_scalar,
    is_float,
    lengths_vector,
    number,
    rank,
    static_shape,
    static_value,
    tensor,
)
from bridge_torchscript.import_ops.index_slice import select_back, slice_back
from bridge_torchscript.import_ops.tensor import Views, reshape_keeping_empty, reshape_to_base, size_list
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()
views = Views(ops)


@ops.op("aten::gather")
def gather(op, x, dim, index, sparse_grad=False):
    """Gather; an index of another number of dimensions than a tensor has no elements."""
    if not rank(x):
        return op.Expand(x, shape_tensor(op, index))
    if not rank(index):
        return op.Reshape(
            op.GatherElements(x, op.Reshape(index, ints(*[1] * rank(x))), axis=axis(x, dim)), ints()
        )
    if rank(index) != rank(x):
        return op.Expand(number(op, 0, x), shape_tensor(op, index))
    return op.GatherElements(x, index, axis=axis(x, dim))


@ops.op("aten::take_along_dim")
def take_along_dim(op, x, indices, dim=None):
    if dim is None:
        return gather(op, op.Reshape(x, ints(-1)), 0, op.Reshape(indices, ints(-1)))
    at = axis(x, dim)
    one, two = static_shape(x), static_shape(indices)
    target = [max(a, b) if i != at else None for i, (a, b) in enumerate(zip(one, two, strict=True))]
    x = op.Expand(x, ints(*(one[i] if t is None else t for i, t in enumerate(target))))
    indices = op.Expand(indices, ints(*(two[i] if t is None else t for i, t in enumerate(target))))
    return op.GatherElements(x, indices, axis=at)


@ops.op("aten::index_select")
def index_select(op, x, dim, index):
    if not rank(x):
        return op.Identity(x)
    return op.Gather(x, index if rank(index) else op.Reshape(index, ints(1)), axis=axis(x, dim))


@ops.op("aten::take")
def take(op, x, index):
    return op.Gather(op.Reshape(x, ints(-1)), index, axis=0)


REDUCTIONS = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min"}


NEUTRAL = {"sum": 0, "mean": 0, "prod": 1, "amax": -np.inf, "amin": np.inf}


def _scatter(
    op: Any, x: ir.Value, dim: int, index: ir.Value, src: ir.Value, reduction: str = "none"
) -> ir.Value:
    """Scatter; an index of another number of dimensions has no elements."""
    if not rank(x):
        flat = [op.Reshape(value, ints(-1)) for value in (x, index, src)]
        return op.Reshape(_scatter(op, flat[0], 0, flat[1], flat[2], reduction), ints())
    if not rank(index):
        index = op.Reshape(index, ints(*[1] * rank(x)))
        src = op.Reshape(src, ints(*[1] * rank(x)))
    if rank(index) != rank(x):
        return op.Identity(x)
    lengths = size_list(op, index)
    if src.shape != index.shape:
        count = rank(x)
        src = op.Slice(src, ints(*[0] * count), lengths_vector(op, lengths), ints(*range(count)))
    return op.ScatterElements(x, index, src, axis=axis(x, dim), reduction=reduction)


@ops.op("aten::scatter")
def scatter(op, x, dim, index, src=None, value=None, reduce=None):
    if src is None:
        src = op.Expand(number(op, value, x), shape_tensor(op, index))
    return _scatter(op, x, dim, index, src, REDUCTIONS[reduce] if reduce else "none")


@ops.op("aten::scatter_add")
def scatter_add(op, x, dim, index, src):
    return _scatter(op, x, dim, index, src, "add")


@ops.op("aten::scatter_reduce")
def scatter_reduce(op, x, dim, index, src, reduce, include_self=True):
    return scatter_reduce_into(op, x, dim, index, src, reduce, include_self)


def scatter_reduce_into(
    op: Any, x: ir.Value, dim: int, index: ir.Value, src: ir.Value, reduce: str, include_self: bool
) -> ir.Value:
    """Scatter with a reduction.

    Without `include_self`, elements written to start from the neutral element.
    """
    wide = op.Expand(number(op, 1, src), shape_tensor(op, index)) if rank(index) else number(op, 1, src)
    hits = _scatter(
        op,
        op.Mul(x, like(op, x)) if not is_float(x) else op.Expand(like(op, x), shape_tensor(op, x)),
        dim,
        index,
        wide,
        "add",
    )
    start = x
    if not include_self:
        neutral = NEUTRAL[reduce] if is_float(x) or reduce in ("sum", "mean", "prod") else None
        if neutral is None:
            info = np.iinfo(x.dtype.numpy())
            neutral = info.min if reduce == "amax" else info.max
        start = op.Where(op.Greater(hits, like(op, hits)), number(op, neutral, x), x)
    if reduce != "mean":
        return _scatter(op, start, dim, index, src, REDUCTIONS[reduce])
    total = _scatter(op, start, dim, index, src, "add")
    count = op.Add(hits, number(op, 1, hits)) if include_self else op.Max(hits, number(op, 1, hits))
    return op.Div(total, count) if is_float(x) else op.Div(op.Sub(total, op.Mod(total, count)), count)


@ops.op("aten::index_reduce")
def index_reduce(op, x, dim, index, source, reduce, include_self=True):
    if not rank(x):
        wide = [op.Reshape(v, ints(1)) for v in (x, index, source)]
        return op.Reshape(index_reduce(op, wide[0], 0, wide[1], wide[2], reduce, include_self), ints())
    return scatter_reduce_into(op, x, dim, _expand_index(op, x, dim, index), source, reduce, include_self)


def _expand_index(op: Any, x: ir.Value, dim: int, index: ir.Value) -> ir.Value:
    """Index vector expanded to the shape of `x` along all other dimensions."""
    at, count = axis(x, dim), rank(x)
    shape = [1] * count
    shape[at] = -1
    flat = op.Reshape(index, ints(*shape))
    lengths = size_list(op, x)
    lengths[at] = 1
    return op.Expand(flat, lengths_vector(op, lengths))


@ops.op("aten::index_add")
def index_add(op, x, dim, index, source, alpha=1):
    source = source if alpha == 1 else op.Mul(source, number(op, alpha, source))
    if not rank(x):
        return op.Add(x, op.ReduceSum(source, keepdims=0))
    return op.ScatterElements(x, _expand_index(op, x, dim, index), source, axis=axis(x, dim), reduction="add")


@ops.op("aten::index_copy")
def index_copy(op, x, dim, index, source):
    if not rank(x):
        return op.Reshape(source, ints())
    return op.ScatterElements(x, _expand_index(op, x, dim, index), source, axis=axis(x, dim))


@ops.op("aten::index_fill")
def index_fill(op, x, dim, index, value):
    if not rank(x):
        return number(op, value, x)
    at = axis(x, dim)
    size = op.Gather(shape_tensor(op, x), int64_scalar(op, at))
    positions = op.Range(int64_scalar(op, 0), size, int64_scalar(op, 1))
    indices = op.Mod(op.Reshape(cast(op, index, T.INT64), ints(-1, 1)), size)
    hits = op.ReduceSum(op.Cast(op.Equal(indices, positions), to=T.INT64), ints(0), keepdims=0)
    mask = op.Reshape(op.Greater(hits, int64_scalar(op, 0)), ints(-1, *[1] * (rank(x) - at - 1)))
    return op.Where(mask, number(op, value, x), x)


def _mask_coordinates(op: Any, mask: ir.Value) -> list[ir.Value]:
    """Coordinates of true elements, one vector per dimension."""
    coordinates = op.NonZero(mask)
    return [op.Gather(coordinates, np.array(i), axis=0) for i in range(rank(mask))]


def _index_tensors(op: Any, x: ir.Value, indices: list[Any]) -> list[Any]:
    """One index tensor per dimension, or None; masks are replaced by their coordinates."""
    tensors: list[Any] = []
    for index in indices:
        if index is not None and index.dtype in (T.BOOL, T.UINT8):
            tensors.extend(_mask_coordinates(op, cast(op, index, T.BOOL)))
        else:
            tensors.append(None if index is None else cast(op, index, T.INT64))
    return tensors + [None] * (rank(x) - len(tensors))


def _joint_index(op: Any, x: ir.Value, positions: list[Any]) -> tuple[list[int], ir.Value]:
    """Permutation with the indexed dimensions first, and their joint index [..., n]."""
    used = [i for i, p in enumerate(positions) if p is not None]
    order = used + [i for i in range(rank(x)) if i not in used]
    indices = [positions[i] for i in used]
    if len(indices) > 1:
        target = indices[0]
        for other in indices[1:]:
            target = op.Add(target, other)
        indices = [op.Expand(g, shape_tensor(op, target)) for g in indices]
    return order, op.Concat(*(op.Unsqueeze(g, ints(-1)) for g in indices), axis=-1) if len(
        indices
    ) > 1 else op.Unsqueeze(indices[0], ints(-1))


@ops.op("aten::index", "aten::_unsafe_index")
def index(op, x, indices):
    """Advanced indexing.

    Index tensors broadcast; their dimensions replace the first indexed one if they are adjacent.
    """
    if len(indices) == 1 and indices[0] is not None and indices[0].dtype not in (T.BOOL, T.UINT8):
        return op.Gather(x, cast(op, indices[0], T.INT64), axis=0)
    positions = _index_tensors(op, x, indices)
    used = [i for i, p in enumerate(positions) if p is not None]
    if not used:
        return op.Identity(x)
    if len(used) == 1:
        return op.Gather(x, positions[used[0]], axis=used[0])
    order, joint = _joint_index(op, x, positions)
    rows = op.GatherND(x if order == sorted(order) else op.Transpose(x, perm=order), joint)
    first, count = used[0], rank(joint) - 1
    if used != list(range(first, first + len(used))) or not first:
        return rows
    total = rank(rows)
    others = list(range(count, total))
    return op.Transpose(rows, perm=[*others[:first], *range(count), *others[first:]])


@ops.op("aten::index_put", "aten::_unsafe_index_put")
def index_put(op, x, indices, values, accumulate=False, unsafe=False):
    values = cast(op, values, x.dtype)
    if (
        len(indices) == 1
        and indices[0] is not None
        and indices[0].dtype == T.BOOL
        and not accumulate
        and not rank(values)
    ):
        mask = indices[0]
        if rank(mask) < rank(x):
            mask = op.Unsqueeze(mask, ints(*range(rank(mask), rank(x))))
        return op.Where(mask, values, x)
    positions = _index_tensors(op, x, indices)
    used = [i for i, p in enumerate(positions) if p is not None]
    order, joint = _joint_index(op, x, positions)
    data = x if order == sorted(order) else op.Transpose(x, perm=order)
    target = op.GatherND(data, joint)
    first, count = used[0], rank(joint) - 1
    if used == list(range(first, first + len(used))) and first:
        total = rank(target)
        wide = total - rank(values)
        values = op.Unsqueeze(values, ints(*range(wide))) if wide > 0 else values
        values = op.Transpose(
            values, perm=[*range(first, first + count), *range(first), *range(first + count, total)]
        )
    updates = op.Expand(values, shape_tensor(op, target))
    result = op.ScatterND(data, joint, updates, reduction="add" if accumulate else "none")
    return (
        result
        if order == sorted(order)
        else op.Transpose(result, perm=[order.index(i) for i in range(len(order))])
    )


@ops.op("aten::put")
def put(op, x, index, source, accumulate=False):
    flat = op.Reshape(x, ints(-1))
    indices = op.Reshape(index, ints(-1))
    result = op.ScatterElements(
        flat, indices, op.Reshape(source, ints(-1)), axis=0, reduction="add" if accumulate else "none"
    )
    return reshape_to_base(op, x, result)


@ops.op("aten::masked_fill")
def masked_fill(op, x, mask, value):
    return op.Where(cast(op, mask, T.BOOL), tensor(op, value, x.dtype), x)


@ops.op("aten::masked_select")
def masked_select(op, x, mask):
    wide = op.Expand(mask, shape_tensor(op, x))
    x = op.Expand(x, shape_tensor(op, wide))
    return op.Compress(op.Reshape(x, ints(-1)), op.Reshape(wide, ints(-1)))


@ops.op("aten::masked_scatter")
def masked_scatter(op, x, mask, source):
    """Replace the n-th true element by the n-th element of `source`."""
    mask = op.Expand(mask, shape_tensor(op, x))
    x = op.Expand(x, shape_tensor(op, mask))
    flat = op.Reshape(mask, ints(-1))
    order = op.Sub(op.CumSum(op.Cast(flat, to=7), np.array(0)), np.array(1))
    picked = op.Gather(op.Reshape(source, ints(-1)), op.Max(order, np.array(0)), axis=0)
    return reshape_to_base(op, x, op.Where(flat, picked, op.Reshape(x, ints(-1))))


@ops.op("aten::nonzero", "aten::argwhere")
def nonzero(op, x):
    if not rank(x):
        coordinates = op.Transpose(op.NonZero(cast(op, op.Reshape(x, ints(1)), T.BOOL)), perm=[1, 0])
        return op.Gather(coordinates, ints(), axis=1)
    return op.Transpose(op.NonZero(cast(op, x, T.BOOL)), perm=[1, 0])


@ops.op("aten::nonzero_numpy")
def nonzero_numpy(op, x):
    x = x if rank(x) else op.Reshape(x, ints(1))
    return _mask_coordinates(op, cast(op, x, T.BOOL))


@ops.op("aten::count_nonzero")
def count_nonzero(op, x, dim=None):
    hits = op.Cast(cast(op, x, T.BOOL), to=7)
    if dim is None or dim == [] or not rank(x):
        return op.ReduceSum(hits, keepdims=0)
    return op.ReduceSum(hits, ints(*([dim] if isinstance(dim, int) else dim)), keepdims=0)


@ops.op("aten::one_hot")
def one_hot(op, x, num_classes=-1):
    if num_classes == -1:
        raise Unsupported("needs num_classes")
    return op.OneHot(x, np.array(static_value(num_classes, "num_classes")), ints(0, 1), axis=-1)


def _triangle(op: Any, x: ir.Value, diagonal: Any, upper: int) -> ir.Value:
    if x.dtype == T.BOOL:
        return op.Cast(op.Trilu(op.Cast(x, to=7), int64_scalar(op, diagonal), upper=upper), to=9)
    return op.Trilu(x, int64_scalar(op, diagonal), upper=upper)


@ops.op("aten::tril")
def tril(op, x, diagonal=0):
    return _triangle(op, x, diagonal, 0)


@ops.op("aten::triu")
def triu(op, x, diagonal=0):
    return _triangle(op, x, diagonal, 1)


def _register_triangle_indices(name: str) -> None:
    @ops.op(f"aten::{name}")
    def make(op, row, col, offset=0):
        coordinates = getattr(np, name)(row, offset, col)
        return op.const(np.stack(coordinates).astype(np.int64))


_register_triangle_indices("tril_indices")
_register_triangle_indices("triu_indices")


@views.op("aten::diagonal", "aten::linalg_diagonal")
def view_diagonal(op, x, offset=0, dim1=0, dim2=1):
    one, two = axis(x, dim1), axis(x, dim2)
    shape = static_shape(x)
    rows = min(shape[one], shape[two] - offset) if offset >= 0 else min(shape[one] + offset, shape[two])
    rows = max(rows, 0)
    indices = np.stack([np.arange(rows) + max(-offset, 0), np.arange(rows) + max(offset, 0)], -1)
    order = [one, two, *(i for i in range(len(shape)) if i not in (one, two))]
    result = op.GatherND(op.Transpose(x, perm=order), op.const(indices))
    return op.Transpose(result, perm=[*range(1, len(shape) - 1), 0]) if len(shape) > 2 else result


@ops.op("aten::diag")
def diag(op, x, diagonal=0):
    return diag_embed(op, x, diagonal) if rank(x) == 1 else view_diagonal(op, x, diagonal)


@ops.op("aten::diag_embed")
def diag_embed(op, x, offset=0, dim1=-2, dim2=-1):
    size = static_shape(x)[-1] + abs(offset)
    wide = op.Pad(x, ints(*[0] * (rank(x) - 1), max(offset, 0), *[0] * (rank(x) - 1), max(-offset, 0)))
    rows = np.arange(size)
    mask = rows[None] - rows[:, None] == offset
    grid = op.Where(op.const(mask), op.Unsqueeze(wide, ints(-2)), like(op, x))
    one, two = axis(grid, dim1), axis(grid, dim2)
    if one > two:
        one, two, grid = (
            two,
            one,
            op.Transpose(grid, perm=[*range(rank(grid) - 2), rank(grid) - 1, rank(grid) - 2]),
        )
    order = list(range(rank(grid) - 2))
    order.insert(one, rank(grid) - 2)
    order.insert(two, rank(grid) - 1)
    return op.Transpose(grid, perm=order)


@ops.op("aten::diagflat")
def diagflat(op, x, offset=0):
    return diag_embed(op, op.Reshape(x, ints(-1)), offset)


@ops.op("aten::trace")
def trace(op, x):
    return op.ReduceSum(view_diagonal(op, x), ints(0), keepdims=0)


@ops.op("aten::select_scatter")
def select_scatter(op, x, src, dim, index):
    return select_back(op, x, cast(op, src, x.dtype), dim, index)


@ops.op("aten::slice_scatter")
def slice_scatter(op, x, src, dim=0, start=None, end=None, step=1):
    return slice_back(op, x, cast(op, src, x.dtype), dim, start, end, step)


@ops.op("aten::diagonal_scatter")
def diagonal_scatter(op, x, src, offset=0, dim1=0, dim2=1):
    one, two = axis(x, dim1), axis(x, dim2)
    shape = static_shape(x)
    rows = min(shape[one], shape[two] - offset) if offset >= 0 else min(shape[one] + offset, shape[two])
    indices = np.stack([np.arange(rows) + max(-offset, 0), np.arange(rows) + max(offset, 0)], -1)
    order = [one, two, *(i for i in range(len(shape)) if i not in (one, two))]
    back = [order.index(i) for i in range(len(order))]
    first = op.Transpose(cast(op, src, x.dtype), perm=[rank(src) - 1, *range(rank(src) - 1)])
    return op.Transpose(op.ScatterND(op.Transpose(x, perm=order), op.const(indices), first), perm=back)


@ops.op("aten::repeat_interleave")
def repeat_interleave(op, x=None, repeats=None, dim=None, output_size=None):
    """Repeat each element, or each slice along `dim`."""
    if x is None:
        return repeat_indices(op, repeats)
    if dim is None or not rank(x):
        x, dim = op.Reshape(x, ints(-1)), 0
    at = axis(x, dim)
    counts = const(repeats) if isinstance(repeats, ir.Value) else None
    size = x.shape[at]
    if isinstance(repeats, ir.Value) and counts is None and (not rank(repeats) or repeats.shape[0] == 1):
        repeats = Sym(cast(op, op.Reshape(repeats, ints()), T.INT64))
    elif counts is not None and counts.size == 1 and size != 1:
        repeats = int(counts.reshape(()))
    if isinstance(repeats, (int, Sym)):
        wide = op.Unsqueeze(x, ints(at + 1))
        wide = op.Tile(wide, lengths_vector(op, [1] * (at + 1) + [repeats] + [1] * (rank(x) - at - 1)))
        shape = size_list(op, x)
        return reshape_keeping_empty(op, wide, [*shape[:at], -1, *shape[at + 1 :]])
    if counts is not None and isinstance(size, int):
        return op.Gather(x, op.const(np.repeat(np.arange(size), counts.reshape(-1))), axis=at)
    return op.Gather(x, repeat_indices(op, repeats), axis=at)


def repeat_indices(op: Any, repeats: ir.Value) -> ir.Value:
    """Index of every element, `repeats` times each: a cumulative sum over the positions where an element
    ends.
    """
    run_ends = op.CumSum(cast(op, repeats, T.INT64), np.array(0))
    total = op.ReduceMax(op.Concat(ints(0), run_ends, axis=0), keepdims=1)
    none = op.Expand(np.array(0), op.Add(total, ints(1)))
    starts = op.ScatterElements(
        none, run_ends, op.Expand(np.array(1), op.Shape(run_ends)), axis=0, reduction="add"
    )
    return op.CumSum(op.Slice(starts, ints(0), total, ints(0)), np.array(0))
