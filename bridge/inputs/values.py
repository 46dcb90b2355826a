"""Values for a model's inputs, from what reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidInput, InvalidOption
from bridge.facts import COREML_IMAGE, TFLITE_TENSOR
from bridge.inputs.lengths import Lengths, Setting
from bridge.inputs.shapes import Shapes
from bridge.traits import MOVES_DATA, RESHAPES, is_a

__all__ = ["Ranges", "inputs_at", "random_inputs"]

Ranges = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of inputs, by name."""

FEW = 2
CARRIES = MOVES_DATA | {"Cast", "CastLike", "Identity"}
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
    ("Div", 1): (1, 4), ("Mod", 1): (1, 4), ("Range", 1): (4, 7), ("Range", 2): (1, 1), ("OneHot", 1): (5, 8),
    ("Loop", 0): (1, 4), ("TopK", 1): (1, 1), ("Tile", 1): (1, 2), ("ConstantOfShape", 0): (1, 3),
    ("Expand", 1): (1, 1), ("Slice", 1): (0, 0), ("Slice", 4): (1, 1), ("NonMaxSuppression", 2): (2, 4),
    ("BitShift", 1): (0, 3), ("DFT", 1): (4, 4), ("STFT", 1): (1, 2),
}  # fmt: skip
"""The lowest and the highest integer that an operator takes at this place."""

ORDERED = frozenset(["Less", "LessOrEqual", "Greater", "GreaterOrEqual"])


@dataclass
class Domain:
    """Values an input may have: from `low` to `high`, `high` among them; `distinct` along the axis
    `along`, or for all coordinates of `grid` where an element is a place in it; one of `choices`."""

    low: float | None = None
    high: float | None = None
    along: int | None = None
    grid: list[int] = field(default_factory=list)
    choices: list[Any] = field(default_factory=list)
    mask: bool = False
    counts: bool = False

    def within(self, low: float | None, high: float | None) -> Domain:
        """This, and no number beyond these bounds."""
        lows = [n for n in (self.low, low) if n is not None]
        highs = [n for n in (self.high, high) if n is not None]
        return replace(self, low=max(lows, default=None), high=min(highs, default=None))


def random_inputs(
    model: ir.Model, seed: int = 0, dims: dict[str, int] | None = None, ranges: Ranges | None = None
) -> dict[str, Any]:
    """Arrays by input name that the graph can take: dtypes, shapes, and values from what reads them.

    Symbolic dimensions have the lengths `dims` gives by name, else 2 where the equations between them allow
    it, or as many features as a tree asks for. An input with a default value has that. Values are those of
    `ranges`; else floats are standard normal where every operator that reads them is defined there,
    integers are indices below what they index, masks, lengths, … Raises InvalidOption for a name of `dims`
    or `ranges` that no input has.
    """
    lengths = Lengths(model, dims)
    return inputs_at(lengths, lengths.smallest(), seed, ranges)


def inputs_at(lengths: Lengths, setting: Setting, seed: int, ranges: Ranges | None = None) -> dict[str, Any]:
    """Arrays by input name where dimensions have the lengths of `setting`. Raises as `random_inputs` does."""
    rng = np.random.default_rng(seed)
    unknown = set(ranges or ()) - {v.name for v in lengths.model.graph.inputs}
    if unknown:
        names = ", ".join(v.name or "" for v in lengths.model.graph.inputs)
        raise InvalidOption(f"range: no input is called {sorted(unknown)[0]!r}.", f"Inputs: {names}.")
    return {
        value.name or "": _drawn(value, lengths, setting, rng, (ranges or {}).get(value.name or ""))
        if value.const_value is None
        else value.const_value.numpy()
        for value in lengths.model.graph.inputs
    }


def _drawn(value: ir.Value, lengths: Lengths, setting: Setting, rng: np.random.Generator, stated: Any) -> Any:
    if not isinstance(value.type, ir.TensorType):
        raise InvalidInput(
            f"Input {value.name} is a {value.type}; random values are made for tensors only.", "Pass inputs."
        )
    shape = [d if isinstance(d, int) else setting[str(d.value)] for d in value.shape or ()]
    if (
        value.shape
        and not isinstance(value.shape[-1], int)
        and str(value.shape[-1].value) not in lengths.fixed
    ):
        shape[-1] = max([shape[-1], *_feature_counts(value)])
    dtype = value.dtype.numpy() if value.dtype else np.dtype(np.float32)
    domain = _domain(value, lengths, setting)
    stated = stated or _stated(value, lengths.model)
    if stated is not None:
        domain = Domain(low=stated[0], high=stated[1])
    if value.dtype == ir.DataType.STRING:
        return rng.choice(np.array(domain.choices or ["a", "b", "c"], object), shape)
    if dtype == np.bool_:
        drawn = rng.integers(0, 2, shape) if domain.low is None else np.full(shape, domain.low)
        return _masked(drawn, domain).astype(bool)
    if value.dtype is not None and value.dtype.is_integer():
        return _integers(value, shape, domain, rng).astype(dtype)
    if domain.choices:
        return rng.choice(np.array(domain.choices), shape).astype(dtype)
    drawn = rng.standard_normal(shape)
    if domain.low is not None and domain.high is not None:
        drawn = rng.uniform(domain.low, domain.high, shape)
    return np.asarray(_masked(drawn, domain)).astype(dtype)


