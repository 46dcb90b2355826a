"""Elements of small integer tensors as sums: of constants, lengths, and what nothing more is known of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.inputs.linear import Linear, number, variable
from bridge.traits import ELEMENTWISE

__all__ = ["difference", "elements", "length"]

SMALL = 64
DEPTH = 64
FAR = 2**31 - 1


def elements(value: ir.Value | None, depth: int = DEPTH) -> np.ndarray | None:
    """The elements of a tensor of integers, in its shape, each a bridge.inputs.linear.Linear; None for a
    tensor that is large or of unknown shape. Two elements that are the same sum are equal in every run."""
    if value is None or value.dtype is None or not value.dtype.is_integer():
        return None
    known = const(value)
    if known is not None:
        return _objects(known.shape, map(number, map(int, known.ravel()))) if known.size <= SMALL else None
    node, sizes = value.producer(), shape_of(value)
    rule = RULES.get(node.op_type) if node is not None and not node.domain and depth else None
    if node is not None and rule is not None:
        try:
            found = rule(node, lambda v: elements(v, depth - 1))
        except (ValueError, IndexError, TypeError):
            found = None
        if found is not None:
            return found
    if sizes is None or np.prod(sizes) > SMALL:
        return None
    return _objects(sizes, (variable(f"{id(value)}[{i}]") for i in range(int(np.prod(sizes)))))


def difference(one: Linear, other: Linear) -> int | None:
    """The number by which `one` is larger, where that is known."""
    return (one - other).whole


def length(value: ir.Value, axis: int) -> Linear:
    """A dimension of a tensor. One that an operator hands on is the dimension of its input."""
    while True:
        dim = None if value.shape is None else value.shape[axis]
        if isinstance(dim, int):
            return number(dim)
        node = value.producer()
        counted = _counted(node)
        source = None if node is None or node.domain else _source(node, axis)
        if counted is not None or source is None:
            return counted or variable(f"{id(value)}.{axis}")
        value, axis = source


def _counted(node: ir.Node | None) -> Linear | None:
    """The number of elements of a Range from 0 to a length."""
    if node is None or node.op_type != "Range" or node.domain:
        return None
    start, step, limit = const(node.inputs[0]), const(node.inputs[2]), elements(node.inputs[1])
    if start is None or start != 0 or step is None or step != 1 or limit is None:
        return None
    count = limit.item()
    single = len(count.terms) == 1 and not count.constant and next(iter(count.terms))[1] == 1
    return count if single and "." in next(iter(count.names)) else None


def _source(node: ir.Node, axis: int) -> tuple[ir.Value, int] | None:
    """The input and the dimension of it that dimension `axis` of the result is."""
    x = input_at(node, 0)
    if x is None:
        return None
    rank = rank_of(x)
    if node.op_type in ELEMENTWISE:
        return x, axis
    if rank is None:
        return None
    if node.op_type == "Slice":
        return (x, axis) if _keeps_length(node, axis, rank) else None
    if node.op_type == "Transpose":
        return x, (attr(node, "perm") or list(range(rank))[::-1])[axis]
    axes = const(input_at(node, 1))
    if node.op_type == "Unsqueeze" and axes is not None:
        added = {int(a) % (rank + len(axes)) for a in axes}
        return None if axis in added else (x, axis - sum(a < axis for a in added))
    if node.op_type == "Squeeze" and axes is not None:
        return x, [i for i in range(rank) if i not in {int(a) % rank for a in axes}][axis]
    return None


def _keeps_length(node: ir.Node, axis: int, rank: int) -> bool:
    """True if a Slice takes all of a dimension, forwards or backwards."""
    starts, ends, axes, steps = (const(input_at(node, i)) for i in range(1, 5))
    if axes is None or starts is None or ends is None:
        return False
    found = [i for i, a in enumerate(axes) if int(a) % rank == axis]
    step = 1 if steps is None or not found else int(steps[found[0]])
    bounds = [(int(starts[i]), int(ends[i])) for i in found]
    return all(
        (step == 1 and start == 0 and end >= FAR) or (step == -1 and start == -1 and end <= -FAR)
        for start, end in bounds
    )


def _objects(shape: Any, items: Any) -> np.ndarray:
    array = np.empty(tuple(shape), object)
    array.ravel()[:] = list(items)
    return array


def _first(node: ir.Node, read: Any) -> Any:
    return read(node.inputs[0])


def _shape(node: ir.Node, read: Any) -> Any:
    rank = rank_of(node.inputs[0])
    if rank is None:
        return None
    axes = range(rank)[attr(node, "start") or 0 : attr(node, "end")]
    return _objects([len(axes)], (length(node.inputs[0], axis) for axis in axes))  # type: ignore[arg-type]


def _reshaped(node: ir.Node, read: Any) -> Any:
    items, shape = read(node.inputs[0]), shape_of(node.outputs[0])
    return None if items is None or shape is None else items.reshape(shape)


def _single(node: ir.Node, read: Any) -> Any:
    items = read(node.inputs[0])
    return _objects(shape_of(node.outputs[0]) or (), items.ravel()) if items.size == 1 else None


def _concat(node: ir.Node, read: Any) -> Any:
    return np.concatenate([read(v) for v in node.inputs], axis=attr(node, "axis"))


def _transpose(node: ir.Node, read: Any) -> Any:
    return read(node.inputs[0]).transpose(attr(node, "perm"))


def _gather(node: ir.Node, read: Any) -> Any:
    items, indices = read(node.inputs[0]), const(node.inputs[1])
    return None if items is None or indices is None else np.take(items, indices, axis=attr(node, "axis"))


def _slice(node: ir.Node, read: Any) -> Any:
    items, given = read(node.inputs[0]), [input_at(node, i) for i in range(1, 5)]
    rows = [None if v is None else const(v) for v in given]
    if items is None or any(row is None and v is not None for row, v in zip(rows, given, strict=True)):
        return None
    starts, ends, axes, steps = rows
    assert starts is not None
    assert ends is not None
    axes = np.arange(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    if (steps < 0).any():
        return None
    cut: list[Any] = [slice(None)] * items.ndim
    for axis, *row in zip(axes, starts, ends, steps, strict=True):
        cut[int(axis)] = slice(*map(int, row))
    return items[tuple(cut)]


def _pairwise(combine: Callable[[Linear, Linear], Linear | None]) -> Callable[[ir.Node, Any], Any]:
    def rule(node: ir.Node, read: Any) -> Any:
        sides = [read(v) for v in node.inputs]
        if any(s is None for s in sides):
            return None
        pairs = np.broadcast(*sides)
        found = [combine(a, b) for a, b in pairs]
        return None if None in found else _objects(pairs.shape, found)

    return rule


def _times(a: Linear, b: Linear) -> Linear | None:
    if a.terms and b.terms:
        return None
    return a.times(b.constant) if a.terms else b.times(a.constant)


RULES: dict[str, Callable[[ir.Node, Any], Any]] = {
    **dict.fromkeys(["Reshape", "Squeeze", "Unsqueeze"], _reshaped),
    **dict.fromkeys(["Cast", "Identity"], _first),
    **dict.fromkeys([f"Reduce{kind}" for kind in ("Max", "Min", "Prod", "Sum")], _single),
    "Add": _pairwise(lambda a, b: a + b),
    "Concat": _concat,
    "Gather": _gather,
    "Mul": _pairwise(_times),
    "Shape": _shape,
    "Slice": _slice,
    "Sub": _pairwise(lambda a, b: a - b),
    "Transpose": _transpose,
}
