"""Branches and loops as subgraphs. What they capture from the graphs around them becomes their last inputs."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr, subgraphs
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE

ops = OpTable()


def captured(node: ir.Node) -> list[ir.Value]:
    """Run-time values of outer graphs that the subgraphs of `node` read, each once."""
    found: dict[ir.Value, None] = {}
    for graph in subgraphs(node):
        own = {*graph.inputs, *graph.initializers.values()}
        for inner in graph:
            reads = [*inner.inputs, *captured(inner)]
            found.update(
                dict.fromkeys(v for v in reads if v is not None and v not in own and not _constant(v))
            )
            own.update(inner.outputs)
        found.update(dict.fromkeys(v for v in graph.outputs if v not in own and not _constant(v)))
    return list(found)


def _constant(value: ir.Value) -> bool:
    return value.const_value is not None and not value.is_graph_input()


def subgraph(tfl: Any, graph: ir.Graph, operands: list[ir.Value], results: list[ir.Value]) -> int:
    """Index of a subgraph written for `graph`, its inputs followed by `operands`."""
    index = len(tfl.file.subgraphs)
    type(tfl)(tfl.file, graph, operands).fill(results)
    return index


@ops.op("If")
def if_(tfl, node, condition):
    operands = captured(node)
    branches = [attr(node, name) for name in ("then_branch", "else_branch")]
    then, other = (subgraph(tfl, g, operands, list(g.outputs)) for g in branches)
    tfl.IF(condition, *operands, then_subgraph_index=then, else_subgraph_index=other)


@ops.op(f"{TFLITE}::While")
def while_(tfl, node, *state):
    operands = captured(node)
    test, body = attr(node, "cond"), attr(node, "body")
    first = subgraph(tfl, test, operands, list(test.outputs))
    second = subgraph(tfl, body, operands, [*body.outputs, *operands])
    unused = [tfl.temporary(v.dtype, v.shape, "captured") for v in operands]
    tfl.WHILE(
        *state,
        *operands,
        outputs=[*node.outputs, *unused],
        cond_subgraph_index=first,
        body_subgraph_index=second,
    )
