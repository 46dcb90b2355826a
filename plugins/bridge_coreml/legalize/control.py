"""Branches of one type."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange
from bridge.hub import attr, shape_of


class OpenBranches(ir.passes.InPlacePass):
    """1. A length that one branch of an If knows and the other one has otherwise is known at run time."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if node.op_type == "If" and not node.domain]
        changed = [self._branch(node) for node in nodes]
        return ir.passes.PassResult(model, any(changed))

    def _branch(self, node: ir.Node) -> bool:
        branches = attr(node, "then_branch"), attr(node, "else_branch")
        changed = False
        for index, results in enumerate(zip(*(graph.outputs for graph in branches), strict=True)):
            shapes = [list(value.shape) if value.shape is not None else [] for value in results]
            differing = [a for a, pair in enumerate(zip(*shapes, strict=False)) if pair[0] != pair[1]]
            for graph, value, shape in zip(branches, results, shapes, strict=True):
                axes = [axis for axis in differing if isinstance(shape[axis], int)]
                if axes and (0 not in shape or shape_of(value) is not None):
                    graph.outputs[index] = opened(node, graph, value, axes, graph is branches[0])
                    changed = True
        return changed


def opened(node: ir.Node, graph: ir.Graph, value: ir.Value, axes: list[int], is_taken: bool) -> ir.Value:
    """The elements of `value` along `axes`, as many as the condition says; none are gathered from ones, as no
    constant of Core ML is empty."""
    op = hub.Builder(graph, source=hub.origin(node))
    condition = op.Reshape(node.inputs[0], op.const([]))
    dims = list(value.shape or ())
    result = value if 0 not in dims else op.const(np.ones([max(int(d), 1) for d in dims]), value.dtype)
    for axis in axes:
        count, none = np.int64(dims[axis]), np.int64(0)
        result = op.Gather(
            result,
            arange(op, op.Where(condition, *((count, none) if is_taken else (none, count)))),
            axis=axis,
        )
    result.type = value.type
    result.shape = ir.Shape([None if axis in axes else d for axis, d in enumerate(dims)])
    return result
