"""Every value and node has a name nobody else in the model has."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

import onnx_ir as ir

from bridge import hub
from bridge.hub import subgraphs


def callable_names(names: Iterable[str]) -> dict[str, str]:
    """Names by which a Python function can be given its arguments, for those of inputs: none is `self` or a
    keyword, and no two are alike but for what no identifier holds."""
    taken, callable_name = {"self", *keyword.kwlist}, {}
    for name in sorted(names):
        given = name
        while (identifier := re.sub(r"\W", "_", given)) in taken:
            given += "_"
        taken.add(identifier)
        callable_name[name] = given
    return callable_name


class NameValues(ir.passes.InPlacePass):
    """1. Names of the model's inputs and outputs, and then of anything that came first, stay.

    2. A value without a name, or with one that is taken or provisional, is called after its operator.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        self._taken = {v.name for v in [*model.graph.inputs, *model.graph.outputs]}
        self._public = {*model.graph.inputs, *model.graph.outputs}
        self._nodes: set[str] = set()
        self._reserved = {name for graph in hub.graphs(model) for name in graph.initializers}
        self._count = 0
        self._graph(model.graph)
        return ir.passes.PassResult(model, True)

    def _graph(self, graph: ir.Graph) -> None:
        for value in graph.inputs:
            self._value(value, "input")
        for value in list(graph.initializers.values()):
            self._value(value, "const")
        for node in graph:
            if not node.name or node.name in self._nodes:
                node.name = self._fresh(node.op_type, self._nodes)
            self._nodes.add(node.name)
            for output in node.outputs:
                self._value(output, node.op_type)
            for subgraph in subgraphs(node):
                self._graph(subgraph)

    def _value(self, value: ir.Value, stem: str) -> None:
        if value in self._public:
            return
        if value.name == "" or (not value.uses() and not value.is_graph_output() and value.name is None):
            value.name = ""
            return
        if not value.name or value.name in self._taken or hub.PROVISIONAL in value.name:
            value.name = self._fresh(stem, self._taken)
        self._taken.add(value.name)

    def _fresh(self, stem: str, taken: set) -> str:
        while True:
            name = f"{stem}_{self._count}"
            self._count += 1
            if name not in taken and name not in self._reserved:
                return name
