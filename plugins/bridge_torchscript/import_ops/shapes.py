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
from bridge_torchscript.import_ops.common import T, axes, axis, cast, length, rank, sizes
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
    """A view or a copy, as the tensor lies in memory: `shares(base, made, arguments)` is None where that cannot be told."""

    shares: Callable[[Any, Any, dict[str, Any]], bool | None]
    inverse: Any = None


class Views:
    """Registers in a family's table operators whose result shares memory with their first argument."""

    def __init__(self, table: OpTable) -> None:
        self.table = table

    def op(self, *names: str, inverse: Any = None) -> Callable:
        """Register the decorated handler for `names`.

        `inverse(op, base, new, …)` is the base's value after a write to the view; without it none is read.
        """
        VIEWS.update(dict.fromkeys(names, inverse))
        return self.table.op(*names)


views = Views(ops)


def size_list(op: Any, x: ir.Value) -> list[Any]:
    """The shape as ints and run-time ints."""
    return [length(op, x, i) for i in range(rank(x))]


def as_base(op: Any, base: ir.Value, new: ir.Value, *args: Any, **kwargs: Any) -> ir.Value:
    """The same elements in the base's shape."""
    return op.Reshape(new, sizes(op, size_list(op, base)))


def unchanged(op: Any, base: ir.Value, new: ir.Value, *args: Any, **kwargs: Any) -> ir.Value:
    return new


def shaped(op: Any, x: ir.Value, shape: Any) -> ir.Value:
    """Reshape with lengths that may be known at run time alone."""
    parts = list(shape)
    if not all(isinstance(p, int) for p in parts) and rank(x) == len(parts):
        same = [isinstance(p, Sym) and _is_length(p, x, i) for i, p in enumerate(parts)]
        parts = [0 if s else p for s, p in zip(same, parts, strict=True)]
    zeros = any(p == 0 for p in shape if isinstance(p, int))
    made = op.Reshape(x, sizes(op, parts), allowzero=1 if zeros else None)
    if shape_of(made) is None:
        made.shape = ir.Shape(_lengths(x, list(shape)))
    return made


def _lengths(x: ir.Value, shape: list[Any]) -> list[int | None]:
    """What is known of the lengths asked for; a -1 among them is what the others leave."""
    dims = [p if isinstance(p, int) and p >= 0 else None for p in shape]
    if x.shape is None:
        return dims
    left: list[Any] = list(x.shape)
    for part in shape:
        if isinstance(part, Sym):
            kept = [i for i in range(len(left)) if left[i] is not None and _is_length(part, x, i)]
            if not kept:
                return dims
            left[kept[0]] = None
    rest = [d for d in left if d is not None]
    known_ = [d for d in dims if d is not None]
    if -1 in shape and all(isinstance(d, int) for d in rest) and np.prod(known_):
        dims[shape.index(-1)] = int(np.prod(rest)) // int(np.prod(known_))
    return dims


def reshape_keeping_empty(op: Any, x: ir.Value, shape: list[Any]) -> ir.Value:
    """Reshape that holds for no elements too: the length left open is counted, and is 0 where another one is."""
    given = [p for p in shape if not (isinstance(p, int) and p == -1)]
    parts = list(shape)
    if len(given) < len(shape):
        total = op.Max(op.ReduceProd(sizes(op, given), keepdims=1), ints(1))
        rest = op.Div(op.Reshape(op.Size(x), ints(1)), total)
        parts[parts.index(-1)] = Sym(op.Reshape(rest, ints()))
    made = op.Reshape(x, sizes(op, parts), allowzero=1)
    made.shape = ir.Shape([p if isinstance(p, int) else None for p in parts])
    return made


def _is_length(part: Sym, x: ir.Value, index: int) -> bool:
    made = part.value.producer()
    made = made.inputs[0].producer() if made is not None and made.op_type == "Squeeze" else None
    return (
        made is not None
        and made.op_type == "Shape"
        and made.inputs[0] is x
        and made.attributes.get_int("start", 0) == index
    )


@views.op("aten::view", "aten::_unsafe_view", inverse=as_base)
def view_(op, x, size=None, dtype=None):
    if size is None:
        raise Unsupported("reads bits as another dtype")
    return shaped(op, x, size)


@views.op("aten::reshape", inverse=None)
def reshape(op, x, shape):
    return shaped(op, x, shape)


@views.op("aten::view_as", inverse=as_base)
def view_as(op, x, other):
    return shaped(op, x, size_list(op, other))