def _stated(value: ir.Value, model: ir.Model) -> tuple[float, float] | None:
    """The range that the source states: pixels of an image, statistics in the metadata."""
    if COREML_IMAGE.of(value.name or "").get(model):
        return (0.0, 255.0)
    described = TFLITE_TENSOR.get(value)
    low, high = (
        ((described or {}).get(side) or [] for side in ("min", "max"))
        if isinstance(described, dict)
        else ([], [])
    )
    is_float = value.dtype is not None and value.dtype.is_floating_point()
    return (min(low), max(high)) if is_float and low and high and min(low) < max(high) else None


def _masked(drawn: Any, domain: Domain) -> Any:
    """No row of a mask is empty."""
    if domain.mask and drawn.ndim and drawn.shape[-1]:
        drawn[..., 0] = 1
    return drawn


def _integers(value: ir.Value, shape: list[int], domain: Domain, rng: np.random.Generator) -> np.ndarray:
    if domain.choices:
        return rng.choice(np.array(domain.choices), shape)
    if domain.grid and shape and shape[-1] <= len(domain.grid):
        return _places(domain.grid[: shape[-1]], shape, rng)
    if domain.low is None and domain.high is None and value.dtype in (ir.DataType.INT8, ir.DataType.UINT8):
        # What is quantized, or the bytes of an image
        info = np.iinfo(value.dtype.numpy())
        wide = any(use.node.op_type in ("DequantizeLinear", "Cast") for use in value.uses())
        return rng.integers(info.min, info.max + 1, shape) if wide else rng.integers(0, FEW, shape)
    low = 0 if domain.low is None else math.ceil(domain.low)
    high = max(low + FEW - 1 if domain.high is None else math.floor(domain.high), low)
    if domain.along is not None and shape and shape[domain.along] <= high - low + 1:
        every = [high - low + 1 if i == domain.along else n for i, n in enumerate(shape)]
        return low + np.take(
            np.argsort(rng.random(every), domain.along), np.arange(shape[domain.along]), domain.along
        )
    drawn = rng.integers(low, high + 1, shape)
    return np.sort(drawn) if domain.counts else _masked(drawn, domain)


