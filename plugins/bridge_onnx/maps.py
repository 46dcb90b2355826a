"""Maps at the edges of a model as tensors: the hub's values are tensors, sequences and optionals."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from bridge.errors import UnsupportedModel
from bridge.facts import CLASSES, FEATURE_NAMES, Fact
from bridge.report import Blocker

INNER_MAP = "makes or reads a map inside the model, or one whose keys it does not list; the hub holds tensors"
MAKERS = ("ZipMap", "CastMap", "DictVectorizer")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def map_keys(node: onnx.NodeProto, *names: str) -> list[Any]:
    """The keys a node lists: numbers or text."""
    values = attributes(node)
    keys = next((list(values[n]) for n in names if values.get(n)), [])
    return [v.decode() if isinstance(v, bytes) else v for v in keys]


def zipmap_labels(proto: onnx.ModelProto) -> dict[str, list[Any]]:
    """Class labels by graph output, of the ZipMaps that make them."""
    outputs = {o.name for o in proto.graph.output}
    return {
        n.output[0]: map_keys(n, "classlabels_strings", "classlabels_int64s")
        for n in proto.graph.node
        if n.op_type == "ZipMap" and n.output[0] in outputs
    }


def map_input_keys(proto: onnx.ModelProto) -> dict[str, list[Any]]:
    """Keys by graph input that holds a map, in the order of the columns that stand for them."""
    keys = {}
    inputs = {i.name for i in proto.graph.input if i.type.WhichOneof("value") == "map_type"}
    for node in proto.graph.node:
        if node.input and node.input[0] in inputs:
            if node.op_type == "DictVectorizer":
                keys[node.input[0]] = map_keys(node, "string_vocabulary", "int64_vocabulary")
            elif node.op_type == "CastMap" and is_sparse_cast(proto, node):
                keys[node.input[0]] = list(range(attributes(node).get("max_map", 1)))
    return keys


def is_sparse_cast(proto: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """True if a CastMap has the sparse form (columns by key) and gives numbers."""
    graph_input = next(i for i in proto.graph.input if i.name == node.input[0])
    elem_type, settings = graph_input.type.map_type.value_type.tensor_type.elem_type, attributes(node)
    numeric = elem_type == onnx.TensorProto.FLOAT and settings.get("cast_to", "TO_FLOAT") != "TO_STRING"
    return numeric and settings.get("map_form", "DENSE") == "SPARSE"


def without_maps(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """A model of tensors, and what was changed in words.

    The map of classes to scores that ZipMap makes of an output is its scores, [N, classes]; the map that
    DictVectorizer, or CastMap in its sparse form, reads as an input is its columns, [1, keys], missing keys
    zero. Class labels and keys become metadata. Raises UnsupportedModel for maps elsewhere.
    """
    if not any(n.op_type in MAKERS for n in proto.graph.node):
        return proto, []
    class_labels, columns = zipmap_labels(proto), map_input_keys(proto)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    users = [i for n in copy.graph.node for i in n.input]
    notes, blockers = [], []
    for node in copy.graph.node:
        if node.op_type == "ZipMap" and node.output[0] in class_labels and node.output[0] not in users:
            notes.append(_replace_zipmap(copy, node, class_labels[node.output[0]]))
        elif node.op_type in MAKERS and node.input[0] in columns and users.count(node.input[0]) == 1:
            notes.append(_replace_map_input(copy, node, columns[node.input[0]]))
        elif node.op_type in MAKERS:
            blockers.append(Blocker(node.op_type, node.name, "", INNER_MAP))
    if blockers:
        raise UnsupportedModel(
            "The model holds maps:", blockers, "Export it without maps (zipmap=False in skl2onnx)."
        )
    return copy, notes


def _note(proto: onnx.ModelProto, fact: Fact[Any], value: list[Any]) -> None:
    entry = proto.metadata_props.add()
    entry.key, entry.value = fact.key, fact.encode(value)


def _replace_zipmap(proto: onnx.ModelProto, node: onnx.NodeProto, names: list[Any]) -> str:
    """Scores in the place of maps from classes to scores."""
    output = next(o for o in proto.graph.output if o.name == node.output[0])
    output.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, ["N", len(names)]))
    _replace_operator(node, "Identity")
    _note(proto, CLASSES.of(output.name), names)
    return (
        f"output {output.name} is the scores of its {len(names)} classes, not a map of them; "
        "their labels are metadata"
    )


def _replace_map_input(proto: onnx.ModelProto, node: onnx.NodeProto, keys: list[Any]) -> str:
    """Columns in the place of a map."""
    graph_input = next(i for i in proto.graph.input if i.name == node.input[0])
    elem_type = graph_input.type.map_type.value_type.tensor_type.elem_type
    graph_input.type.CopyFrom(onnx.helper.make_tensor_type_proto(elem_type, [1, len(keys)]))
    target = onnx.TensorProto.INT64 if attributes(node).get("cast_to") == "TO_INT64" else elem_type
    _replace_operator(node, "Cast" if target != elem_type else "Identity")
    if target != elem_type:
        node.attribute.append(onnx.helper.make_attribute("to", target))
    _note(proto, FEATURE_NAMES, [str(k) for k in keys])
    return (
        f"input {graph_input.name} is the values of its {len(keys)} keys, not a map of them; "
        "what is missing is zero"
    )


def _replace_operator(node: onnx.NodeProto, op_type: str) -> None:
    node.op_type, node.domain = op_type, ""
    del node.attribute[:]


def as_maps(proto: onnx.ModelProto, inputs: dict[str, Any]) -> dict[str, Any]:
    """Columns as the maps the model itself reads."""
    columns = map_input_keys(proto)
    return {
        name: dict(zip(columns[name], np.asarray(value)[0].tolist(), strict=True))
        if name in columns
        else value
        for name, value in inputs.items()
    }


def as_columns(proto: onnx.ModelProto, outputs: dict[str, Any]) -> None:
    """Scores in the order of the classes, where the model makes maps."""
    for name, names in zipmap_labels(proto).items():
        if isinstance(outputs.get(name), list):
            rows = [[row[label] for label in names] for row in outputs[name]]
            outputs[name] = np.array(rows, np.float32).reshape(len(rows), len(names))
