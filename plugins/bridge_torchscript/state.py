"""State that a call leaves in a module, as inputs and outputs of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.digests import content_of, digests
from bridge.errors import InvalidOption, UnsupportedModel
from bridge_torchscript.control import Reader, as_value
from bridge_torchscript.dtypes import SCALAR_TYPES
from bridge_torchscript.input_specs import InputSpec
from bridge_torchscript.script.stored import stored
from bridge_torchscript.values import Builder, Items, Object, Sym, Var

UNKNOWN = object()
MAX_HASHED = 2**20


def changed_attributes(reader: Reader) -> dict[str, Any]:
    """Stored values of attributes that a call reads and then changes."""
    written = {var.label for var in reader.memory.written if var.label and var in reader.weights.values()}
    paths = written | {p for p in reader.touched if p in reader.reads and not _is_unchanged_list(reader, p)}
    return {path: reader.stored[path] for path in sorted(paths)}


def _is_unchanged_list(reader: Reader, path: str) -> bool:
    """True if a list of tensors was set to its stored value, as by `x.to(dtype)` of the same dtype."""
    owner, name = reader.owner(path)
    now, before = owner.attributes.get(name), reader.stored.get(path)
    if not isinstance(now, list) or not isinstance(before, list) or len(now) != len(before):
        return False
    return all(_is_stored(reader, v, b) for v, b in zip(now, before, strict=True))


def _is_stored(reader: Reader, now: Any, before: Any) -> bool:
    """True if a tensor is the stored one, or a constant with the same elements."""
    tensor = stored(before)
    if tensor is None or not isinstance(now, Var) or now.value is None:
        return False
    weight, value = reader.weights.get(tensor.memory), _source(now.value)
    if weight is not None and value is weight.value:
        return True
    array = hub.const(value)
    return array is not None and array.dtype == tensor.array.dtype and np.array_equal(array, tensor.array)


def _source(value: ir.Value) -> ir.Value:
    """Value behind Identity nodes."""
    node = value.producer()
    source = node.inputs[0] if node is not None and node.op_type == "Identity" else None
    return value if source is None else _source(source)


def static_attributes(op: Builder, reader: Reader) -> dict[str, Any]:
    """Attributes after a call that are static and hold no tensors, as values for the reading of `op`."""
    values = {path: _known(op, owner.attributes.get(name)) for path, (owner, name) in reader.touched.items()}
    return {path: value for path, value in values.items() if value is not UNKNOWN}


def _known(op: Builder, value: Any) -> Any:
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if isinstance(value, Items) and value.sequence is not None:
        return UNKNOWN
    if isinstance(value, (list, tuple)):
        elements = [_known(op, v) for v in value]
        if any(p is UNKNOWN for p in elements):
            return UNKNOWN
        return Items(op, elements) if isinstance(value, list) else tuple(elements)
    if isinstance(value, Object) and value.native is None:
        copy = Object(path=value.path, type_name=value.type_name)
        copy.attributes = {n: _known(op, v) for n, v in value.attributes.items()}
        return UNKNOWN if UNKNOWN in copy.attributes.values() else copy
    return UNKNOWN


def computed(graph: ir.Graph) -> list[bytes]:
    """Digests of a graph's outputs."""
    found = digests(graph, weight=_told_of_weight)
    return [found[v] for v in graph.outputs]


def _told_of_weight(value: ir.Value) -> Any:
    small = value.const_value is not None and value.const_value.size <= MAX_HASHED
    return content_of(value.const_value) if small else (value.name, str(value.shape))


def state_input(op: Builder, title: str, path: str, value: Any, spec: InputSpec | None) -> Any:
    """Graph input for an attribute, typed by its specification or its stored value."""
    tensor = stored(value)
    if spec is not None and spec.fixed is not None:
        return spec.fixed
    if spec is not None:
        graph_input = spec.value(path)
    elif tensor is not None:
        dtype = ir.DataType.from_numpy(tensor.array.dtype)
        graph_input = InputSpec(ir.TensorType(dtype), tensor.array.shape).value(path)
    elif isinstance(value, (bool, int, float)):
        graph_input = InputSpec(ir.TensorType(SCALAR_TYPES[type(value).__name__]), ()).value(path)
    else:
        raise UnsupportedModel(f"{title} keeps {path} between calls, which is no tensor or number.", [])
    return Sym(graph_input) if tensor is None else Var(op, graph_input, label=path)


def add_state_outputs(title: str, reader: Reader, attributes: dict[str, Any], graph: ir.Graph) -> None:
    """Add the values after the call of all attributes that are inputs to the graph's outputs."""
    op = Builder(graph, reader.memory)
    for path in attributes:
        if not isinstance(reader.state[path], (Var, Sym)):
            continue
        owner, name = reader.owner(path)
        value = as_value(op, owner.attributes.get(name, reader.state[path]))
        if value is None:
            raise UnsupportedModel(f"{title} keeps {path} between calls, which is no tensor or number.", [])
        before = reader.state[path].value
        if value.shape is not None and before.shape is not None and _shape_changes(before.shape, value.shape):
            raise InvalidOption(
                f"The state {path} has the shape {before.shape} at first and {value.shape} after a call.",
                f"Describe what it is between calls: inputs=[…, '{path}:DTYPE{value.shape}'].",
            )
        value = op.Identity(value)
        value.name = f"{path}.next"
        graph.outputs.append(value)


def _shape_changes(before: ir.Shape, after: ir.Shape) -> bool:
    return len(before) != len(after) or any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(before, after, strict=True)
    )
