"""Walking a TensorFlow graph: frames of tensors, and nodes as handlers see them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.passes.fold import KEPT, evaluate
from bridge.report import Blocker
from bridge_savedmodel.functional import raised
from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.import_ops.signal import PARTWISE
from bridge_savedmodel.import_ops.state import REFERENCES, WRITES
from bridge_savedmodel.reader import Source, array_of, dims_of, dtype_of
from bridge_savedmodel.stored import computed
from bridge_savedmodel.values import Pair, Poison, Table
from bridge_savedmodel.variables import Facts, State, Variable, changes

HANDLER_ERRORS = (TypeError, ValueError, AttributeError, LookupError, AssertionError)
READS = frozenset(["ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableV2", "Variable"])
REFERRED = ("VariableV2", "Variable")
WITHOUT_RESULT = frozenset(["Assert", "PrintV2"])
TABLES = ("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2", "AnonymousHashTable")
MAX_CALLS = 64
MAX_FOLDED = 2**16


class ImportContext:
    """State of one import, shared by its frames: the source, variables, blockers, parsed features."""

    def __init__(
        self,
        source: Source,
        root: hub.Builder,
        facts: Facts,
        explicit: bool,
        features: bool = False,
        characters: int = 0,
    ) -> None:
        self.source, self.features, self.characters = source, features, characters
        self.parsed: dict[ir.Value, list[ir.Value]] = {}
        self.blockers: list[Blocker] = []
        taken = {p.name for p in (*source.inputs, *source.outputs)}
        self.state = State(root, facts, explicit, taken)
        self._writing: dict[str, bool] = {}

    def variable(self, node: Node) -> Variable | None:
        """The variable whose handle a node makes."""
        content = self.source.variables.get(node.name)
        name = self.source.names.get(node.name, node.name)
        return None if content is None else self.state.variable(name, content, node.op in REFERRED)

    def features_of(self, serialized: ir.Value) -> list[ir.Value]:
        """The inputs that stand for what is parsed from one."""
        return self.parsed.setdefault(serialized, [])

    def writes(self, name: str) -> bool:
        """Whether a function writes to a variable, itself or through others."""
        if name not in self._writing:
            self._writing[name] = False
            function = self.source.functions.get(name)
            nodes = () if function is None else function.node_def
            self._writing[name] = any(changes(n, self.writes, WRITES) for n in nodes)
        return self._writing[name]

    def side_effects(self, roots: Sequence[str]) -> list[str]:
        """Nodes of the graph that write to variables before `roots` are computed, by data or by order."""
        nodes, visited, writing = self.source.nodes, set(), []
        pending = [_node_name(r) for r in (*roots, *self.source.control_outputs)]
        while pending:
            name = pending.pop()
            if name in visited or name not in nodes:
                continue
            visited.add(name)
            pending.extend(_node_name(i) for i in nodes[name].input)
            if changes(nodes[name], self.writes, WRITES):
                writing.append(name)
        return writing

    def control_outputs(self, function: Any) -> list[str]:
        """Nodes of a function that run whether or not anything reads them."""
        return list(function.control_ret.values()) if self.writes(function.signature.name) else []

    def table(self, name: str) -> Table | None:
        contents = self.source.tables.get(name)
        return None if contents is None else Table(*contents)

    def refuse(self, node: Node, reason: str) -> None:
        """One more operator that cannot be read."""
        self.blockers.append(Blocker(node.op, node.name, "", reason))


class Node:
    """One TensorFlow operator as handlers see it: `op`, `name`, `inputs` as hub values, attributes by
    `get`."""

    def __init__(self, frame: Frame, proto: Any, inputs: Sequence[Any]) -> None:
        self.frame, self.proto, self.inputs = frame, proto, list(inputs)
        self.op, self.name = proto.op, proto.name

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute as Python: numbers, text, dtypes of the hub, dimensions, function names, arrays, lists of
        them; where the node has none, the default its operator is registered with, else `default`."""
        attribute = self.proto.attr[name] if name in self.proto.attr else registered_default(self.op, name)
        kind = None if attribute is None else attribute.WhichOneof("value")
        return default if kind is None else _attribute_value(attribute, kind)

    def call(self, op: Any, function: str, arguments: Sequence[Any]) -> list[Any]:
        """The results of a function of the library, its nodes added through `op`."""
        return self.frame.call(op, function, arguments)

    def function(self, name: str) -> Any:
        """The definition of a function."""
        return self.frame.context.source.functions[name]

    @property
    def outputs(self) -> int:
        return output_count(self.proto)


