"""Inline the function body of every operator a target does not take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import onnx
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.hub import subgraphs
from bridge.limits import require_nodes
from bridge.passes.opset import up
from bridge.passes.rewrite import Accepts, replace
from bridge.signature import NodeProto


class ExpandFunctions(ir.passes.InPlacePass):
    """1. A node that `accepts` refuses and that has a body is replaced by the body. Functions of the model in
       it are expanded too; of standard operators one level is, since what a body is made of may have a better
       legalisation than its own body.

    2. A body is the model's own function, or the one the ONNX operator schema gives at the hub's opset,
       specialised to the node's input types where it depends on them.

    3. Functions that would become more nodes than are allowed are TooLarge, before any is expanded.
    """

    def __init__(self, accepts: Accepts = lambda node: False) -> None:
        super().__init__()
        self.accepts = accepts

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        require_expandable(model, self.accepts)
        return ir.passes.PassResult(model, self._graph(model, model.graph))

    def _graph(self, model: ir.Model, graph: ir.Graph) -> bool:
        changed = False
        pending = list(reversed(list(graph)))
        while pending:
            node = pending.pop()
            for subgraph in subgraphs(node):
                changed |= self._graph(model, subgraph)
            body = None if self.accepts(node) else function_body(model, node)
            if body is None:
                continue
            created = inline(graph, node, *body)
            pending += [n for n in reversed(created) if n.op_identifier() in model.functions]
            changed = True
        return changed


def require_expandable(model: ir.Model, accepts: Accepts = lambda node: False) -> None:
    """Raise TooLarge where the functions of the model that `accepts` refuses become more nodes than are
    allowed, UnreadableFile where one calls itself."""
    called = [n for n in hub.all_nodes(model) if n.op_identifier() in model.functions and not accepts(n)]
    if called:
        sizes = expanded_sizes(model)
        require_nodes(sum(sizes[n.op_identifier()] for n in called), "The model's functions")


def expanded_sizes(model: ir.Model) -> dict[ir.OperatorIdentifier, int]:
    """Number of nodes each function of the model becomes, those it calls expanded too. Raises UnreadableFile
    for one that calls itself."""
    calls = {key: _called(function) for key, function in model.functions.items()}
    sizes: dict[ir.OperatorIdentifier, int] = {}
    for key in calls:
        pending = [key]
        while pending:
            left = [c for c in calls[pending[-1]] if c in calls and c not in sizes]
            if not left:
                top = pending.pop()
                sizes[top] = sum(sizes.get(c, 1) for c in calls[top])
            elif left[0] in pending:
                raise UnreadableFile(f"The model's function {left[0][1]} calls itself.", "No operator does.")
            else:
                pending.append(left[0])
    return sizes


def _called(nodes: Iterable[ir.Node]) -> list[ir.OperatorIdentifier]:
    """Operators of a graph, subgraphs included."""
    called = []
    for node in nodes:
        called.append(node.op_identifier())
        for subgraph in subgraphs(node):
            called += _called(subgraph)
    return called


def function_body(model: ir.Model, node: ir.Node) -> tuple[ir.Function, list[str]] | None:
    """The function that defines `node` at the hub's opset, and the names of its outputs in the node's order.

    None for a primitive operator. A body made for one node leaves out outputs the node does not ask for.
    """
    own = model.functions.get(node.op_identifier())
    if own is not None:
        return own, [o.name or "" for o in own.outputs]
    schema = hub.schema(node)
    proto = None if schema is None else _schema_body(schema, node)
    if proto is None:
        return None
    names = list(proto.output)
    known_names = {*proto.input, *(name for inner in proto.node for name in inner.output)}
    proto.output[:] = [name for name in names if name in known_names]
    function = ir.serde.deserialize_function(proto)
    up.lift(function)
    return function, names


def _schema_body(schema: Any, node: ir.Node) -> onnx.FunctionProto | None:
    named = NodeProto(node)
    if schema.has_function:
        return onnx.FunctionProto.FromString(schema.function_body.SerializeToString())
    untyped = any(v is not None and v.type is None for v in node.inputs)
    if not schema.has_context_dependent_function or untyped:
        return None
    for index, output in enumerate(node.outputs):
        if not (output.uses() or output.is_graph_output()):
            named.proto.output[index] = ""
    types = [named.types.get(name, onnx.TypeProto()).SerializeToString() for name in named.proto.input]
    raw = schema.get_context_dependent_function(named.proto.SerializeToString(), types)
    return onnx.FunctionProto.FromString(raw) if raw else None


def inline(graph: ir.Graph, node: ir.Node, function: ir.Function, names: list[str]) -> list[ir.Node]:
    """Copy the nodes of `function` before `node`, wired to its inputs and attributes, and remove it."""
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    inputs = list(node.inputs) + [None] * (len(function.inputs) - len(node.inputs))
    values: dict[ir.Value, ir.Value | None] = dict(zip(function.inputs, inputs, strict=True))
    declared = {name: a for name, a in function.attributes.items() if a.value is not None}
    attributes = {**_defaults(node), **declared, **node.attributes}
    for inner in function:
        copy = copy_node(inner, values, attributes, op)
        op.insert(copy)
        values.update(zip(inner.outputs, copy.outputs, strict=True))
    results = {o.name: values.get(o, o) for o in function.outputs}
    replace(graph, node, [results.get(name) for name in names], op)
    return op.nodes


def _defaults(node: ir.Node) -> dict[str, ir.Attr]:
    """Attributes the operator's schema gives a value when a node has none."""
    schema = hub.schema(node)
    declared = schema.attributes.items() if schema is not None else ()
    return {n: ir.serde.deserialize_attribute(a.default_value) for n, a in declared if a.default_value.type}


def copy_node(node: ir.Node, values: dict, attributes: dict, op: hub.Builder) -> ir.Node:
    """A copy of a node of another graph, its inputs as `values` maps them, references as `attributes` fills
    them."""
    attrs = []
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            value = attributes.get(attribute.ref_attr_name)
            if value is None or value.value is None:
                continue
            attribute = ir.Attr(name, value.type, value.value)
        elif attribute.type == ir.AttributeType.GRAPH:
            attribute = ir.AttrGraph(name, _copy_graph(attribute.as_graph(), values, attributes))
        attrs.append(attribute)
    inputs = [values.get(v, v) if v is not None else None for v in node.inputs]
    return ir.Node(
        node.domain, node.op_type, inputs, attrs, overload=node.overload, num_outputs=len(node.outputs)
    )


def _copy_graph(graph: ir.Graph, outer: dict, attributes: dict) -> ir.Graph:
    values = dict(outer)
    inputs = []
    for value in graph.inputs:
        copy = ir.Value(name=value.name, shape=value.shape, type=value.type)
        values[value] = copy
        inputs.append(copy)
    result = ir.Graph(inputs, [], nodes=[], name=graph.name, opset_imports=dict(graph.opset_imports))
    op = hub.Builder(result)
    for name, value in graph.initializers.items():
        copy = ir.Value(name=name, shape=value.shape, type=value.type, const_value=value.const_value)
        result.register_initializer(copy)
        values[value] = copy
    for node in graph:
        node_copy = copy_node(node, values, attributes, op)
        op.insert(node_copy)
        values.update(zip(node.outputs, node_copy.outputs, strict=True))
    result.outputs.extend(values[o] or o for o in graph.outputs)
    return result
