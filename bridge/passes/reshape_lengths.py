"""Reshapes whose lengths follow from their input, and lengths that are computed more than once."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of
from bridge.passes.dense import Extent, extents_of
from bridge.passes.rewrite import replace

__all__ = ["ConstantLengths", "ShareLengths"]


class ConstantLengths(ir.passes.InPlacePass):
    """1. A Reshape to lengths of which all but one are constants, or those that its input has at their
    places, is to constants: 0 for the input's own length, -1 for one that follows from the others.

    2. A length that follows is not told by a -1 of ours beside a length of the input that is not known: that
    may be 0, beside which nothing follows.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if node.op_type == "Reshape" and not node.domain and const(node.inputs[1]) is None:
                changed |= _made_constant(model.graph, node)
        return ir.passes.PassResult(model, changed)


def _made_constant(graph: ir.Graph, node: ir.Node) -> bool:
    x, wanted = node.inputs[0], extents_of(node.inputs[1])
    if wanted is None or x is None or x.shape is None or attr(node, "allowzero"):
        return False
    told = [_told(extent, place, x) for place, extent in enumerate(wanted)]
    follow = [place for place, length in enumerate(told) if length == -1]
    if len(follow) > 1 or (follow and 0 in told and wanted[follow[0]] != -1):
        return False
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    replace(graph, node, op.Reshape(x, np.array(told, np.int64)), op)
    return True


def _told(extent: Extent, place: int, x: ir.Value) -> int:
    """A length as a Reshape of `x` takes it."""
    if extent is None or isinstance(extent, int):
        return -1 if extent is None else extent
    value, axis = extent
    length, lengths = _length(value, axis), [_length(x, place) for place in range(rank_of(x) or 0)]
    if place < len(lengths) and ((value is x and axis == place) or (length and length == lengths[place])):
        return 0
    return int(length) if length.isdecimal() and int(length) else -1


def _length(value: ir.Value, axis: int) -> str:
    """A dimension as text: a number, or the name of a length; empty where it has none."""
    dim = value.shape[axis] if value.shape is not None else None
    return str(dim if isinstance(dim, int) else dim.value or "") if dim is not None else ""


class ShareLengths(ir.passes.InPlacePass):
    """1. A Shape, and a Gather of a length from one, is the first in the graph whose lengths have the same
    names, where both are of the same rank and dtype."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        first: dict[tuple[tuple[str, ...], int | None, ir.DataType | None], ir.Value] = {}
        changed = False
        for node in model.graph:
            names = _taken(node)
            if not names:
                continue
            result = node.outputs[0]
            known = first.setdefault((names, rank_of(result), result.dtype), result)
            if known is not result and not result.is_graph_output():
                ir.convenience.replace_all_uses_with(result, known)
                changed = True
        return ir.passes.PassResult(model, changed)


def _taken(node: ir.Node) -> tuple[str, ...]:
    """The lengths that a node takes from a value; none where one has no name."""
    if node.op_type not in ("Gather", "Shape") or node.domain or rank_of(node.outputs[0]) not in (0, 1):
        return ()
    found = extents_of(node.outputs[0])
    if not found or not all(isinstance(extent, tuple) for extent in found):
        return ()
    names = tuple(_length(*extent) for extent in found if isinstance(extent, tuple))
    return names if all(names) else ()