def _places(grid: list[int], shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """Different places in a grid, [..., coordinates], as far as it has enough."""
    count, cells = math.prod(shape[:-1]), max(math.prod(grid), 1)
    flat = np.resize(rng.permutation(cells), count)
    return np.stack(np.unravel_index(flat, grid), -1).reshape(shape)


def _domain(value: ir.Value, lengths: Lengths, setting: Setting) -> Domain:
    """The domain that all that reads `value` agrees on."""
    domain = Domain(mask="mask" in (value.name or "").lower() and "position" not in (value.name or ""))
    is_float = value.dtype is not None and value.dtype.is_floating_point()
    for use, moved in _readers(value):
        domain = _asked(domain, use.node, use.idx, is_float, lengths.shapes, setting, value, moved)
    return domain


def _readers(value: ir.Value, moved: bool = False, depth: int = 0) -> Iterator[tuple[Any, bool]]:
    """All that reads the elements of `value`, through what only moves or casts them; whether it moved."""
    if depth > 24:
        return
    for use in value.uses():
        node = use.node
        yield use, moved
        first = use.idx == 0 or node.op_type == "Concat"
        if first and is_a(node, CARRIES):
            for output in node.outputs:
                yield from _readers(output, moved or node.op_type not in ("Cast", "Identity"), depth + 1)


def _asked(
    domain: Domain,
    node: ir.Node,
    index: int,
    is_float: bool,
    shapes: Shapes,
    setting: Setting,
    value: ir.Value,
    moved: bool,
) -> Domain:
    """The domain, narrowed to what `node` takes at the place `index`."""
    op = node.op_type
    if is_float:
        return _float_asked(domain, node, index)
    if node.domain == "ai.onnx.ml":
        return _classical_asked(domain, node, index, shapes, setting)
    if node.domain:
        return domain
    data = shapes.lengths(node.inputs[0], setting) if node.inputs else None
    if op in ("Gather", "GatherElements", "ScatterElements") and index == 1 and data:
        axis = int(hub.attr(node, "axis") or 0) % len(data)
        length = data[axis]
        domain = domain if length is None else domain.within(0, max(length - 1, 0))
        return replace(domain, along=axis if not moved else -1) if op == "ScatterElements" else domain
    if op in ("GatherND", "ScatterND") and index == 1 and data:
        batch = int(hub.attr(node, "batch_dims") or 0) if op == "GatherND" else 0
        indices = shapes.lengths(node.inputs[1], setting)
        depth = indices[-1] if indices else None
        reached = data[batch : batch + (depth or len(data))]
        known = [n for n in reached if n is not None]
        if op == "ScatterND" and not moved and len(known) == len(reached):
            return replace(domain, grid=known)
        return domain.within(0, max(min(known, default=1) - 1, 0))
    if op == "OneHot" and index == 0:
        depth_data = shapes.data(node.inputs[1])
        depth = depth_data[0].whole if depth_data and depth_data[0] is not None else None
        return domain.within(0, (depth or 5) - 1)
    if op in ("LSTM", "GRU", "RNN", "ReverseSequence") and index in (1, 4) and data:
        first = bool(hub.attr(node, "layout")) if op != "ReverseSequence" else False
        time = data[int(hub.attr(node, "time_axis") or 0)] if op == "ReverseSequence" else data[int(first)]
        return domain.within(1, time or 1)
    if op == "Where" and index == 0:
        return replace(domain, mask=domain.mask or domain.low is None)
    return _whole_asked(domain, node, index, data)


def _whole_asked(domain: Domain, node: ir.Node, index: int, data: list[int | None] | None) -> Domain:
    op = node.op_type
    if op == "Equal":
        compared = hub.const(node.inputs[1 - index])
        if compared is not None and compared.size == 1:
            target = compared.ravel()[0]
            scalar = not (node.inputs[index].shape or ())  # type: ignore[union-attr]
            return replace(domain, choices=[*domain.choices, target] if scalar else domain.choices)
        return domain
    if op in ORDERED and index in (0, 1):
        other = node.inputs[1 - index]
        return domain.within(1, 3) if other is not None and _counts_up(other) else domain
    if op == "Slice" and index == 2 and data:
        return domain.within(2, max([n for n in data if n is not None], default=2))
    if op in ("Slice", "Unsqueeze", "Squeeze", "Pad", "CumSum") and (op, index) not in WHOLE_BOUNDS and index:
        return domain.within(0, 1 if op == "Pad" else 0)
    if op == "Dropout" and index == 2:
        return domain.within(0, 0)
    low, high = WHOLE_BOUNDS.get((op, index), (None, None))
    return domain.within(low, high) if low is not None and domain.low is None else domain


def _counts_up(value: ir.Value) -> bool:
    """True for positions 0, 1, 2, …"""
    for _ in range(6):
        node = value.producer()
        if node is None:
            array = hub.const(value)
            return (
                array is not None and array.size > 1 and np.array_equal(array.ravel(), np.arange(array.size))
            )
        if node.op_type == "Range":
            return True
        if not is_a(node, CARRIES) or node.inputs[0] is None:
            return False
        value = node.inputs[0]
    return False


def _float_asked(domain: Domain, node: ir.Node, index: int) -> Domain:
    op = node.op_type
    if op == "Sub" and index == 1 and any(u.node.op_type == "Log" for u in node.outputs[0].uses()):
        base = hub.const(node.inputs[0])
        return domain.within(0.05, 0.95) if base is not None and np.all(base == 1) else domain
    if op in ("Gather", "OneHot") or node.domain:
        return domain
    if op == "Pow" and index == 0:
        power = hub.const(hub.input_at(node, 1))
        if power is None or np.all(power == np.round(power)):
            return domain
    if op == "Clip" and index == 0:
        return domain
    low, high = FLOAT_BOUNDS.get((op, index), (None, None))
    return domain if low is None else domain.within(low, high)


def _classical_asked(domain: Domain, node: ir.Node, index: int, shapes: Shapes, setting: Setting) -> Domain:
    """Keys of maps, terms of vocabularies, places of features."""
    if node.op_type == "ArrayFeatureExtractor" and index == 1:
        data = shapes.lengths(node.inputs[0], setting)
        return domain.within(0, (data[-1] or 1) - 1) if data else domain
    for name in ("keys_strings", "cats_strings", "keys_int64s", "cats_int64s", "string_vocabulary",
                 "int64_vocabulary"):  # fmt: skip
        keys = hub.attr(node, name)
        if keys:
            return replace(domain, choices=[k.decode() if isinstance(k, bytes) else k for k in keys])
    return domain


def _feature_counts(value: ir.Value) -> Iterator[int]:
    """Numbers of features that what reads `value` looks at."""
    for use in value.uses():
        node = use.node
        ids = hub.attr(node, "nodes_featureids")
        if ids:
            yield max(ids) + 1
        elif is_a(node, RESHAPES, {"Cast", "Identity"}) and use.idx == 0:
            yield from _feature_counts(node.outputs[0])
