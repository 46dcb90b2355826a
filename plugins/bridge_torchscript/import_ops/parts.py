"""Parts of a tensor: slices, rows, splits. A write to one goes back to the tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, axis, cast, dims_of, known, length, rank, scalar, sizes
from bridge_torchscript.import_ops.shapes import Views
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()
views = Views(ops)


def _placed(op: Any, base: ir.Value, new: ir.Value, dim: int, start: Any, end: Any) -> ir.Value:
    """`base` with `new` at start…end of a dimension."""
    parts = []
    if not (isinstance(start, int) and start == 0):
        parts.append(op.Slice(base, ints(0), sizes(op, [start]), ints(dim)))
    parts.append(new)
    parts.append(op.Slice(base, sizes(op, [end]), ints(2**62), ints(dim)))
    return op.Concat(*parts, axis=dim)


def _bounds(op: Any, x: ir.Value, dim: int, start: Any, end: Any) -> tuple[Any, Any]:
    size = dims_of(x)[dim]
    start, end = 0 if start is None else start, 2**62 if end is None else end
    if isinstance(size, int) and isinstance(start, int) and isinstance(end, int):
        low, high, _ = slice(start, end).indices(size)
        return low, max(high, low)
    return start, end


def slice_back(
    op: Any, base: ir.Value, new: ir.Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> ir.Value:
    at = axis(base, dim)
    low, high = _bounds(op, base, at, start, end)
    if step == 1 and isinstance(dims_of(base)[at], int):
        return _placed(op, base, new, at, low, high)
    every = op.Range(np.array(0), scalar(op, length(op, base, at)), np.array(1))
    places = op.Slice(every, sizes(op, [low]), sizes(op, [high]), ints(0), ints(step))
    return _set_places(op, base, new, at, places)


def _set_places(op: Any, base: ir.Value, new: ir.Value, at: int, places: ir.Value) -> ir.Value:
    order = [at, *(i for i in range(rank(base)) if i != at)]
    rows = op.ScatterND(
        op.Transpose(base, perm=order), op.Unsqueeze(places, ints(1)), op.Transpose(new, perm=order)
    )
    return op.Transpose(rows, perm=[order.index(i) for i in range(len(order))])


@views.op("aten::slice", inverse=slice_back)
def slice_(op, x, dim=0, start=None, end=None, step=1):
    at = axis(x, dim)
    low, high = _bounds(op, x, at, start, end)
    if isinstance(low, int) and low == 0 and high == x.shape[at] and step == 1:
        return op.Identity(x)
    return op.Slice(x, sizes(op, [low]), sizes(op, [high]), ints(at), ints(known(step, "step")))


def _narrow_back(op: Any, base: ir.Value, new: ir.Value, dim: int, start: Any, length: Any) -> ir.Value:
    end = start + length if isinstance(start, int) and isinstance(length, int) else None
    if end is None:
        raise Unsupported("writes to a part whose place is known at run time alone")
    return slice_back(op, base, new, dim, start, end if start >= 0 or end else 2**62)


@views.op("aten::narrow", inverse=_narrow_back)
def narrow(op, x, dim, start, length):
    at = axis(x, dim)
    if isinstance(start, ir.Value):
        start = Sym(cast(op, op.Reshape(start, ints()), T.INT64))
    if isinstance(start, int) and isinstance(length, int):
        start = start + x.shape[at] if start < 0 else start
        return op.Slice(x, ints(start), ints(start + length), ints(at))
    end = op.Add(scalar(op, start), scalar(op, length))
    return op.Slice(x, sizes(op, [start]), op.Reshape(end, ints(1)), ints(at))


def select_back(op: Any, base: ir.Value, new: ir.Value, dim: int, index: Any) -> ir.Value:
    at = axis(base, dim)
    size = dims_of(base)[at]
    if isinstance(index, int) and isinstance(size, int):
        index %= size
        return _placed(op, base, op.Unsqueeze(new, ints(at)), at, index, index + 1)
    return _set_places(op, base, op.Unsqueeze(new, ints(at)), at, sizes(op, [index]))


@views.op("aten::select", inverse=select_back)
def select(op, x, dim, index):
    return op.Gather(x, scalar(op, index), axis=axis(x, dim))


def _part_back(op: Any, base: ir.Value, new: ir.Value, index: int, dim: int = 0, **sizes_: Any) -> ir.Value:
    at = axis(base, dim)
    bounds = np.cumsum([0, *_part_sizes(base, at, **sizes_)])
    return _placed(op, base, new, at, int(bounds[index]), int(bounds[index + 1]))


def _part_sizes(
    x: ir.Value, at: int, split_size: Any = None, split_sizes: Any = None, chunks: Any = None
) -> list[int]:
    if split_sizes is not None:
        return [int(known(s, "lengths")) for s in split_sizes]
    if isinstance(split_size, list):
        return [int(known(s, "lengths")) for s in split_size]
    size = dims_of(x)[at]
    if not isinstance(size, int):
        raise Unsupported("splits a dimension whose length is known at run time alone")
    step = (
        known(split_size, "length") if split_size is not None else max(-(-size // known(chunks, "chunks")), 1)
    )
    if size == 0:
        return [0] * (1 if chunks is None else chunks)
    return [min(step, size - i) for i in range(0, size, step)]


def split_into(op: Any, x: ir.Value, at: int, counts: list[Any]) -> list[ir.Value]:
    if len(counts) == 1:
        return [op.Identity(x)]
    return list(op.Split(x, sizes(op, counts), axis=at, _outputs=len(counts)))


@views.op(
    "aten::split",
    "aten::split_with_sizes",
    inverse=_part_back,
)
def split(op, x, split_size=None, dim=0, split_sizes=None):
    at = axis(x, dim)
    lengths = split_sizes if split_sizes is not None else split_size
    if isinstance(lengths, list) and any(isinstance(v, Sym) for v in lengths):
        return split_into(op, x, at, lengths)
    return split_into(op, x, at, _part_sizes(x, at, split_size, split_sizes))


@views.op("aten::chunk", inverse=_part_back)
def chunk(op, x, chunks, dim=0):
    at = axis(x, dim)
    return split_into(op, x, at, _part_sizes(x, at, chunks=chunks))


@views.op("aten::tensor_split")
def tensor_split(op, x, sections=None, indices=None, dim=0, tensor_indices_or_sections=None):
    at = axis(x, dim)
    size = dims_of(x)[at]
    if isinstance(tensor_indices_or_sections, ir.Value):
        array = const(tensor_indices_or_sections)
        if array is None:
            raise Unsupported("splits where is known at run time alone")
        sections, indices = (int(array), None) if array.ndim == 0 else (None, [int(i) for i in array])
    if not isinstance(size, int):
        raise Unsupported("splits a dimension whose length is known at run time alone")
    if indices is not None:
        edges = [slice(0, i).indices(size)[1] for i in indices]
        return [
            op.Slice(x, ints(a), ints(max(b, a)), ints(at))
            for a, b in zip([0, *edges], [*edges, size], strict=True)
        ]
    step, rest = divmod(size, sections)
    return split_into(op, x, at, [step + (i < rest) for i in range(sections)])


def _halves(name: str, default: int) -> None:
    @views.op(f"aten::{name}")
    def divide(op, x, sections=None, indices=None):
        dim = default if name != "hsplit" or rank(x) > 1 else 0
        return tensor_split(op, x, sections, indices, dim)


_halves("hsplit", 1)
_halves("vsplit", 0)
_halves("dsplit", 2)


def _row_back(op: Any, base: ir.Value, new: ir.Value, index: int, dim: int = 0) -> ir.Value:
    return select_back(op, base, new, dim, index)


@views.op("aten::unbind", inverse=_row_back)
def unbind(op, x, dim=0):
    at = axis(x, dim)
    size = dims_of(x)[at]
    if not isinstance(size, int):
        raise Unsupported("takes apart a dimension whose length is known at run time alone")
    return [op.Gather(x, np.array(i), axis=at) for i in range(size)]


@views.op("aten::unsafe_split", "aten::unsafe_chunk")
def unsafe_split(op, x, split_size=None, dim=0, chunks=None):
    return split(op, x, split_size, dim) if chunks is None else chunk(op, x, chunks, dim)
