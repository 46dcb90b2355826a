"""Raise scaled dot-product attention."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of
from bridge.passes.rewrite import replace


class RaiseAttention(ir.passes.InPlacePass):
    """1. MatMul(Softmax(scale · MatMul(q, kᵀ) + mask), v) of rank-4 operands becomes Attention(q, k, v, mask).

    2. The scale is a constant Mul or Div or absent, the mask an Add or absent; batch and heads must be the same.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in model.graphs():
            for node in list(graph):
                if node.op_type == "MatMul" and not node.domain:
                    changed |= _raise(graph, node)
        return ir.passes.PassResult(model, changed)


def _raise(graph: ir.Graph, node: ir.Node) -> bool:
    weights, v = node.inputs
    softmax = _only(weights, "Softmax")
    if softmax is None or attr(softmax, "axis", -1) not in (-1, 3):
        return False
    scores, mask, scale = softmax.inputs[0], None, 1.0
    added = _only(scores, "Add")
    if added is not None:
        scores, mask = added.inputs if _is_score(added.inputs[0]) else added.inputs[::-1]
    scaled = _only(scores, "Mul") or _only(scores, "Div")
    if scaled is not None:
        number = const(scaled.inputs[1])
        if number is None or number.size != 1:
            return False
        scale = float(number.item()) if scaled.op_type == "Mul" else 1.0 / float(number.item())
        scores = scaled.inputs[0]
    product = _only(scores, "MatMul")
    if (
        product is None
        or not _alike(product.inputs[0], product.inputs[1], v)
        or (mask is not None and (rank_of(mask) or 9) > 4)
    ):
        return False
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    q, turned = product.inputs
    k = op.Transpose(turned, perm=[0, 1, 3, 2])
    replace(graph, node, op.Attention(q, k, v, mask, scale=scale), op)
    return True


def _is_score(value: ir.Value | None) -> bool:
    node = value.producer() if value is not None else None
    return node is not None and node.op_type in ("Mul", "Div", "MatMul")


def _only(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that makes `value` for one reader alone, if it is of that type."""
    node = value.producer() if value is not None else None
    if (
        node is None
        or node.op_type != op_type
        or node.domain
        or len(value.uses()) != 1
        or value.is_graph_output()
    ):
        return None
    return node


def _alike(*values: ir.Value | None) -> bool:
    shapes = [v.shape for v in values if v is not None and v.shape is not None]
    ranked = len(shapes) == len(values) and all(len(s) == 4 for s in shapes)
    return ranked and all(s[axis] == shapes[0][axis] for s in shapes for axis in (0, 1))
