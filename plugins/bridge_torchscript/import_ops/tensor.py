"""Shapes and views."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import shape_of
from bridge.importing import ints, shape_tensor
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import T, axes, axis, cast, length, lengths_vector, rank
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()

VIEWS: dict[str, Any] = {}
INPLACE: dict[str, str] = {
    "aten::zero_": "aten::zeros_like",
    "aten::fill_": "aten::fill",
    "aten::copy_": "aten::copy_into",
    "aten::__iadd__": "aten::add",
    "aten::__isub__": "aten::sub",
    "aten::__imul__": "aten::mul",
    "aten::__idiv__": "aten::div",
    "aten::__iand__": "aten::__and__",
    "aten::__ior__": "aten::__or__",
    "aten::_index_put_impl_": "aten::index_put",
}


@dataclass(frozen=True)
class MayCopy:
    """Inverse of a result that is a view or a copy, depending on memory layout.

    `shares(base, result, arguments)` is True for a view, False for a copy, None if unknown.
    """

    shares: Callable[[Any, Any, dict[str, Any]], bool | None]
    inverse: Any = None


class Views:
    """Registry, in a family's table, of operators whose result shares memory with the first argument."""

    def __init__(self, table: OpTable) -> None:
        self.table = table

    def op(self, *names: str, inverse: Any = None) -> Callable:
        """Register the decorated handler for `names`.

        `inverse(op, base, new, …)` returns the base's value after a write to the view. Without it such writes
        are refused.
        """
        VIEWS.update(dict.fromkeys(names, inverse))
        return self.table.op(*names)


views = Views(ops)


def size_list(op: Any, x: ir.Value) -> list[Any]:
    """Shape as ints and run-time ints."""
    return [length(op, x, i) for i in range(rank(x))]


def reshape_to_base(op: Any, base: ir.Value, new: ir.Value, *args: Any, **kwargs: Any) -> ir.Value:
    """Value of the base after a write to a reshaped view: `new` in the base's shape."""
    return op.Reshape(new, lengths_vector(op, size_list(op, base)))


def identity_back(op: Any, base: ir.Value, new: ir.Value, *args: Any, **kwargs: Any) -> ir.Value:
    """Value of the base after a write to a view of the same shape."""
    return new


def reshape_to(op: Any, x: ir.Value, shape: Any) -> ir.Value:
    """Reshape to lengths that may be run-time ints."""
    lengths = list(shape)
    if not all(isinstance(p, int) for p in lengths) and rank(x) == len(lengths):
        is_copied = [isinstance(p, Sym) and _is_length(p, x, i) for i, p in enumerate(lengths)]
        lengths = [0 if s else p for s, p in zip(is_copied, lengths, strict=True)]
    zeros = any(p == 0 for p in shape if isinstance(p, int))
    result = op.Reshape(x, lengths_vector(op, lengths), allowzero=1 if zeros else None)
    if shape_of(result) is None:
        result.shape = ir.Shape(_inferred_lengths(x, list(shape)))
    return result


def _inferred_lengths(x: ir.Value, shape: list[Any]) -> list[int | None]:
    """Known output lengths of a Reshape; -1 is inferred from the others."""
    dims = [p if isinstance(p, int) and p >= 0 else None for p in shape]
    if x.shape is None:
        return dims
    unmatched_dims: list[Any] = list(x.shape)
    for part in shape:
        if isinstance(part, Sym):
            matches = [
                i
                for i in range(len(unmatched_dims))
                if unmatched_dims[i] is not None and _is_length(part, x, i)
            ]
            if not matches:
                return dims
            unmatched_dims[matches[0]] = None
    unmatched = [d for d in unmatched_dims if d is not None]
    known = [d for d in dims if d is not None]
    if -1 in shape and all(isinstance(d, int) for d in unmatched) and np.prod(known):
        dims[shape.index(-1)] = int(np.prod(unmatched)) // int(np.prod(known))
    return dims


