"""TensorFlow models → hub: SavedModel folders, Keras files and models, traced functions, frozen graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bridge import hub
from bridge.errors import UnsupportedModel
from bridge.formats import Importer, Option
from bridge.passes.affine import FoldAffine
from bridge.passes.fold import KEPT, evaluate
from bridge.passes.transposes import SinkTransposes
from bridge.report import Blocker
from bridge_savedmodel.functional import raised
from bridge_savedmodel.import_ops import ops
from bridge_savedmodel.import_ops.control import WRITES
from bridge_savedmodel.import_ops.values import Pair, Poison, Table, Variable
from bridge_savedmodel.reader import Port, Source, array_of, dims_of, dtype_of, read_folder, split
from bridge_savedmodel.tensorflow import tensorflow

MOVING = frozenset(
    [
        "ConcatV2",
        "ExpandDims",
        "Gather",
        "GatherV2",
        "Pack",
        "Reshape",
        "Slice",
        "Squeeze",
        "StridedSlice",
        "Tile",
        "Transpose",
    ]
)

DEPTH = 64
SMALL = 2**16


def load(src: Any, signature: str | None = None, tags: str = "serve") -> ir.Model:
    """Read a TensorFlow model into a hub model; inputs and outputs are named by the signature.

    Raises UnreadableFile for what is no TensorFlow model or misses parts, or has several signatures of which none is named;
    UnsupportedModel listing every operator without a rule.
    """
    from bridge_savedmodel.sources import open_source

    source = (
        open_source(src, signature, tags) if not _folder(src) else read_folder(Path(src), signature, tags)
    )
    model = _model(source)
    hub.stamp(model, format="savedmodel", tensorflow=tensorflow().__version__)
    return model


def _folder(src: Any) -> bool:
    return isinstance(src, (str, Path)) and Path(src).is_dir()


def _model(source: Source) -> ir.Model:
    graph = ir.Graph(
        [], [], nodes=[], name="main", opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    op = hub.Builder(graph)
    run = Run(source, op)
    wanted = [p.tensor for p in source.outputs]
    frame = Frame(run, raised(source.nodes, wanted, source.functions), {})
    for proto in source.nodes.values() if source.whole else ():
        frame.check(proto)
    for port in source.inputs:
        frame.values[split(port.tensor)] = _input(graph, port)
    for name, array in source.bound.items():
        frame.values[name, 0] = op.const(array)
    results = frame.evaluate(op, wanted)
    if run.blockers:
        count = len(run.blockers)
        raise UnsupportedModel(
            f"{count} operator{'s' * (count > 1)} of {source.what} cannot be read:",
            run.blockers,
            "Add a rule: plugins/README.md#one-operator",
        )
    for port, value in zip(source.outputs, results, strict=True):
        _output(graph, op, port, value)
    model = ir.Model(graph, ir_version=hub.IR_VERSION)
    model.metadata_props.update(source.metadata)
    _unique_names(graph)
    RemoveUnusedNodesPass()(model)
    for _ in range(2):
        SinkTransposes()(model)
    FoldAffine()(model)
    return model


def _input(graph: ir.Graph, port: Port) -> ir.Value:
    if port.dtype is None:
        raise UnsupportedModel(
            "An input cannot be read:", [Blocker("input", port.name, "", "has a dtype ONNX has not")]
        )
    shape = None if port.dims is None else ir.Shape(list(port.dims))
    value = ir.Value(name=port.name, type=ir.TensorType(port.dtype), shape=shape)
    graph.inputs.append(value)
    return value


def _output(graph: ir.Graph, op: hub.Builder, port: Port, value: Any) -> None:
    if value.is_graph_output() or value.producer() is None or value.producer() not in op.nodes:
        value = op.Identity(value)
    value.name = port.name
    if port.dims is not None:
        known = (
            list(value.shape) if value.shape is not None and len(value.shape) == len(port.dims) else port.dims
        )
        own = [
            d if d is not None else k if isinstance(k, int) else d
            for d, k in zip(port.dims, known, strict=True)
        ]
        value.shape = ir.Shape(own)
    if value.type is None and port.dtype is not None:
        value.type = ir.TensorType(port.dtype)
    graph.outputs.append(value)


def _unique_names(graph: ir.Graph) -> None:
    """Inputs and outputs keep their names; an output that shares its name with an input is told apart."""
    taken = {v.name for v in graph.inputs}
    for value in graph.outputs:
        if value.name in taken:
            value.name = f"{value.name}_output"
        taken.add(value.name)


class Run:
    """One import: what all frames share."""

    def __init__(self, source: Source, root: hub.Builder) -> None:
        self.source = source
        self.root = root
        self.blockers: list[Blocker] = []
        self._variables: dict[str, Variable] = {}

    def variable(self, name: str) -> Variable | None:
        """The variable whose handle the node `name` of the graph makes."""
        if name not in self._variables and name in self.source.variables:
            self._variables[name] = Variable(name, self.source.variables[name], self.root)
        return self._variables.get(name)

    def table(self, name: str) -> Table | None:
        found = self.source.tables.get(name)
        return None if found is None else Table(*found)

    def refuse(self, node: Node, reason: str) -> None:
        """One more operator that cannot be read."""
        self.blockers.append(Blocker(node.op, node.name, "", reason))


class Node:
    """One TensorFlow operator as handlers see it: `op`, `name`, `inputs` as hub values, attributes by `get`."""

    def __init__(self, frame: Frame, proto: Any, inputs: Sequence[Any]) -> None:
        self.frame, self.proto, self.inputs = frame, proto, list(inputs)
        self.op, self.name = proto.op, proto.name

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute as Python: numbers, text, dtypes of the hub, dimensions, function names, arrays, lists of them."""
        if name not in self.proto.attr:
            return default
        attribute = self.proto.attr[name]
        kind = attribute.WhichOneof("value")
        return default if kind is None else _plain(attribute, kind)

    def call(self, op: Any, function: str, arguments: Sequence[Any]) -> list[Any]:
        """The results of a function of the library, its nodes added through `op`."""
        return self.frame.call(op, function, arguments)

    def function(self, name: str) -> Any:
        """The definition of a function."""
        return self.frame.run.source.functions[name]

    @property
    def outputs(self) -> int:
        return output_count(self.proto)


