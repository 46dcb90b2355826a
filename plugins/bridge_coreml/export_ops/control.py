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


def write_block(mil: Any, graph: ir.Graph) -> list[Any]:
    """Write a subgraph into the MIL block under construction, and return its outputs."""
    mil.blocks.append({})
    mil.write_all(graph)
    results = [mil.var(v) for v in graph.outputs]
    mil.blocks.pop()
    return results


def has_same_types(node: ir.Node) -> bool:
    """True if the outputs of both branches have the same ranks and dtypes."""
    then_branch, else_branch = attr(node, "then_branch"), attr(node, "else_branch")
    pairs = zip(then_branch.outputs, else_branch.outputs, strict=True)
    return all(
        a.shape is not None
        and b.shape is not None
        and len(a.shape) == len(b.shape)
        and a.dtype == b.dtype
        and a.dtype in HELD
        for a, b in pairs
    )


def has_same_shapes(node: ir.Node) -> bool:
    then_branch, else_branch = attr(node, "then_branch"), attr(node, "else_branch")
    return all(a.shape == b.shape for a, b in zip(then_branch.outputs, else_branch.outputs, strict=True))


@ops.op(
    "If",
    needs=(
        condition(
            "branches with results of the same shapes and dtypes",
            lambda n: has_same_types(n) and has_same_shapes(n),
        ),
    ),
)
def if_(mil, node, cond):
    variable = mil.var(cond)
    branches = []
    for name in ("then_branch", "else_branch"):
        graph = attr(node, name)

        def branch(graph=graph):
            results = [mil.builder.identity(x=v) for v in write_block(mil, graph)]
            return results[0] if len(results) == 1 else tuple(results)

        branches.append(branch)
    scalar = variable if not variable.shape else mil.squeeze(x=variable)
    return mil.builder.cond(pred=scalar, _true_fn=branches[0], _false_fn=branches[1])


def has_steady_state(node: ir.Node) -> bool:
    """True if the loop has no scan outputs, and its carried values keep static shapes and dtypes."""
    body = attr(node, "body")
    state_inputs, state_outputs = list(body.inputs)[2:], list(body.outputs)[1:]
    initial = list(node.inputs)[2:]
    if len(state_inputs) != len(state_outputs):
        return False
    return all(
        a.shape is not None
        and a.shape.is_static()
        and a.shape == b.shape == c.shape
        and a.dtype == b.dtype
        and a.dtype in HELD
        for a, b, c in zip(state_inputs, state_outputs, initial, strict=True)
    )


@ops.op(
    "Loop", needs=(condition("carried values of one static shape, and nothing collected", has_steady_state),)
)
def loop(mil, node, max_trip_count=None, cond=None, *states):
    """Loop as while_loop; iteration number and condition are carried before the states."""
    body = attr(node, "body")
    trip_count = None if max_trip_count is None else as_scalar(mil, max_trip_count)
    cond = np.bool_(True) if cond is None else as_scalar(mil, cond)

    def test(step, go, *carried):
        return (
            mil.builder.identity(x=go)
            if trip_count is None
            else mil.logical_and(x=mil.less(x=step, y=trip_count), y=go)
        )

    def run(step, go, *carried):
        mil.variables.update(zip(body.inputs, (step, go, *carried), strict=True))
        go_on, *new_states = write_block(mil, body)
        go_on = mil.squeeze(x=go_on) if go_on.shape else go_on
        step_and_condition = [mil.add(x=step, y=np.int32(1)), mil.builder.identity(x=go_on)]
        return tuple([*step_and_condition, *(mil.builder.identity(x=v) for v in new_states)])

    results = mil.builder.while_loop(
        _cond=test, _body=run, loop_vars=(np.int32(0), cond, *(mil.var(v) for v in states))
    )
    return list(results)[2:]


def as_scalar(mil: Any, value: ir.Value) -> Any:
    variable = mil.var(value)
    return mil.squeeze(x=variable) if variable.shape else variable
