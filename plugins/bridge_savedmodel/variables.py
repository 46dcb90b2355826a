"""Variables while a graph is imported: their value at the current position, and which ones the graph
writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.facts import SAVEDMODEL_VARIABLE
from bridge_savedmodel.values import decode_strings

NEXT = "/next"


@dataclass
class Facts:
    """Results of one reading that the next one needs: variables written by the graph, and by each loop
    body."""

    written: dict[str, str] = field(default_factory=dict)
    loops: dict[str, set[str]] = field(default_factory=dict)
    grew: bool = False


class Variable:
    """A variable. `reference` marks the tensors of version 1 that operators read without ReadVariableOp."""

    def __init__(self, state: State, name: str, content: Callable[[], np.ndarray], reference: bool) -> None:
        self.name, self.reference = name, reference
        self._state, self._content = state, content
        self._first: ir.Value | None = None

    def first(self) -> ir.Value:
        """The value before the run: an initializer, or an input if the graph writes the variable."""
        if self._first is None:
            array = self._content()
            values = np.asarray(array) if array.dtype.kind not in "OSU" else decode_strings(array)
            self._first = self._state.start(self.name, values)
        return self._first

    def read(self) -> ir.Value:
        """The value at the current position."""
        return self._state.now.get(self.name) or self.first()

    def write(self, value: ir.Value) -> ir.Value:
        self._state.write(self, value)
        return value


class State:
    """The variables of one graph. A written one is an input, whose default is its stored value, and an output
    `<name>/next`. Unless `explicit`, it has its stored value at the beginning of every run."""

    def __init__(self, op: hub.Builder, facts: Facts, explicit: bool, taken: set[str]) -> None:
        self.op, self.facts, self.explicit, self.taken = op, facts, explicit, taken
        self.variables: dict[str, Variable] = {}
        self.now: dict[str, ir.Value] = {}

    def variable(self, name: str, content: Callable[[], np.ndarray], reference: bool = False) -> Variable:
        if name not in self.variables:
            self.variables[name] = Variable(self, name, content, reference)
        return self.variables[name]

    def start(self, name: str, array: np.ndarray) -> ir.Value:
        graph = self.op.graph
        assert isinstance(graph, ir.Graph)
        if not self.explicit or name not in self.facts.written:
            value = self.op.const(array)
            if name not in graph.initializers:
                value.name = name
            return value
        tensor = ir.tensor(array)
        value = ir.Value(
            name=self._free(name),
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(array.shape),
            const_value=tensor,
        )
        SAVEDMODEL_VARIABLE.set(value, name)
        graph.inputs.append(value)
        graph.register_initializer(value)
        return value

    def _free(self, name: str) -> str:
        while name in self.taken:
            name += "_state"
        self.taken.add(name)
        return name

    def write(self, variable: Variable, value: ir.Value) -> None:
        if variable.name not in self.facts.written:
            self.facts.written[variable.name] = variable.name
            self.facts.grew = True
        self.now[variable.name] = value

    def changed(self, before: dict[str, ir.Value], *afters: dict[str, ir.Value]) -> list[str]:
        """Names of variables whose value differs from `before` in any of several states."""
        return sorted({n for after in afters for n, v in after.items() if before.get(n) is not v})

    def of_loop(self, body: str) -> dict[str, ir.Value]:
        """Current values of the variables that the body of a loop writes."""
        return {
            n: self.variables[n].read() for n in sorted(self.facts.loops.get(body, ())) if n in self.variables
        }

    def learn(self, body: str, before: dict[str, ir.Value]) -> None:
        """Record the variables that the body of a loop wrote since `before`."""
        written = set(self.changed(before, self.now)) - self.facts.loops.setdefault(body, set())
        self.facts.loops[body] |= written
        self.facts.grew |= bool(written)

    def close(self) -> None:
        """Add the value of each written variable after the run as an output."""
        if not self.explicit:
            return
        graph = self.op.graph
        for name in self.facts.written:
            value = self.now.get(name)
            if value is None:
                continue
            if value.is_graph_output() or value.producer() is None:
                value = self.op.Identity(value)
            value.name = self._free(f"{self.variables[name].first().name}{NEXT}")
            graph.outputs.append(value)


def writes_variable(node: Any, writes: Callable[[str], bool], operators: frozenset[str]) -> bool:
    """True if a node writes to a variable or calls a function that does."""
    if node.op in operators:
        return True
    called = [a.func.name for a in node.attr.values() if a.WhichOneof("value") == "func"]
    called += [f.name for a in node.attr.values() if a.WhichOneof("value") == "list" for f in a.list.func]
    return any(writes(name) for name in (*called, node.op))
