"""The walk over a TensorFlow graph: frames of tensors, and nodes as handlers see them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.passes.fold import UNFOLDED, evaluate
from bridge.report import Blocker
from bridge_savedmodel import definitions
from bridge_savedmodel.control_flow_v1 import functionalize
from bridge_savedmodel.eager_eval import eval_eagerly
from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.import_ops.signal import PARTWISE
from bridge_savedmodel.import_ops.state import REFERENCES, WRITES
from bridge_savedmodel.reader import Source
from bridge_savedmodel.tensors import array_of, dims_of, dtype_of
from bridge_savedmodel.values import Pair, Poison, Table
from bridge_savedmodel.variables import Facts, State, Variable, writes_variable

HANDLER_ERRORS = (TypeError, ValueError, AttributeError, LookupError, AssertionError)
VARIABLE_READS = frozenset(["ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableV2", "Variable"])
REFERENCE_VARIABLES = ("VariableV2", "Variable")
NO_RESULT = frozenset(["Assert", "PrintV2"])
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
        names = {p.name for p in (*source.inputs, *source.outputs)}
        self.state = State(root, facts, explicit, names)
        self._writing: dict[str, bool] = {}

    def variable(self, node: Node) -> Variable | None:
        """The variable behind the handle that a node returns; None without stored content."""
        content = self.source.variables.get(node.name)
        name = self.source.names.get(node.name, node.name)
        return None if content is None else self.state.variable(name, content, node.op in REFERENCE_VARIABLES)

    def features_of(self, serialized: ir.Value) -> list[ir.Value]:
        """The list of graph inputs that replace the features parsed from `serialized`."""
        return self.parsed.setdefault(serialized, [])

    def writes(self, name: str) -> bool:
        """True if a function writes to a variable, itself or through the functions it calls."""
        if name not in self._writing:
            self._writing[name] = False
            function = self.source.functions.get(name)
            nodes = () if function is None else function.node_def
            self._writing[name] = any(writes_variable(n, self.writes, WRITES) for n in nodes)
        return self._writing[name]

    def side_effects(self, roots: Sequence[str]) -> list[str]:
        """Nodes of the graph that write to variables and that `roots` depend on, by data or by control
        dependency."""
        nodes, visited, writers = self.source.nodes, set(), []
        pending = [_node_name(r) for r in (*roots, *self.source.control_outputs)]
        while pending:
            name = pending.pop()
            if name in visited or name not in nodes:
                continue
            visited.add(name)
            pending.extend(_node_name(i) for i in nodes[name].input)
            if writes_variable(nodes[name], self.writes, WRITES):
                writers.append(name)
        return writers

    def control_outputs(self, function: Any) -> list[str]:
        """Nodes of a function that run even if no result depends on them."""
        return list(function.control_ret.values()) if self.writes(function.signature.name) else []

    def table(self, name: str) -> Table | None:
        """The constant content of a hash table; None where it is not stored."""
        contents = self.source.tables.get(name)
        return None if contents is None else Table(*contents)

    def refuse(self, node: Node, reason: str) -> None:
        """Record an operator that cannot be imported."""
        self.blockers.append(Blocker(node.op, node.name, "", reason))


class Node:
    """A TensorFlow operator as handlers see it: `op`, `name`, `inputs` as hub values, attributes by `get`."""

    def __init__(self, frame: Frame, proto: Any, inputs: Sequence[Any]) -> None:
        self.frame, self.proto, self.inputs = frame, proto, list(inputs)
        self.op, self.name = proto.op, proto.name

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute as Python: numbers, text, hub dtypes, dimensions, function names, arrays, or lists of
        them. Without it in the node, the default that TensorFlow registers for the operator, else
        `default`."""
        attribute = self.proto.attr[name] if name in self.proto.attr else registered_default(self.op, name)
        field = None if attribute is None else attribute.WhichOneof("value")
        return default if field is None else _attribute_value(attribute, field)

    def call(self, op: Any, function: str, arguments: Sequence[Any]) -> list[Any]:
        """Results of a function of the library; its nodes are added through `op`."""
        return self.frame.call(op, function, arguments)

    def definition(self, name: str) -> Any:
        """The definition of a function."""
        return self.frame.context.source.functions[name]

    @property
    def output_count(self) -> int:
        return output_count(self.proto)


@functools.cache
def registered_default(operator: str, name: str) -> Any:
    """The default of an attribute, as TensorFlow registers it (an AttrValue); None where there is none."""
    definition = definitions.operator(operator)
    declared = () if definition is None else definition.attr
    return next((a.default_value for a in declared if a.name == name), None)


