"""Calls, branches and loops over subgraphs."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable()


@ops.op("CALL")
def call(op, node, *inputs):
    return tuple(node.inline(op, node.get("subgraph", 0), inputs))


@ops.op("IF")
def if_(op, node, condition, *inputs):
    branches = [node.branch(node.get(name, 0), inputs) for name in ("thenSubgraphIndex", "elseSubgraphIndex")]
    flag = op.Reshape(condition, [1])
    return op.If(flag, then_branch=branches[0], else_branch=branches[1], _outputs=len(node.outputs))


@ops.op("WHILE", "STABLEHLO_WHILE")
def while_(op, node, *inputs):
    condition, body = node.get("condSubgraphIndex", 0), node.get("bodySubgraphIndex", 0)
    go = op.Reshape(node.inline(op, condition, inputs)[0], [1])
    loop = node.loop(condition, body, inputs)
    return op.Loop(None, go, *inputs, body=loop, _outputs=len(inputs))
