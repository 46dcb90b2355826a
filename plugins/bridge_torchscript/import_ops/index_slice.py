"""Slices, rows and splits. Writes to a view are written back to its base."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    axis,
    cast,
    dims_of,
    int64_scalar,
    length,
    lengths_vector,
    rank,
    static_value,
)
from bridge_torchscript.import_ops.tensor import Views
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()
views = Views(ops)


def _replace_slice(op: Any, base: ir.Value, new: ir.Value, dim: int, start: Any, end: Any) -> ir.Value:
    """`base` with `new` in the range start…end of a dimension."""
    pieces = []
    if not (isinstance(start, int) and start == 0):
        pieces.append(op.Slice(base, ints(0), lengths_vector(op, [start]), ints(dim)))
    pieces.append(new)
    pieces.append(op.Slice(base, lengths_vector(op, [end]), ints(2**62), ints(dim)))
    return op.Concat(*pieces, axis=dim)


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
    """Value of the base after `new` was written to a slice of it."""
    at = axis(base, dim)
    low, high = _bounds(op, base, at, start, end)
    if step == 1 and isinstance(dims_of(base)[at], int):
        return _replace_slice(op, base, new, at, low, high)
    positions = op.Range(np.array(0), int64_scalar(op, length(op, base, at)), np.array(1))
    indices = op.Slice(positions, lengths_vector(op, [low]), lengths_vector(op, [high]), ints(0), ints(step))
    return _scatter_rows(op, base, new, at, indices)


def _scatter_rows(op: Any, base: ir.Value, new: ir.Value, at: int, indices: ir.Value) -> ir.Value:
    order = [at, *(i for i in range(rank(base)) if i != at)]
    rows = op.ScatterND(
        op.Transpose(base, perm=order), op.Unsqueeze(indices, ints(1)), op.Transpose(new, perm=order)
    )
    return op.Transpose(rows, perm=[order.index(i) for i in range(len(order))])


@views.op("aten::slice", inverse=slice_back)
def slice_(op, x, dim=0, start=None, end=None, step=1):
    at = axis(x, dim)
    low, high = _bounds(op, x, at, start, end)
    if isinstance(low, int) and low == 0 and high == x.shape[at] and step == 1:
        return op.Identity(x)
    return op.Slice(
        x, lengths_vector(op, [low]), lengths_vector(op, [high]), ints(at), ints(static_value(step, "step"))
    )


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
    end = op.Add(int64_scalar(op, start), int64_scalar(op, length))
    return op.Slice(x, lengths_vector(op, [start]), op.Reshape(end, ints(1)), ints(at))


def select_back(op: Any, base: ir.Value, new: ir.Value, dim: int, index: Any) -> ir.Value:
    """Value of the base after `new` was written to one index of a dimension."""
    at = axis(base, dim)
    size = dims_of(base)[at]
    if isinstance(index, int) and isinstance(size, int):
        index %= size
        return _replace_slice(op, base, op.Unsqueeze(new, ints(at)), at, index, index + 1)
    return _scatter_rows(op, base, op.Unsqueeze(new, ints(at)), at, lengths_vector(op, [index]))


@views.op("aten::select", inverse=select_back)
def select(op, x, dim, index):
    return op.Gather(x, int64_scalar(op, index), axis=axis(x, dim))


def _split_back(
    op: Any, base: ir.Value, new: ir.Value, index: int, dim: int = 0, **split_arguments: Any
) -> ir.Value:
    at = axis(base, dim)
    bounds = np.cumsum([0, *_split_sizes(base, at, **split_arguments)])
    return _replace_slice(op, base, new, at, int(bounds[index]), int(bounds[index + 1]))


def _split_sizes(
    x: ir.Value, at: int, split_size: Any = None, split_sizes: Any = None, chunks: Any = None
) -> list[int]:
    if split_sizes is not None:
        return [int(static_value(s, "lengths")) for s in split_sizes]
    if isinstance(split_size, list):
        return [int(static_value(s, "lengths")) for s in split_size]
    size = dims_of(x)[at]
    if not isinstance(size, int):
        raise Unsupported("splits a dimension whose length is known at run time alone")
    step = (
        static_value(split_size, "length")
        if split_size is not None
        else max(-(-size // static_value(chunks, "chunks")), 1)
    )
    if size == 0:
        return [0] * (1 if chunks is None else chunks)
    return [min(step, size - i) for i in range(0, size, step)]


def split_into(op: Any, x: ir.Value, at: int, counts: list[Any]) -> list[ir.Value]:
    if len(counts) == 1:
        return [op.Identity(x)]
    return list(op.Split(x, lengths_vector(op, counts), axis=at, _outputs=len(counts)))


@views.op(
    "aten::split",
    "aten::split_with_sizes",
    inverse=_split_back,
)
def split(op, x, split_size=None, dim=0, split_sizes=None):
    at = axis(x, dim)
    lengths = split_sizes if split_sizes is not None else split_size
    if isinstance(lengths, list) and any(isinstance(v, Sym) for v in lengths):
        return split_into(op, x, at, lengths)
    return split_into(op, x, at, _split_sizes(x, at, split_size, split_sizes))


@views.op("aten::chunk", inverse=_split_back)
def chunk(op, x, chunks, dim=0):
    at = axis(x, dim)
    return split_into(op, x, at, _split_sizes(x, at, chunks=chunks))


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
    step, remainder = divmod(size, sections)
    return split_into(op, x, at, [step + (i < remainder) for i in range(sections)])


def _register_axis_split(name: str, default: int) -> None:
    @views.op(f"aten::{name}")
    def divide(op, x, sections=None, indices=None):
        dim = default if name != "hsplit" or rank(x) > 1 else 0
        return tensor_split(op, x, sections, indices, dim)


_register_axis_split("hsplit", 1)
_register_axis_split("vsplit", 0)
_register_axis_split("dsplit", 2)


def _unbind_back(op: Any, base: ir.Value, new: ir.Value, index: int, dim: int = 0) -> ir.Value:
    return select_back(op, base, new, dim, index)


@views.op("aten::unbind", inverse=_unbind_back)
def unbind(op, x, dim=0):
    at = axis(x, dim)
    size = dims_of(x)[at]
    if not isinstance(size, int):
        raise Unsupported("takes apart a dimension whose length is known at run time alone")
    return [op.Gather(x, np.array(i), axis=at) for i in range(size)]


@views.op("aten::unsafe_split", "aten::unsafe_chunk")
def unsafe_split(op, x, split_size=None, dim=0, chunks=None):
    return split(op, x, split_size, dim) if chunks is None else chunk(op, x, chunks, dim)
