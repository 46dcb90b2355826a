"""Gathering, scattering, masks and order."""

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
    is_float,
    known,
    number,
    rank,
    scalar,
    sizes,
    static,
    tensor,
)
from bridge_torchscript.import_ops.parts import select_back, slice_back
from bridge_torchscript.import_ops.shapes import Views, as_base, reshape_keeping_empty, size_list
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()
views = Views(ops)


@ops.op("aten::gather")
def gather(op, x, dim, index, sparse_grad=False):
    if not rank(x):
        return as_base(
            op, index, op.Expand(op.Reshape(x, ints(1)), shape_tensor(op, op.Reshape(index, ints(-1))))
        )
    if not rank(index):
        return op.Reshape(
            op.GatherElements(x, op.Reshape(index, ints(*[1] * rank(x))), axis=axis(x, dim)), ints()
        )
    return op.GatherElements(x, index, axis=axis(x, dim))


@ops.op("aten::take_along_dim")
def take_along_dim(op, x, indices, dim=None):
    if dim is None:
        return gather(op, op.Reshape(x, ints(-1)), 0, op.Reshape(indices, ints(-1)))
    at = axis(x, dim)
    one, two = static(x), static(indices)
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


def _scattered(
    op: Any, x: ir.Value, dim: int, index: ir.Value, src: ir.Value, reduction: str = "none"
) -> ir.Value:
    if not rank(x):
        wide = op.ScatterElements(
            op.Reshape(x, ints(1)),
            op.Reshape(index, ints(1)),
            op.Reshape(src, ints(1)),
            axis=0,
            reduction=reduction,
        )
        return op.Reshape(wide, ints())
    if not rank(index):
        index = op.Reshape(index, ints(*[1] * rank(x)))
        src = op.Reshape(src, ints(*[1] * rank(x)))
    parts = size_list(op, index)
    if src.shape != index.shape:
        count = rank(x)
        src = op.Slice(src, ints(*[0] * count), sizes(op, parts), ints(*range(count)))
    return op.ScatterElements(x, index, src, axis=axis(x, dim), reduction=reduction)


@ops.op("aten::scatter")
def scatter(op, x, dim, index, src=None, value=None, reduce=None):
    if src is None:
        src = op.Expand(number(op, value, x), shape_tensor(op, index))
    return _scattered(op, x, dim, index, src, REDUCTIONS[reduce] if reduce else "none")


@ops.op("aten::scatter_add")
def scatter_add(op, x, dim, index, src):
    return _scattered(op, x, dim, index, src, "add")


@ops.op("aten::scatter_reduce")
def scatter_reduce(op, x, dim, index, src, reduce, include_self=True):
    return reduced_into(op, x, dim, index, src, reduce, include_self)


