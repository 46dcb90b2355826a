"""Nodes held against the schemas of their operators."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import onnx
import onnx_ir as ir

__all__ = ["problems_of"]

Kind = onnx.defs.OpSchema.FormalParameterOption


class Described(NamedTuple):
    """What a schema says: the least and most operands and results, the names of operands that cannot be left
    out, the type of each attribute, and the attributes that cannot be left out."""

    inputs: tuple[int, int]
    outputs: tuple[int, int]
    operands: tuple[str, ...]
    types: dict[str, str]
    required: frozenset[str]


def problems_of(node: ir.Node, schema: onnx.defs.OpSchema) -> Iterator[str]:
    """Operands and attributes of a node that its operator does not have, or lacks, in words that follow the
    node's name."""
    described = _described(schema)
    for what, count, (least, most) in (
        ("inputs", len(node.inputs), described.inputs),
        ("outputs", len(node.outputs), described.outputs),
    ):
        if not least <= count <= most:
            yield f"has {count} {what}, not {least}" + ("" if least == most else f" to {most}")
    for value, name in zip(node.inputs, described.operands, strict=False):
        if value is None and name:
            yield f"has no input {name}"
    for name in described.required - node.attributes.keys():
        yield f"has no attribute {name}"
    for name, attribute in node.attributes.items():
        type_name = described.types.get(name, attribute.type.name)
        if attribute.type.name != type_name and not attribute.is_ref():
            yield f"has an attribute {name} of type {attribute.type.name}, not {type_name}"


@functools.cache
def _described(schema: onnx.defs.OpSchema) -> Described:
    return Described(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple(p.name if p.option == Kind.Single else "" for p in schema.inputs),
        {name: str(a.type).rpartition(".")[2] for name, a in schema.attributes.items()},
        frozenset(name for name, a in schema.attributes.items() if a.required),
    )
