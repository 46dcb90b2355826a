"""Graphs of calls that torch records, of programs and of decompositions, read by the rules of import_ops.

Whoever recorded them: `traced` makes them of what torch.fx holds, `pt2` of files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from bridge_torchscript.import_ops import ops
from bridge_torchscript.import_ops.common import cast
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.rules import has_rule, refusing
from bridge_torchscript.script.schema import Schema
from bridge_torchscript.values import Builder, Items, Poison, Unsupported, Var

LENGTHS: dict[str, str] = {
    **{name: f"aten::{name}" for name in ("add", "sub", "mul", "floordiv", "neg", "pow")},
    **{name: f"aten::{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "ceil", "floor", "round")},
    "abs": "prim::abs",
    "and_": "aten::__and__",
    "getitem": "aten::__getitem__",
    "mod": "aten::remainder",
    "not_": "aten::__not__",
    "or_": "aten::__or__",
    "sym_float": "aten::Float",
    "sym_int": "aten::Int",
    "sym_max": "prim::max",
    "sym_min": "prim::min",
    "sym_not": "aten::__not__",
    "sym_sqrt": "aten::sqrt",
    "sym_sum": "aten::sum",
    "truediv": "aten::div",
    "trunc": "aten::Int",
}
"""Python functions on lengths, and TorchScript's operators of the same meaning."""


@dataclass(frozen=True)
class Ref:
    """The value of a name of the graph."""

    name: str


@dataclass(frozen=True)
class Held:
    """A tensor that the graph holds, and its name."""

    tensor: Any
    name: str


@dataclass(frozen=True)
class Example:
    """Dtype and lengths of a tensor as torch recorded them: `dtype` is None for one the hub has not, lengths
    are ints and sympy's expressions."""

    dtype: ir.DataType | None
    shape: tuple[Any, ...]
    dense: bool = True

    @property
    def is_complex(self) -> bool:
        return self.dtype in (ir.DataType.COMPLEX64, ir.DataType.COMPLEX128)


@dataclass(frozen=True)
class Call:
    """A call of an operator, of a function on lengths, or of an operator that takes graphs: these have no
    `schema`. Arguments are Refs, Held tensors, graphs, plain values and lists of them; of an operator with a
    schema all are in `keywords`. `where` is its name with the path of its module before it."""

    name: str
    operator: str
    schema: Schema | None
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    example: Any
    where: str


@dataclass
class Graph:
    """Calls in order; names of the inputs, with their examples; and what is returned."""

    inputs: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    results: Any = None


@dataclass(frozen=True)
class Role:
    """Role of an input or result of a program's graph: `kind` as torch names it (USER_INPUT, PARAMETER,
    BUFFER_MUTATION, …); `argument` one of tensor, int, float, bool, or constant, which has a `value`;
    `target` the path of what is stored, else its name.
    """

    kind: str
    argument: str
    target: str
    value: Any = None


@dataclass(frozen=True)
class Program:
    """A program with what its graph reads: roles of inputs and results, stored tensors by path, the lowest
    and highest length of symbols, texts of guards, and the names symbols had when it was exported. `arranged`
    makes the containers of a call's results.
    """

    graph: Graph
    inputs: list[Role]
    outputs: list[Role]
    stored: Mapping[str, Any]
    ranges: list[tuple[Any, int | None, int | None]]
    guards: list[str]
    arranged: Callable[[list[Any]], Any]
    version: str
    names: Mapping[Any, str] = field(default_factory=dict)


def read_graph(reader: Any, op: Builder, graph: Graph, inputs: Any, begin: bool = True) -> Any:
    """Results of a recorded graph. With `begin` its calls are what hub nodes come from."""
    env = dict(zip(graph.inputs, inputs, strict=True))

    def hub_value(value: Any) -> Any:
        if isinstance(value, Ref):
            return env[value.name]
        if isinstance(value, Held):
            return reader.weight(value.tensor, value.name)
        if isinstance(value, (list, tuple)):
            return Items(op, (hub_value(v) for v in value))
        return {k: hub_value(v) for k, v in value.items()} if isinstance(value, dict) else value

    for call in graph.calls:
        env[call.name] = _read_call(reader, op, call, hub_value, begin)
    return hub_value(graph.results)


