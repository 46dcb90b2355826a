"""State between runs: variables, states of recurrent operators, hash tables."""

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
    """Handle: name of a variable, or number of a hash table."""

    key: str


class State:
    """Variables and hash tables of a model while its graph is built, by key.

    A variable that is assigned becomes an input, with its initial value as default, and an output
    `<name>/next`; if not `explicit`, it starts at its initial value in every run. One that is never assigned
    is a constant. The fact TFLITE_VARIABLE on these inputs and outputs is the index of the tensor that holds
    their value in LiteRT.
    """

    def __init__(self, file: Any, graph: ir.Graph, explicit: bool, used_names: set[str]) -> None:
        self.file, self.graph, self.explicit, self.used_names = file, graph, explicit, used_names
        self.initializing = False
        self.names: dict[Any, str] = {}
        self.tensors: dict[Any, int] = {}
        self.initial_values: dict[Any, np.ndarray] = {}
        self.current: dict[Any, Any] = {}
        self.inputs: dict[Any, ir.Value] = {}
        self.tables: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def read(self, key: Any, name: str, dtype: Any, dims: Any, initial: np.ndarray | None = None) -> Any:
        """Present value of a variable; `initial` is its value before the first run, if known."""
        if key not in self.current:
            if initial is not None:
                self.initial_values.setdefault(key, initial)
            first = self.initial_values.get(key)
            if first is None and not self.explicit:
                raise UnreadableFile(f"{self.file.path} reads the variable {name} before it has a value.")
            declared = self._input(key, name, dtype, dims, first) if self.explicit else None
            self.current[key] = hub.Builder(self.graph).const(first) if declared is None else declared
        return self.current[key]

    def write(self, key: Any, name: str, value: Any, tensor: int) -> None:
        """Assign `value`, that of tensor `tensor`, to a variable."""
        self.names[key], self.tensors[key] = name, tensor
        if not self.initializing:
            self.current[key] = value
            return
        array = const(value)
        if array is not None:
            self.initial_values[key] = array

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
        while name in self.used_names:
            name += "_state"
        self.used_names.add(name)
        return name

    def close(self, op: hub.Builder) -> None:
        """Declare the inputs and outputs of the variables."""
        for key, value in self.inputs.items():
            if self.current[key] is value:
                self._settle(op, value)
                continue
            self.graph.inputs.append(value)
            if isinstance(key, tuple):
                TFLITE_VARIABLE.set(value, str(key[1]))
            if value.const_value is not None:
                self.graph.register_initializer(value)
        if not self.explicit:
            return
        for key, value in self.current.items():
            if value is self.inputs.get(key):
                continue
            if value.is_graph_output() or value.producer() is None:
                value = op.Identity(value)
            stem = self.inputs[key].name if key in self.inputs else self.names[key]
            value.name = self._free(f"{stem}{NEXT}")
            TFLITE_VARIABLE.set(value, str(self.tensors[key]))
            self.graph.outputs.append(value)

    def _settle(self, op: hub.Builder, value: ir.Value) -> None:
        """Make a variable that is never assigned a constant, or an input if its value is unknown."""
        if value.const_value is None:
            self.graph.inputs.append(value)
            return
        ir.convenience.replace_all_uses_with(value, op.const(value.const_value))


@ops.op("VAR_HANDLE")
def var_handle(op, node):
    return Resource(_as_text(node.get("sharedName", b"")))


@ops.op("READ_VARIABLE")
def read_variable(op, node, handle):
    return node.scope.state.read(handle.key, handle.key, node.out_dtype(), node.out(0).dims)


@ops.op("ASSIGN_VARIABLE")
def assign_variable(op, node, handle, value):
    node.scope.state.write(handle.key, handle.key, value, node.operator.inputs[1])
    return ()


@ops.op("CALL_ONCE")
def call_once(op, node):
    """Run the subgraph that initializes variables and fills hash tables."""
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
    """A table that is already filled is left as it is."""
    node.scope.state.tables.setdefault(handle.key, (const(keys), const(values)))
    return ()


@ops.op("HASHTABLE_SIZE")
def hashtable_size(op, node, handle):
    keys, _ = _table(node, handle)
    return op.const(np.array([len(np.unique(keys.astype(str)))], np.int64))


@ops.op("HASHTABLE_FIND", needs=(condition("a default stored in the file", lambda n: n.constant(2)),))
def hashtable_find(op, node, handle, keys, default):
    names, values = _table(node, handle)
    first = dict(reversed(list(zip(_as_list(names), _as_list(values), strict=True))))
    keys_kind, values_kind = ("strings" if a.dtype == object else "int64s" for a in (names, values))
    single = {"strings": "string", "int64s": "int64"}[values_kind]
    op.graph.opset_imports["ai.onnx.ml"] = hub.ML_OPSET
    return op.LabelEncoder(
        keys,
        _domain="ai.onnx.ml",
        **{
            f"keys_{keys_kind}": list(first),
            f"values_{values_kind}": list(first.values()),
            f"default_{single}": _as_list(const(default))[0],
        },
    )


def _as_list(array: np.ndarray) -> list[Any]:
    """Elements as Python strings or numbers."""
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.ravel().tolist()]


def _table(node: Any, handle: Any) -> Any:
    tables = node.scope.state.tables
    if handle.key not in tables:
        raise UnreadableFile(f"{node.file.path} reads a table before it is filled.")
    return tables[handle.key]


def _as_text(raw: Any) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