def _plain(attribute: Any, kind: str) -> Any:
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
    made = []
    for argument in definition.output_arg:
        size = 1
        if argument.number_attr:
            size = proto.attr[argument.number_attr].i
        elif argument.type_list_attr:
            size = len(proto.attr[argument.type_list_attr].list.type)
        made.append((argument.name, size))
    return made


def _folded(op: hub.Builder, made: Any, since: int) -> Any:
    """Small results of constants alone, as constants: shapes, axes and sizes that later operators ask for."""
    found: dict[ir.Value, ir.Value] = {}
    for node in op.nodes[since:]:
        arrays = [hub.const(v) for v in node.inputs if v is not None]
        if (
            node.domain
            or node.op_type in KEPT
            or not arrays
            or any(a is None or a.size > SMALL for a in arrays)
        ):
            continue
        results = evaluate(node) or []
        if any(v.type is None or v.dtype == ir.DataType.STRING for v in node.outputs):
            continue
        for old, array in zip(node.outputs, map(np.asarray, results), strict=False):
            if array.size <= SMALL and array.dtype == old.dtype.numpy():
                found[old] = op.const(array)
                ir.convenience.replace_all_uses_with(old, found[old])
    if isinstance(made, (list, tuple)):
        return [found.get(v, v) if isinstance(v, ir.Value) else v for v in made]
    return found.get(made, made) if isinstance(made, ir.Value) else made


