"""Elements of the small integer tensors that shapes are computed with, by operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.inputs.linear import Linear, number

if TYPE_CHECKING:
    from bridge.inputs.shapes import Dims, Shapes

__all__ = ["DATA", "SMALL", "shape_data"]

SMALL = 64
"""Elements of a tensor that is looked into, at most."""


def shape_data(s: Shapes, node: ir.Node) -> Dims | None:
    x = s.dims(node.inputs[0])
    return None if x is None else x[hub.attr(node, "start") or 0 : hub.attr(node, "end")]


def _first(s: Shapes, node: ir.Node) -> Dims | None:
    return s.data(node.inputs[0])


def _data_gather(s: Shapes, node: ir.Node) -> Dims | None:
    elements, indices = s.data(node.inputs[0]), s.ints(node.inputs[1])
    return None if elements is None or indices is None else [elements[i] for i in indices]


def _data_slice(s: Shapes, node: ir.Node) -> Dims | None:
    elements = s.data(node.inputs[0])
    bounds = [s.ints(v) for v in node.inputs[1:3]]
    steps = s.ints(hub.input_at(node, 4)) or [1]
    if elements is None or bounds[0] is None or bounds[1] is None:
        return None
    return elements[bounds[0][0] : bounds[1][0] : steps[0]]


def _data_concat(s: Shapes, node: ir.Node) -> Dims | None:
    parts: Dims = []
    for value in (v for v in node.inputs if v is not None):
        part = s.data(value)
        dims = s.dims(value)
        if part is None and (not dims or dims[0] is None or dims[0].whole is None):
            return None
        parts += part if part is not None else [None] * int(dims[0].whole or 0)  # type: ignore[index, union-attr]
    return parts


def _pairs(s: Shapes, node: ir.Node) -> list[tuple[Linear | None, Linear | None]] | None:
    one, other = s.data(node.inputs[0]), s.data(node.inputs[1])
    if not one or not other:
        return None
    count = max(len(one), len(other))
    return list(zip(one * (count // len(one)), other * (count // len(other)), strict=True))


def _data_of(
    compute: Callable[[Shapes, Linear, Linear], Linear | None],
) -> Callable[[Shapes, ir.Node], Dims | None]:
    def data(s: Shapes, node: ir.Node) -> Dims | None:
        pairs = _pairs(s, node)
        if pairs is None:
            return None
        return [None if a is None or b is None else compute(s, a, b) for a, b in pairs]

    return data


def _divided(s: Shapes, a: Linear, b: Linear) -> Linear | None:
    if not b.whole:
        return None
    return number(int(a.whole / b.whole)) if a.whole is not None else s.quotient(a, b.whole)


def _equality(s: Shapes, a: Linear, b: Linear) -> Linear | None:
    """1 or 0; a length is no number below one."""
    if a.whole is not None and b.whole is not None:
        return number(int(a.whole == b.whole))
    constants = [x.whole for x in (a, b) if x.whole is not None]
    return number(0) if constants and constants[0] < 1 else None


def _data_where(s: Shapes, node: ir.Node) -> Dims | None:
    parts = [s.data(v) for v in node.inputs]
    if None in parts:
        return None
    count = max(len(p or []) for p in parts)
    columns = zip(*[(p or []) * (count // len(p or [0])) for p in parts], strict=True)
    return [None if c is None or c.whole is None else a if c.whole else b for c, a, b in columns]


def _data_filled(s: Shapes, node: ir.Node) -> Dims | None:
    shape, value = s.ints(node.inputs[0]), hub.attr(node, "value")
    if shape is None or math.prod(shape) > SMALL:
        return None
    element = 0 if value is None else np.ravel(value.numpy())[0]
    return [number(int(element))] * math.prod(shape)


def _data_product(s: Shapes, node: ir.Node) -> Dims | None:
    return [s.product(s.data(node.inputs[0]) or [None])]


def _data_size(s: Shapes, node: ir.Node) -> Dims | None:
    return [s.product(s.dims(node.inputs[0]) or [None])]


def _data_range(s: Shapes, node: ir.Node) -> Dims | None:
    bounds = [s.ints(v) for v in node.inputs]
    if None in bounds:
        return None
    found = range(*(b[0] for b in bounds if b))
    return [number(i) for i in found] if len(found) <= SMALL else None


DATA: dict[str, Callable[[Shapes, ir.Node], Dims | None]] = {
    **dict.fromkeys(["Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"], _first),
    "Add": _data_of(lambda s, a, b: a + b), "Sub": _data_of(lambda s, a, b: a - b),
    "Mul": _data_of(lambda s, a, b: s.product([a, b])), "Div": _data_of(_divided),
    "Equal": _data_of(_equality), "Shape": shape_data, "Gather": _data_gather, "Slice": _data_slice,
    "Concat": _data_concat,
    "Where": _data_where, "ConstantOfShape": _data_filled, "ReduceProd": _data_product, "Size": _data_size,
    "Range": _data_range,
}  # fmt: skip
"""Elements of small integer results: what shapes are computed with."""