@functools.cache
def registered_default(operator: str, name: str) -> Any:
    """The default of an attribute, as TensorFlow registers it (an AttrValue); None where there is none."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operator)
    declared = () if definition is None else definition.attr
    return next((a.default_value for a in declared if a.name == name), None)


def _attribute_value(attribute: Any, kind: str) -> Any:
    value = getattr(attribute, kind)
    if kind == "s":
        return value.decode("utf-8", "surrogateescape")
    if kind == "type":
        return dtype_of(value)
    if kind == "shape":
        return dims_of(value)
    if kind == "func":
        return value.name
    if kind == "tensor":
        return array_of(value)
    if kind == "list":
        if value.type:
            return [dtype_of(t) for t in value.type]
        if value.s:
            return [s.decode("utf-8", "surrogateescape") for s in value.s]
        return next((list(f) for f in (value.i, value.f, value.b) if f), [dims_of(s) for s in value.shape])
    return value


def output_count(proto: Any) -> int:
    """How many outputs a node has."""
    return sum(size for _, size in output_sizes(proto))


def output_sizes(proto: Any) -> list[tuple[str, int]]:
    """The named outputs of a node, and how many tensors each is."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(proto.op)
    if definition is None:
        return [("output", 1)]
    sizes = []
    for argument in definition.output_arg:
        size = 1
        if argument.number_attr:
            size = proto.attr[argument.number_attr].i
        elif argument.type_list_attr:
            size = len(proto.attr[argument.type_list_attr].list.type)
        sizes.append((argument.name, size))
    return sizes


def _fold_constants(op: hub.Builder, results: Any, since: int) -> Any:
    """Small results of constants alone, as constants: shapes, axes and sizes that later operators ask for."""
    constants: dict[ir.Value, ir.Value] = {}
    for node in op.nodes[since:]:
        arrays = [hub.const(v) for v in node.inputs if v is not None]
        if (
            node.domain
            or node.op_type in KEPT
            or not arrays
            or any(a is None or a.size > MAX_FOLDED for a in arrays)
        ):
            continue
        computed_arrays = map(np.asarray, evaluate(node) or [])
        if any(v.dtype in (None, ir.DataType.STRING) for v in node.outputs):
            continue
        for output, array in zip(node.outputs, computed_arrays, strict=False):
            if output.dtype and array.size <= MAX_FOLDED and array.dtype == output.dtype.numpy():
                constants[output] = op.const(array)
                ir.convenience.replace_all_uses_with(output, constants[output])
    if isinstance(results, (list, tuple)):
        return [constants.get(v, v) if isinstance(v, ir.Value) else v for v in results]
    return constants.get(results, results) if isinstance(results, ir.Value) else results


def _node_name(reference: str) -> str:
    return reference.lstrip("^").split(":")[0]


def _dereferenced(operator: str, inputs: Sequence[Any]) -> Iterator[Any]:
    """Variables of version 1 as what they hold, but for the operators that write to them."""
    for index, value in enumerate(inputs):
        kept = index == 0 and operator in REFERENCES
        yield value.read() if isinstance(value, Variable) and value.reference and not kept else value


def _as_complex(op: hub.Builder, inputs: Sequence[Any]) -> list[Any]:
    """Inputs as complex tensors: a real one has an imaginary part of zeros."""
    return [
        v if isinstance(v, Pair) else Pair(v, op.Expand(op.const(np.zeros((), v.dtype.numpy())), op.Shape(v)))
        for v in inputs
    ]


