"""Sequences that a loop only appends to become what the loop collects: one tensor, stacked along its first
axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, shape_of, subgraphs
from bridge.passes.rewrite import replace

__all__ = ["CollectSequences"]

READERS = ("ConcatFromSequence", "SequenceLength", "SequenceAt")


class CollectSequences(ir.passes.InPlacePass):
    """1. A Loop carries a sequence that starts empty, gets one element of one static shape in every step, at
    its end, and is not read in the body: the elements are a scan output instead.

    2. Where that sequence is then joined, counted or read by index, the stacked elements are: Transpose and
       Reshape, Shape, Gather.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, _collect_in(model.graph))


def _collect_in(graph: ir.Graph) -> bool:
    changed = False
    for node in list(graph):
        for subgraph in subgraphs(node):
            changed |= _collect_in(subgraph)
        if node.op_type != "Loop" or node.domain:
            continue
        paths: dict[int, list[ir.Node]] = {}
        for index in range(len(node.inputs) - 2):
            path = _appended(node, index)
            if path is not None:
                paths[index] = path
        if paths:
            _replace_loop(graph, node, paths)
            changed = True
    return changed


def _appended(node: ir.Node, index: int) -> list[ir.Node] | None:
    """The nodes from a carried result of the body back to its insertion, where the loop may collect its
    elements."""
    body, start, result = attr(node, "body"), node.inputs[2 + index], node.outputs[index]
    inner, value = body.inputs[2 + index], body.outputs[1 + index]
    path: list[ir.Node] = []
    while value.producer() is not None and value.producer().graph is body:
        path.append(value.producer())
        if path[-1].op_type != "Identity":
            break
        value = path[-1].inputs[0]
    if start is None or start.producer() is None or start.producer().op_type != "SequenceEmpty":
        return None
    if not path or path[-1].op_type != "SequenceInsert" or path[-1].inputs[0] is not inner:
        return None
    if any(len(list(step.outputs[0].uses())) > 1 for step in path) or len(list(inner.uses())) > 1:
        return None
    positions = [v for v in path[-1].inputs[2:] if v is not None]
    read = all(use.node.op_type in READERS for use in result.uses()) and not result.is_graph_output()
    return path if read and not positions and shape_of(path[-1].inputs[1]) is not None else None


def _replace_loop(graph: ir.Graph, node: ir.Node, paths: dict[int, list[ir.Node]]) -> None:
    """The loop again, with scan outputs in place of those sequences."""
    body, count = attr(node, "body"), len(node.inputs) - 2
    carried = [i for i in range(count) if i not in paths]
    elements = [path[-1].inputs[1] for path in paths.values()]
    gone = [body.inputs[2 + i] for i in paths]
    inner = hub.Builder(body, source=hub.origin(node))
    scans = [inner.Identity(v) for v in elements]
    body.outputs[:] = [
        body.outputs[0],
        *(body.outputs[1 + i] for i in carried),
        *body.outputs[1 + count :],
        *scans,
    ]
    for step in [step for path in paths.values() for step in path]:
        body.remove(step, safe=True)
    for value in gone:
        body.inputs.remove(value)
    loop = _loop_node(node, body, [*node.inputs[:2], *(node.inputs[2 + i] for i in carried)])
    before = [*(node.outputs[i] for i in carried), *node.outputs[count:]]
    for old, new in zip(before, loop.outputs, strict=False):
        new.type, new.shape = old.type, old.shape
    stacks = list(loop.outputs)[len(before) :]
    for stack, element in zip(stacks, elements, strict=True):
        stack.type = ir.TensorType(element.dtype)
        dims = shape_of(element)
        stack.shape = None if dims is None else ir.Shape([None, *dims])
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    op.insert(loop)
    for index, stack in zip(paths, stacks, strict=True):
        for use in list(node.outputs[index].uses()):
            _replace_reader(use.node, stack)
    order = dict(zip(before, loop.outputs, strict=False))
    replace(graph, node, [order.get(v) for v in node.outputs], op)


def _loop_node(node: ir.Node, body: ir.Graph, inputs: list[Any]) -> ir.Node:
    node.attributes.pop("body")
    return ir.Node("", "Loop", inputs, [ir.AttrGraph("body", body)], num_outputs=len(node.outputs))


def _replace_reader(node: ir.Node, stack: ir.Value) -> None:
    """Replace what a node read of the sequence by a read of the stacked elements."""
    op = hub.Builder(node.graph, before=node, source=hub.origin(node))
    if node.op_type == "SequenceLength":
        result = op.Squeeze(op.Shape(stack, start=0, end=1), np.array([0]))
    elif node.op_type == "SequenceAt":
        result = op.Gather(stack, node.inputs[1], axis=0)
    else:
        result = _concat_stack(op, stack, attr(node, "axis"), bool(attr(node, "new_axis")))
    replace(node.graph, node, [result], op)


def _concat_stack(op: Any, stack: ir.Value, axis: int, new: bool) -> ir.Value:
    rank = len(stack.shape)
    position = axis % (rank if new else rank - 1)
    order = [*range(1, position + 1), 0, *range(position + 1, rank)]
    transposed = op.Transpose(stack, perm=order) if position else op.Identity(stack)
    if new:
        return transposed
    dims = [d if isinstance(d, int) else -1 for d in list(stack.shape)[1:]]
    dims[position] = -1
    return op.Reshape(transposed, np.array(dims))
