"""Types and shapes as the inference of onnx tells them, by the schemas of operators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import onnx
import onnx_ir as ir
from onnx_ir import serde

from bridge import hub

__all__ = ["infer_by_schemas"]

TABLES = (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS)
IR_VERSION = 4
"""The first whose initializers are no inputs."""
SMALL, WEIGHTS = 2**10, 2**16
"""Bytes from which the constants of the model, and those of bodies, are kept out of inference."""


def infer_by_schemas(model: ir.Model, propagate: bool) -> None:
    """Write on every value what is inferred of it, with data propagation where `propagate` is given. What
    onnx cannot infer is left as it is."""
    try:
        with _without_weights(model), _without_trees(model):
            proto = serde.serialize_model(model)
        proto.ir_version = max(proto.ir_version, IR_VERSION)
        inferred = onnx.shape_inference.infer_shapes(
            proto, check_type=False, strict_mode=False, data_prop=propagate
        )
    except Exception:
        return
    _take(model.graph, inferred.graph)


@contextmanager
def _without_weights(model: ir.Model) -> Iterator[None]:
    """A context in which weights are inputs of the model, so that inference does not copy them."""
    weights = [
        (graph, value)
        for graph in hub.graphs(model)
        for value in graph.initializers.values()
        if value.const_value is None
        or value.const_value.nbytes > (SMALL if graph is model.graph else WEIGHTS)
    ]
    for graph, value in weights:
        del graph.initializers[str(value.name)]
    inputs = [
        ir.Value(
            name=value.name,
            type=value.type or ir.TensorType(value.const_value.dtype),
            shape=value.shape if value.shape is not None else value.const_value.shape,
        )
        for _, value in weights
        if value not in model.graph.inputs
    ]
    model.graph.inputs.extend(inputs)
    try:
        yield
    finally:
        for value in inputs:
            model.graph.inputs.remove(value)
        for graph, value in weights:
            graph.initializers.add(value)


@contextmanager
def _without_trees(model: ir.Model) -> Iterator[None]:
    """A context in which the tables of trees are empty: millions of elements that tell nothing of results."""
    tables = [
        (node, attribute)
        for node in model.graph
        if node.op_type.startswith("TreeEnsemble")
        for attribute in node.attributes.values()
        if attribute.type in TABLES and attribute.name.startswith(("nodes_", "leaf_", "class_", "target_"))
    ]
    for node, attribute in tables:
        node.attributes[attribute.name] = ir.Attr(attribute.name, attribute.type, ())
    try:
        yield
    finally:
        for node, attribute in tables:
            node.attributes[attribute.name] = attribute


def _read(described: onnx.TypeProto) -> tuple[ir.TypeProtocol | None, ir.Shape | None]:
    """The type and the shape that protobuf tells; those of tensors without the general reader, which takes
    four times as long."""
    tensor = described.tensor_type
    plain = tensor.elem_type and not described.denotation
    if not plain or any(dim.denotation for dim in tensor.shape.dim):
        kind = serde.deserialize_type_proto_for_type(described)
        return kind, serde.deserialize_type_proto_for_shape(described)
    lengths = [(dim, dim.WhichOneof("value")) for dim in tensor.shape.dim]
    shape = ir.Shape([getattr(dim, field) if field else None for dim, field in lengths])
    return ir.TensorType(ir.DataType(tensor.elem_type)), shape if tensor.HasField("shape") else None


def _take(graph: ir.Graph, proto: onnx.GraphProto) -> None:
    """Give the values of a graph, and of those in it, the types and shapes of its proto."""
    found = {info.name: info.type for info in chain(proto.value_info, proto.input, proto.output)}
    for value in chain(graph.inputs, (v for node in graph for v in node.outputs)):
        described = found.get(value.name or "")
        if described is None or (
            value.type is not None and value.shape is not None and value.shape.is_static()
        ):
            continue
        kind, shape = _read(described)
        if shape is not None and value.shape != shape:
            value.shape = shape
        if kind is not None and value.type != kind:
            value.type = kind
    for node, described_node in zip(graph, proto.node, strict=True):
        for attribute in described_node.attribute:
            bodies = [attribute.g] if attribute.HasField("g") else attribute.graphs
            inner = node.attributes.get(attribute.name)
            if bodies and inner is not None:
                for body, own in zip(bodies, inner.value if attribute.graphs else [inner.value], strict=True):
                    _take(own, body)