class Frame:
    """The tensors of one graph or function body, computed as they are asked for."""

    def __init__(
        self, context: ImportContext, nodes: dict[str, Any], arguments: dict[str, Any], depth: int = 0
    ) -> None:
        self.context, self.nodes, self.arguments, self.depth = context, nodes, arguments, depth
        self.values: dict[tuple[str, int], Any] = {}
        self.writes_variables = any(changes(n, context.writes, WRITES) for n in nodes.values())

    def within(self, nodes: dict[str, Any], arguments: dict[str, Any]) -> Frame:
        """A frame for the body of a function called from this one."""
        return Frame(self.context, nodes, arguments, self.depth + 1)

    @functools.cached_property
    def stateful(self) -> set[str]:
        """Nodes that read or write a variable, or wait for one that does."""
        order = TopologicalSorter({n.name: [_node_name(i) for i in n.input] for n in self.nodes.values()})
        names: set[str] = set()
        for name in order.static_order():
            proto = self.nodes.get(name)
            if proto is None or proto.op in WITHOUT_RESULT:
                continue
            own = proto.op in READS or changes(proto, self.context.writes, WRITES)
            if own or any(_node_name(i) in names for i in proto.input):
                names.add(name)
        return names

    def _needs(self, proto: Any) -> list[str]:
        """Nodes whose results a node takes, and, where variables are written, those it is ordered after."""
        names = [self.resolve(i)[0] for i in proto.input if not i.startswith("^")]
        if self.writes_variables:
            names += [i[1:] for i in proto.input if i.startswith("^") and i[1:] in self.stateful]
        return names

    def resolve(self, reference: str) -> tuple[str, int]:
        """Node and output index of a tensor reference: `node:1` in a graph, `node:output:1` in a function."""
        parts = reference.split(":")
        if len(parts) < 3:
            return parts[0], int(parts[1]) if len(parts) > 1 else 0
        offset = 0
        for name, size in output_sizes(self.nodes[parts[0]]):
            if name == parts[1]:
                return parts[0], offset + int(parts[2])
            offset += size
        return parts[0], int(parts[2])

    def evaluate(
        self, op: hub.Builder, references: Sequence[str], control_outputs: Sequence[str] = ()
    ) -> list[Any]:
        """The values of tensors, the nodes they need added through `op`; then those of `control_outputs`."""
        places = [self.resolve(r) for r in references]
        pending = [
            *(n for n in control_outputs if n in self.stateful),
            *(name for name, _ in reversed(places)),
        ]
        open_nodes: set[str] = set()
        while pending:
            name = pending[-1]
            if self._known(name):
                pending.pop()
                continue
            proto = self.nodes.get(name)
            if proto is None:
                raise ValueError(f"no node is called {name}")
            missing = [n for n in self._needs(proto) if not self._known(n)]
            if not missing:
                pending.pop()
                self._node(op, proto)
            elif name in open_nodes:
                self.context.refuse(Node(self, proto, []), "is in a loop that has not TensorFlow's form")
                self.values[name, 0] = self.values[name, 1] = Poison()
            else:
                open_nodes.add(name)
                pending.extend(reversed(missing))
        return [self._value(p) for p in places]

    def _known(self, name: str) -> bool:
        return name in self.arguments or (name, 0) in self.values

    def _value(self, place: tuple[str, int]) -> Any:
        return self.arguments[place[0]] if place[0] in self.arguments else self.values[place]

    def _node(self, op: hub.Builder, proto: Any) -> None:
        inputs = [self._value(self.resolve(i)) for i in proto.input if not i.startswith("^")]
        node = Node(self, proto, list(_dereferenced(proto.op, inputs)))
        count = max(node.outputs, 1)
        results = self._results(op, node)
        many = list(results) if isinstance(results, (list, tuple)) else [results]
        many += [Poison()] * (count - len(many))
        for index, value in enumerate(many):
            self.values.setdefault((proto.name, index), value)

    def _results(self, op: hub.Builder, node: Node) -> Any:
        if node.op in self.context.source.functions:
            return self.call(op, node.op, node.inputs)
        known = self._handle(node)
        if known is not None:
            return known
        if any(isinstance(v, Poison) for v in node.inputs):
            return Poison()
        if any(isinstance(v, Pair) for v in node.inputs) and f"complex::{node.op}" in ops:
            return self._apply(op, node, _as_complex(op, node.inputs), f"complex::{node.op}")
        op.begin(node.op, node.name)
        if node.op in PARTWISE and any(isinstance(v, Pair) for v in node.inputs):
            halves = [[getattr(v, part, v) for v in node.inputs] for part in ("real", "imag")]
            real, imag = (self._import(op, Node(self, node.proto, half)) for half in halves)
            if isinstance(real, Poison) or isinstance(imag, Poison):
                return Poison()
            return list(map(Pair, real, imag)) if isinstance(real, (list, tuple)) else Pair(real, imag)
        return self._import(op, node)

    def _import(self, op: hub.Builder, node: Node) -> Any:
        reason = ops.refusal(node.op, node)
        if reason is None:
            return self._apply(op, node, node.inputs)
        constants = computed(op, node)
        if constants is not None:
            return constants
        self.context.refuse(node, reason)
        return Poison()

    def _apply(self, op: hub.Builder, node: Node, inputs: Sequence[Any], name: str = "") -> Any:
        for rule in ops.taking(name or node.op, node):
            since = len(op.nodes)
            try:
                results = rule.handler(op, node, *inputs)
            except HANDLER_ERRORS as error:
                self.context.refuse(
                    node, f"is not supported with these inputs ({type(error).__name__}: {error})"
                )
                return Poison()
            if results is not NotImplemented:
                return _fold_constants(op, results, since)
        self.context.refuse(node, "is not supported with these inputs")
        return Poison()

    def _handle(self, node: Node) -> Any:
        """Variables and tables, which the graph alone can tell."""
        if node.op in ("VarHandleOp", *REFERRED) or node.name in self.context.source.variables:
            variable = self.context.variable(node)
            if variable is None:
                self.context.refuse(node, "is a variable without a stored value")
            return variable or Poison()
        if node.op in TABLES:
            table = self.context.table(node.name)
            if table is None:
                self.context.refuse(node, "is a table whose contents are not stored as constants or an asset")
                return Poison()
            return table
        return None

    def call(self, op: hub.Builder, name: str, arguments: Sequence[Any]) -> list[Any]:
        """The results of a function given its arguments."""
        if self.depth > MAX_CALLS:
            raise ValueError(f"the function {name} calls itself")
        function = self.context.source.functions.get(name)
        if function is None:
            raise ValueError(f"there is no function {name}")
        names = [a.name for a in function.signature.input_arg]
        results = [function.ret[o.name] for o in function.signature.output_arg]
        nodes = raised({n.name: n for n in function.node_def}, results, self.context.source.functions)
        inner = self.within(nodes, dict(zip(names, arguments, strict=True)))
        return inner.evaluate(op, results, self.context.control_outputs(function))
