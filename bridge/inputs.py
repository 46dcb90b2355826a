"""Inputs for a model: read from files, or seeded random ones its graph can take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidInput
from bridge.passes.dimensions import check_dimensions
from bridge.traits import MOVES_DATA, RESHAPES, is_a

__all__ = ["random_inputs"]

SYMBOLIC = 2


def random_inputs(model: ir.Model, seed: int = 0, dims: dict[str, int] | None = None) -> dict[str, Any]:
    """Arrays by input name, honouring dtype, shape and the index ranges the graph shows.

    Symbolic dimensions have the lengths `dims` gives by name, else 2, or as many features as a tree asks for.
    An input with a default value has that. Floats are standard normal, integers stay within the rows of the
    table they index, else in [0, 2). Raises InvalidOption for a name of `dims` that no input has.
    """
    rng = np.random.default_rng(seed)
    lengths = dims or {}
    check_dimensions(model, lengths)
    return {
        value.name or "": _random(value, rng, lengths)
        if value.const_value is None
        else value.const_value.numpy()
        for value in model.graph.inputs
    }


def _random(value: ir.Value, rng: np.random.Generator, dims: dict[str, int]) -> Any:
    if not isinstance(value.type, ir.TensorType):
        raise InvalidInput(
            f"Input {value.name} is a {value.type}; random values are made for tensors only.", "Pass inputs."
        )
    shape = [d if isinstance(d, int) else dims.get(str(d.value), SYMBOLIC) for d in value.shape or ()]
    if value.shape and not isinstance(value.shape[-1], int) and str(value.shape[-1].value) not in dims:
        shape[-1] = max([SYMBOLIC, *_feature_counts(value)])
    if value.dtype == ir.DataType.STRING:
        return rng.choice(np.array(["a", "b", "c"], object), shape)
    dtype = value.dtype.numpy() if value.dtype else np.dtype(np.float32)
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(bool)
    if value.dtype is not None and value.dtype.is_integer():
        quantized = any(use.node.op_type == "DequantizeLinear" for use in value.uses())
        return rng.integers(0, 100 if quantized else min(_indexed_lengths(value), default=2), shape).astype(
            dtype
        )
    return rng.standard_normal(shape).astype(dtype)


def _indexed_lengths(value: ir.Value) -> Iterator[int]:
    """Lengths of the axes that `value` indexes."""
    for use in value.uses():
        node = use.node
        if node.op_type == "Gather" and use.idx == 1 and node.inputs[0] is not None:
            shape = node.inputs[0].shape
            length = shape[hub.attr(node, "axis")] if shape is not None else None
            if isinstance(length, int):
                yield length
        elif is_a(node, MOVES_DATA, {"Cast"}) and use.idx == 0:
            yield from _indexed_lengths(node.outputs[0])


def _feature_counts(value: ir.Value) -> Iterator[int]:
    """Numbers of features that trees reading `value` split on."""
    for use in value.uses():
        node = use.node
        ids = hub.attr(node, "nodes_featureids")
        if ids:
            yield max(ids) + 1
        elif is_a(node, RESHAPES, {"Cast", "Identity"}) and use.idx == 0:
            yield from _feature_counts(node.outputs[0])


def read_inputs(files: list[str], names: list[str]) -> dict[str, Any]:
    """Arrays from one `.npz` (keys are input names) or several `.npy` (NAME=FILE, or in input order)."""
    arrays: dict[str, Any] = {}
    for index, item in enumerate(files):
        name, _, path = item.rpartition("=")
        try:
            loaded = np.load(Path(path), allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path} is not a readable .npy or .npz file: {error}") from error
        if isinstance(loaded, np.ndarray):
            if not name and index >= len(names):
                raise InvalidInput(f"{path} is one file too many: the model's inputs are {', '.join(names)}.")
            arrays[name or names[index]] = loaded
        else:
            arrays.update(loaded)
    return arrays