def _attribute_value(attribute: Any, field: str) -> Any:
    """The value of one field of an AttrValue (`s`, `type`, `shape`, …) as Python."""
    value = getattr(attribute, field)
    if field == "s":
        return value.decode("utf-8", "surrogateescape")
    if field == "type":
        return dtype_of(value)
    if field == "shape":
        return dims_of(value)
    if field == "func":
        return value.name
    if field == "tensor":
        return array_of(value)
    if field == "list":
        if value.type:
            return [dtype_of(t) for t in value.type]
        if value.s:
            return [s.decode("utf-8", "surrogateescape") for s in value.s]
        return next((list(f) for f in (value.i, value.f, value.b) if f), [dims_of(s) for s in value.shape])
    return value


def output_count(proto: Any) -> int:
    """Number of output tensors of a node."""
    return sum(size for _, size in output_sizes(proto))


def output_sizes(proto: Any) -> list[tuple[str, int]]:
    """Named outputs of a node, each with its number of tensors."""
    definition = definitions.operator(proto.op)
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
    """Evaluate the nodes added since index `since` whose inputs are small constants, and return `results`
    with these constants in place: shapes, axes and sizes that later operators need before run time."""
    constants: dict[ir.Value, ir.Value] = {}
    for node in op.nodes[since:]:
        arrays = [hub.const(v) for v in node.inputs if v is not None]
        if (
            node.domain
            or node.op_type in UNFOLDED
            or not arrays
            or any(a is None or a.size > MAX_FOLDED for a in arrays)
        ):
            continue
        folded = map(np.asarray, evaluate(node) or [])
        if any(v.dtype in (None, ir.DataType.STRING) for v in node.outputs):
            continue
        for output, array in zip(node.outputs, folded, strict=False):
            if output.dtype and array.size <= MAX_FOLDED and array.dtype == output.dtype.numpy():
                constants[output] = op.const(array)
                ir.convenience.replace_all_uses_with(output, constants[output])
    if isinstance(results, (list, tuple)):
        return [constants.get(v, v) if isinstance(v, ir.Value) else v for v in results]
    return constants.get(results, results) if isinstance(results, ir.Value) else results


def _node_name(reference: str) -> str:
    return reference.lstrip("^").split(":")[0]


def _read_references(operator: str, inputs: Sequence[Any]) -> Iterator[Any]:
    """Inputs with reference variables of version 1 replaced by their values, unless the operator writes to
    them."""
    for index, value in enumerate(inputs):
        is_reference = index == 0 and operator in REFERENCES
        yield value.read() if isinstance(value, Variable) and value.reference and not is_reference else value


def _as_complex(op: hub.Builder, inputs: Sequence[Any]) -> list[Any]:
    """Inputs as complex tensors; a real one gets an imaginary part of zeros."""
    return [
        v if isinstance(v, Pair) else Pair(v, op.Expand(op.const(np.zeros((), v.dtype.numpy())), op.Shape(v)))
        for v in inputs
    ]


