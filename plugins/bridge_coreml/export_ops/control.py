"""Branches and loops as MIL blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import HELD

ops = OpTable()


def block(mil: Any, graph: ir.Graph) -> list[Any]:
    """Results of a subgraph, written into the block MIL is building."""
    mil.blocks.append({})
    mil.write_all(graph)
    results = [mil.var(v) for v in graph.outputs]
    mil.blocks.pop()
    return results


def alike(node: ir.Node) -> bool:
    """Branches whose results have the same rank and dtype."""
    then, other = attr(node, "then_branch"), attr(node, "else_branch")
    pairs = zip(then.outputs, other.outputs, strict=True)
    return all(
        a.shape is not None
        and b.shape is not None
        and len(a.shape) == len(b.shape)
        and a.dtype == b.dtype
        and a.dtype in HELD
        for a, b in pairs
    )


def same_shapes(node: ir.Node) -> bool:
    then, other = attr(node, "then_branch"), attr(node, "else_branch")
    return all(a.shape == b.shape for a, b in zip(then.outputs, other.outputs, strict=True))


@ops.op(
    "If",
    needs=(
        condition(
            "branches with results of the same shapes and dtypes", lambda n: alike(n) and same_shapes(n)
        ),
    ),
)
def if_(mil, node, flag):
    made = mil.var(flag)
    branches = []
    for name in ("then_branch", "else_branch"):
        graph = attr(node, name)

        def written(graph=graph):
            results = [mil.builder.identity(x=v) for v in block(mil, graph)]
            return results[0] if len(results) == 1 else tuple(results)

        branches.append(written)
    chosen = made if not made.shape else mil.squeeze(x=made)
    return mil.builder.cond(pred=chosen, _true_fn=branches[0], _false_fn=branches[1])


def steady(node: ir.Node) -> bool:
    """Nothing is collected, and what is carried keeps its shape and dtype."""
    body = attr(node, "body")
    before, after = list(body.inputs)[2:], list(body.outputs)[1:]
    first = list(node.inputs)[2:]
    if len(before) != len(after):
        return False
    return all(
        a.shape is not None
        and a.shape.is_static()
        and a.shape == b.shape == c.shape
        and a.dtype == b.dtype
        and a.dtype in HELD
        for a, b, c in zip(before, after, first, strict=True)
    )


@ops.op("Loop", needs=(condition("carried values of one static shape, and nothing collected", steady),))
def loop(mil, node, limit=None, going=None, *states):
    """The step and whether to go on are carried first."""
    body = attr(node, "body")
    bound = None if limit is None else scalar(mil, limit)
    going = np.bool_(True) if going is None else scalar(mil, going)

    def test(step, go, *carried):
        return (
            mil.builder.identity(x=go)
            if bound is None
            else mil.logical_and(x=mil.less(x=step, y=bound), y=go)
        )

    def run(step, go, *carried):
        mil.variables.update(zip(body.inputs, (step, go, *carried), strict=True))
        first, *rest = block(mil, body)
        first = mil.squeeze(x=first) if first.shape else first
        made = [mil.add(x=step, y=np.int32(1)), mil.builder.identity(x=first)]
        return tuple([*made, *(mil.builder.identity(x=v) for v in rest)])

    results = mil.builder.while_loop(
        _cond=test, _body=run, loop_vars=(np.int32(0), going, *(mil.var(v) for v in states))
    )
    return list(results)[2:]


def scalar(mil: Any, value: ir.Value) -> Any:
    made = mil.var(value)
    return mil.squeeze(x=made) if made.shape else made
