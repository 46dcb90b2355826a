"""Nodes as the inference of their schemas is asked: under positional names, once for all that are alike."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import Any

import onnx
import onnx_ir as ir

__all__ = ["NodeProto", "Result", "remembered", "results_of"]

Result = tuple[ir.TypeProtocol | None, ir.Shape | None]
KNOWN = 1024
"""The most elements of a constant that inference is told."""
MOST, ANSWERS = 256, 4096
"""The most numbers of a node whose answer is remembered, and of such answers."""
SINGLE = (ir.AttributeType.INT, ir.AttributeType.FLOAT, ir.AttributeType.STRING)
LISTS = (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS)

_answers: dict[Hashable, list[Result]] = {}


class NodeProto:
    """A node in protobuf under positional names, with the types and small constants of its inputs."""

    def __init__(self, node: ir.Node) -> None:
        self.proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
        self.types: dict[str, onnx.TypeProto] = {}
        self.data: dict[str, onnx.TensorProto] = {}
        for index, value in enumerate(node.inputs):
            self.proto.input.append("" if value is None else f"i{index}")
            if value is not None and value.type is not None:
                self._describe(f"i{index}", value)
        self.proto.output.extend(f"o{index}" for index in range(len(node.outputs)))
        for attribute in node.attributes.values():
            self.proto.attribute.append(ir.serde.serialize_attribute(attribute))

    def _describe(self, name: str, value: ir.Value) -> None:
        proto = onnx.TypeProto()
        ir.serde.serialize_type_into(proto, value.type)  # type: ignore[arg-type]
        if value.shape is not None:
            ir.serde.serialize_shape_into(proto, value.shape)
        self.types[name] = proto
        tensor = told(value)
        if tensor is not None:
            self.data[name] = ir.serde.serialize_tensor(tensor)


def told(value: ir.Value) -> ir.TensorProtocol | None:
    """The constant that inference is told of an operand."""
    tensor = value.const_value
    return None if tensor is None or value.is_graph_input() or tensor.size > KNOWN else tensor


def results_of(node: ir.Node, inferred: dict[str, onnx.TypeProto]) -> list[Result]:
    """Type and shape of each output, of what is inferred by positional name."""
    protos = [inferred.get(f"o{index}") for index in range(len(node.outputs))]
    return [
        (None, None)
        if proto is None
        else (
            ir.serde.deserialize_type_proto_for_type(proto),
            ir.serde.deserialize_type_proto_for_shape(proto),
        )
        for proto in protos
    ]


def remembered(node: ir.Node, infer: Callable[[ir.Node], list[Result]]) -> list[Result]:
    """The answer of `infer` for a node, or the one it gave for another that is alike to inference."""
    key = _signature(node)
    if key is None:
        return infer(node)
    answer = _answers.get(key)
    if answer is None:
        if len(_answers) >= ANSWERS:
            _answers.clear()
        answer = _answers[key] = infer(node)
    return [(copy.copy(kind), None if shape is None else shape.copy()) for kind, shape in answer]


def _signature(node: ir.Node) -> Hashable | None:
    """All that inference reads of a node; None where that is much, or holds graphs."""
    attributes, operands = [], []
    if node.domain:
        return None
    for name, attribute in node.attributes.data.items():
        if attribute.is_ref() or attribute.type not in (*SINGLE, *LISTS):
            return None
        attributes.append((name, attribute.type, attribute.value))
        if attribute.type in LISTS and len(attribute.value) > MOST:
            return None
    for value in node.inputs:
        operand = None if value is None else _operand(value)
        if value is not None and operand is None:
            return None
        operands.append(operand)
    return node.domain, node.op_type, len(node.outputs), tuple(attributes), tuple(operands)


def _operand(value: ir.Value) -> tuple[Any, ...] | None:
    if value.type is not None and type(value.type) is not ir.TensorType:
        return None
    tensor, content = told(value), None
    if tensor is not None:
        if tensor.size > MOST or tensor.dtype == ir.DataType.STRING:
            return None
        content = (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
    shape = value.shape
    dims = None if shape is None else tuple(d if isinstance(d, int) else (d.value,) for d in shape.dims)
    return value.dtype, dims, content
