"""Values for a model's inputs, from what reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidInput, InvalidOption
from bridge.facts import COREML_IMAGE, TFLITE_TENSOR
from bridge.inputs.domains import Domain, domain_of
from bridge.inputs.lengths import Lengths, Setting
from bridge.limits import require_memory
from bridge.traits import RESHAPES, is_a

__all__ = ["Ranges", "inputs_at", "random_inputs"]

Ranges = Mapping[str, tuple[float, float]]
"""The lowest and the highest value of inputs, by name."""

FEW = 2


def random_inputs(
    model: ir.Model, seed: int = 0, dims: dict[str, int] | None = None, ranges: Ranges | None = None
) -> dict[str, Any]:
    """Arrays by input name that the graph can take: dtypes, shapes, and values from what reads them.

    Symbolic dimensions have the lengths `dims` gives by name, else 2 where the equations between them allow
    it, or as many features as a tree asks for. An input with a default value has that. Values are those of
    `ranges`; else floats are standard normal where every operator that reads them is defined there,
    integers are indices below what they index, masks, lengths, … Raises InvalidOption for a name of `dims`
    or `ranges` that no input has, TooLarge for lengths beyond the memory that may be taken.
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
    require_memory(math.prod(shape) * dtype.itemsize, f"The input {value.name} of shape {shape}")
    domain = domain_of(value, lengths.shapes, setting)
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
    if domain.exact and shape == [len(domain.exact)]:
        return np.array(domain.exact, dtype)
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
    if domain.exact and shape == [len(domain.exact)]:
        return np.array(domain.exact)
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
    return _masked(drawn, domain)


def _places(grid: tuple[int, ...], shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """Different places in a grid, [..., coordinates], as far as it has enough."""
    count, cells = math.prod(shape[:-1]), max(math.prod(grid), 1)
    flat = np.resize(rng.permutation(cells), count)
    return np.stack(np.unravel_index(flat, grid), -1).reshape(shape)


def _feature_counts(value: ir.Value) -> Iterator[int]:
    """Numbers of features that what reads `value` looks at."""
    for use in value.uses():
        node = use.node
        ids = hub.attr(node, "nodes_featureids")
        if ids:
            yield max(ids) + 1
        elif is_a(node, RESHAPES, {"Cast", "Identity"}) and use.idx == 0:
            yield from _feature_counts(node.outputs[0])
