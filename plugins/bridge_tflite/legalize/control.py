"""Loops as WHILE."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import vector
from bridge.hub import attr, const, held
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.control import unrollable
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.export_ops.control import captured_values

ops = OpTable()


def has_known_elements(node: ir.Node) -> bool:
    """True if the shapes of the scan outputs of a Loop are known before its first step."""
    collected = list(attr(node, "body").outputs)[len(node.inputs) - 1 :]
    return all(
        v.shape is not None and all(_find_length(node, d) is not None for d in v.shape) for v in collected
    )


def _find_length(node: ir.Node, dim: Any) -> Any:
    """A dimension's length: a number, or (value, axis) of a value outside the loop that has it; else None."""
    if isinstance(dim, int):
        return dim
    read = [*list(node.inputs)[2:], *node.graph.inputs, *captured_values(node)]
    outside = [v for v in read if v is not None and v.shape is not None]
    matches = ((v, i) for v in outside for i, d in enumerate(v.shape) if d == dim and dim.value is not None)
    return next(matches, None)


def _empty_collection(op: Any, node: ir.Node, value: ir.Value) -> ir.Value:
    """Initial value of a scan output: no elements."""
    dims = [_find_length(node, d) for d in value.shape]
    if all(isinstance(d, int) for d in dims):
        return op.const(np.zeros([0, *dims], value.dtype.numpy()))
    sizes = [d if isinstance(d, int) else op.Shape(d[0], start=d[1], end=d[1] + 1) for d in dims]
    empty = op.Expand(op.const(0, value.dtype), vector(op, [0, *sizes]))
    empty.shape = ir.Shape([0, *(value.shape or ())])
    return empty


def keeps_shapes(node: ir.Node) -> bool:
    """True if loop-carried values have a known rank and no dimension that certainly changes."""
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
        condition("collected values whose lengths are known or those of an input", has_known_elements),
        condition("carried values that keep their shape", keeps_shapes),
    ),
)
def loop(op, node, limit=None, going=None, *states):
    """State of the WHILE: iteration number, condition, loop-carried values, and the scan outputs so far."""
    body = attr(node, "body")
    carried = len(states)
    start = op.const(np.array(0, np.int64))
    collected = [_empty_collection(op, node, v) for v in list(body.outputs)[carried + 1 :]]
    going = op.const(np.array(True)) if going is None else going
    test = _condition_graph(body, limit, [start, op.Reshape(going, []), *states, *collected])
    _collect_outputs(body, carried)
    while_node = ir.Node(
        TFLITE,
        "While",
        [start, op.Reshape(going, []), *states, *collected],
        [ir.AttrGraph("cond", test), ir.AttrGraph("body", body)],
        num_outputs=len(body.outputs),
    )
    node.attributes.pop("body")
    for output, inner in zip(while_node.outputs, body.outputs, strict=True):
        output.type, output.shape = inner.type, inner.shape
    op.insert(while_node)
    return list(while_node.outputs)[2:]


def _condition_graph(body: ir.Graph, limit: ir.Value | None, state: list[ir.Value]) -> ir.Graph:
    """Condition of the WHILE: the loop's own condition, and the iteration number below the limit."""
    inputs = [ir.Value(name=f"state_{i}", type=v.type, shape=v.shape) for i, v in enumerate(state)]
    graph = ir.Graph(
        inputs, [], nodes=[], name=f"{body.name}.condition", opset_imports=dict(body.opset_imports)
    )
    op = hub.Builder(graph)
    result = inputs[1]
    if limit is not None:
        bound = op.const(const(limit).reshape(())) if held(limit) is not None else op.Reshape(limit, [])
        result = op.And(op.Less(inputs[0], bound), result)
    graph.outputs.append(result if limit is not None else op.Identity(result))
    return graph


def _collect_outputs(body: ir.Graph, carried: int) -> None:
    """Make the body count its steps and append its scan outputs.

    LiteRT lets the shape of a WHILE's state change only if the body computes it, so the result is reshaped by
    the count.
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
        collected = op.Concat(before, op.Unsqueeze(value, [0]), axis=0)
        sizes = [
            d if isinstance(d, int) else op.Shape(value, start=i, end=i + 1)
            for i, d in enumerate(value.shape)
        ]
        shape = op.Cast(vector(op, [op.Reshape(count, [1]), *sizes]), to=int(ir.DataType.INT32))
        body.outputs.append(op.Reshape(collected, shape, _domain=TFLITE, _dtype=value.dtype, _shape=dims))
