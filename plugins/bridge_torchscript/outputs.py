"""Results of a call as the outputs of a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from bridge.errors import UnsupportedModel
from bridge.facts import STORED
from bridge_torchscript.control import as_sequence, as_value
from bridge_torchscript.dtypes import STAND_IN
from bridge_torchscript.values import Builder, Complex, Items, Object, Poison, Sequence, Var

Result = tuple[str, Any, ir.TypeProtocol | None, list[int | str | None] | None]


def add_outputs(graph: ir.Graph, op: Builder, title: str, results: Iterable[Result]) -> None:
    """Add results to the outputs of a graph, by name, value and declared type and dimensions; None is left
    out. What is complex is so in its metadata, and pairs in the graph."""
    input_names = {v.name for v in graph.inputs}
    for name, leaf, declared_type, dims in list(results):
        if leaf is None:
            continue
        value = _value(op, leaf, declared_type)
        if value is None:
            reason = leaf.reason if isinstance(leaf, Poison) else f"is no tensor ({type(leaf).__name__})"
            raise UnsupportedModel(f"{title} returns {name}, which {reason}.", [])
        is_complex = isinstance(leaf, Complex) or (isinstance(leaf, Var) and isinstance(leaf.value, Complex))
        value = op.Identity(value)
        if value.shape is not None and len(value.shape) == len(dims or ()):
            pairs = zip(value.shape, dims or (), strict=True)
            value.shape = ir.Shape(
                [m if isinstance(m, str) and not isinstance(n, int) else n for n, m in pairs]
            )
        value.name = f"{name}_output" if name in input_names else name
        if is_complex:
            dtype = "complex128" if value.dtype == ir.DataType.DOUBLE else "complex64"
            STORED.of(value.name).set(graph, {"complex": dtype})
        graph.outputs.append(value)
    if not graph.outputs:
        raise UnsupportedModel(f"{title} returns no tensor.", [])


def open_containers(result: Any) -> Any:
    """Attributes of an object by name, sequences of lists of run-time length."""
    if isinstance(result, Items) and result.sequence is not None:
        return Sequence(result.sequence.value, result.shape)  # type: ignore[arg-type]
    if isinstance(result, Object):
        return {name: open_containers(v) for name, v in result.attributes.items()}
    if isinstance(result, list):
        return [open_containers(v) for v in result]
    return tuple(open_containers(v) for v in result) if isinstance(result, tuple) else result


def _value(op: Builder, leaf: Any, declared_type: ir.TypeProtocol | None) -> ir.Value | None:
    """Hub value, of the declared type, of a result. None if it is no tensor, number or list of them."""
    if isinstance(leaf, (list, tuple)) and isinstance(declared_type, ir.SequenceType):
        return as_sequence(op, leaf, declared_type.elem_type.dtype)
    value = as_value(op, leaf)
    dtype = declared_type.dtype if isinstance(declared_type, ir.TensorType) else None
    if value is not None and dtype in STAND_IN and value.dtype == STAND_IN[dtype]:
        return op.Cast(value, to=int(dtype))
    return value
