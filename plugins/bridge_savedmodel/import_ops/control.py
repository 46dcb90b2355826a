"""Calls, branches and loops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, scalar, unsupported

ops = OpTable()


@ops.op("PartitionedCall", "StatefulPartitionedCall")
def call(op, node, *arguments):
    return node.call(op, node.get("f"), arguments)


@ops.op("NoOp", "Assert", "PrintV2", "ScalarSummary", "HistogramSummary")
def no_op(op, node, *inputs):
    return []


STRUCTURED = unsupported("the form TensorFlow gives loops and branches of version 1")


@ops.op("Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond", needs=(STRUCTURED,))
@ops.op("RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration", needs=(STRUCTURED,))
def unstructured_control_flow(op, node, *inputs):
    """What bridge_savedmodel.control_flow_v1 left as it was."""
    return NotImplemented


def subgraph(name: str) -> tuple[ir.Graph, hub.Builder]:
    graph = ir.Graph(
        [], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    return graph, hub.Builder(graph)


def add_outputs(graph: ir.Graph, op: hub.Builder, values: Sequence[ir.Value]) -> None:
    """Results of a subgraph, each of which it must make itself, once."""
    for value in values:
        own = value.producer() in op.nodes and value not in graph.outputs
        graph.outputs.append(value if own else op.Identity(value))


def as_bool(op: Any, value: Any) -> Any:
    """What TensorFlow takes for true: a bool, a number other than zero."""
    value = scalar(op, value) if hub.rank_of(value) != 0 else value
    return value if value.dtype == T.BOOL else op.Cast(value, to=int(T.BOOL))


@ops.op("If", "StatelessIf")
def if_(op, node, condition, *arguments):
    known = const(condition)
    names = node.get("then_branch"), node.get("else_branch")
    if known is not None:
        return node.call(op, names[0] if known.any() else names[1], arguments)
    return _if_of_functions(op, node, as_bool(op, condition), names, arguments)


def _if_of_functions(
    op: Any, node: Any, condition: Any, names: Sequence[str], arguments: Sequence[Any]
) -> Any:
    makers = [functools.partial(node.call, function=name, arguments=arguments) for name in names]
    return _build_if(op, node, condition, names, makers)


def _build_if(op: Any, node: Any, condition: Any, names: Sequence[str], makers: Sequence[Callable]) -> Any:
    """An If of two branches that are made in graphs of their own; a variable written in either has a result
    too."""
    state = node.frame.context.state
    before, bodies = dict(state.now), []
    for name, make in zip(names, makers, strict=True):
        state.now = dict(before)
        graph, inner = subgraph(name)
        results = make(inner)
        if results is NotImplemented or any(not isinstance(v, ir.Value) for v in results):
            return NotImplemented
        bodies.append((graph, inner, list(results), state.now))
    changed = state.changed(before, *(after for *_, after in bodies))
    for graph, inner, results, after in bodies:
        add_outputs(graph, inner, [*results, *(after.get(v) or state.variables[v].first() for v in changed)])
    made = _emit_if(op, condition, [graph for graph, *_ in bodies])
    count = len(made) - len(changed)
    state.now = before | dict(zip(changed, made[count:], strict=True))
    return made[:count]


def _emit_if(op: Any, condition: Any, graphs: list[ir.Graph]) -> list[Any]:
    attributes = [ir.AttrGraph(n, g) for n, g in zip(("then_branch", "else_branch"), graphs, strict=True)]
    made = ir.Node("", "If", [condition], attributes, num_outputs=len(graphs[0].outputs))
    for output, one, other in zip(made.outputs, *(g.outputs for g in graphs), strict=True):
        output.type = one.type or other.type
        output.shape = common_shape(one.shape, other.shape)
    op.insert(made)
    return list(made.outputs)


def common_shape(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    if one is None or other is None or len(one) != len(other):
        return None
    return ir.Shape([a if isinstance(a, int) and a == b else None for a, b in zip(one, other, strict=True)])


@ops.op("Case", "StatelessCase")
def case(op, node, index, *arguments):
    """One of several functions; the last for an index out of range."""
    attribute = node.proto.attr["branches"].list.func
    names = [f.name for f in attribute]
    known = const(index)
    if known is not None:
        place = int(known.reshape(()))
        return node.call(op, names[place if 0 <= place < len(names) else -1], arguments)
    return _build_case(op, node, scalar(op, index), names, 0, arguments)


def _build_case(
    op: Any, node: Any, index: Any, names: list[str], place: int, arguments: Sequence[Any]
) -> Any:
    if place == len(names) - 1:
        return node.call(op, names[place], arguments)
    makers = (
        lambda inner: node.call(inner, names[place], arguments),
        lambda inner: _build_case(inner, node, index, names, place + 1, arguments),
    )
    chosen = op.Equal(index, op.const(np.array(place, index.dtype.numpy())))
    return _build_if(op, node, chosen, (names[place], f"{names[place]}_else"), makers)