class Frame:
    """The tensors of one graph or function body, computed as they are asked for."""

    def __init__(self, run: Run, nodes: dict[str, Any], arguments: dict[str, Any], depth: int = 0) -> None:
        self.run, self.nodes, self.arguments, self.depth = run, nodes, arguments, depth
        self.values: dict[tuple[str, int], Any] = {}

    def place(self, reference: str) -> tuple[str, int]:
        """Node and number of the output a reference names: `node:1` in a graph, `node:output:1` in a function."""
        parts = reference.split(":")
        if len(parts) < 3:
            return parts[0], int(parts[1]) if len(parts) > 1 else 0
        offset = 0
        for name, size in output_sizes(self.nodes[parts[0]]):
            if name == parts[1]:
                return parts[0], offset + int(parts[2])
            offset += size
        return parts[0], int(parts[2])

    def evaluate(self, op: hub.Builder, references: Sequence[str]) -> list[Any]:
        """The values of tensors, the nodes they need added through `op`."""
        places = [self.place(r) for r in references]
        pending = [name for name, _ in reversed(places)]
        open_nodes: set[str] = set()
        while pending:
            name = pending[-1]
            if self._known(name):
                pending.pop()
                continue
            proto = self.nodes.get(name)
            if proto is None:
                raise ValueError(f"no node is called {name}")
            needed = [self.place(i)[0] for i in proto.input if not i.startswith("^")]
            missing = [n for n in needed if not self._known(n)]
            if not missing:
                pending.pop()
                self._node(op, proto)
            elif name in open_nodes:
                self.run.refuse(Node(self, proto, []), "is in a loop that has not TensorFlow's form")
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
        inputs = [self._value(self.place(i)) for i in proto.input if not i.startswith("^")]
        node = Node(self, proto, inputs)
        count = max(node.outputs, 1)
        results = self._results(op, node)
        many = list(results) if isinstance(results, (list, tuple)) else [results]
        many += [Poison()] * (count - len(many))
        for index, value in enumerate(many):
            self.values.setdefault((proto.name, index), value)

    def _results(self, op: hub.Builder, node: Node) -> Any:
        if node.op in self.run.source.functions:
            return self.call(op, node.op, node.inputs)
        known = self._handle(node)
        if known is not None:
            return known
        if any(isinstance(v, Poison) for v in node.inputs):
            return Poison()
        reason = ops.refusal(node.op, node)
        if reason is not None:
            self.run.refuse(node, reason)
            return Poison()
        op.source = f"{node.op} {node.name}"
        if node.op in MOVING and any(isinstance(v, Pair) for v in node.inputs):
            halves = [[getattr(v, part, v) for v in node.inputs] for part in ("real", "imag")]
            return Pair(*(self._made(op, node, half) for half in halves))
        return self._made(op, node, node.inputs)

    def _made(self, op: hub.Builder, node: Node, inputs: Sequence[Any]) -> Any:
        for rule in ops.taking(node.op, node):
            since = len(op.nodes)
            made = rule.handler(op, node, *inputs)
            if made is not NotImplemented:
                return _folded(op, made, since)
        self.run.refuse(node, "is not supported with these inputs")
        return Poison()

    def _handle(self, node: Node) -> Any:
        """Variables and tables, which the graph alone can tell."""
        if node.op in ("VarHandleOp", "VariableV2", "Variable") or node.name in self.run.source.variables:
            found = self.run.variable(node.name)
            if found is None:
                self.run.refuse(node, "is a variable without a stored value")
                return Poison()
            return found.read() if node.op in ("VariableV2", "Variable") else found
        if node.op in ("HashTableV2", "MutableHashTableV2"):
            table = self.run.table(node.name)
            if table is None:
                self.run.refuse(node, "is a table whose contents are not stored as constants or an asset")
                return Poison()
            return table
        return None

    def check(self, proto: Any) -> None:
        """Refuse a node that a run would not leave without a trace."""
        if proto.op in WRITES:
            self.run.refuse(Node(self, proto, []), "changes a variable, which a hub model cannot")

    def call(self, op: hub.Builder, name: str, arguments: Sequence[Any]) -> list[Any]:
        """The results of a function given its arguments."""
        if self.depth > DEPTH:
            raise ValueError(f"the function {name} calls itself")
        function = self.run.source.functions.get(name)
        if function is None:
            raise ValueError(f"there is no function {name}")
        names = [a.name for a in function.signature.input_arg]
        results = [function.ret[o.name] for o in function.signature.output_arg]
        nodes = raised({n.name: n for n in function.node_def}, results, self.run.source.functions)
        for proto in function.node_def:
            self.check(proto)
        inner = Frame(self.run, nodes, dict(zip(names, arguments, strict=True)), self.depth + 1)
        return inner.evaluate(op, results)


importer = Importer(
    load=load,
    table=ops,
    options=(
        Option(
            "signature",
            "name of the signature to read; without it serving_default, or the only one",
            None,
            str,
        ),
        Option("tags", "of the graph to read, with commas between", "serve", str),
    ),
)
