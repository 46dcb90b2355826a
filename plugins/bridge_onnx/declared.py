"""Declarations of an ONNX file besides its operators: lengths, defaults, bytes of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.hub import all_nodes
from bridge.passes import infer
from bridge.passes.resizes import ResizeToLengths
from bridge.passes.shapes import InferShapes, completed_shape, forget_shapes

KINDS = ("float", "int32", "string", "int64", "double", "uint64")
DATA_FIELDS = ("raw_data", *(f"{kind}_data" for kind in KINDS))
ROUNDS = 8


def require_data(name: str, tensor: Any) -> None:
    """Raise UnreadableFile for a weight of which the file has another number of elements than its shape, or
    none, or no dtype."""
    if not isinstance(tensor, ir.TensorProtoTensor):
        return
    proto = tensor.raw
    held = {field: count for field in DATA_FIELDS if (count := len(getattr(proto, field)))}
    _require_held(name, proto.data_type, proto.dims, held)


def require_bytes(name: str, tensor: ir.ExternalTensor) -> None:
    """The same for a weight whose bytes are in the file itself."""
    _require_held(name, tensor.dtype, tensor.shape.numpy(), {"raw_data": tensor.length or 0})


def _require_held(name: str, data_type: int, dims: Sequence[int], held: dict[str, int]) -> None:
    expected = _expected(data_type, dims)
    if expected is None or any(d < 0 for d in dims):
        raise UnreadableFile(f"The weight {name!r} has no dtype, or no shape.", "Is the file complete?")
    if prod(dims) and not held:
        raise UnreadableFile(
            f"The weight {name!r} has a shape, {list(dims)}, and no data: it was stripped.",
            "Export the model with its weights.",
        )
    if held not in [{field: count} if count else {} for field, count in expected.items()]:
        raise UnreadableFile(
            f"The weight {name!r} of shape {list(dims)} holds another number of elements.",
            "Is the file complete?",
        )


def _expected(data_type: int, dims: Sequence[int]) -> dict[str, int] | None:
    """Elements or bytes of a tensor in each of the fields that may hold it; None for an undefined dtype."""
    size = prod(dims)
    try:
        dtype = ir.DataType(data_type)
        if dtype == ir.DataType.STRING:
            return {"string_data": size}
        bits, field = dtype.bitwidth, onnx.helper.tensor_dtype_to_field(dtype)
    except (ValueError, TypeError, KeyError):
        return None
    parts = 2 if dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128) else 1
    return {"raw_data": -(-size * bits // 8), field: -(-size * bits // 8) if bits < 8 else size * parts}


def held_shapes(model: ir.Model) -> None:
    """Constants have the dtype and shape that they hold, whatever is declared of them."""
    for graph in hub.graphs(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.type = ir.TensorType(value.const_value.dtype)
                value.shape = ir.Shape(value.const_value.shape)  # type: ignore[arg-type]


def require_text(model: ir.Model, title: str) -> None:
    """Raise UnreadableFile for a name or note that is not UTF-8, which protobuf hands over as bytes."""
    if not all(isinstance(text, str) for text in _texts(model)):
        raise UnreadableFile(
            f"{title} is not a readable ONNX model: a name is not UTF-8.", "Is the file complete?"
        )


def _texts(model: ir.Model) -> Iterator[Any]:
    """Every name, note and key of the model."""
    yield from filter(None, (model.producer_name, model.producer_version, model.domain, model.doc_string))
    yield from _entries(model)
    parts: list[ir.Graph | ir.Function] = [*hub.graphs(model), *model.functions.values()]
    for part in parts:
        yield from filter(None, (part.name, part.doc_string, *part.opset_imports))
        yield from _entries(part)
        for value in (*part.inputs, *(part.initializers.values() if isinstance(part, ir.Graph) else ())):
            yield from _texts_of(value)
        for node in part:
            yield from filter(None, (node.op_type, node.domain, node.name, node.doc_string, *node.attributes))
            yield from _entries(node)
            for value in (*node.inputs, *node.outputs):
                yield from _texts_of(value) if value is not None else ()


def _texts_of(value: ir.Value) -> Iterator[Any]:
    yield from filter(None, (value.name, value.doc_string))
    yield from _entries(value)
    for length in value.shape or ():
        if isinstance(length, ir.SymbolicDim) and length.value:
            yield length.value


def _entries(holder: Any) -> Iterator[Any]:
    for key, text in holder.metadata_props.items():
        yield from (key, text)


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
            notes.append(f"{value.name} is declared as {_written(shape)} and computed as {_written(merged)}.")
        value.shape = completed_shape(merged, value.shape)
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


def _written(shape: ir.Shape) -> str:
    return "[" + ", ".join(str(d) if isinstance(d, int) else str(d.value or "?") for d in shape) + "]"


def _values(model: ir.Model) -> Iterator[ir.Value]:
    for graph in hub.graphs(model):
        yield from graph.inputs
    for node in all_nodes(model):
        yield from node.outputs