def reshape_keeping_empty(op: Any, x: ir.Value, shape: list[Any]) -> ir.Value:
    """Reshape that also holds for empty tensors: the length -1 is computed, and is 0 if another length is."""
    fixed = [p for p in shape if not (isinstance(p, int) and p == -1)]
    lengths = list(shape)
    if len(fixed) < len(shape):
        total = op.Max(op.ReduceProd(lengths_vector(op, fixed), keepdims=1), ints(1))
        inferred = op.Div(op.Reshape(op.Size(x), ints(1)), total)
        lengths[lengths.index(-1)] = Sym(op.Reshape(inferred, ints()))
    result = op.Reshape(x, lengths_vector(op, lengths), allowzero=1)
    result.shape = ir.Shape([p if isinstance(p, int) else None for p in lengths])
    return result


def _is_length(part: Sym, x: ir.Value, index: int) -> bool:
    """True if `part` is dimension `index` of `x`."""
    node = part.value.producer()
    node = node.inputs[0].producer() if node is not None and node.op_type == "Squeeze" else None
    return (
        node is not None
        and node.op_type == "Shape"
        and node.inputs[0] is x
        and node.attributes.get_int("start", 0) == index
    )


@views.op("aten::view", "aten::_unsafe_view", inverse=reshape_to_base)
def view_(op, x, size=None, dtype=None):
    if size is None:
        raise Unsupported("reads bits as another dtype")
    return reshape_to(op, x, size)


@views.op("aten::reshape", inverse=None)
def reshape(op, x, shape):
    return reshape_to(op, x, shape)


@views.op("aten::view_as", inverse=reshape_to_base)
def view_as(op, x, other):
    return reshape_to(op, x, size_list(op, other))


@views.op("aten::reshape_as", inverse=None)
def reshape_as(op, x, other):
    return reshape_to(op, x, size_list(op, other))


@views.op("aten::flatten", inverse=reshape_to_base)
def flatten(op, x, start_dim=0, end_dim=-1):
    if rank(x) == 0:
        return op.Reshape(x, ints(1))
    first, last = axis(x, start_dim), axis(x, end_dim)
    lengths = size_list(op, x)
    if all(isinstance(p, int) for p in lengths):
        return op.Reshape(
            x,
            ints(*lengths[:first], int(np.prod(lengths[first : last + 1])), *lengths[last + 1 :]),
            allowzero=1 if 0 in lengths else None,
        )
    merged = lengths[first : last + 1]
    total = math.prod(merged) if all(isinstance(p, int) for p in merged) else -1
    return reshape_to(op, x, [*lengths[:first], total, *lengths[last + 1 :]])


@views.op("aten::ravel", inverse=None)
def ravel(op, x):
    return flatten(op, x)


@views.op("aten::unflatten", inverse=reshape_to_base)
def unflatten(op, x, dim, sizes):
    lengths, at = size_list(op, x), axis(x, dim)
    return reshape_to(op, x, [*lengths[:at], *sizes, *lengths[at + 1 :]])


@views.op("aten::squeeze", inverse=reshape_to_base)
def squeeze(op, x, dim=None):
    shape = x.shape
    every = list(range(rank(x)))
    dims = (
        every
        if dim is None
        else [axis(x, d) for d in ([dim] if isinstance(dim, int) else dim)]
        if every
        else []
    )
    if any(not isinstance(shape[a], int) for a in dims):
        if dim is None:
            raise Unsupported("drops dimensions whose lengths are known at run time alone")
        ones = [a for a in dims if shape[a] == 1]
        if len(ones) != len(dims):
            raise Unsupported("drops a dimension whose length is known at run time alone")
    unit_dims = [a for a in dims if shape[a] == 1] if rank(x) else []
    return op.Squeeze(x, ints(*unit_dims)) if unit_dims else op.Identity(x)


@views.op("aten::unsqueeze", inverse=reshape_to_base)
def unsqueeze(op, x, dim):
    return op.Unsqueeze(x, ints(axis(x, dim, 1)))


def _permute_back(op: Any, base: ir.Value, new: ir.Value, dims: Any) -> ir.Value:
    order = axes(base, dims)
    return op.Transpose(new, perm=[order.index(i) for i in range(len(order))])