def reduced_into(
    op: Any, x: ir.Value, dim: int, index: ir.Value, src: ir.Value, reduce: str, include_self: bool
) -> ir.Value:
    """Without the elements that are there, each place written to starts from the neutral element."""
    wide = op.Expand(number(op, 1, src), shape_tensor(op, index)) if rank(index) else number(op, 1, src)
    hits = _scattered(
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
        return _scattered(op, start, dim, index, src, REDUCTIONS[reduce])
    total = _scattered(op, start, dim, index, src, "add")
    count = op.Add(hits, number(op, 1, hits)) if include_self else op.Max(hits, number(op, 1, hits))
    return op.Div(total, count) if is_float(x) else op.Div(op.Sub(total, op.Mod(total, count)), count)


@ops.op("aten::index_reduce")
def index_reduce(op, x, dim, index, source, reduce, include_self=True):
    if not rank(x):
        wide = [op.Reshape(v, ints(1)) for v in (x, index, source)]
        return op.Reshape(index_reduce(op, wide[0], 0, wide[1], wide[2], reduce, include_self), ints())
    return reduced_into(op, x, dim, _along(op, x, dim, index), source, reduce, include_self)


def _along(op: Any, x: ir.Value, dim: int, index: ir.Value) -> ir.Value:
    """An index vector as indices for every element along the other dimensions."""
    at, count = axis(x, dim), rank(x)
    shape = [1] * count
    shape[at] = -1
    flat = op.Reshape(index, ints(*shape))
    parts = size_list(op, x)
    parts[at] = 1
    return op.Expand(flat, sizes(op, parts))


@ops.op("aten::index_add")
def index_add(op, x, dim, index, source, alpha=1):
    source = source if alpha == 1 else op.Mul(source, number(op, alpha, source))
    if not rank(x):
        return op.Add(x, op.ReduceSum(source, keepdims=0))
    return op.ScatterElements(x, _along(op, x, dim, index), source, axis=axis(x, dim), reduction="add")


@ops.op("aten::index_copy")
def index_copy(op, x, dim, index, source):
    if not rank(x):
        return op.Reshape(source, ints())
    return op.ScatterElements(x, _along(op, x, dim, index), source, axis=axis(x, dim))


@ops.op("aten::index_fill")
def index_fill(op, x, dim, index, value):
    if not rank(x):
        return number(op, value, x)
    at = axis(x, dim)
    size = op.Gather(shape_tensor(op, x), scalar(op, at))
    places = op.Range(scalar(op, 0), size, scalar(op, 1))
    asked = op.Mod(op.Reshape(cast(op, index, T.INT64), ints(-1, 1)), size)
    hits = op.ReduceSum(op.Cast(op.Equal(asked, places), to=T.INT64), ints(0), keepdims=0)
    mask = op.Reshape(op.Greater(hits, scalar(op, 0)), ints(-1, *[1] * (rank(x) - at - 1)))
    return op.Where(mask, number(op, value, x), x)


def _mask_places(op: Any, mask: ir.Value) -> list[ir.Value]:
    """Coordinates of what is true, one vector a dimension."""
    found = op.NonZero(mask)
    return [op.Gather(found, np.array(i), axis=0) for i in range(rank(mask))]


def _positions(op: Any, x: ir.Value, indices: list[Any]) -> list[Any]:
    """Index tensors by dimension; masks as their coordinates."""
    found: list[Any] = []
    for index in indices:
        if index is not None and index.dtype in (T.BOOL, T.UINT8):
            found.extend(_mask_places(op, cast(op, index, T.BOOL)))
        else:
            found.append(None if index is None else cast(op, index, T.INT64))
    return found + [None] * (rank(x) - len(found))


def _front(op: Any, x: ir.Value, positions: list[Any]) -> tuple[list[int], ir.Value]:
    """The dimensions that are indexed brought first, and their joint index [..., n]."""
    used = [i for i, p in enumerate(positions) if p is not None]
    order = used + [i for i in range(rank(x)) if i not in used]
    given = [positions[i] for i in used]
    if len(given) > 1:
        target = given[0]
        for other in given[1:]:
            target = op.Add(target, other)
        given = [op.Expand(g, shape_tensor(op, target)) for g in given]
    return order, op.Concat(*(op.Unsqueeze(g, ints(-1)) for g in given), axis=-1) if len(
        given
    ) > 1 else op.Unsqueeze(given[0], ints(-1))


@ops.op("aten::index", "aten::_unsafe_index")
def index(op, x, indices):
    """Index tensors broadcast together; their dimensions stand where the first was, if they were side by side."""
    if len(indices) == 1 and indices[0] is not None and indices[0].dtype not in (T.BOOL, T.UINT8):
        return op.Gather(x, cast(op, indices[0], T.INT64), axis=0)
    positions = _positions(op, x, indices)
    used = [i for i, p in enumerate(positions) if p is not None]
    if not used:
        return op.Identity(x)
    if len(used) == 1:
        return op.Gather(x, positions[used[0]], axis=used[0])
    order, joint = _front(op, x, positions)
    rows = op.GatherND(x if order == sorted(order) else op.Transpose(x, perm=order), joint)
    first, count = used[0], rank(joint) - 1
    if used != list(range(first, first + len(used))) or not first:
        return rows
    total = rank(rows)
    rest = list(range(count, total))
    return op.Transpose(rows, perm=[*rest[:first], *range(count), *rest[first:]])


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
    positions = _positions(op, x, indices)
    used = [i for i, p in enumerate(positions) if p is not None]
    order, joint = _front(op, x, positions)
    turned = x if order == sorted(order) else op.Transpose(x, perm=order)
    target = op.GatherND(turned, joint)
    first, count = used[0], rank(joint) - 1
    if used == list(range(first, first + len(used))) and first:
        total = rank(target)
        wide = total - rank(values)
        values = op.Unsqueeze(values, ints(*range(wide))) if wide > 0 else values
        values = op.Transpose(
            values, perm=[*range(first, first + count), *range(first), *range(first + count, total)]
        )
    spread = op.Expand(values, shape_tensor(op, target))
    made = op.ScatterND(turned, joint, spread, reduction="add" if accumulate else "none")
    return (
        made
        if order == sorted(order)
        else op.Transpose(made, perm=[order.index(i) for i in range(len(order))])
    )


@ops.op("aten::put")
def put(op, x, index, source, accumulate=False):
    flat = op.Reshape(x, ints(-1))
    places = op.Reshape(index, ints(-1))
    made = op.ScatterElements(
        flat, places, op.Reshape(source, ints(-1)), axis=0, reduction="add" if accumulate else "none"
    )
    return as_base(op, x, made)


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
    """The n-th true place gets the n-th element of the source."""
    mask = op.Expand(mask, shape_tensor(op, x))
    x = op.Expand(x, shape_tensor(op, mask))
    flat = op.Reshape(mask, ints(-1))
    order = op.Sub(op.CumSum(op.Cast(flat, to=7), np.array(0)), np.array(1))
    picked = op.Gather(op.Reshape(source, ints(-1)), op.Max(order, np.array(0)), axis=0)
    return as_base(op, x, op.Where(flat, picked, op.Reshape(x, ints(-1))))


@ops.op("aten::nonzero", "aten::argwhere")
def nonzero(op, x):
    if not rank(x):
        found = op.Transpose(op.NonZero(cast(op, op.Reshape(x, ints(1)), T.BOOL)), perm=[1, 0])
        return op.Gather(found, ints(), axis=1)
    return op.Transpose(op.NonZero(cast(op, x, T.BOOL)), perm=[1, 0])


@ops.op("aten::nonzero_numpy")
def nonzero_numpy(op, x):
    x = x if rank(x) else op.Reshape(x, ints(1))
    return _mask_places(op, cast(op, x, T.BOOL))


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
    return op.OneHot(x, np.array(known(num_classes, "num_classes")), ints(0, 1), axis=-1)


def _band(op: Any, x: ir.Value, diagonal: Any, upper: int) -> ir.Value:
    if x.dtype == T.BOOL:
        return op.Cast(op.Trilu(op.Cast(x, to=7), scalar(op, diagonal), upper=upper), to=9)
    return op.Trilu(x, scalar(op, diagonal), upper=upper)


@ops.op("aten::tril")
def tril(op, x, diagonal=0):
    return _band(op, x, diagonal, 0)


@ops.op("aten::triu")
def triu(op, x, diagonal=0):
    return _band(op, x, diagonal, 1)


def _indices(name: str) -> None:
    @ops.op(f"aten::{name}")
    def make(op, row, col, offset=0):
        made = getattr(np, name)(row, offset, col)
        return op.const(np.stack(made).astype(np.int64))


_indices("tril_indices")
_indices("triu_indices")


@views.op("aten::diagonal", "aten::linalg_diagonal")
def view_diagonal(op, x, offset=0, dim1=0, dim2=1):
    one, two = axis(x, dim1), axis(x, dim2)
    shape = static(x)
    rows = min(shape[one], shape[two] - offset) if offset >= 0 else min(shape[one] + offset, shape[two])
    rows = max(rows, 0)
    places = np.stack([np.arange(rows) + max(-offset, 0), np.arange(rows) + max(offset, 0)], -1)
    order = [one, two, *(i for i in range(len(shape)) if i not in (one, two))]
    found = op.GatherND(op.Transpose(x, perm=order), op.const(places))
    return op.Transpose(found, perm=[*range(1, len(shape) - 1), 0]) if len(shape) > 2 else found


@ops.op("aten::diag")
def diag(op, x, diagonal=0):
    return diag_embed(op, x, diagonal) if rank(x) == 1 else view_diagonal(op, x, diagonal)


@ops.op("aten::diag_embed")
def diag_embed(op, x, offset=0, dim1=-2, dim2=-1):
    size = static(x)[-1] + abs(offset)
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
    return select_back(op, x, src, dim, index)


@ops.op("aten::slice_scatter")
def slice_scatter(op, x, src, dim=0, start=None, end=None, step=1):
    return slice_back(op, x, src, dim, start, end, step)


@ops.op("aten::diagonal_scatter")
def diagonal_scatter(op, x, src, offset=0, dim1=0, dim2=1):
    one, two = axis(x, dim1), axis(x, dim2)
    shape = static(x)
    rows = min(shape[one], shape[two] - offset) if offset >= 0 else min(shape[one] + offset, shape[two])
    places = np.stack([np.arange(rows) + max(-offset, 0), np.arange(rows) + max(offset, 0)], -1)
    order = [one, two, *(i for i in range(len(shape)) if i not in (one, two))]
    back = [order.index(i) for i in range(len(order))]
    first = op.Transpose(src, perm=[rank(src) - 1, *range(rank(src) - 1)])
    return op.Transpose(op.ScatterND(op.Transpose(x, perm=order), op.const(places), first), perm=back)


@ops.op("aten::repeat_interleave")
def repeat_interleave(op, x=None, repeats=None, dim=None, output_size=None):
    """Every element, or slice along `dim`, several times in a row."""
    if x is None:
        return repeated_places(op, repeats)
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
        wide = op.Tile(wide, sizes(op, [1] * (at + 1) + [repeats] + [1] * (rank(x) - at - 1)))
        parts = size_list(op, x)
        return reshape_keeping_empty(op, wide, [*parts[:at], -1, *parts[at + 1 :]])
    if counts is not None and isinstance(size, int):
        return op.Gather(x, op.const(np.repeat(np.arange(size), counts.reshape(-1))), axis=at)
    return op.Gather(x, repeated_places(op, repeats), axis=at)


def repeated_places(op: Any, repeats: ir.Value) -> ir.Value:
    """The index of every element as often as `repeats` says: how many elements have ended before each place."""
    ends = op.CumSum(cast(op, repeats, T.INT64), np.array(0))
    total = op.ReduceMax(op.Concat(ints(0), ends, axis=0), keepdims=1)
    none = op.Expand(np.array(0), op.Add(total, ints(1)))
    starts = op.ScatterElements(none, ends, op.Expand(np.array(1), op.Shape(ends)), axis=0, reduction="add")
    return op.CumSum(op.Slice(starts, ints(0), total, ints(0)), np.array(0))
