"""Branches and loops as MIL blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.control import runs_all_steps
from bridge_coreml.export_ops.common import HELD, fits

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
    """True if what one branch knows of the lengths of its outputs, the other one knows too."""
    outputs = zip(attr(node, "then_branch").outputs, attr(node, "else_branch").outputs, strict=True)
    return all(
        m == n or not (isinstance(m, int) or isinstance(n, int))
        for a, b in outputs
        for m, n in zip(a.shape, b.shape, strict=True)
    )


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


def keeps_types(node: ir.Node) -> bool:
    """True if carried values keep their dtype and rank, and every length that the body counts on; and what is
    collected has a known rank."""
    body = attr(node, "body")
    initial = list(node.inputs)[2:]
    before, after = list(body.inputs)[2:], list(body.outputs)[1:]
    collected = after[len(initial) :]
    return all(v.shape is not None and v.dtype in HELD for v in collected) and all(
        a.dtype in HELD and all(is_of_type(v, a) for v in (b, c))
        for a, b, c in zip(before, after, initial, strict=False)
    )


def is_of_type(value: ir.Value, declared: ir.Value) -> bool:
    """True if a value has the dtype and rank of another one, and its known lengths."""
    if value.shape is None or declared.shape is None or value.dtype != declared.dtype:
        return False
    return len(value.shape) == len(declared.shape) and all(
        not isinstance(d, int) or d == v for v, d in zip(value.shape, declared.shape, strict=True)
    )


@ops.op(
    "Loop", needs=(condition("carried values that keep their dtype, rank and known lengths", keeps_types),)
)
def loop(mil, node, max_trip_count=None, cond=None, *states):
    """Loop as while_loop; iteration number and condition are carried before the states, lists of what is
    collected after them."""
    body = attr(node, "body")
    is_bounded = max_trip_count is not None and fits(max_trip_count)
    trip_count = as_scalar(mil, max_trip_count) if is_bounded else None
    may_stop = not runs_all_steps(node)
    elements = list(body.outputs)[1 + len(states) :]
    lists = [make_list(mil, v, trip_count) for v in elements]

    def test(step, go, *carried):
        if trip_count is None:
            return mil.builder.identity(x=go)
        is_below = mil.less(x=step, y=trip_count)
        return mil.logical_and(x=is_below, y=go) if may_stop else is_below

    def run(step, go, *carried):
        mil.variables.update(zip(body.inputs, (step, go, *carried[: len(states)]), strict=True))
        go_on, *results = write_block(mil, body)
        go_on = mil.squeeze(x=go_on) if go_on.shape else go_on
        variables = [go_on, *results[: len(states)]]
        collected = zip(carried[len(states) :], results[len(states) :], strict=True)
        return (
            mil.add(x=step, y=np.int32(1)),
            *(mil.builder.identity(x=v) for v in variables),
            *(mil.list_write(ls=ls, index=step, value=as_element(mil, v)) for ls, v in collected),
        )

    variables = [np.int32(0), np.bool_(True) if cond is None else as_scalar(mil, cond), *states]
    steps, _, *results = mil.builder.while_loop(
        _cond=test, _body=run, loop_vars=(*(without_value(mil, v) for v in variables), *lists)
    )
    if lists:
        indices = mil.range_1d(start=np.int32(0), end=steps if may_stop else trip_count, step=np.int32(1))
        gathered = [mil.list_gather(ls=ls, indices=indices) for ls in results[len(states) :]]
        flat = [
            g if rank_of(v) else mil.squeeze(x=g, axes=[1]) for g, v in zip(gathered, elements, strict=True)
        ]
        results = [*results[: len(states)], *flat]
    return results


def make_list(mil: Any, element: ir.Value, trip_count: Any) -> Any:
    """A list of as many elements as the loop takes steps; one that grows where nothing bounds them. Elements
    are no scalars."""
    name = mil.unique(f"{element.name}_list")
    dims = [d if isinstance(d, int) else f"{name}_{i}" for i, d in enumerate(element.shape or ())]
    return mil.builder.make_list(
        init_length=1 if trip_count is None else trip_count,
        dynamic_length=trip_count is None,
        elem_shape=tuple(np.int32(d) if isinstance(d, int) else d for d in dims or [1]),
        dtype=HELD[element.dtype or ir.DataType.FLOAT],
    )


def as_element(mil: Any, variable: Any) -> Any:
    return variable if variable.shape else mil.expand_dims(x=variable, axes=[0])


def without_value(mil: Any, value: Any) -> Any:
    """A copy of a variable whose value MIL does not infer: that of a loop is another one in every step."""
    variable = mil.builder.identity(x=mil.argument(value))
    variable._sym_val = None
    return variable


def as_scalar(mil: Any, value: ir.Value) -> Any:
    variable = mil.var(value)
    return mil.squeeze(x=variable) if variable.shape else variable
