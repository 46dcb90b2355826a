"""Branches and loops as subgraphs. Values captured from outer graphs become additional inputs, after the
others."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr, subgraphs
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE

ops = OpTable()


def captured_values(node: ir.Node) -> list[ir.Value]:
    """Run-time values of outer graphs that the subgraphs of `node` read, without duplicates."""
    values: dict[ir.Value, None] = {}
    for graph in subgraphs(node):
        local = {*graph.inputs, *graph.initializers.values()}
        for inner in graph:
            reads = [*inner.inputs, *captured_values(inner)]
            values.update(
                dict.fromkeys(v for v in reads if v is not None and v not in local and not _is_constant(v))
            )
            local.update(inner.outputs)
        values.update(dict.fromkeys(v for v in graph.outputs if v not in local and not _is_constant(v)))
    return list(values)


def _is_constant(value: ir.Value) -> bool:
    return value.const_value is not None and not value.is_graph_input()


def write_subgraph(tfl: Any, graph: ir.Graph, operands: list[ir.Value], results: list[ir.Value]) -> int:
    """Write `graph` as a subgraph whose inputs are followed by `operands`, and return its index."""
    index = len(tfl.file.subgraphs)
    type(tfl)(tfl.file, graph, operands).write_graph(results)
    return index


@ops.op("If")
def if_(tfl, node, condition):
    operands = captured_values(node)
    branches = [attr(node, name) for name in ("then_branch", "else_branch")]
    then_index, else_index = (write_subgraph(tfl, g, operands, list(g.outputs)) for g in branches)
    tfl.IF(condition, *operands, then_subgraph_index=then_index, else_subgraph_index=else_index)


@ops.op(f"{TFLITE}::While")
def while_(tfl, node, *state):
    operands = captured_values(node)
    cond, body = attr(node, "cond"), attr(node, "body")
    cond_index = write_subgraph(tfl, cond, operands, list(cond.outputs))
    body_index = write_subgraph(tfl, body, operands, [*body.outputs, *operands])
    discarded = [tfl.temporary(v.dtype, v.shape, "captured") for v in operands]
    tfl.WHILE(
        *state,
        *operands,
        outputs=[*node.outputs, *discarded],
        cond_subgraph_index=cond_index,
        body_subgraph_index=body_index,
    )