@views.op("aten::reshape_as", inverse=None)
def reshape_as(op, x, other):
    return shaped(op, x, size_list(op, other))


@views.op("aten::flatten", inverse=as_base)
def flatten(op, x, start_dim=0, end_dim=-1):
    if rank(x) == 0:
        return op.Reshape(x, ints(1))
    first, last = axis(x, start_dim), axis(x, end_dim)
    parts = size_list(op, x)
    if all(isinstance(p, int) for p in parts):
        return op.Reshape(
            x,
            ints(*parts[:first], int(np.prod(parts[first : last + 1])), *parts[last + 1 :]),
            allowzero=1 if 0 in parts else None,
        )
    merged = parts[first : last + 1]
    total = math.prod(merged) if all(isinstance(p, int) for p in merged) else -1
    return shaped(op, x, [*parts[:first], total, *parts[last + 1 :]])


@views.op("aten::ravel", inverse=None)
def ravel(op, x):
    return flatten(op, x)


@views.op("aten::unflatten", inverse=as_base)
def unflatten(op, x, dim, sizes):
    parts, at = size_list(op, x), axis(x, dim)
    return shaped(op, x, [*parts[:at], *sizes, *parts[at + 1 :]])


@views.op("aten::squeeze", inverse=as_base)
def squeeze(op, x, dim=None):
    shape = x.shape
    every = list(range(rank(x)))
    wanted = (
        every
        if dim is None
        else [axis(x, d) for d in ([dim] if isinstance(dim, int) else dim)]
        if every
        else []
    )
    if any(not isinstance(shape[a], int) for a in wanted):
        if dim is None:
            raise Unsupported("drops dimensions whose lengths are known at run time alone")
        ones = [a for a in wanted if shape[a] == 1]
        if len(ones) != len(wanted):
            raise Unsupported("drops a dimension whose length is known at run time alone")
    gone = [a for a in wanted if shape[a] == 1] if rank(x) else []
    return op.Squeeze(x, ints(*gone)) if gone else op.Identity(x)


@views.op("aten::unsqueeze", inverse=as_base)
def unsqueeze(op, x, dim):
    return op.Unsqueeze(x, ints(axis(x, dim, 1)))


def _permuted_back(op: Any, base: ir.Value, new: ir.Value, dims: Any) -> ir.Value:
    order = axes(base, dims)
    return op.Transpose(new, perm=[order.index(i) for i in range(len(order))])


@views.op("aten::permute", inverse=_permuted_back)
def permute(op, x, dims):
    return op.Transpose(x, perm=[axis(x, d) for d in dims]) if rank(x) else op.Identity(x)


def _swapped_back(op: Any, base: ir.Value, new: ir.Value, dim0: int, dim1: int) -> ir.Value:
    return transpose(op, new, dim0, dim1)


@views.op("aten::transpose", "aten::swapaxes", "aten::swapdims", inverse=_swapped_back)
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
    inverse=lambda op, base, new: _last_two(op, new),
)
def t(op, x):
    return _last_two(op, x)


def _last_two(op: Any, x: ir.Value) -> ir.Value:
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
    rest = iter(i for i in range(count) if i not in one)
    return op.Transpose(x, perm=[next(rest) if o < 0 else o for o in order])


@views.op("aten::expand", inverse=None)
def expand(op, x, size, implicit=False):
    extra = len(size) - rank(x)
    parts = []
    for index, part in enumerate(size):
        own = x.shape[index - extra] if index >= extra else None
        parts.append(
            1
            if isinstance(part, int) and part == -1
            else part
            if own is None or own == 1 or not isinstance(own, int)
            else own
        )
    return op.Expand(x, sizes(op, parts))


@views.op("aten::expand_as", inverse=None)
def expand_as(op, x, other):
    return op.Expand(x, sizes(op, size_list(op, other)))


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
    made = []
    for index, value in enumerate(flat):
        shape = [1] * count
        shape[order[index]] = -1
        made.append(op.Expand(op.Reshape(value, ints(*shape)), sizes(op, lengths)))
    return made


@ops.op("aten::repeat")
def repeat(op, x, repeats):
    extra = len(repeats) - rank(x)
    if extra:
        x = op.Unsqueeze(x, ints(*range(extra)))
    return op.Tile(x, sizes(op, repeats)) if repeats else op.Identity(x)


@ops.op("aten::tile")
def tile(op, x, dims):
    dims = [1] * (rank(x) - len(dims)) + list(dims)
    return repeat(op, x, dims)
