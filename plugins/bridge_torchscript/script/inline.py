"""Graphs with the functions that they call copied in, and a name of its own for every value."""

from __future__ import annotations

from collections.abc import Callable

from bridge.errors import UnreadableFile
from bridge_torchscript.script.graph import Block, Node, Value

MAX_NODES = 2_000_000
MAX_CALLS = 200
"""Calls in calls; TorchScript has no recursion."""
CALLS = ("prim::CallFunction", "prim::CallMethod")


class Inliner:
    """Copies a graph; `graph_of(callee)` gives those of the functions that it calls."""

    def __init__(self, graph_of: Callable[[str], Block]) -> None:
        self.graph_of = graph_of
        self.nodes = 0
        self.taken: dict[str, int] = {}

    def inlined(self, graph: Block) -> Block:
        copy = Block()
        values: dict[Value, Value] = {}
        self._add_inputs(copy, graph, values)
        self._copy_nodes(graph, copy, values, 0)
        copy.outputs().extend(values[v] for v in graph.outputs())
        return copy

    def _add_inputs(self, copy: Block, block: Block, values: dict[Value, Value]) -> None:
        for value in block.inputs():
            values[value] = copy.add_input(value.type(), self._name(value.name))

    def _name(self, name: str) -> str:
        """The name where it is free, else with a number; the number alone for values without a name."""
        count = self.taken.get(name, 0)
        self.taken[name] = count + 1
        if name and not count:
            return name
        return self._name(f"{name}.{count}" if name else str(count + 1))

    def _copy_nodes(self, block: Block, into: Block, values: dict[Value, Value], depth: int) -> None:
        for node in block.nodes():
            if node.kind() in CALLS:
                self._copy_call(node, into, values, depth)
            else:
                into.append(self._copy_node(node, values, depth))

    def _copy_call(self, node: Node, into: Block, values: dict[Value, Value], depth: int) -> None:
        if depth > MAX_CALLS:
            raise UnreadableFile("The code calls itself, which TorchScript does not.")
        callee = self.graph_of(node.attributes["callee"])
        inner = {p: values[v] for p, v in zip(callee.inputs(), node.inputs(), strict=True)}
        self._copy_nodes(callee, into, inner, depth + 1)
        values[node.output()] = inner[callee.outputs()[0]]

    def _copy_node(self, node: Node, values: dict[Value, Value], depth: int) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise UnreadableFile("The code becomes too large where its functions are written out.")
        inputs = [values[v] for v in node.inputs()]
        copy = Node(node.kind(), inputs, (), node.text, node.writes, node.where, **node.attributes)
        for block in node.blocks():
            copied = Block()
            copy.blocks().append(copied)
            self._add_inputs(copied, block, values)
            self._copy_nodes(block, copied, values, depth)
            copied.outputs().extend(values[v] for v in block.outputs())
        for value in node.outputs():
            values[value] = Value(copy, value.type(), self._name(value.name))
            copy.outputs().append(values[value])
        return copy
