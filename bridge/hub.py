"""The hub: an onnx_ir.Model at one pinned opset. Its builder, its invariants, its provenance."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir

from bridge import facts
from bridge.errors import Blocker, InvalidHub, UnreadableFile
from bridge.facts import Origin
from bridge.schemas import problems_of
from bridge.signature import NodeProto, Result, remembered, results_of
from bridge.traits import NHWC

__all__ = [
    "HUB_OPSET",
    "IR_VERSION",
    "ML_OPSET",
    "NHWC",
    "Builder",
    "Dim",
    "Length",
    "all_nodes",
    "attr",
    "blocker",
    "const",
    "input_at",
    "largest",
    "of_target",
    "origin",
    "qualified",
    "rank_of",
    "schema",
    "shape_of",
    "smallest",
    "stamp_origins",
    "subgraphs",
]

HUB_OPSET = 28
ML_OPSET = 5
IR_VERSION = 13
ARRAYS = (np.ndarray, np.generic, list, tuple, bool, int, float)
PROVISIONAL = "__provisional_"

STANDARD_OPSETS = {
    "": HUB_OPSET,
    "ai.onnx.ml": ML_OPSET,
    "ai.onnx.preview": 1,
    "ai.onnx.preview.training": 1,
}


def qualified(node: ir.Node) -> str:
    """`Op` in the standard domain, `domain::Op` elsewhere: the name op tables use."""
    return f"{node.domain}::{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def attr(node: ir.Node, name: str, default: Any = None) -> Any:
    """Value of an attribute as Python (int, float, str, list, tensor, graph); where the node has none,
    `default`, else the default of the operator's schema at the hub's opset, else None."""
    attribute = node.attributes.get(name)
    if attribute is None or attribute.is_ref():
        value = default_of(node.domain, node.op_type, name) if default is None else default
    else:
        value = attribute.value
    return list(value) if isinstance(value, tuple) else value


@functools.cache
def default_of(domain: str, op: str, name: str) -> Any:
    """The default a schema gives an attribute, a float as it is written; twins with channels last have their
    operator's."""
    version = STANDARD_OPSETS.get(domain := "" if domain == NHWC else domain)
    described = _schema(domain, op, version) if version else None
    attribute = described.attributes.get(name) if described is not None else None
    if attribute is None or not attribute.default_value.type:
        return None
    value = ir.serde.deserialize_attribute(attribute.default_value).value
    return float(str(np.float32(value))) if isinstance(value, float) else value


class Integers(ir.Attr):
    """An attribute of many integers, held as an array [N] of int64; as Python's where its value is asked."""

    __slots__ = ("array",)

    def __init__(self, name: str, array: np.ndarray) -> None:
        super().__init__(name, ir.AttributeType.INTS, ())
        self.array = array.astype(np.int64)

    @property
    def value(self) -> tuple[int, ...]:
        return tuple(self.array.tolist())


def integers(node: ir.Node, name: str) -> np.ndarray:
    """An attribute of integers as an array of int64, [N]; empty where the node has none."""
    attribute = node.attributes.get(name)
    return attribute.array if isinstance(attribute, Integers) else np.array(attr(node, name) or (), np.int64)


