"""Nodes that hand their input on unchanged disappear."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, input_at, shape_of, subgraphs


class RemoveNoOps(ir.passes.InPlacePass):
    """1. Identity, and Dropout outside training whose mask is unused.

    2. Cast to the dtype its input has; Transpose in order; Reshape, Expand and Squeeze to the shape its input
       has, in numbers or as its own lengths.
    3. Pad by nothing; Concat, Sum, Mean, Max and Min of one value; Mul and Div by one, Sub of zero; blocks of
       one element.
    4. With `zeros`, an Add of zero, as ONNX Runtime leaves it out: of a zero the sign is another then.
    5. A node between a graph input (or an outer value) and a graph output stays: both keep their names.
    """

    def __init__(self, zeros: bool = False) -> None:
        super().__init__()
        self.neutral = {"Div": 1, "Mul": 1, "Sub": 0} | ({"Add": 0} if zeros else {})

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, self._graph(model.graph))

    def _graph(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            for subgraph in subgraphs(node):
                changed |= self._graph(subgraph)
            if not node.domain and (source := self._handed_on(node)) is not None:
                changed |= _bypass(graph, node, source)
        return changed

    def _handed_on(self, node: ir.Node) -> ir.Value | None:
        """The input that `node` hands on unchanged, if it does."""
        amount = self.neutral.get(node.op_type)
        if amount is not None:
            sides = (1, 0) if node.op_type in ("Mul", "Add") else (1,)
            return next((node.inputs[1 - i] for i in sides if _neutral(node, i, amount)), None)
        return node.inputs[0] if _no_op(node) else None


def _no_op(node: ir.Node) -> bool:
    x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
    if x is None:
        return False
    match node.op_type:
        case "Identity":
            return True
        case "Dropout":
            training = const(node.inputs[2]) if input_at(node, 2) is not None else False
            return (
                training is not None
                and not training
                and not any(o.uses() or o.is_graph_output() for o in node.outputs[1:])
            )
        case "Cast":
            return x.dtype is not None and int(x.dtype) == attr(node, "to")
        case "Transpose":
            perm = attr(node, "perm")
            return perm == sorted(perm) if perm is not None else (hub.rank_of(x) or 2) < 2
        case "Reshape" | "Expand" | "Squeeze" | "Flatten":
            return (shape_of(x) is not None and shape_of(x) == shape_of(y)) or _keeps_lengths(node)
        case "Pad":
            pads = const(node.inputs[1])
            return pads is not None and not pads.any()
        case "Concat" | "Sum" | "Mean" | "Max" | "Min":
            return len(node.inputs) == 1
        case "DepthToSpace" | "SpaceToDepth":
            return attr(node, "blocksize") == 1
    return False


def _neutral(node: ir.Node, index: int, neutral: int) -> bool:
    """True if input `index` is a constant of `neutral` alone that changes neither the elements nor the shape
    of the other."""
    other, amount = node.inputs[1 - index], const(node.inputs[index])
    if amount is None or other is None or other.shape is None or amount.ndim > len(other.shape):
        return False
    lengths = list(other.shape)[len(other.shape) - amount.ndim :]
    fits = all(a in (1, b) for a, b in zip(amount.shape, lengths, strict=True))
    return fits and bool((amount == neutral).all())


def _keeps_lengths(node: ir.Node) -> bool:
    """True for a Reshape to constants that are the lengths its input has."""
    lengths, own = const(input_at(node, 1)), node.inputs[0]
    if (
        node.op_type != "Reshape"
        or lengths is None
        or own is None
        or own.shape is None
        or attr(node, "allowzero")
    ):
        return False
    return len(lengths) == len(own.shape) and all(
        n in (0, d) for n, d in zip(lengths, own.shape, strict=True)
    )


def _bypass(graph: ir.Graph, node: ir.Node, x: ir.Value) -> bool:
    y = node.outputs[0]
    if y.is_graph_output():
        producer = x.producer()
        if producer is None or producer.graph is not graph or x.is_graph_output() or x.type != y.type:
            return False
        if any(use.node.graph is not graph for use in x.uses()):
            return False
        name, y.name = y.name, None
        if y.shape is not None and hub.shape_of(x) is None:
            x.shape = y.shape
        ir.convenience.replace_all_uses_with(y, x, replace_graph_outputs=True)
        x.name = name
    else:
        ir.convenience.replace_all_uses_with(y, x)
    graph.remove(node, safe=True)
    return True