@views.op("aten::permute", inverse=_permute_back)
def permute(op, x, dims):
    return op.Transpose(x, perm=[axis(x, d) for d in dims]) if rank(x) else op.Identity(x)


def _transpose_back(op: Any, base: ir.Value, new: ir.Value, dim0: int, dim1: int) -> ir.Value:
    return transpose(op, new, dim0, dim1)


@views.op("aten::transpose", "aten::swapaxes", "aten::swapdims", inverse=_transpose_back)
def transpose(op, x, dim0=0, dim1=0, axis0=None, axis1=None):
    dim0, dim1 = (axis0 if axis0 is not None else dim0), (axis1 if axis1 is not None else dim1)
    if not rank(x):
        return op.Identity(x)
    order = list(range(rank(x)))
    a, b = axis(x, dim0), axis(x, dim1)
    order[a], order[b] = order[b], order[a]
    return op.Transpose(x, perm=order)


@views.op(
    "aten::t",
    "aten::numpy_T",
    "aten::mT",
    "aten::adjoint",
    "aten::mH",
    "aten::matrix_H",
    inverse=lambda op, base, new: _transpose_matrix(op, new),
)
def t(op, x):
    return _transpose_matrix(op, x)


def _transpose_matrix(op: Any, x: ir.Value) -> ir.Value:
    order = list(range(rank(x)))
    order[-2:] = order[-2:][::-1]
    return op.Transpose(x, perm=order) if len(order) > 1 else op.Identity(x)


@views.op("aten::movedim", "aten::moveaxis")
def movedim(op, x, source, destination):
    count = rank(x)
    if not count:
        return op.Identity(x)
    one, two = axes(x, source), axes(x, destination)
    order = [-1] * count
    for a, b in zip(one, two, strict=True):
        order[b] = a
    others = iter(i for i in range(count) if i not in one)
    return op.Transpose(x, perm=[next(others) if o < 0 else o for o in order])


@views.op("aten::expand", inverse=None)
def expand(op, x, size, implicit=False):
    extra = len(size) - rank(x)
    lengths = []
    for index, requested in enumerate(size):
        in_len = x.shape[index - extra] if index >= extra else None
        lengths.append(
            1
            if isinstance(requested, int) and requested == -1
            else requested
            if in_len is None or in_len == 1 or not isinstance(in_len, int)
            else in_len
        )
    return op.Expand(x, lengths_vector(op, lengths))


@views.op("aten::expand_as", inverse=None)
def expand_as(op, x, other):
    return op.Expand(x, lengths_vector(op, size_list(op, other)))


@ops.op("aten::broadcast_to")
def broadcast_to(op, x, size):
    return expand(op, x, size)


@ops.op("aten::broadcast_tensors")
def broadcast_tensors(op, tensors):
    shape = shape_tensor(op, tensors[0])
    total = tensors[0]
    for other in tensors[1:]:
        total = op.Add(cast(op, total, T.FLOAT), cast(op, other, T.FLOAT))
    return [op.Expand(v, shape_tensor(op, total) if len(tensors) > 1 else shape) for v in tensors]


@ops.op("aten::meshgrid")
def meshgrid(op, tensors, indexing="ij"):
    count = len(tensors)
    flat = [v if rank(v) else op.Reshape(v, ints(1)) for v in tensors]
    order = list(range(count))
    if indexing == "xy" and count > 1:
        order[0], order[1] = 1, 0
    lengths = [length(op, flat[order.index(i)], 0) for i in range(count)]
    grids = []
    for index, value in enumerate(flat):
        shape = [1] * count
        shape[order[index]] = -1
        grids.append(op.Expand(op.Reshape(value, ints(*shape)), lengths_vector(op, lengths)))
    return grids


@ops.op("aten::repeat")
def repeat(op, x, repeats):
    extra = len(repeats) - rank(x)
    if extra:
        x = op.Unsqueeze(x, ints(*range(extra)))
    return op.Tile(x, lengths_vector(op, repeats)) if repeats else op.Identity(x)


@ops.op("aten::tile")
def tile(op, x, dims):
    dims = [1] * (rank(x) - len(dims)) + list(dims)
    return repeat(op, x, dims)
