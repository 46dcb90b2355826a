"""Loops as WHILE."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import vector
from bridge.hub import attr, const
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.control import unrollable
from bridge_tflite.export_ops.common import TFLITE

ops = OpTable()


def elements_known(node: ir.Node) -> bool:
    """Whether the shape of what a Loop collects can be told before its first step."""
    collected = list(attr(node, "body").outputs)[len(node.inputs) - 1 :]
    return all(v.shape is not None and all(_length(node, d) is not None for d in v.shape) for v in collected)


def _length(node: ir.Node, dim: Any) -> Any:
    """A length: as a number, or as (value, axis) where a value outside the loop has it."""
    if isinstance(dim, int):
        return dim
    outside = [
        v for v in [*list(node.inputs)[2:], *node.graph.inputs] if v is not None and v.shape is not None
    ]
    places = ((v, i) for v in outside for i, d in enumerate(v.shape) if d == dim and dim.value is not None)
    return next(places, None)


def _nothing_yet(op: Any, node: ir.Node, value: ir.Value) -> ir.Value:
    """What a loop has collected before its first step."""
    found = [_length(node, d) for d in value.shape]
    if all(isinstance(d, int) for d in found):
        return op.const(np.zeros([0, *found], value.dtype.numpy()))
    parts = [d if isinstance(d, int) else op.Shape(d[0], start=d[1], end=d[1] + 1) for d in found]
    made = op.Expand(op.const(0, value.dtype), vector(op, [0, *parts]))
    made.shape = ir.Shape([0, *(value.shape or ())])
    return made


def steady(node: ir.Node) -> bool:
    """Whether what the loop carries has a known rank, and no dimension that surely changes."""
    body = attr(node, "body")
    for before, after in zip(list(body.inputs)[2:], list(body.outputs)[1:], strict=False):
        if before.shape is None or after.shape is None or len(before.shape) != len(after.shape):
            return False
        pairs = zip(before.shape, after.shape, strict=True)
        if any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
            return False
    return True


@ops.op(
    "Loop",
    needs=(
        condition("steps that are many or known at run time alone", lambda n: not unrollable(n)),
        condition("collected values whose lengths are known or those of an input", elements_known),
        condition("carried values that keep their shape", steady),
    ),
)
def loop(op, node, limit=None, going=None, *states):
    """The state of a WHILE: the step, whether to go on, what the loop carries, and what it has collected so far."""
    body = attr(node, "body")
    carried = len(states)
    start = op.const(np.array(0, np.int64))
    collected = [_nothing_yet(op, node, v) for v in list(body.outputs)[carried + 1 :]]
    going = op.const(np.array(True)) if going is None else going
    test = _test(body, limit, [start, op.Reshape(going, []), *states, *collected])
    _collecting(body, carried)
    made = ir.Node(
        TFLITE,
        "While",
        [start, op.Reshape(going, []), *states, *collected],
        [ir.AttrGraph("cond", test), ir.AttrGraph("body", body)],
        num_outputs=len(body.outputs),
    )
    node.attributes.pop("body")
    for output, inner in zip(made.outputs, body.outputs, strict=True):
        output.type, output.shape = inner.type, inner.shape
    op.insert(made)
    return list(made.outputs)[2:]


def _test(body: ir.Graph, limit: ir.Value | None, state: list[ir.Value]) -> ir.Graph:
    """Whether another step follows: the loop's condition, and the count where there is one."""
    inputs = [ir.Value(name=f"state_{i}", type=v.type, shape=v.shape) for i, v in enumerate(state)]
    graph = ir.Graph(
        inputs, [], nodes=[], name=f"{body.name}.condition", opset_imports=dict(body.opset_imports)
    )
    op = hub.Builder(graph)
    result = inputs[1]
    if limit is not None:
        bound = op.const(const(limit).reshape(())) if const(limit) is not None else op.Reshape(limit, [])
        result = op.And(op.Less(inputs[0], bound), result)
    graph.outputs.append(result if limit is not None else op.Identity(result))
    return graph


def _collecting(body: ir.Graph, carried: int) -> None:
    """Make the body count its steps and append what it collects.

    LiteRT lets the shape of a WHILE's state change only where the body computes it: so the result is reshaped to the count.
    """
    op = hub.Builder(body)
    results = list(body.outputs)
    body.outputs.clear()
    count = op.Add(body.inputs[0], op.const(np.array(1, np.int64)))
    body.outputs.append(count)
    body.outputs.append(op.Reshape(results[0], []))
    body.outputs.extend(results[1 : carried + 1])
    for value in results[carried + 1 :]:
        dims = [None, *(value.shape or ())]
        before = ir.Value(name=hub.fresh_name(body, "collected"), type=value.type, shape=ir.Shape(dims))
        body.inputs.append(before)
        whole = op.Concat(before, op.Unsqueeze(value, [0]), axis=0)
        sizes = [
            d if isinstance(d, int) else op.Shape(value, start=i, end=i + 1)
            for i, d in enumerate(value.shape)
        ]
        shape = op.Cast(vector(op, [op.Reshape(count, [1]), *sizes]), to=int(ir.DataType.INT32))
        body.outputs.append(op.Reshape(whole, shape, _domain=TFLITE, _dtype=value.dtype, _shape=dims))
