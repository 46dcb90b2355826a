"""What lives on between runs: variables, the states of recurrent operators, tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.facts import TFLITE_VARIABLE
from bridge.hub import const
from bridge.needs import condition
from bridge.ops import OpTable

ops = OpTable()

NEXT = "/next"


@dataclass(frozen=True)
class Resource:
    """A handle: the name of a variable or the number of a table."""

    key: str


class State:
    """What a model keeps between runs, by name, while its graph is built.

    A variable that is written to becomes an input with its initial value as default, and an output named `<name>/next`;
    when not `explicit`, it begins at its initial value in every run. One that is never written to is a constant. HELD on
    these inputs and outputs is the number of the tensor that holds their value in LiteRT.
    """

    def __init__(self, file: Any, graph: ir.Graph, explicit: bool, taken: set[str]) -> None:
        self.file, self.graph, self.explicit, self.taken = file, graph, explicit, taken
        self.initializing = False
        self.names: dict[Any, str] = {}
        self.tensors: dict[Any, int] = {}
        self.first: dict[Any, np.ndarray] = {}
        self.now: dict[Any, Any] = {}
        self.inputs: dict[Any, ir.Value] = {}
        self.tables: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def read(self, key: Any, name: str, dtype: Any, dims: Any, rest: np.ndarray | None = None) -> Any:
        """The present value of a variable; `rest` is what it holds before the first run."""
        if key not in self.now:
            if rest is not None:
                self.first.setdefault(key, rest)
            first = self.first.get(key)
            if first is None and not self.explicit:
                raise UnreadableFile(f"{self.file.path} reads the variable {name} before it has a value.")
            known = self._input(key, name, dtype, dims, first) if self.explicit else None
            self.now[key] = hub.Builder(self.graph).const(first) if known is None else known
        return self.now[key]

    def write(self, key: Any, name: str, value: Any, tensor: int) -> None:
        """Let a variable hold `value`, that of tensor `tensor`, from now on."""
        self.names[key], self.tensors[key] = name, tensor
        if not self.initializing:
            self.now[key] = value
            return
        found = const(value)
        if found is not None:
            self.first[key] = found

    def _input(self, key: Any, name: str, dtype: Any, dims: Any, first: np.ndarray | None) -> ir.Value:
        shape = [
            f"{name}_{i}" if d is None else d for i, d in enumerate(dims if first is None else first.shape)
        ]
        value = ir.Value(name=self._free(name), type=ir.TensorType(dtype), shape=ir.Shape(shape))
        if first is not None:
            value.const_value = ir.tensor(first)
        self.inputs[key] = value
        return value

    def _free(self, name: str) -> str:
        name = name or "state"
        while name in self.taken:
            name += "_state"
        self.taken.add(name)
        return name

    def close(self, op: hub.Builder) -> None:
        """Declare the inputs and outputs that the variables became."""
        for key, value in self.inputs.items():
            if self.now[key] is value:
                self._settle(op, value)
                continue
            self.graph.inputs.append(value)
            if isinstance(key, tuple):
                TFLITE_VARIABLE.set(value, str(key[1]))
            if value.const_value is not None:
                self.graph.register_initializer(value)
        if not self.explicit:
            return
        for key, value in self.now.items():
            if value is self.inputs.get(key):
                continue
            if value.is_graph_output() or value.producer() is None:
                value = op.Identity(value)
            stem = self.inputs[key].name if key in self.inputs else self.names[key]
            value.name = self._free(f"{stem}{NEXT}")
            TFLITE_VARIABLE.set(value, str(self.tensors[key]))
            self.graph.outputs.append(value)

    def _settle(self, op: hub.Builder, value: ir.Value) -> None:
        """A variable that nothing writes to is a constant, or an input where its value is unknown."""
        if value.const_value is None:
            self.graph.inputs.append(value)
            return
        ir.convenience.replace_all_uses_with(value, op.const(value.const_value))


@ops.op("VAR_HANDLE")
def var_handle(op, node):
    return Resource(_text(node.get("sharedName", b"")))


@ops.op("READ_VARIABLE")
def read_variable(op, node, handle):
    return node.scope.state.read(handle.key, handle.key, node.out_dtype(), node.out(0).dims)


@ops.op("ASSIGN_VARIABLE")
def assign_variable(op, node, handle, value):
    node.scope.state.write(handle.key, handle.key, value, node.operator.inputs[1])
    return ()


@ops.op("CALL_ONCE")
def call_once(op, node):
    """Its subgraph gives variables their initial values and fills tables."""
    state = node.scope.state
    state.initializing = True
    node.inline(op, node.get("initSubgraphIndex", 0), [])
    state.initializing = False
    return ()


@ops.op("HASHTABLE")
def hashtable(op, node):
    return Resource(f"table {node.get('tableId', 0)}")


@ops.op(
    "HASHTABLE_IMPORT",
    needs=(condition("keys and values stored in the file", lambda n: n.constant(1) and n.constant(2)),),
)
def hashtable_import(op, node, handle, keys, values):
    """A table that is filled already stays as it is."""
    node.scope.state.tables.setdefault(handle.key, (const(keys), const(values)))
    return ()


@ops.op("HASHTABLE_SIZE")
def hashtable_size(op, node, handle):
    keys, _ = _table(node, handle)
    return op.const(np.array([len(np.unique(keys.astype(str)))], np.int64))


@ops.op("HASHTABLE_FIND", needs=(condition("a default stored in the file", lambda n: n.constant(2)),))
def hashtable_find(op, node, handle, keys, default):
    names, values = _table(node, handle)
    first = dict(reversed(list(zip(_plain(names), _plain(values), strict=True))))
    keys_kind, values_kind = ("strings" if a.dtype == object else "int64s" for a in (names, values))
    single = {"strings": "string", "int64s": "int64"}[values_kind]
    op.graph.opset_imports["ai.onnx.ml"] = hub.ML_OPSET
    return op.LabelEncoder(
        keys,
        _domain="ai.onnx.ml",
        **{
            f"keys_{keys_kind}": list(first),
            f"values_{values_kind}": list(first.values()),
            f"default_{single}": _plain(const(default))[0],
        },
    )


def _plain(array: np.ndarray) -> list[Any]:
    """Python strings or numbers."""
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.ravel().tolist()]


def _table(node: Any, handle: Any) -> Any:
    tables = node.scope.state.tables
    if handle.key not in tables:
        raise UnreadableFile(f"{node.file.path} reads a table before it is filled.")
    return tables[handle.key]


def _text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