def _read_call(reader: Any, op: Builder, call: Call, hub_value: Callable[[Any], Any], begin: bool) -> Any:
    name = call.operator
    if begin:
        op.begin(name, call.where)
    with refusing(name, call.where):
        arguments = [hub_value(v) for v in call.arguments]
        keywords = {k: hub_value(v) for k, v in call.keywords.items()}
        if call.schema is not None:
            result = _overload(reader, op, call.schema, keywords)
        elif name in reader.higher_order:
            result = reader.higher_order[name](reader, op, *arguments, **keywords)
        elif name in LENGTHS:
            result = PYTHON[LENGTHS[name]](op, *arguments)
        else:
            raise Unsupported("is not supported")
        if result is NotImplemented:
            raise Unsupported("is not supported of what it is given here")
        return settled(reader, op, result, call.example, name.startswith(("aten::", "prims::")))


def _overload(reader: Any, op: Builder, schema: Any, operands: dict[str, Any]) -> Any:
    """Result of an operator from its arguments by name."""
    inputs = []
    for argument in schema.arguments:
        default = argument.default_value if argument.has_default_value() else None
        inputs.append(
            operands.get(argument.name, Items(op, default) if isinstance(default, list) else default)
        )
    name = str(schema.name)
    if name.startswith("prims::") and f"aten::{name[7:]}" in ops:
        name = f"aten::{name[7:]}"
        handler = reader.rule(name, {}).handler
        names = list(inspect.signature(handler).parameters)[1 : len(inputs) + 1]
        return reader.operator(op, name, names, inputs[: len(names)])
    if not has_rule(name):
        raise Unsupported("is not supported")
    return reader.call(op, name, schema, inputs)


def settled(reader: Any, op: Builder, result: Any, example: Any, exact: bool) -> Any:
    """A result in the shape that torch recorded, and in the dtype if that is `exact`: quantized_decomposed
    records others than it makes. Raises Unsupported where its rank or a length is
    another.
    """
    if (
        isinstance(result, (list, tuple))
        and isinstance(example, (list, tuple))
        and len(result) == len(example)
    ):
        parts = [_settled_part(reader, op, r, e, exact) for r, e in zip(result, example, strict=True)]
        return Items(op, parts) if isinstance(result, Items) else type(result)(parts)
    if not (isinstance(result, Var) and isinstance(example, Example)):
        return result
    value, dtype = result.value, example.dtype
    if not isinstance(value, ir.Value) or example.is_complex or not example.dense:
        return result
    if dtype is not None and value.dtype not in (None, dtype) and result.base is None and exact:
        result.value = value = cast(op, value, dtype)
    dims = [reader.dimension(d) for d in example.shape]
    known = list(value.shape) if value.shape is not None else dims
    if len(known) != len(dims) or any(
        isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(known, dims, strict=True)
    ):
        raise Unsupported(f"has the shape {value.shape} here and {dims} in torch")
    if value.const_value is None and not value.is_graph_input():
        pairs = zip(known, dims, strict=True)
        value.shape = ir.Shape([a if isinstance(a, int) else d for a, d in pairs])
    return result


def _settled_part(reader: Any, op: Builder, result: Any, example: Any, exact: bool) -> Any:
    """One of several results, of which perhaps not all are read."""
    try:
        return settled(reader, op, result, example, exact)
    except Unsupported as error:
        return Poison(str(error))


def graphs_in(graph: Graph) -> Iterator[Graph]:
    """A graph and those that its calls are given, the outer ones first."""
    yield graph
    for call in graph.calls:
        for value in (*call.arguments, *call.keywords.values()):
            if isinstance(value, Graph):
                yield from graphs_in(value)


def lacking(graph: Graph, known: Mapping[str, Any]) -> dict[str, str]:
    """Operators without a rule of a graph and those inside it, with the name of one call each; `known` are
    those that take graphs and have one."""
    found: dict[str, str] = {}
    for inner in graphs_in(graph):
        for call in inner.calls:
            name = call.operator
            if not (_has_rule(name) if call.schema is not None else name in known or name in LENGTHS):
                found.setdefault(name, call.where)
    return found


def _has_rule(name: str) -> bool:
    return has_rule(name) or (name.startswith("prims::") and f"aten::{name[7:]}" in ops)
