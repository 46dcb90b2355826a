"""Operators of exported programs that take graphs: conditions, loops, scans, graphs read as they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge_torchscript.control import ENDLESS, Run, as_value, choose, nested_builder, repeat
from bridge_torchscript.import_ops.scalar import PYTHON
from bridge_torchscript.interpreter import condition_value, wrap
from bridge_torchscript.recorded import read_graph
from bridge_torchscript.values import Builder, Items, Unsupported

HIGHER_ORDER: dict[str, Callable[..., Any]] = {}
Step = Callable[[Builder, list[Any]], list[Any]]
"""What one step makes of the states and of its elements."""


def higher_order(*names: str) -> Callable:
    """Register the decorated function (reader, op, *arguments) for `names`."""

    def register(function: Callable) -> Callable:
        HIGHER_ORDER.update(dict.fromkeys(names, function))
        return function

    return register


def _run(reader: Any, op: Builder, graph: Any, inputs: Any) -> list[Any]:
    results = read_graph(reader, op, graph, inputs)
    return list(results) if isinstance(results, (list, tuple)) else [results]


def _truth(op: Builder, value: Any) -> Any:
    """A condition, tensor or number, as a bool or a number known at run time."""
    return PYTHON["aten::Bool"](op, value)


@higher_order("wrap_with_set_grad_enabled")
def with_gradients(reader: Any, op: Builder, enabled: Any, graph: Any, *inputs: Any) -> list[Any]:
    return _run(reader, op, graph, inputs)


@higher_order("wrap_with_autocast")
def with_autocast(
    reader: Any, op: Builder, device: Any, dtype: Any, enabled: Any, cached: Any, graph: Any, *inputs: Any
) -> list[Any]:
    if enabled and device == "cpu":
        raise Unsupported(
            "computes in a dtype that autocast chooses at run time; export the module without it"
        )
    return _run(reader, op, graph, inputs)


@higher_order("strict_mode", "hints_wrapper")
def as_it_is(reader: Any, op: Builder, graph: Any, inputs: Any, *rest: Any, **hints: Any) -> list[Any]:
    return _run(reader, op, graph, inputs)


@higher_order("wrap", "tag_activation_checkpoint")
def wrapped(reader: Any, op: Builder, graph: Any, *inputs: Any, **options: Any) -> list[Any]:
    return _run(reader, op, graph, inputs)


@higher_order("invoke_subgraph")
def invoked(reader: Any, op: Builder, graph: Any, name: str, *inputs: Any) -> list[Any]:
    return _run(reader, op, graph, inputs)


@higher_order("cond")
def cond(reader: Any, op: Builder, condition: Any, then: Any, other: Any, operands: Any = ()) -> list[Any]:
    chosen = condition_value(op, _truth(op, condition))
    if isinstance(chosen, bool):
        return Items(op, _run(reader, op, then if chosen else other, operands))

    def branch(graph: Any) -> Run:
        return lambda inner: _run(reader, inner, graph, operands)

    return Items(op, choose(reader, op, chosen, [branch(then), branch(other)]))


@higher_order("while_loop")
def while_loop(
    reader: Any, op: Builder, condition: Any, body: Any, carried: Any, additional: Any = ()
) -> list[Any]:
    def again(inner: Builder, values: list[Any]) -> Any:
        return _truth(inner, _run(reader, inner, condition, [*values, *additional])[0])

    def step(inner: Builder, number: Any, values: list[Any]) -> list[Any]:
        after = _run(reader, inner, body, [*values, *additional])
        return [again(inner, after), *after]

    carried = list(carried)
    return Items(op, repeat(reader, op, step, ENDLESS, again(op, carried), carried))


@higher_order("scan")
def scan(reader: Any, op: Builder, body: Any, start: Any, elements: Any, additional: Any = ()) -> list[Any]:
    """States after the last element, then the stacked results of every step."""

    def step(inner: Builder, values: list[Any]) -> list[Any]:
        return _run(reader, inner, body, [*values, *additional])

    return _scan(reader, op, step, [_hub(op, v) for v in start], [_hub(op, v) for v in elements])


def _scan(reader: Any, op: Builder, step: Step, states: list[ir.Value], stacks: list[ir.Value]) -> list[Any]:
    specs = [(v.type, v.shape) for v in states]
    specs += [(v.type, None if v.shape is None else ir.Shape(list(v.shape)[1:])) for v in stacks]
    inputs = [ir.Value(name=hub.fresh_name(reader.graph, "scan"), type=t, shape=s) for t, s in specs]
    inner = nested_builder(reader, op, "body", inputs)
    with reader.memory.branch():
        after = step(inner, [wrap(inner, v) for v in inputs])
        results = [inner.Identity(_hub(inner, v)) for v in after]
    inner.graph.outputs.extend(results)
    attributes = [ir.AttrGraph("body", inner.graph), ir.AttrInt64("num_scan_inputs", len(stacks))]
    node = ir.Node("", "Scan", [*states, *stacks], attributes, num_outputs=len(results))
    steps = stacks[0].shape[0] if stacks and stacks[0].shape is not None else None
    for index, (output, result) in enumerate(zip(node.outputs, results, strict=True)):
        output.type, shape = result.type, result.shape
        stacked = index >= len(states)
        output.shape = shape if not stacked or shape is None else ir.Shape([steps, *shape])
    op.insert(node)
    return Items(op, (wrap(op, v) for v in node.outputs))


@higher_order("associative_scan")
def associative_scan(
    reader: Any, op: Builder, combine: Any, elements: Any, additional: Any = ()
) -> list[Any]:
    """Every element combined with all before it, one after the other; the first stays."""
    stacks = [_hub(op, v) for v in elements]
    count = len(stacks)

    def step(inner: Builder, values: list[Any]) -> list[Any]:
        before, is_first, now = values[:count], values[count], values[count + 1 :]
        combined = _run(reader, inner, combine, [*before, *now, *additional])
        kept = [
            wrap(inner, inner.Where(_hub(inner, is_first), _hub(inner, x), _hub(inner, c)))
            for x, c in zip(now, combined, strict=True)
        ]
        return [*kept, wrap(inner, inner.const(np.array(False))), *kept]

    states = [op.Gather(v, np.array(0), axis=0) for v in stacks]
    return _scan(reader, op, step, [*states, op.const(np.array(True))], stacks)[count + 1 :]


@higher_order("map_impl")
def map_(reader: Any, op: Builder, body: Any, elements: Any, additional: Any = ()) -> list[Any]:
    return scan(reader, op, body, [], elements, additional)


def _hub(op: Builder, value: Any) -> ir.Value:
    made = as_value(op, value)
    if made is None:
        raise Unsupported("carries what is no tensor")
    return made
