"""An If whose condition is known, or can have but one value, becomes its branch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import subgraphs
from bridge.passes.fold import FoldConstants
from bridge.passes.names import NameValues
from bridge.passes.rewrite import replace
from bridge.passes.shapes import InferShapes, forget_shapes

ROUNDS = 8


class InlineKnownIf(ir.passes.InPlacePass):
    """1. The nodes of the branch a constant condition takes stand in place of the If."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, self._graph(model.graph))

    def _graph(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            condition = hub.const(node.inputs[0]) if node.op_type == "If" and not node.domain else None
            if condition is not None:
                branch = hub.attr(node, "then_branch" if condition.item() else "else_branch")
                self._graph(branch)
                _inline(graph, node, branch)
                changed = True
                continue
            for subgraph in subgraphs(node):
                changed |= self._graph(subgraph)
        return changed


class DecideBranches(ir.passes.InPlacePass):
    """1. An If whose branches differ in the ranks they give becomes the one branch that the operators after
       it can take, where the schema of one that runs whatever the inputs refuses the other: on no input would
       that end in anything but an error.

    2. Those that stand beside it, or inside of what does, with the same condition are decided with it. What
       a source declares of results tells nothing.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        for number, (node, (graph, *_)) in enumerate(_nodes(model.graph)):
            if node.op_type != "If" or node.domain or not _may_differ(node):
                continue
            possible = [taken for taken in (True, False) if _is_possible(model, number, taken)]
            if len(possible) == 1:
                _decide(model, node, graph, possible[0])
                return InlineKnownIf()(model)
        return ir.passes.PassResult(model, False)


def _nodes(graph: ir.Graph, around: tuple[ir.Graph, ...] = ()) -> Iterator[tuple[ir.Node, list[ir.Graph]]]:
    """Nodes with the graphs they stand in, the inmost first."""
    for node in graph:
        yield node, [graph, *around]
        for subgraph in subgraphs(node):
            yield from _nodes(subgraph, (graph, *around))


def _may_differ(node: ir.Node) -> bool:
    """True unless both branches give results of the same known ranks."""
    sides = [[hub.rank_of(value) for value in graph.outputs] for graph in subgraphs(node)]
    return sides[0] != sides[1] or None in sides[0]


def _is_possible(model: ir.Model, number: int, taken: bool) -> bool:
    """False where the branch of the node of this number leads to what a schema refuses."""
    tried = model.clone()
    node, always = next(itertools.islice(_nodes(tried.graph), number, None))
    _decide(tried, node, always[0], taken)
    forget_shapes(tried)
    for _ in range(ROUNDS):
        if not InlineKnownIf()(tried).modified:
            break
        for step in (NameValues(), InferShapes(), FoldConstants()):
            step(tried)
    return not any(hub.is_refused(node) for graph in always for node in graph)


def _decide(model: ir.Model, node: ir.Node, graph: ir.Graph, taken: bool) -> None:
    """Give the condition of an If in `graph` its value, there and inside of what stands there."""
    condition, value = node.inputs[0], hub.Builder(model.graph).const(np.array(taken))
    for other, _ in list(_nodes(graph)):
        if other.op_type == "If" and not other.domain and other.inputs[0] is condition:
            other.replace_input_with(0, value)


def _inline(graph: ir.Graph, node: ir.Node, branch: ir.Graph) -> None:
    for value in list(branch.initializers.values()):
        branch.initializers.pop(value.name or "")
        value.name = hub.fresh_name(graph, "branch")
        graph.register_initializer(value)
    results = list(branch.outputs)
    branch.outputs.clear()
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    for inner in list(branch):
        branch.remove(inner)
        graph.insert_before(node, inner)
    for old, new in zip(node.outputs, results, strict=True):
        old.shape = new.shape
    replace(graph, node, results, op)
