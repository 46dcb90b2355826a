"""Declarations of an ONNX file besides its operators: lengths, defaults, bytes of its weights."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.hub import all_nodes
from bridge.passes import infer
from bridge.passes.resizes import ResizeToLengths
from bridge.passes.shapes import InferShapes, forget_shapes

KINDS = ("float", "int32", "string", "int64", "double", "uint64")
DATA_FIELDS = ("raw_data", *(f"{kind}_data" for kind in KINDS))
ROUNDS = 8


def require_data(proto: onnx.ModelProto) -> None:
    """Raise UnreadableFile for a weight of which the file has the shape and no element."""
    for tensor in proto.graph.initializer:
        external = tensor.data_location == onnx.TensorProto.EXTERNAL
        if external or 0 in tensor.dims or any(len(getattr(tensor, field)) for field in DATA_FIELDS):
            continue
        raise UnreadableFile(
            f"The weight {tensor.name!r} has a shape, {list(tensor.dims)}, and no data: it was stripped.",
            "Export the model with its weights.",
        )


def varying_lengths(model: ir.Model) -> None:
    """Lengths below zero, as Paddle's exporter writes them, are lengths that vary."""
    for value in _values(model):
        if value.shape is not None and any(isinstance(d, int) and d < 0 for d in value.shape):
            value.shape = ir.Shape([None if isinstance(d, int) and d < 0 else d for d in value.shape])


def drop_defaults(model: ir.Model) -> None:
    """Initializers listed among the inputs, as exporters do that know no others, are constants."""
    names = [v.name for v in model.graph.inputs if v.name in model.graph.initializers]
    if not names:
        return
    inputs = [v for v in model.graph.inputs if v.name not in model.graph.initializers]
    model.graph.inputs.clear()
    model.graph.inputs.extend(inputs)
    shown = ", ".join(str(n) for n in names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
    hub.note(
        model,
        [f"{shown}: listed among the inputs with a value, and constant here; defaults=inputs keeps them."],
    )


def computed_shapes(model: ir.Model) -> None:
    """Replace declared shapes of results that the operators contradict by what they compute; a note tells of
    outputs.

    What operators of unknown domains make, and lengths that nothing tells, stay as they are declared.
    """
    declared = {v: v.shape for node in all_nodes(model) for v in node.outputs if v.shape is not None}
    forget_shapes(model)
    infer(model)
    for _ in range(ROUNDS):
        if not ResizeToLengths()(model).modified:
            break
        InferShapes()(model)
    given = {str(d.value) for v in model.graph.inputs for d in v.shape or () if isinstance(d, ir.SymbolicDim)}
    outputs, notes = set(model.graph.outputs), []
    for value, shape in declared.items():
        merged = _merged(shape, value.shape, given)
        if value in outputs and merged is not shape:
            notes.append(f"{value.name} is declared as {_text(shape)} and computed as {_text(merged)}.")
        value.shape = merged
    hub.note(model, notes)


def _merged(declared: ir.Shape, computed: ir.Shape | None, given: set[str]) -> ir.Shape:
    """The declared shape itself, or one with the lengths that are computed where they differ: a number, or a
    length of an input where a number is declared."""

    def differs(one: int | ir.SymbolicDim, other: int | ir.SymbolicDim) -> bool:
        varies = isinstance(other, ir.SymbolicDim) and str(other.value) in given
        return isinstance(one, int) and one != other and (isinstance(other, int) or varies)

    if computed is None or len(computed) != len(declared):
        return declared if computed is None else computed
    pairs = list(zip(declared, computed, strict=True))
    if not any(differs(*pair) for pair in pairs):
        return declared
    return ir.Shape([c if differs(d, c) else d for d, c in pairs])


def _text(shape: ir.Shape) -> str:
    return "[" + ", ".join(str(d) if isinstance(d, int) else str(d.value or "?") for d in shape) + "]"


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in model.graphs():
        yield from graph.inputs
    for node in all_nodes(model):
        yield from node.outputs