def held(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Tensor of an initializer, not read yet, or None for a value known only at run time."""
    return None if value is None or value.is_graph_input() else value.const_value


def const(value: ir.Value | None) -> np.ndarray | None:
    """Array of an initializer, or None for a value known only at run time."""
    tensor = held(value)
    if tensor is None:
        return None
    array = tensor.numpy()
    return array if tensor.dtype != ir.DataType.STRING else decoded(array)


def decoded(array: np.ndarray) -> np.ndarray:
    """Strings as str."""
    texts = np.empty(array.size, object)
    texts[:] = [t.decode() if isinstance(t, bytes) else str(t) for t in array.ravel()]
    return texts.reshape(array.shape)


def strings(values: Any) -> ir.StringTensor:
    """A tensor of text from str or bytes, nested as its shape."""
    texts = np.asarray(values, object)
    coded = np.empty(texts.size, object)
    coded[:] = [t if isinstance(t, bytes) else str(t).encode() for t in texts.ravel()]
    return ir.StringTensor(coded.reshape(texts.shape), shape=ir.Shape(texts.shape))


def shape_of(value: ir.Value | None) -> list[int] | None:
    """Fully known static shape, else None."""
    if value is None or value.shape is None or not value.shape.is_static():
        return None
    return [int(cast(int, d)) for d in value.shape]


def input_at(node: Any, index: int) -> Any:
    """Input `index` of a node, None where it is left out or not given at all."""
    return node.inputs[index] if index < len(node.inputs) else None


def rank_of(value: ir.Value | None) -> int | None:
    """Rank, or None when unknown."""
    return None if value is None or value.shape is None else len(value.shape)


def schema(node: ir.Node, opset: int | None = None) -> onnx.defs.OpSchema | None:
    """The operator's schema at the hub's (or the given) opset; None for operators of no standard domain."""
    version = opset or STANDARD_OPSETS.get(node.domain)
    return _schema(node.domain, node.op_type, version) if version else None


@functools.cache
def _schema(domain: str, op: str, version: int) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return None


def of_target(domain: str) -> bool:
    """True if `domain` holds operators of the form a target takes, `bridge.<format>`: their bodies say what
    they mean, and are nothing to fall back on."""
    return domain.startswith("bridge.") and domain != NHWC


def all_nodes(model: ir.Model) -> Iterator[ir.Node]:
    """Every node of the model's graph and its subgraphs; not of its functions."""
    return nodes_of(model.graph)


def nodes_of(graph: ir.Graph | ir.Function) -> Iterator[ir.Node]:
    """Every node of a graph or function, each followed by those of the graphs it holds."""
    for node in graph:
        yield node
        for inner in subgraphs(node):
            yield from nodes_of(inner)


def graphs(model: ir.Model) -> list[ir.Graph]:
    """The model's graph and its subgraphs, each followed by those in it; not those of functions."""
    return list(_graphs_of(model.graph))


def _graphs_of(graph: ir.Graph) -> Iterator[ir.Graph]:
    yield graph
    for node in graph:
        for inner in subgraphs(node):
            yield from _graphs_of(inner)


def weights(model: ir.Model) -> list[ir.TensorProtocol]:
    """The constants of the model's graph and its subgraphs."""
    values = (value for graph in graphs(model) for value in graph.initializers.values())
    return [value.const_value for value in values if value.const_value is not None]


def subgraphs(node: ir.Node) -> list[ir.Graph]:
    """The graphs a node's attributes hold."""
    graphs: list[ir.Graph] = []
    for attribute in node.attributes.data.values():
        if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS and not attribute.is_ref():
            graphs.extend(attribute.as_graphs())
    return graphs


def origin(node: ir.Node) -> Origin:
    """The operator of the source that a node comes from; its own where nothing is stamped on it."""
    return facts.ORIGIN.get(node) or Origin(-1, node.op_type, node.name or "")


def blocker(node: ir.Node, reason: str) -> Blocker:
    """A refusal of `node` for `reason`, in the name of the operator of the source that it comes from."""
    source = origin(node)
    if source.op in (node.op_type, qualified(node)):
        return Blocker(source.op, source.name, "", reason)
    return Blocker(source.op, source.name, qualified(node), reason)


def stamp_origins(model: ir.Model) -> None:
    """Number the origins of all nodes as they come; a node without one is its own."""
    numbers: dict[Any, int] = {}
    for node in all_nodes(model):
        stamped = facts.ORIGIN.get(node)
        number = numbers.setdefault(node if stamped is None else stamped.index, len(numbers))
        facts.ORIGIN.set(node, replace(stamped or origin(node), index=number))


def note(model: ir.Model, notes: list[str]) -> None:
    """Add what an importer changed, for the report of a conversion."""
    if notes:
        facts.NOTES.set(model, [*noted(model), *notes])


def noted(model: ir.Model) -> list[str]:
    """Sentences on what importers changed."""
    return facts.NOTES.get(model) or []


# Tells operators of the source apart until `stamp_origins` numbers them as they come
_serial = itertools.count()


class Dim:
    """A length known only at run time: `value` is int64 of shape [1]. Arithmetic with lengths, ints among
    them, gives lengths: formulas read the same for both (`(n - 1) * stride + span`), and what is known is
    computed in Python."""

    def __init__(self, op: Builder, value: ir.Value) -> None:
        self.op, self.value = op, value

    def _combine(self, op_type: str, one: Length, other: Length) -> Dim:
        return Dim(
            self.op,
            self.op.node(
                op_type, *(n if isinstance(n, Dim) else np.array([n], np.int64) for n in (one, other))
            ),
        )

    def __add__(self, other: Length) -> Dim:
        return self if isinstance(other, int) and other == 0 else self._combine("Add", self, other)

    def __radd__(self, other: int) -> Dim:
        return self + other

    def __sub__(self, other: Length) -> Dim:
        return self if isinstance(other, int) and other == 0 else self._combine("Sub", self, other)

    def __rsub__(self, other: int) -> Dim:
        return self._combine("Sub", other, self)

    def __mul__(self, other: Length) -> Dim:
        return self if isinstance(other, int) and other == 1 else self._combine("Mul", self, other)

    def __rmul__(self, other: int) -> Dim:
        return self * other

    def __floordiv__(self, other: Length) -> Dim:
        """Rounded towards zero, as ONNX's Div: for lengths that are not negative the floor."""
        return self if isinstance(other, int) and other == 1 else self._combine("Div", self, other)

    def __rfloordiv__(self, other: int) -> Dim:
        return self._combine("Div", other, self)


Length = int | Dim


def largest(one: Length, other: Length) -> Length:
    """The larger of two lengths."""
    return _compare_lengths("Max", max, one, other)


def smallest(one: Length, other: Length) -> Length:
    """The smaller of two lengths."""
    return _compare_lengths("Min", min, one, other)


def _compare_lengths(op_type: str, compute: Any, one: Length, other: Length) -> Length:
    if isinstance(one, Dim):
        return one._combine(op_type, one, other)
    return other._combine(op_type, one, other) if isinstance(other, Dim) else compute(one, other)


class Builder:
    """Builds hub nodes: `op.Conv(x, w, strides=[2, 2])`.

    Inputs may be values, lengths (Dim), arrays, Python numbers (typed like the first value among the inputs)
    or None. Keywords are attributes; `_outputs=n` asks for several results, `_domain=` for another domain,
    whose operators nobody can infer: `_dtype=` and `_shape=` then say what the results are. Nodes go before
    `before`, or at the end of `graph`; every result has its inferred type and shape. They come from the
    operator `source` of the model that is read, which `begin` names.
    """

    def __init__(
        self,
        graph: ir.Graph | ir.Function,
        before: ir.Node | None = None,
        source: Origin | None = None,
    ) -> None:
        self.graph = graph
        self.before = before
        self.source = source
        self.nodes: list[ir.Node] = []

    def begin(self, op: str, name: str = "") -> None:
        """Nodes that follow come from the operator `op` of the source, called `name` there."""
        self.source = Origin(next(_serial), op, name)

    def __getattr__(self, op_type: str) -> Any:
        if op_type.startswith("_"):
            raise AttributeError(op_type)
        return functools.partial(self.node, op_type)

    def node(
        self,
        op_type: str,
        *inputs: Any,
        _domain: str = "",
        _outputs: int = 1,
        _dtype: ir.DataType | None = None,
        _shape: Sequence[Any] | ir.Shape | None = None,
        **attributes: Any,
    ) -> Any:
        """Append one node; its value, or a tuple of them when `_outputs` is more than 1."""
        values = self._values(inputs)
        attrs = [
            Integers(k, v) if isinstance(v, np.ndarray) else ir.convenience.convert_attribute(k, v)
            for k, v in attributes.items()
            if v is not None
        ]
        node = ir.Node(_domain, op_type, values, attrs, num_outputs=_outputs)
        for output in node.outputs:
            output.type = None if _dtype is None else ir.TensorType(_dtype)
            output.shape = None if _shape is None else ir.Shape(_shape)
        return self.insert(node)

    def insert(self, node: ir.Node) -> Any:
        """Append a node made elsewhere, infer its outputs, and return them like `node`."""
        if self.source is not None and facts.ORIGIN.get(node) is None:
            facts.ORIGIN.set(node, self.source)
        if self.before is not None:
            self.graph.insert_before(self.before, node)
        else:
            self.graph.append(node)
        self.nodes.append(node)
        infer_node(node)
        return node.outputs[0] if len(node.outputs) == 1 else tuple(node.outputs)

    def const(self, value: Any, dtype: Any = None) -> ir.Value:
        """An initializer holding `value`: an array, a number, a list, or an ir tensor."""
        tensor = value
        if isinstance(value, ARRAYS) or not isinstance(value, ir.TensorProtocol):
            empty = np.int64 if isinstance(value, list) and not value else None
            array = np.asarray(value, empty if dtype is None else numpy_dtype(dtype))
            if array.dtype == np.float64 and dtype is None and not isinstance(value, np.ndarray):
                array = array.astype(np.float32)
            tensor = strings(array) if array.dtype.kind in "OSU" else ir.Tensor(array)
        if isinstance(self.graph, ir.Function):
            node = ir.Node("", "Constant", [], [ir.AttrTensor("value", tensor)])
            return self.insert(node)
        result = ir.Value(
            name=fresh_name(self.graph, "const"),
            shape=ir.Shape(tensor.shape),
            type=ir.TensorType(tensor.dtype),
            const_value=tensor,
        )
        self.graph.register_initializer(result)
        return result

    def _values(self, inputs: Sequence[Any]) -> list[ir.Value | None]:
        inputs = [v.value if isinstance(v, Dim) else v for v in inputs]
        like = next((v.dtype for v in inputs if isinstance(v, ir.Value) and v.dtype), None)
        while inputs and inputs[-1] is None:
            inputs = inputs[:-1]
        return [
            v
            if v is None or isinstance(v, ir.Value)
            else self.const(v, like if isinstance(v, (bool, int, float)) else None)
            for v in inputs
        ]


def numpy_dtype(dtype: Any) -> np.dtype:
    return dtype.numpy() if isinstance(dtype, ir.DataType) else np.dtype(dtype)


def fresh_name(graph: ir.Graph | ir.Function, stem: str) -> str:
    """A name nothing in `graph` or around it has, until NameValues gives a readable one."""
    counter = graph.meta.setdefault("bridge.counter", 0)
    graph.meta["bridge.counter"] = counter + 1
    return f"{stem}{PROVISIONAL}{id(graph) & 0xFFFFFF:x}_{counter}"


def is_refused(node: ir.Node) -> bool:
    """True if the operator's own schema refuses inputs of these types and shapes."""
    if any(v is not None and v.type is None for v in node.inputs):
        return False
    try:
        _inferred(node)
    except onnx.shape_inference.InferenceError:
        return True
    except Exception:
        return False
    return False


def _inferred(node: ir.Node) -> list[Result]:
    """Types and shapes of a node's outputs by the operator's schema; raises where it refuses the inputs."""
    described = schema(node)
    if described is None or any(
        a.is_ref() or a.type == ir.AttributeType.GRAPH for a in node.attributes.values()
    ):
        return []
    named = NodeProto(node)
    inferred = onnx.shape_inference.infer_node_outputs(
        described,
        named.proto,
        named.types,
        named.data,
        opset_imports=[onnx.helper.make_opsetid(node.domain, STANDARD_OPSETS[node.domain])],
    )
    return results_of(node, inferred)


def infer_node(node: ir.Node) -> None:
    """Type and shape of a node's outputs from its inputs, by the operator's own schema."""
    if _is_inferred(node):
        return
    if node.domain == "ai.onnx.ml":
        _infer_classical(node)
    if qualified(node) == "com.microsoft::Tokenizer":
        _infer_tokens(node)
    if _is_inferred(node):
        return
    try:
        results = remembered(node, _inferred)
    except Exception:
        return
    for output, (kind, shape) in zip(node.outputs, results, strict=False):
        output.type = output.type or kind
        output.shape = shape if output.shape is None else output.shape


def _is_inferred(node: ir.Node) -> bool:
    return all(output.type is not None and output.shape is not None for output in node.outputs)


WIDTHS = {
    "TreeEnsembleRegressor": "n_targets",
    "TreeEnsemble": "n_targets",
    "LinearRegressor": "targets",
    "SVMRegressor": "",
}


def _infer_classical(node: ir.Node) -> None:
    """Infer what the schemas of ai.onnx.ml leave open: scores are rows of floats, extracted features as
    many as places."""
    x, output = node.inputs[0], node.outputs[0]
    if x is None or x.dtype is None or x.shape is None:
        return
    if node.op_type in WIDTHS and len(x.shape) == 2:
        wide = x.dtype if node.op_type == "TreeEnsemble" else ir.DataType.FLOAT
        output.type = output.type or ir.TensorType(wide)
        output.shape = output.shape or ir.Shape([x.shape[0], attr(node, WIDTHS[node.op_type], 1)])
    elif node.op_type == "ArrayFeatureExtractor":
        output.type = output.type or ir.TensorType(x.dtype)
        indices_shape = shape_of(node.inputs[1])
        count = None if indices_shape is None else int(np.prod(indices_shape))
        output.shape = output.shape or ir.Shape([*(list(x.shape)[:-1] or [1]), count])


def _infer_tokens(node: ir.Node) -> None:
    """The tokens of each text, in a new last dimension."""
    x, output = node.inputs[0], node.outputs[0]
    output.type = output.type or ir.TensorType(ir.DataType.STRING)
    if x is not None and x.shape is not None:
        output.shape = output.shape or ir.Shape([*x.shape, None])


def verify(model: ir.Model) -> None:
    """Raise InvalidHub, listing every broken rule, unless `model` is a valid hub model.

    Rules: pinned opsets; sorted nodes; unique value names; no Constant and no QLinear* nodes; inputs, outputs
    and initializers typed; functions only outside the standard domains. Raises as `require_operands` does.
    """
    problems = [
        f"opset {domain or 'ai.onnx'} is {version}, not {STANDARD_OPSETS[domain]}"
        for domain, version in model.graph.opset_imports.items()
        if version != STANDARD_OPSETS.get(domain, version)
    ]
    problems += [
        f"function {f.name} is in a standard domain"
        for f in model.functions.values()
        if f.domain in STANDARD_OPSETS
    ]
    names: set[str] = set()
    problems += _graph_problems(model.graph, names, set())
    if problems:
        raise InvalidHub("Not a valid hub model:\n  " + "\n  ".join(problems))
    require_operands(model)


SHOWN = 5


def require_operands(model: ir.Model, title: str = "The model") -> None:
    """Raise UnreadableFile unless operands and attributes of every node are as its operator takes them, and
    inputs and outputs have names of their own, and inputs types."""
    public = list(dict.fromkeys([*model.graph.inputs, *model.graph.outputs]))
    names = Counter(value.name for value in public)
    misnamed = [f"two inputs or outputs are called {name}" for name in names if name and names[name] > 1]
    misnamed += [] if all(names) else ["an input or output has no name"]
    misnamed += [f"the input {v.name} has no type" for v in model.graph.inputs if v.type is None]
    problems = (
        f"{node.op_type} {node.name or ''} {problem}"
        for node in all_nodes(model)
        if (described := schema(node)) is not None
        for problem in problems_of(node, described)
    )
    require_none([*misnamed, *problems], title)


def require_none(problems: list[str], title: str) -> None:
    """Raise UnreadableFile, naming the first five, unless the list of problems is empty."""
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise UnreadableFile(
            f"{title} is not a valid model:\n  " + "\n  ".join(problems[:SHOWN]) + more,
            "Is the file complete, and made by a current exporter?",
        )


def _graph_problems(graph: ir.Graph, names: set[str], outer: set[ir.Value]) -> Iterator[str]:
    known = set(outer)
    known.update(graph.inputs, graph.initializers.values())
    for value in {*graph.inputs, *graph.initializers.values()}:
        yield from _name_problems(value, names)
    for node in graph:
        if node.domain == "" and (node.op_type == "Constant" or node.op_type.startswith("QLinear")):
            yield f"{node.op_type} {node.name} does not belong in the hub"
        for read in node.inputs:
            if read is not None and read not in known:
                yield f"{node.op_type} {node.name} reads {read.name} before it is made"
        for subgraph in subgraphs(node):
            yield from _graph_problems(subgraph, names, known)
        for output in node.outputs:
            known.add(output)
            yield from _name_problems(output, names)
    for output in graph.outputs:
        if output not in known:
            yield f"output {output.name} is never made"


def _name_problems(value: ir.Value, names: set[str]) -> Iterator[str]:
    if value.name:
        if value.name in names:
            yield f"{value.name} names two values"
        names.add(value.name)
