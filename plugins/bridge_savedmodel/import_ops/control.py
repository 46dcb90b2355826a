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
from bridge_savedmodel.import_ops.common import T, as_scalar, unsupported

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
    """Control flow of version 1 that bridge_savedmodel.control_flow_v1 could not turn into functions."""
    return NotImplemented


def subgraph(name: str) -> tuple[ir.Graph, hub.Builder]:
    """An empty graph and a builder that adds nodes to it."""
    graph = ir.Graph(
        [], [], nodes=[], name=name, opset_imports={"": hub.HUB_OPSET, "ai.onnx.ml": hub.ML_OPSET}
    )
    return graph, hub.Builder(graph)


def add_outputs(graph: ir.Graph, op: hub.Builder, values: Sequence[ir.Value]) -> None:
    """Append results to a subgraph, each through an Identity unless a node of the subgraph computes it,
    once."""
    for value in values:
        is_new = value.producer() in op.nodes and value not in graph.outputs
        graph.outputs.append(value if is_new else op.Identity(value))


def as_bool(op: Any, value: Any) -> Any:
    """A scalar condition as bool; numbers other than zero are true."""
    value = as_scalar(op, value) if hub.rank_of(value) != 0 else value
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
    builders = [functools.partial(node.call, function=name, arguments=arguments) for name in names]
    return _build_if(op, node, condition, names, builders)


def _build_if(op: Any, node: Any, condition: Any, names: Sequence[str], builders: Sequence[Callable]) -> Any:
    """An If whose branches are built in subgraphs of their own. A variable written in either branch is a
    further result."""
    state = node.frame.context.state
    before, bodies = dict(state.now), []
    for name, build in zip(names, builders, strict=True):
        state.now = dict(before)
        graph, inner = subgraph(name)
        results = build(inner)
        if results is NotImplemented or any(not isinstance(v, ir.Value) for v in results):
            return NotImplemented
        bodies.append((graph, inner, list(results), state.now))
    changed = state.changed(before, *(after for *_, after in bodies))
    for graph, inner, results, after in bodies:
        add_outputs(graph, inner, [*results, *(after.get(v) or state.variables[v].first() for v in changed)])
    outputs = _emit_if(op, condition, [graph for graph, *_ in bodies])
    count = len(outputs) - len(changed)
    state.now = before | dict(zip(changed, outputs[count:], strict=True))
    return outputs[:count]


def _emit_if(op: Any, condition: Any, graphs: list[ir.Graph]) -> list[Any]:
    attributes = [ir.AttrGraph(n, g) for n, g in zip(("then_branch", "else_branch"), graphs, strict=True)]
    node = ir.Node("", "If", [condition], attributes, num_outputs=len(graphs[0].outputs))
    for output, one, other in zip(node.outputs, *(g.outputs for g in graphs), strict=True):
        output.type = one.type or other.type
        output.shape = common_shape(one.shape, other.shape)
    op.insert(node)
    return list(node.outputs)


def common_shape(one: ir.Shape | None, other: ir.Shape | None) -> ir.Shape | None:
    """Dimensions that two shapes share; None where ranks differ."""
    if one is None or other is None or len(one) != len(other):
        return None
    return ir.Shape([a if isinstance(a, int) and a == b else None for a, b in zip(one, other, strict=True)])


@ops.op("Case", "StatelessCase")
def case(op, node, index, *arguments):
    """Call one of several functions; the last one for an index out of range."""
    attribute = node.proto.attr["branches"].list.func
    names = [f.name for f in attribute]
    known = const(index)
    if known is not None:
        selected = int(known.reshape(()))
        return node.call(op, names[selected if 0 <= selected < len(names) else -1], arguments)
    return _build_case(op, node, as_scalar(op, index), names, 0, arguments)


def _build_case(
    op: Any, node: Any, index: Any, names: list[str], position: int, arguments: Sequence[Any]
) -> Any:
    """Nested Ifs that compare the index with one position after another."""
    if position == len(names) - 1:
        return node.call(op, names[position], arguments)
    builders = (
        lambda inner: node.call(inner, names[position], arguments),
        lambda inner: _build_case(inner, node, index, names, position + 1, arguments),
    )
    is_selected = op.Equal(index, op.const(np.array(position, index.dtype.numpy())))
    return _build_if(op, node, is_selected, (names[position], f"{names[position]}_else"), builders)
