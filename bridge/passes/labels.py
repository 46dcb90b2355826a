"""Text that a model looks up, given as places in a list of names."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bridge import hub
from bridge.facts import STORED
from bridge.traits import MOVES_DATA, is_a

__all__ = ["IndexLabels"]

ML = "ai.onnx.ml"
CHOOSES = frozenset([*MOVES_DATA, "Where"])
INTEGERS = {
    "LinearClassifier": "classlabels_ints",
    "SVMClassifier": "classlabels_ints",
    "TreeEnsembleClassifier": "classlabels_int64s",
}
"""The attribute in which a classifier has integer labels."""


class IndexLabels(ir.passes.InPlacePass):
    """1. An output of text that comes from tables alone (constants, values of a LabelEncoder, labels of a
    classifier), by operators that move elements or choose among them, becomes int64: places in the list of
    its names, which the model's metadata keeps.
    2. Other text stays as it is.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        texts = [v for v in model.graph.outputs if v.dtype == ir.DataType.STRING]
        changed = [self._output(model, value) for value in texts]
        if any(changed):
            RemoveUnusedNodesPass()(model)
        return ir.passes.PassResult(model, any(changed))

    def _output(self, model: ir.Model, value: ir.Value) -> bool:
        names = Names()
        if not _looked_up(value, names, set()):
            return False
        name, documentation = str(value.name), value.doc_string
        place = list(model.graph.outputs).index(value)
        value.name = hub.fresh_name(model.graph, name)
        index = _Indices(model.graph, names).of(value)
        if index.producer() is None:
            index = hub.Builder(model.graph).Identity(index)
        index.name, index.doc_string = name, documentation
        model.graph.outputs[place] = index
        STORED.of(name).set(model, {"names": list(names)})
        return True


class Names(dict[str, int]):
    """Places by name, in the order they were first met."""

    def add(self, texts: Any) -> None:
        for text in texts:
            self.setdefault(text, len(self))

    def places(self, texts: np.ndarray) -> np.ndarray:
        return np.array([self[t] for t in texts.ravel()], np.int64).reshape(texts.shape)


def _looked_up(value: ir.Value | None, names: Names, seen: set[ir.Value]) -> bool:
    """True if text comes from tables alone, whose names are then added."""
    if value is None or value in seen:
        return value is not None
    seen.add(value)
    table, node = hub.const(value), value.producer()
    if table is not None:
        names.add(table.ravel())
        return True
    if node is None:
        return False
    if _moves(node):
        texts = _texts(node)
        return bool(texts) and all(_looked_up(v, names, seen) for v in texts)
    labels = _labels(node)
    names.add(labels)
    return bool(labels) and value is node.outputs[0]


def _moves(node: ir.Node) -> bool:
    return is_a(node, CHOOSES) or (node.domain, node.op_type) == (ML, "ArrayFeatureExtractor")


def _texts(node: ir.Node) -> list[ir.Value]:
    return [v for v in node.inputs if v is not None and v.dtype == ir.DataType.STRING]


def _labels(node: ir.Node) -> list[str]:
    """The texts that a node may give; none where they are not known."""
    if node.domain != ML:
        return []
    if node.op_type == "LabelEncoder" and "values_strings" in node.attributes:
        return [*_decoded(hub.attr(node, "values_strings")), *_decoded([hub.attr(node, "default_string")])]
    return _decoded(hub.attr(node, "classlabels_strings") or []) if node.op_type in INTEGERS else []


def _decoded(texts: Any) -> list[str]:
    return [t.decode() if isinstance(t, bytes) else str(t) for t in texts]


class _Indices:
    """The places of what values of text say, each computed once, beside the text."""

    def __init__(self, graph: ir.Graph, names: Names) -> None:
        self.graph, self.names = graph, names
        self.known: dict[ir.Value, ir.Value] = {}

    def of(self, value: ir.Value) -> ir.Value:
        if value not in self.known:
            self.known[value] = self._made(value)
        return self.known[value]

    def _made(self, value: ir.Value) -> ir.Value:
        table, node = hub.const(value), value.producer()
        if table is not None:
            return hub.Builder(self.graph).const(self.names.places(table))
        assert node is not None
        texts = _texts(node) if _moves(node) else []
        inputs = [self.of(v) if v is not None and v in texts else v for v in node.inputs]
        attributes = [
            self._attribute(node, a) for a in node.attributes.values() if a.name != "default_string"
        ]
        if "values_strings" in node.attributes:
            attributes.append(ir.AttrInt64("default_int64", self.names[hub.attr(node, "default_string")]))
        copy = ir.Node(node.domain, node.op_type, inputs, attributes, num_outputs=len(node.outputs))
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            text = old.dtype == ir.DataType.STRING
            new.type = ir.TensorType(ir.DataType.INT64) if text else old.type
            new.shape = None if old.shape is None else old.shape.copy()
        hub.Builder(self.graph, before=node, source=hub.origin(node)).insert(copy)
        if not texts:
            for old, new in zip(node.outputs[1:], copy.outputs[1:], strict=True):
                new.name, old.name = old.name, hub.fresh_name(self.graph, "scores")
                old.replace_all_uses_with(new, replace_graph_outputs=True)
        place = next(i for i, output in enumerate(node.outputs) if output is value)
        return copy.outputs[place]

    def _attribute(self, node: ir.Node, attribute: ir.Attr) -> ir.Attr:
        """An attribute of a node that makes text, of its twin that makes places."""
        if attribute.name == "values_strings":
            return ir.AttrInt64s("values_int64s", self._places(attribute.value))
        if attribute.name == "classlabels_strings":
            return ir.AttrInt64s(INTEGERS[node.op_type], self._places(attribute.value))
        return attribute

    def _places(self, texts: Any) -> list[int]:
        return [self.names[t] for t in _decoded(texts)]
