"""The operators of an ONNX file as runtimes look up kernels for them: form, and dtypes by type variable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from bridge.formats import Native, Written
from bridge_onnx.wire import without_weights

STANDARD = "ai.onnx"
ANY = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
Types = Mapping[str, onnx.TypeProto]


def contents(path: Path) -> Written:
    """The IR version and the opsets of a file by domain, and its operators, those of bodies too; a constant
    is none."""
    skeleton = without_weights(path)
    model = onnx.ModelProto.FromString(path.read_bytes() if skeleton is None else skeleton)
    opsets = {entry.domain or STANDARD: entry.version for entry in model.opset_import}
    typed = onnx.shape_inference.infer_shapes(model)
    operators = tuple(_operators(typed.graph, {}, opsets))
    bodies = (
        _operator(node, {}, {e.domain or STANDARD: e.version for e in function.opset_import})
        for function in typed.functions
        for node in function.node
    )
    defined = {(f.domain, f.name) for f in typed.functions}
    own = {f"{domain}::{name}" for domain, name in defined}
    return Written({"IR": model.ir_version, **opsets}, (*(o for o in operators if o.op not in own), *bodies))


def _operators(graph: Any, outer: Types, opsets: Mapping[str, int]) -> Iterator[Native]:
    types = dict(outer)
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type
    for tensor in graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, None)
    for node in graph.node:
        if node.op_type == "Constant" and (node.domain or STANDARD) == STANDARD:
            continue
        yield _operator(node, types, opsets)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _operators(inner, types, opsets)


def _operator(node: Any, types: Types, opsets: Mapping[str, int]) -> Native:
    domain = node.domain or STANDARD
    name = node.op_type if domain == STANDARD else f"{domain}::{node.op_type}"
    opset = opsets.get(domain, 1)
    if not onnx.defs.has(node.op_type, node.domain):
        return Native(name, opset, tuple(node.output))
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    except onnx.defs.SchemaError:
        return Native(name, opset, tuple(node.output))
    dtypes = {
        **_bound(schema.outputs, node.output, types),
        **_bound(schema.inputs, node.input, types),
    }
    if node.input and node.input[0] in types:
        dtypes["0"] = type_name(types[node.input[0]])
    body = tuple(_expansion(schema, node, types, opsets))
    return Native(name, schema.since_version, tuple(node.output), dtypes, body)


def _bound(parameters: Any, names: Iterable[str], types: Types) -> dict[str, str]:
    """The types of operands by the variable that their parameter has."""
    bound: dict[str, str] = {}
    for index, name in enumerate(names if parameters else ()):
        parameter = parameters[min(index, len(parameters) - 1)]
        if name in types and (kind := type_name(types[name])):
            bound.setdefault(parameter.type_str, kind)
            bound.setdefault(parameter.name, kind)
    return bound


def _expansion(schema: Any, node: Any, types: Types, opsets: Mapping[str, int]) -> Iterator[Native]:
    """The operators of the body of a function, for operands of these types; none where an operator that one
    and the same body for all operands is written in has changed since."""
    opset, raw = opsets.get(STANDARD, 1), b""
    if versions := [v for v in schema.function_opset_versions if v <= opset]:
        raw = schema.get_function_with_opset_version(max(versions))
    elif versions := [v for v in schema.context_dependent_function_opset_versions if v <= opset]:
        kinds = (types.get(name, ANY) for name in node.input)
        raw = schema.get_context_dependent_function_with_opset_version(
            max(versions), node.SerializeToString(), [kind.SerializeToString() for kind in kinds]
        )
    function = onnx.FunctionProto.FromString(raw)
    imports = function.opset_import or [onnx.helper.make_opsetid("", opset)]
    written = next((e.version for e in imports if (e.domain or STANDARD) == STANDARD), opset)
    if schema.has_function and not all(_is_the_same(inner, written, opset) for inner in function.node):
        return
    inputs = [
        onnx.helper.make_value_info(inner, types[name])
        for inner, name in zip(function.input, node.input, strict=False)
        if name in types
    ]
    graph = onnx.helper.make_graph([_resolved(n, node, schema) for n in function.node], "body", inputs, [])
    typed = onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph, opset_imports=imports))
    yield from _operators(typed.graph, {}, opsets)


def _is_the_same(node: Any, one: int, other: int) -> bool:
    """True for an operator whose form is that of both opsets."""
    if node.domain not in ("", STANDARD):
        return True
    return (
        onnx.defs.get_schema(node.op_type, one).since_version
        == onnx.defs.get_schema(node.op_type, other).since_version
    )


def _resolved(inner: Any, node: Any, schema: Any) -> Any:
    """A node of a body with the attributes that it takes from the node the function stands for."""
    copy = type(inner).FromString(inner.SerializeToString())
    given = {attribute.name: attribute for attribute in node.attribute}
    for attribute in list(copy.attribute):
        if not attribute.ref_attr_name:
            continue
        name, wanted = attribute.name, attribute.ref_attr_name
        copy.attribute.remove(attribute)
        declared = schema.attributes.get(wanted)
        found = given.get(wanted) or (declared and declared.default_value)
        if found is not None and found.type:
            copy.attribute.add().CopyFrom(found)
            copy.attribute[-1].name = name
    return copy


def dtype_name(number: int) -> str:
    """The name of an element type as type constraints have it."""
    return onnx.TensorProto.DataType.Name(number).lower()


def type_name(kind: Any) -> str:
    """A type as type constraints have it, a tensor's by its elements alone; empty where unknown."""
    which = kind.WhichOneof("value")
    if which == "tensor_type":
        return dtype_name(kind.tensor_type.elem_type)
    if which in ("sequence_type", "optional_type"):
        inner = getattr(kind, which).elem_type
        word = "seq" if which == "sequence_type" else "optional"
        held = type_name(inner)
        return f"{word}(tensor({held}))" if inner.WhichOneof("value") == "tensor_type" else f"{word}({held})"
    if which == "map_type":
        return f"map({dtype_name(kind.map_type.key_type)},tensor({type_name(kind.map_type.value_type)}))"
    return ""