class Frame:
    """The tensors of one graph or function body, computed on demand."""

    def __init__(
        self, context: ImportContext, nodes: dict[str, Any], arguments: dict[str, Any], depth: int = 0
    ) -> None:
        self.context, self.nodes, self.arguments, self.depth = context, nodes, arguments, depth
        self.values: dict[tuple[str, int], Any] = {}
        self.writes_variables = any(writes_variable(n, context.writes, WRITES) for n in nodes.values())

    def within(self, nodes: dict[str, Any], arguments: dict[str, Any]) -> Frame:
        """A frame for the body of a function that this frame calls."""
        return Frame(self.context, nodes, arguments, self.depth + 1)

    @functools.cached_property
    def stateful(self) -> set[str]:
        """Nodes that read or write a variable, or depend on one that does."""
        order = TopologicalSorter({n.name: [_node_name(i) for i in n.input] for n in self.nodes.values()})
        names: set[str] = set()
        for name in order.static_order():
            proto = self.nodes.get(name)
            if proto is None or proto.op in NO_RESULT:
                continue
            is_stateful = proto.op in VARIABLE_READS or writes_variable(proto, self.context.writes, WRITES)
            if is_stateful or any(_node_name(i) in names for i in proto.input):
                names.add(name)
        return names

    def _needs(self, proto: Any) -> list[str]:
        """Nodes that a node depends on: its inputs and, where variables are written, its stateful control
        inputs."""
        names = [self.resolve(i)[0] for i in proto.input if not i.startswith("^")]
        if self.writes_variables:
            names += [i[1:] for i in proto.input if i.startswith("^") and i[1:] in self.stateful]
        return names

    def resolve(self, reference: str) -> tuple[str, int]:
        """Node and output index of a tensor reference: `node:1` in a graph, `node:output:1` in a function."""
        fields = reference.split(":")
        if len(fields) < 3:
            return fields[0], int(fields[1]) if len(fields) > 1 else 0
        offset = 0
        for name, size in output_sizes(self.nodes[fields[0]]):
            if name == fields[1]:
                return fields[0], offset + int(fields[2])
            offset += size
        return fields[0], int(fields[2])

    def evaluate(
        self, op: hub.Builder, references: Sequence[str], control_outputs: Sequence[str] = ()
    ) -> list[Any]:
        """Values of tensors, then those of `control_outputs`; the nodes they need are added through `op`."""
        outputs = [self.resolve(r) for r in references]
        pending = [
            *(n for n in control_outputs if n in self.stateful),
            *(name for name, _ in reversed(outputs)),
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
                self._evaluate_node(op, proto)
            elif name in open_nodes:
                self.context.refuse(Node(self, proto, []), "is in a loop that has not TensorFlow's form")
                self.values[name, 0] = self.values[name, 1] = Poison()
            else:
                open_nodes.add(name)
                pending.extend(reversed(missing))
        return [self._lookup(p) for p in outputs]

    def _known(self, name: str) -> bool:
        return name in self.arguments or (name, 0) in self.values

    def _lookup(self, output: tuple[str, int]) -> Any:
        return self.arguments[output[0]] if output[0] in self.arguments else self.values[output]

    def _evaluate_node(self, op: hub.Builder, proto: Any) -> None:
        inputs = [self._lookup(self.resolve(i)) for i in proto.input if not i.startswith("^")]
        node = Node(self, proto, list(_read_references(proto.op, inputs)))
        count = max(node.output_count, 1)
        results = self._results(op, node)
        outputs = list(results) if isinstance(results, (list, tuple)) else [results]
        outputs += [Poison()] * (count - len(outputs))
        for index, value in enumerate(outputs):
            self.values.setdefault((proto.name, index), value)

    def _results(self, op: hub.Builder, node: Node) -> Any:
        if node.op in self.context.source.functions:
            return self.call(op, node.op, node.inputs)
        resource = self._handle(node)
        if resource is not None:
            return resource
        if any(isinstance(v, Poison) for v in node.inputs):
            return Poison()
        if any(isinstance(v, Pair) for v in node.inputs) and f"complex::{node.op}" in ops:
            return self._apply(op, node, _as_complex(op, node.inputs), f"complex::{node.op}")
        op.begin(node.op, node.name)
        if node.op in PARTWISE and any(isinstance(v, Pair) for v in node.inputs):
            parts = [[getattr(v, part, v) for v in node.inputs] for part in ("real", "imag")]
            real, imag = (self._import(op, Node(self, node.proto, inputs)) for inputs in parts)
            if isinstance(real, Poison) or isinstance(imag, Poison):
                return Poison()
            return list(map(Pair, real, imag)) if isinstance(real, (list, tuple)) else Pair(real, imag)
        return self._import(op, node)

    def _import(self, op: hub.Builder, node: Node) -> Any:
        reason = ops.refusal(node.op, node)
        if reason is None:
            return self._apply(op, node, node.inputs)
        constants = eval_eagerly(op, node)
        if constants is not None:
            return constants
        self.context.refuse(node, reason)
        return Poison()

    def _apply(self, op: hub.Builder, node: Node, inputs: Sequence[Any], name: str = "") -> Any:
        for rule in ops.matching(name or node.op, node):
            since = len(op.nodes)
            try:
                results = rule.apply(op, node, *inputs)
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
        """The variable or table that a node creates, from the source of the graph; None for any other
        node."""
        if node.op in ("VarHandleOp", *REFERENCE_VARIABLES) or node.name in self.context.source.variables:
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
        """Results of a function applied to `arguments`."""
        if self.depth > MAX_CALLS:
            raise ValueError(f"the function {name} calls itself")
        function = self.context.source.functions.get(name)
        if function is None:
            raise ValueError(f"there is no function {name}")
        names = [a.name for a in function.signature.input_arg]
        results = [function.ret[o.name] for o in function.signature.output_arg]
        nodes = functionalize({n.name: n for n in function.node_def}, results, self.context.source.functions)
        inner = self.within(nodes, dict(zip(names, arguments, strict=True)))
        return inner.evaluate(op, results, self.context.control_outputs(function))
