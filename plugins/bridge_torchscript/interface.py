"""Interface facts that TorchScript cannot express: names, dtypes and dimensions, kept as a file in the
archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx_ir as ir

INTERFACE = "bridge.json"


def interface_facts(model: ir.Model) -> dict[str, Any]:
    """Inputs, outputs and metadata of a hub model as JSON values."""
    return {
        "name": model.graph.name or "",
        "inputs": [_value(v) for v in model.graph.inputs],
        "outputs": [_value(v) for v in model.graph.outputs],
        "metadata": dict(model.metadata_props),
    }


def _value(value: ir.Value) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": value.name, "type": type_text(value.type)}
    if value.shape is not None:
        facts["shape"] = [d if isinstance(d, int) else d.value for d in value.shape]
    return facts | ({"doc": value.doc_string} if value.doc_string else {})


def type_text(hub_type: ir.TypeProtocol | None) -> str:
    """ONNX name of a type: `tensor(float)`, `seq(tensor(int64))`."""
    if isinstance(hub_type, ir.SequenceType):
        return f"seq({type_text(hub_type.elem_type)})"
    if isinstance(hub_type, ir.OptionalType):
        return f"optional({type_text(hub_type.elem_type)})"
    return f"tensor({hub_type.dtype.name.lower()})" if hub_type is not None else "tensor"


def type_of(text: str) -> ir.TypeProtocol | None:
    """Type named by a text of `type_text`; None if it names none."""
    word, _, argument = text.partition("(")
    inner = argument.removesuffix(")")
    if word == "seq" and inner:
        element_type = type_of(inner)
        return ir.SequenceType(element_type) if element_type is not None else None
    if word == "optional" and inner:
        element_type = type_of(inner)
        return ir.OptionalType(element_type) if element_type is not None else None
    return ir.TensorType(ir.DataType[inner.upper()]) if inner.upper() in ir.DataType.__members__ else None


def leaves(value: Any, containers: tuple[type, ...], name: str = "output") -> Iterator[tuple[str, Any]]:
    """Results of a call, flattened, with unique names.

    `output`, `output_1`, … for tuples and lists, keys for dicts.
    """
    names: set[str] = set()
    for path, leaf in _nested(value, containers, name):
        unique = next(n for i in range(len(names) + 1) if (n := f"{path}_{i}" if i else path) not in names)
        names.add(unique)
        yield unique, leaf


def _nested(value: Any, containers: tuple[type, ...], name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _nested(item, containers, str(key))
    elif isinstance(value, containers):
        items: Any = value
        for index, item in enumerate(items):
            yield from _nested(item, containers, f"{name}_{index}" if index else name)
    else:
        yield name, value
