"""Interface of the source model, stored as JSON in the metadata of a Core ML file: names, dtypes and
dimensions that Core ML cannot hold. A file read back, or run, gets them again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.provenance.card import native_of

# Stored in fields of the file's own
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

    file_name: str
    name: str
    dtype: ir.DataType
    dims: tuple[int | str | None, ...] | None

    def to_json(self) -> list[Any]:
        return [self.file_name, self.name, self.dtype.name, None if self.dims is None else list(self.dims)]


def port(file_name: str, value: ir.Value) -> Port:
    shape = value.shape
    dims = None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)
    return Port(file_name, value.name or "", value.dtype or ir.DataType.FLOAT, dims)


def to_text(inputs: list[Port], outputs: list[Port]) -> str:
    return json.dumps({"inputs": [p.to_json() for p in inputs], "outputs": [p.to_json() for p in outputs]})


def describe(description: Any, model: ir.Model, inputs: list[Port], outputs: list[Port]) -> None:
    """Write author, license and the like, all other metadata, and the interface of the source."""
    metadata = description.metadata
    for key, text in model.metadata_props.items():
        if key in DESCRIBED:
            setattr(metadata, key.removeprefix(facts.COREML.key), text)
        elif not any(fact.owns(key) for fact in OWN):
            metadata.userDefined[key] = text
    metadata.userDefined[facts.INTERFACE.key] = to_text(inputs, outputs)
    card = native_of(model)
    said = {"shortDescription": card.description, "author": card.author, "license": card.license}
    for name, text in (said | {"versionString": card.version}).items():
        if text:
            setattr(metadata, name, text)


def from_text(text: str) -> tuple[dict[str, Port], dict[str, Port]]:
    """Inputs and outputs by their names in the file; empty if bridge did not write the text."""
    try:
        sides = json.loads(text)
        ports = [[port_from_json(row) for row in sides[side]] for side in ("inputs", "outputs")]
    except (ValueError, KeyError, TypeError, IndexError):
        return {}, {}
    return {p.file_name: p for p in ports[0]}, {p.file_name: p for p in ports[1]}


def port_from_json(row: Any) -> Port:
    file_name, name, dtype, dims = row
    if not (
        isinstance(file_name, str) and isinstance(name, str) and (dims is None or isinstance(dims, list))
    ):
        raise TypeError(row)
    if dims is not None and not all(d is None or isinstance(d, (int, str)) for d in dims):
        raise TypeError(dims)
    return Port(file_name, name, ir.DataType[dtype], None if dims is None else tuple(dims))


def source_input(op: hub.Builder, value: ir.Value, port: Port) -> tuple[ir.Value, ir.Value]:
    """Graph input with the name, dtype and shape of the source; and the value that the program reads: the
    input cast and reshaped to those of the file."""
    dims = value.shape if port.dims is None else ir.Shape(port.dims)
    outer = ir.Value(name=port.name, type=ir.TensorType(port.dtype), shape=dims)
    inner = outer if port.dtype == value.dtype else op.Cast(outer, to=int(value.dtype or ir.DataType.FLOAT))
    if dims is not None and value.shape is not None and len(dims) != len(value.shape):
        inner = op.Reshape(inner, np.array([d if isinstance(d, int) else -1 for d in value.shape], np.int64))
    return outer, inner


def as_source_output(op: hub.Builder, value: ir.Value, port: Port) -> ir.Value:
    """Cast and reshape an output of the program to the dtype and shape of the source."""
    if port.dims == () and value.shape is not None and len(value.shape) == 1:
        value = op.Reshape(value, op.const(np.zeros(0, np.int64)))
    if value.dtype != port.dtype:
        value = op.Cast(value, to=int(port.dtype))
    if port.dims is not None and (value.shape is None or len(value.shape) == len(port.dims)):
        value = op.Identity(value)
        value.shape = ir.Shape(port.dims)
    return value
