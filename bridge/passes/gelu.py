"""Raise the erf formula to Gelu."""

from __future__ import annotations

import math

import onnx_ir as ir

from bridge import hub
from bridge.hub import const
from bridge.passes.rewrite import replace

__all__ = ["RaiseGelu"]


class RaiseGelu(ir.passes.InPlacePass):
    """1. 0.5 · x · (1 + Erf(x / √2)), its factors in any order and grouping, becomes Gelu(x).

    2. So does 0.5 · x · (1 - Erf(-x / √2)).
    """

    precedes = ("ComputeWider", "Decompose")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in list(model.graph):
            if node.graph is model.graph and node.op_type == "Erf" and not node.domain:
                changed |= _raise(model.graph, node)
        return ir.passes.PassResult(model, changed)


def _raise(graph: ir.Graph, erf: ir.Node) -> bool:
    total = _reader(erf.outputs[0], "Add")
    x = _scaled(erf.inputs[0])
    if total is None:
        total = _reader(erf.outputs[0], "Sub")
        x = _scaled(erf.inputs[0], -1.0) if total is not None and total.inputs[1] is erf.outputs[0] else None
    if x is None or total is None or not _is(_other(total, erf.outputs[0]), 1.0):
        return False
    scale, seen_x, value = 1.0, False, total.outputs[0]
    while not (seen_x and math.isclose(scale, 0.5, rel_tol=1e-5)):
        product = _reader(value, "Mul")
        if product is None:
            return False
        factor = _other(product, value)
        number, other = _split(factor)
        scale *= number
        if other is not None:
            if other is not x or seen_x:
                return False
            seen_x = True
        value = product.outputs[0]
    op = hub.Builder(graph, before=product, source=hub.origin(product))
    replace(graph, product, op.Gelu(x), op)
    return True


def _scaled(value: ir.Value | None, sign: float = 1.0) -> ir.Value | None:
    """x where `value` is `sign` · x / √2."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type not in ("Div", "Mul", "Neg") or node.domain:
        return None
    if node.op_type == "Neg":
        return _scaled(node.inputs[0], -sign)
    a, b = node.inputs
    pairs = [(a, b)] if node.op_type == "Div" else [(a, b), (b, a)]
    root = math.sqrt(2.0 if node.op_type == "Div" else 0.5)
    for x, number in pairs:
        inner = x.producer() if x is not None else None
        if inner is not None and inner.op_type == "Neg" and _is(number, -sign * root):
            return inner.inputs[0]
        if _is(number, sign * root):
            return x
    return None


def _split(value: ir.Value | None) -> tuple[float, ir.Value | None]:
    """A factor as number · value."""
    array = const(value)
    if array is not None:
        return (float(array.item()), None) if array.size == 1 else (math.nan, None)
    node = value.producer() if value is not None else None
    if node is not None and node.op_type == "Mul":
        for a, b in (node.inputs, node.inputs[::-1]):
            number = const(b)
            if number is not None and number.size == 1:
                return float(number.item()), a
    return 1.0, value


def _is(value: ir.Value | None, number: float) -> bool:
    array = const(value)
    return array is not None and array.size == 1 and math.isclose(float(array.item()), number, rel_tol=1e-5)


def _reader(value: ir.Value, op_type: str) -> ir.Node | None:
    """The one node that reads `value`, if it is of that type."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != op_type:
        return None
    return uses[0].node


def _other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]
