"""Nodes held against the schemas of their operators."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import onnx
import onnx_ir as ir

__all__ = ["REDUCTIONS", "problems_of"]

Kind = onnx.defs.OpSchema.FormalParameterOption
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
VECTORS = {
    **dict.fromkeys(("Reshape", "Expand", "Tile"), (1,)),
    **dict.fromkeys((f"Reduce{kind}" for kind in REDUCTIONS), (1,)),
    **dict.fromkeys(("Conv", "ConvTranspose"), (2,)),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 3),
    "InstanceNormalization": (1, 2),
    "BatchNormalization": (1, 2, 3, 4),
}
"""Operands that have one dimension, by operator."""
PER_AXIS = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 1, "pads": 2}
"""Numbers that an attribute of a window has for each axis behind the channels."""
WINDOWS = frozenset(["Conv", "ConvTranspose", "ConvInteger", "MaxPool", "AveragePool", "LpPool", "MaxUnpool"])


class Described(NamedTuple):
    """Facts of a schema: the least and most operands and results, the names of operands that cannot be left
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
    yield from _shape_problems(node)


def _shape_problems(node: ir.Node) -> Iterator[str]:
    """Operands of another number of dimensions than their operator takes, as far as that is known, and
    attributes of a window that are not of its dimensions."""
    for index in VECTORS.get(node.op_type, ()):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is not None and value.shape is not None and len(value.shape) != 1:
            yield f"has an input {value.name} of {len(value.shape)} dimensions, not 1"
    steps = node.inputs[4] if node.op_type == "Slice" and len(node.inputs) > 4 else None
    if steps is not None and steps.const_value is not None and (steps.const_value.numpy() == 0).any():
        yield "has a step of 0"
    if node.op_type not in WINDOWS:
        return
    operands = node.inputs[: 2 if node.op_type.startswith("Conv") else 1]
    ranks = {len(value.shape) for value in operands if value is not None and value.shape is not None}
    if len(ranks) > 1:
        yield f"has operands of {min(ranks)} and {max(ranks)} dimensions"
    if len(ranks) != 1:
        return
    axes = ranks.pop() - 2
    for name, each in PER_AXIS.items():
        attribute = node.attributes.get(name)
        count = len(attribute.value) if attribute is not None and not attribute.is_ref() else each * axes
        if count != each * axes:
            yield f"has {count} {name} for {axes} axes"


@functools.cache
def _described(schema: onnx.defs.OpSchema) -> Described:
    return Described(
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple(p.name if p.option == Kind.Single else "" for p in schema.inputs),
        {name: str(a.type).rpartition(".")[2] for name, a in schema.attributes.items()},
        frozenset(name for name, a in schema.attributes.items() if a.required),
    )
