"""What a file written by bridge remembers of its model's interface: names, dtypes and dimensions Core ML
cannot hold.

It is kept as JSON in the model's own metadata, so that a file read back, or run, answers under the names and
in the dtypes of its source.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub

# Said by the file itself, where it holds them
OWN = (
    facts.COREML_ROWS,
    facts.COREML_NEWER,
    facts.COREML_RANGE,
    facts.COREML_SHAPES,
    facts.COREML_IMAGE,
    facts.COREML_DESCRIPTION,
)
DESCRIBED = {facts.COREML.of(name).key for name in ("shortDescription", "author", "license", "versionString")}


@dataclass(frozen=True)
class Port:
    """An input or output: its name in the file, and its name, dtype and dimensions in the source."""

    held: str
    name: str
    dtype: ir.DataType
    dims: tuple[int | str | None, ...] | None

    def to_json(self) -> list[Any]:
        return [self.held, self.name, self.dtype.name, None if self.dims is None else list(self.dims)]


def port(held: str, value: ir.Value) -> Port:
    shape = value.shape
    dims = None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)
    return Port(held, value.name or "", value.dtype or ir.DataType.FLOAT, dims)


def dumped(inputs: list[Port], outputs: list[Port]) -> str:
    return json.dumps({"inputs": [p.to_json() for p in inputs], "outputs": [p.to_json() for p in outputs]})


def describe(description: Any, model: ir.Model, inputs: list[Port], outputs: list[Port]) -> None:
    """What the file says of the whole model: author, licence and the like, and its own metadata with the
    interface."""
    held = description.metadata
    for key, text in model.metadata_props.items():
        if key in DESCRIBED:
            setattr(held, key.removeprefix(facts.COREML.key), text)
        elif not any(fact.owns(key) for fact in OWN):
            held.userDefined[key] = text
    held.userDefined[facts.INTERFACE.key] = dumped(inputs, outputs)


def loaded(text: str) -> tuple[dict[str, Port], dict[str, Port]]:
    """Inputs and outputs by their names in the file; nothing where the text is not what bridge writes."""
    try:
        sides = json.loads(text)
        ports = [[_port(row) for row in sides[side]] for side in ("inputs", "outputs")]
    except (ValueError, KeyError, TypeError, IndexError):
        return {}, {}
    return {p.held: p for p in ports[0]}, {p.held: p for p in ports[1]}


def _port(row: Any) -> Port:
    held, name, dtype, dims = row
    if not (isinstance(held, str) and isinstance(name, str) and (dims is None or isinstance(dims, list))):
        raise TypeError(row)
    if dims is not None and not all(d is None or isinstance(d, (int, str)) for d in dims):
        raise TypeError(dims)
    return Port(held, name, ir.DataType[dtype], None if dims is None else tuple(dims))


def given(op: hub.Builder, value: ir.Value, remembered: Port) -> tuple[ir.Value, ir.Value]:
    """The input as the source has it, and what the program reads: a file's input `value`, cast and shaped."""
    dims = value.shape if remembered.dims is None else ir.Shape(remembered.dims)
    outer = ir.Value(name=remembered.name, type=ir.TensorType(remembered.dtype), shape=dims)
    inner = (
        outer if remembered.dtype == value.dtype else op.Cast(outer, to=int(value.dtype or ir.DataType.FLOAT))
    )
    if dims is not None and value.shape is not None and len(dims) != len(value.shape):
        inner = op.Reshape(inner, np.array([d if isinstance(d, int) else -1 for d in value.shape], np.int64))
    return outer, inner


def answered(op: hub.Builder, value: ir.Value, remembered: Port) -> ir.Value:
    """What the program answers as the source has it."""
    if remembered.dims == () and value.shape is not None and len(value.shape) == 1:
        value = op.Reshape(value, op.const(np.zeros(0, np.int64)))
    if value.dtype != remembered.dtype:
        value = op.Cast(value, to=int(remembered.dtype))
    if remembered.dims is not None and (value.shape is None or len(value.shape) == len(remembered.dims)):
        value = op.Identity(value)
        value.shape = ir.Shape(remembered.dims)
    return value
