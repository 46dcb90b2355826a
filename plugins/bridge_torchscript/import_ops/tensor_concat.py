"""Concatenation, stacking, flips and rolls."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import shape_of
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import axes, axis, cast, promote, rank, result_type, static_shape
from bridge_torchscript.import_ops.tensor import meshgrid, reshape_to_base, transpose
from bridge_torchscript.values import Sequence, Unsupported

ops = OpTable()
MOST_ROWS = 2**20


@ops.op("aten::cat", "aten::concat", "aten::concatenate")
def cat(op, tensors, dim=0):
    if isinstance(tensors, Sequence):
        return tensors.concat(op, dim, stacked=False)
    values = [v for v in tensors if shape_of(v) != [0]] or list(tensors[:1])
    dtype = result_type(*tensors)
    values = [cast(op, v, dtype) for v in values]
    return op.Concat(*values, axis=axis(values[0], dim)) if len(values) > 1 else op.Identity(values[0])


@ops.op("aten::stack")
def stack(op, tensors, dim=0):
    if isinstance(tensors, Sequence):
        return tensors.concat(op, dim, stacked=True)
    values = promote(op, *tensors)
    at = axis(values[0], dim, 1)
    return op.Concat(*(op.Unsqueeze(v, ints(at)) for v in values), axis=at)


def _at_least(op: Any, x: ir.Value, count: int) -> ir.Value:
    have = rank(x)
    if have >= count:
        return op.Identity(x)
    if count == 3 and have == 1:
        return op.Unsqueeze(x, ints(0, 2))
    if count == 3 and have == 2:
        return op.Unsqueeze(x, ints(2))
    return op.Reshape(x, ints(*[1] * (count - 1), -1))


def register_atleast(count: int) -> None:
    @ops.op(f"aten::atleast_{count}d")
    def widen(op, x=None, tensors=None):
        return _at_least(op, x, count) if tensors is None else [_at_least(op, v, count) for v in tensors]


for count in (1, 2, 3):
    register_atleast(count)


@ops.op("aten::hstack")
def hstack(op, tensors):
    wide = [_at_least(op, v, 1) for v in tensors]
    return cat(op, wide, 0 if rank(wide[0]) == 1 else 1)


@ops.op("aten::vstack", "aten::row_stack")
def vstack(op, tensors):
    return cat(op, [_at_least(op, v, 2) for v in tensors], 0)


@ops.op("aten::dstack")
def dstack(op, tensors):
    return cat(op, [_at_least(op, v, 3) for v in tensors], 2)


@ops.op("aten::column_stack")
def column_stack(op, tensors):
    return cat(op, [op.Reshape(v, ints(-1, 1)) if rank(v) < 2 else v for v in tensors], 1)


@ops.op("aten::block_diag")
def block_diag(op, tensors):
    matrices = [_at_least(op, v, 2) for v in promote(op, *tensors)]
    shapes = [shape_of(m) for m in matrices]
    if any(s is None for s in shapes):
        raise Unsupported("needs tensors of static shape")
    width, done, rows = sum(s[1] for s in shapes), 0, []
    for matrix, shape in zip(matrices, shapes, strict=True):
        rows.append(op.Pad(matrix, ints(0, done, 0, width - done - shape[1])))
        done += shape[1]
    return op.Concat(*rows, axis=0) if len(rows) > 1 else rows[0]


@ops.op("aten::flip")
def flip(op, x, dims):
    at = axes(x, dims) if dims else []
    count = len(at)
    return (
        op.Slice(x, ints(*[-1] * count), ints(*[-(2**62)] * count), ints(*at), ints(*[-1] * count))
        if count
        else op.Identity(x)
    )


@ops.op("aten::fliplr")
def fliplr(op, x):
    return flip(op, x, [1])


@ops.op("aten::flipud")
def flipud(op, x):
    return flip(op, x, [0])


@ops.op("aten::rot90")
def rot90(op, x, k=1, dims=(0, 1)):
    k %= 4
    a, b = axes(x, list(dims))
    if k == 2:
        return flip(op, x, [a, b])
    if k == 0:
        return op.Identity(x)
    return transpose(op, flip(op, x, [b]), a, b) if k == 1 else flip(op, transpose(op, x, a, b), [b])


@ops.op("aten::roll")
def roll(op, x, shifts, dims=()):
    shifts = [shifts] if isinstance(shifts, int) else shifts
    if not dims:
        flat = op.Reshape(x, ints(-1))
        return reshape_to_base(op, x, roll(op, flat, shifts, [0]), None)
    for shift, dim in zip(shifts, [dims] if isinstance(dims, int) else dims, strict=True):
        at = axis(x, dim)
        size = x.shape[at] if rank(x) else 1
        if isinstance(size, int):
            shift = shift % size if size else 0
        if shift:
            pieces = (
                op.Slice(x, ints(-shift), ints(2**62), ints(at)),
                op.Slice(x, ints(0), ints(-shift), ints(at)),
            )
            x = op.Concat(*pieces, axis=at)
    return op.Identity(x)


@ops.op("aten::fft_fftshift")
def fftshift(op, x, dim=None):
    return _half_rolled(op, x, dim, lambda n: n // 2)


@ops.op("aten::fft_ifftshift")
def ifftshift(op, x, dim=None):
    return _half_rolled(op, x, dim, lambda n: (n + 1) // 2)


def _half_rolled(op: Any, x: ir.Value, dim: Any, shift: Callable[[int], int]) -> ir.Value:
    shape, chosen = static_shape(x), axes(x, dim)
    return roll(op, x, [shift(shape[i]) for i in chosen], chosen) if chosen else op.Identity(x)


@ops.op("aten::cartesian_prod")
def cartesian_prod(op, tensors):
    """Rows of one element of each vector, the last changing fastest."""
    if len(tensors) == 1:
        return op.Identity(tensors[0])
    columns = [op.Reshape(grid, ints(-1, 1)) for grid in meshgrid(op, promote(op, *tensors))]
    return op.Concat(*columns, axis=1)


@ops.op("aten::combinations")
def combinations(op, x, r=2, with_replacement=False):
    (count,) = static_shape(x)
    chosen = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(itertools.islice(chosen(range(count), r), MOST_ROWS + 1))
    if len(rows) > MOST_ROWS:
        raise Unsupported(f"makes more than {MOST_ROWS:,} rows")
    return op.Gather(x, op.const(np.array(rows, np.int64).reshape(-1, r)))
