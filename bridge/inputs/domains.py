"""Values an input may have, by what reads it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.inputs.lengths import Setting
from bridge.inputs.shapes import Shapes
from bridge.traits import MOVES_DATA, REDUCTION, is_a

__all__ = ["Domain", "domain_of"]

CARRIES = MOVES_DATA | {"Cast", "CastLike", "Identity"}
DEPTH = 24
FLOAT_BOUNDS = {
    ("Log", 0): (0.05, 0.95),
    ("Sqrt", 0): (0.05, 2.0),
    ("Acos", 0): (-0.95, 0.95),
    ("Asin", 0): (-0.95, 0.95),
    ("Atanh", 0): (-0.95, 0.95),
    ("Acosh", 0): (1.05, 3.0),
    ("Bernoulli", 0): (0.0, 1.0),
    ("Dropout", 1): (0.1, 0.9),
    ("GridSample", 1): (-1.0, 1.0),
    ("Pow", 0): (0.1, 2.0),
    ("BatchNormalization", 4): (0.1, 2.0),
    ("QuantizeLinear", 1): (0.01, 0.1),
    ("DequantizeLinear", 1): (0.01, 0.1),
    ("Clip", 1): (-1.0, -0.2),
    ("Clip", 2): (0.2, 1.0),
    ("Resize", 2): (2.0, 2.0),
    ("Reciprocal", 0): (0.5, 2.0),
    ("Div", 1): (0.5, 2.0),
    ("Mod", 1): (0.5, 2.0),
}
"""Where operators that read a float are defined, or far from where they are not."""

WHOLE_BOUNDS = {
    ("BitShift", 1): (0, 3), ("ConstantOfShape", 0): (1, 3), ("CumSum", 1): (0, 0), ("DFT", 1): (4, 4),
    ("Div", 1): (1, 4), ("Dropout", 2): (0, 0), ("Expand", 1): (1, 1), ("Loop", 0): (1, 4),
    ("Mod", 1): (1, 4), ("NonMaxSuppression", 2): (2, 4), ("OneHot", 1): (5, 8), ("Pad", 1): (0, 1),
    ("Range", 1): (4, 7), ("Range", 2): (1, 1), ("STFT", 1): (1, 2), ("Slice", 1): (0, 0),
    ("Slice", 4): (1, 1), ("Tile", 1): (1, 2), ("TopK", 1): (1, 1),
}  # fmt: skip
"""The lowest and the highest integer that an operator takes at this place."""

KEYS = ("keys_strings", "cats_strings", "keys_int64s", "cats_int64s", "string_vocabulary", "int64_vocabulary")


@dataclass(frozen=True)
class Domain:
    """Values an input may have: from `low` to `high`, `high` among them; different ones along the axis
    `along`, or different places in `grid`; one of `choices`; `exact` where only these numbers go with the
    rest; in every row of a `mask` one."""

    low: float | None = None
    high: float | None = None
    along: int | None = None
    grid: tuple[int, ...] = ()
    choices: tuple[Any, ...] = ()
    exact: tuple[float, ...] = ()
    mask: bool = False

    def within(self, low: float | None, high: float | None) -> Domain:
        """This, and no number beyond these bounds."""
        lows = [n for n in (self.low, low) if n is not None]
        highs = [n for n in (self.high, high) if n is not None]
        return replace(self, low=max(lows, default=None), high=min(highs, default=None))


@dataclass(frozen=True)
class Use:
    """A place at which an operator reads a value, after it was `moved` or not; `data` are the lengths of the
    operator's first input, `count` that of the value's only dimension."""

    node: ir.Node
    index: int
    moved: bool
    shapes: Shapes
    setting: Setting
    count: int = 0
    data: list[int | None] = field(default_factory=list)

    def at(self, index: int) -> list[int | None]:
        """Lengths of another input."""
        return self.shapes.lengths(hub.input_at(self.node, index), self.setting) or []

    def axis(self, name: str = "axis") -> int:
        return int(hub.attr(self.node, name) or 0) % max(len(self.data), 1)


Ask = Callable[[Domain, Use], Domain]


def domain_of(value: ir.Value, shapes: Shapes, setting: Setting) -> Domain:
    """The domain that all that reads `value` agrees on."""
    name = (value.name or "").lower()
    domain = Domain(mask="mask" in name and "position" not in name)
    is_float = value.dtype is not None and value.dtype.is_floating_point()
    dims = shapes.lengths(value, setting) or []
    for node, index, moved in _readers(value):
        data = shapes.lengths(node.inputs[0], setting) if node.inputs else None
        use = Use(node, index, moved, shapes, setting, dims[0] or 0 if len(dims) == 1 else 0, data or [])
        ask = ASKS.get(node.op_type) if not node.domain else None
        if node.domain == "ai.onnx.ml":
            domain = _classical(domain, use)
        elif ask is not None and not (is_float and ask not in FOR_FLOATS):
            domain = ask(domain, use)
        elif not node.domain:
            domain = _bounded(domain, use, is_float)
    return domain


def _readers(value: ir.Value, moved: bool = False, depth: int = 0) -> Iterator[tuple[ir.Node, int, bool]]:
    """All that reads the elements of `value`, through what only moves or casts them; whether it moved."""
    for use in value.uses() if depth < DEPTH else ():
        yield use.node, use.idx, moved
        if is_a(use.node, CARRIES) and (use.idx == 0 or use.node.op_type == "Concat"):
            for output in use.node.outputs:
                changed = moved or use.node.op_type not in ("Cast", "Identity")
                yield from _readers(output, changed, depth + 1)


def _bounded(domain: Domain, use: Use, is_float: bool) -> Domain:
    table: dict[tuple[str, int], tuple[float, float]] = FLOAT_BOUNDS if is_float else WHOLE_BOUNDS  # type: ignore[assignment]
    low, high = table.get((use.node.op_type, use.index), (None, None))
    return domain if low is None or (not is_float and domain.low is not None) else domain.within(low, high)


def _indices(domain: Domain, use: Use) -> Domain:
    """Places along an axis; different ones where they are written to."""
    if use.index != 1 or not use.data:
        return domain
    axis = use.axis()
    length = use.data[axis]
    domain = domain if length is None else domain.within(0, max(length - 1, 0))
    return (
        replace(domain, along=-1 if use.moved else axis) if use.node.op_type == "ScatterElements" else domain
    )


def _coordinates(domain: Domain, use: Use) -> Domain:
    """Places in a grid; different ones where they are written to."""
    if use.index != 1 or not use.data:
        return domain
    first = use.axis("batch_dims") if use.node.op_type == "GatherND" else 0
    depth = (use.at(1) or [None])[-1]
    reached = use.data[first : first + (depth or len(use.data))]
    known = tuple(n for n in reached if n is not None)
    if use.node.op_type == "ScatterND" and not use.moved and len(known) == len(reached):
        return replace(domain, grid=known)
    return domain.within(0, max(min(known, default=1) - 1, 0))


def _classes(domain: Domain, use: Use) -> Domain:
    """Classes of a one-hot vector."""
    if use.index:
        return _bounded(domain, use, False)
    depth = use.shapes.data(use.node.inputs[1])
    known = depth[0].whole if depth and depth[0] is not None else None
    return domain.within(0, (known or 5) - 1)


def _sequence_lengths(domain: Domain, use: Use) -> Domain:
    """Lengths of sequences, from 1 to the longest."""
    reverse = use.node.op_type == "ReverseSequence"
    if use.index != (1 if reverse else 4) or not use.data:
        return domain
    time = use.axis("time_axis") if reverse else int(bool(hub.attr(use.node, "layout")))
    return domain.within(1, use.data[time] or 1)


def _condition(domain: Domain, use: Use) -> Domain:
    chooses = use.index == (1 if use.node.op_type == "Compress" else 0)
    return replace(domain, mask=domain.mask or domain.low is None) if chooses else domain


def _equal(domain: Domain, use: Use) -> Domain:
    """The constants that a scalar is compared with, or a table that every element is looked up in."""
    compared = hub.const(use.node.inputs[1 - use.index])
    value = use.node.inputs[use.index]
    if compared is None or value is None or value.shape is None:
        return domain
    if compared.size > 1 or not len(value.shape):
        return replace(domain, choices=(*domain.choices, *np.unique(compared).tolist()))
    return domain


def _ordered(domain: Domain, use: Use) -> Domain:
    """Lengths that positions are compared with."""
    other = use.node.inputs[1 - use.index]
    return domain.within(1, 3) if other is not None and _counts_up(other) else domain


def _counts_up(value: ir.Value) -> bool:
    """True for positions 0, 1, 2, …"""
    for _ in range(DEPTH):
        node, array = value.producer(), hub.const(value)
        if array is not None:
            return array.size > 1 and np.array_equal(array.ravel(), np.arange(array.size))
        if node is None or node.op_type == "Range":
            return node is not None
        if not is_a(node, CARRIES) or node.inputs[0] is None:
            return False
        value = node.inputs[0]
    return False


def _axes(domain: Domain, use: Use) -> Domain:
    """Axes from the first on, each once."""
    return replace(domain, exact=tuple(range(use.count))) if use.index == 1 else domain


def _slice(domain: Domain, use: Use) -> Domain:
    if use.index == 2 and use.data:
        return domain.within(2, max([n for n in use.data if n is not None], default=2))
    return replace(domain, exact=tuple(range(use.count))) if use.index == 3 else _bounded(domain, use, False)


def _reshape(domain: Domain, use: Use) -> Domain:
    """A shape of as many elements."""
    known = [n or 1 for n in use.data]
    if use.index != 1 or use.moved or not use.count or None in use.data:
        return domain
    if use.count >= len(known):
        return replace(domain, exact=(*known, *[1] * (use.count - len(known))))
    return replace(domain, exact=(*known[: use.count - 1], math.prod(known[use.count - 1 :])))


def _split(domain: Domain, use: Use) -> Domain:
    """Parts that make up the whole."""
    length = use.data[use.axis()] if use.data else None
    if use.index != 1 or not length or not use.count:
        return domain
    part = length // use.count
    return replace(domain, exact=(*[part] * (use.count - 1), length - part * (use.count - 1)))


def _resize(domain: Domain, use: Use) -> Domain:
    """Twice the spatial dimensions."""
    if use.index not in (2, 3) or use.count != len(use.data) or None in use.data:
        return domain
    factors = [1 if i < 2 < len(use.data) else 2 for i in range(use.count)]
    sizes = [f * (n or 1) for f, n in zip(factors, use.data, strict=True)]
    return replace(domain, exact=tuple(factors if use.index == 2 else sizes))


def _batch_indices(domain: Domain, use: Use) -> Domain:
    return domain.within(0, (use.data[0] or 1) - 1) if use.index == 2 and use.data else domain


def _subtracted(domain: Domain, use: Use) -> Domain:
    """Probabilities, where the logarithm of 1 - x is taken."""
    base = hub.const(use.node.inputs[0])
    logarithm = any(u.node.op_type == "Log" for u in use.node.outputs[0].uses())
    is_rest = use.index == 1 and logarithm and base is not None and bool(np.all(base == 1))
    return domain.within(*FLOAT_BOUNDS["Log", 0]) if is_rest else domain


def _power(domain: Domain, use: Use) -> Domain:
    """Bases of powers that are no whole numbers."""
    power = hub.const(hub.input_at(use.node, 1))
    whole = power is None or bool(np.all(power == np.round(power)))
    return domain if use.index or whole else domain.within(*FLOAT_BOUNDS["Pow", 0])


def _classical(domain: Domain, use: Use) -> Domain:
    """Keys of maps, terms of vocabularies, places of features."""
    if use.node.op_type == "ArrayFeatureExtractor" and use.index == 1:
        return domain.within(0, (use.data[-1] or 1) - 1) if use.data else domain
    keys = next((found for name in KEYS if (found := hub.attr(use.node, name))), ())
    table = hub.attr(use.node, "keys_tensor")
    keys = keys if table is None else np.ravel(table.numpy()).tolist()
    known = tuple(k.decode() if isinstance(k, bytes) else k for k in keys)
    return replace(domain, choices=tuple(k for k in known if k != "") or known or domain.choices)


FOR_FLOATS: tuple[Ask, ...] = (_subtracted, _power, _resize)
ASKS: dict[str, Ask] = {
    **dict.fromkeys(["Gather", "GatherElements", "ScatterElements"], _indices),
    **dict.fromkeys(["GatherND", "ScatterND"], _coordinates),
    **dict.fromkeys(["LSTM", "GRU", "RNN", "ReverseSequence"], _sequence_lengths),
    **dict.fromkeys(["Where", "Compress"], _condition),
    **dict.fromkeys(["Less", "LessOrEqual", "Greater", "GreaterOrEqual"], _ordered),
    **dict.fromkeys(["Unsqueeze", "Squeeze", *REDUCTION], _axes),
    "OneHot": _classes, "Equal": _equal, "Slice": _slice, "Reshape": _reshape, "Split": _split,
    "Resize": _resize, "RoiAlign": _batch_indices, "Sub": _subtracted, "Pow": _power,
}  # fmt: skip
"""What operators ask of the values they read, where more than bounds tells it."""
