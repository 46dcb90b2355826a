"""Loops: a Scan as a Loop, and a Loop of few known steps as its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.dims import lengths, scalar
from bridge.hub import attr, const, held, input_at, rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import wrap_indices
from bridge.passes.expand import copy_node
from bridge.passes.shapes import join_branches

ops = OpTable()

STEPS = 64
NODES = 2048


@ops.op(
    "Scan", needs=(condition("scanned inputs of known rank", lambda n: all(rank_of(v) for v in scanned(n))),)
)
def scan(op, node, *inputs):
    """A Loop whose body gathers the element of each scanned input."""
    count = attr(node, "num_scan_inputs")
    states, elements = inputs[: len(inputs) - count], inputs[len(inputs) - count :]
    axes = [
        a % rank_of(v) for a, v in zip(attr(node, "scan_input_axes") or [0] * count, elements, strict=True)
    ]
    back = attr(node, "scan_input_directions") or [0] * count
    body = attr(node, "body")
    length = scalar(op, lengths(op, elements[0])[axes[0]])
    step, going = (
        _scalar_input(body, *v) for v in (("step", ir.DataType.INT64), ("going", ir.DataType.BOOL))
    )
    inner = hub.Builder(body, before=next(iter(body), None), source=op.source)
    for own, outer, axis, reverse in zip(list(body.inputs)[len(states) :], elements, axes, back, strict=True):
        last = inner.Sub(length, inner.const(np.array(1, np.int64)))
        place = inner.Sub(last, step) if reverse else step
        ir.convenience.replace_all_uses_with(
            own, inner.Gather(outer, place, axis=axis), replace_graph_outputs=True
        )
    del body.inputs[len(states) :]
    for index, value in enumerate((step, going)):
        body.inputs.insert(index, value)
    end = hub.Builder(body, source=op.source)
    body.outputs.insert(0, end.Identity(going))
    return _scanned_out(op, node, loop(op, node, length, states, body), len(states))


def scanned(node: ir.Node) -> list[ir.Value | None]:
    """The inputs of a Scan that it walks along."""
    return list(node.inputs)[len(node.inputs) - attr(node, "num_scan_inputs") :]


def _scalar_input(body: ir.Graph, name: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=hub.fresh_name(body, name), type=ir.TensorType(dtype), shape=ir.Shape([]))


def loop(op: Any, node: ir.Node, length: ir.Value, states: Any, body: ir.Graph) -> list[ir.Value]:
    """A Loop of `length` steps in place of `node`, its outputs typed as those of the body."""
    node.attributes.pop("body", None)
    count = len(body.outputs) - 1
    loop_node = ir.Node("", "Loop", [length, None, *states], [ir.AttrGraph("body", body)], num_outputs=count)
    for index, (output, inner) in enumerate(zip(loop_node.outputs, list(body.outputs)[1:], strict=True)):
        output.type = inner.type
        if inner.shape is not None:
            output.shape = inner.shape if index < len(states) else ir.Shape([None, *inner.shape])
    op.insert(loop_node)
    return list(loop_node.outputs)


def _scanned_out(op: Any, node: ir.Node, results: list[Any], states: int) -> list[Any]:
    count = len(results) - states
    axes, back = (
        attr(node, "scan_output_axes") or [0] * count,
        attr(node, "scan_output_directions") or [0] * count,
    )
    for index, (axis, reverse) in enumerate(zip(axes, back, strict=True), states):
        if reverse:
            results[index] = op.Slice(results[index], [-1], [-(2**31)], [0], [-1])
        rank = rank_of(results[index])
        if axis and rank:
            order = list(range(1, rank))
            order.insert(axis % rank, 0)
            results[index] = op.Transpose(results[index], perm=order)
    return results


def steps_of(node: ir.Node) -> int | None:
    """Iteration count of a Loop; None where it is known at run time alone."""
    count = const(node.inputs[0])
    return None if count is None or not runs_all_steps(node) else max(int(count.reshape(())), 0)


def runs_all_steps(node: ir.Node) -> bool:
    """True if nothing but the trip count ends a Loop."""
    going, body = input_at(node, 1), attr(node, "body")
    if body is None or not (going is None or (held(going) is not None and const(going).all())):
        return False
    last = body.outputs[0]
    while (
        last.producer() is not None
        and last.producer().op_type == "Identity"
        and last.producer().graph is body
    ):
        last = last.producer().inputs[0]
    known = const(last)
    return last is body.inputs[1] or (known is not None and bool(known.all()))


def unrollable(node: ir.Node) -> bool:
    """A Loop of few steps."""
    steps = steps_of(node)
    return steps is not None and steps <= STEPS and steps * len(attr(node, "body")) <= NODES


@ops.op("Loop", needs=(condition(f"at most {STEPS} steps, known before run time", unrollable),))
def unrolled(op, node, limit, going=None, *states):
    """The body once for every step."""
    body, steps = attr(node, "body"), steps_of(node)
    count = len(states)
    scans: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - count)]
    for step in range(steps):
        values = dict(
            zip(
                body.inputs,
                (op.const(np.array(step, np.int64)), op.const(np.array(True)), *states),
                strict=True,
            )
        )
        for value in body.initializers.values():
            values[value] = op.const(value.const_value)
        for inner in body:
            copy = copy_node(inner, values, {}, op)
            facts.STEP.set(copy, f"{facts.STEP.get(inner) or hub.origin(inner)}, step {step} of {op.source}")
            op.insert(copy)
            values.update(zip(inner.outputs, copy.outputs, strict=True))
        results = [values.get(v, v) for v in list(body.outputs)[1:]]
        states = results[:count]
        for collected, value in zip(scans, results[count:], strict=True):
            collected.append(op.Unsqueeze(value, [0]))
    if not steps and scans:
        return NotImplemented
    gathered = [collected[0] if len(collected) == 1 else op.Concat(*collected, axis=0) for collected in scans]
    return [op.Identity(v) if v is not None and v.producer() is None else v for v in (*states, *gathered)]


def at_axis(op: Any, axis: ir.Value, rank: int, axes: range, make: Callable[[Any, int], ir.Value]) -> Any:
    """Build with `make` for an axis of `rank`; a run-time axis selects among branches for `axes`."""
    known = const(axis)
    if known is not None:
        return make(op, int(known.reshape(())) % rank)
    return _branches(op, wrap_indices(op, op.Reshape(op.Cast(axis, to=7), []), rank), axes, make)


def _branches(op: Any, index: ir.Value, axes: Sequence[int], make: Callable[[Any, int], ir.Value]) -> Any:
    if len(axes) == 1:
        return make(op, axes[0])
    first, others = axes[0], axes[1:]
    here = op.Equal(index, first)
    return choice(
        op, here, lambda inner: make(inner, first), lambda inner: _branches(inner, index, others, make)
    )


def choice(op: Any, here: ir.Value, then: Callable[[Any], ir.Value], other: Callable[[Any], ir.Value]) -> Any:
    """An If of what two functions of a builder make; its shape is what both have in common."""
    graphs = []
    for name, make in (("then", then), ("else", other)):
        graph = ir.Graph([], [], nodes=[], name=name, opset_imports=dict(op.graph.opset_imports))
        inner = hub.Builder(graph, source=op.source)
        graph.outputs.append(make(inner))
        graphs.append(graph)
    result = op.If(here, then_branch=graphs[0], else_branch=graphs[1])
    result.type = graphs[0].outputs[0].type
    join_branches(result.producer())
    return result
