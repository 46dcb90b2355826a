"""Transposes sink towards the outputs until they meet their inverse and cancel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, held, input_at
from bridge.passes.channels_last import permuted
from bridge.traits import BROADCASTING, ELEMENTWISE, ON_AXIS, REDUCTION

__all__ = ["SinkTransposes"]


class SinkTransposes(ir.passes.InPlacePass):
    """1. Two Transposes in a row are one; one that orders nothing goes; one that only moves unit dimensions
    is a Reshape.

    2. An operator that treats all elements alike, or whose axes can be renamed, works on the untransposed
       value and is transposed itself, if all its inputs are transposed alike or are constants.
    3. A Transpose used by several nodes sinks into each; what then nobody reads disappears.
    4. Nothing sinks past a model output or into a subgraph.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph = model.graph
        changed = False
        for node in list(graph):
            if node.graph is not graph or node.domain:
                continue
            changed |= _merge(graph, node) if node.op_type == "Transpose" else _sink(graph, node)
        return ir.passes.PassResult(model, changed)


def _perm(value: ir.Value | None) -> list[int] | None:
    """The permutation of the Transpose that makes `value`, if one does."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Transpose" or node.domain or value.is_graph_output():
        return None
    return _perm_of(node)


def _perm_of(node: ir.Node) -> list[int] | None:
    rank = hub.rank_of(node.inputs[0])
    return attr(node, "perm") or (None if rank is None else list(range(rank))[::-1])


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    first, second = _perm(node.inputs[0]), _perm_of(node)
    if first is None or second is None:
        return False
    perm = [first[i] for i in second]
    below = node.inputs[0].producer()
    source = below.inputs[0]
    if perm == sorted(perm) and not node.outputs[0].is_graph_output():
        ir.convenience.replace_all_uses_with(node.outputs[0], source)
        graph.remove(node, safe=True)
    else:
        node.replace_input_with(0, source)
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    _drop(graph, below)
    return True


def _drop(graph: ir.Graph, node: ir.Node) -> None:
    if not any(o.uses() or o.is_graph_output() for o in node.outputs):
        graph.remove(node, safe=True)


def _sink(graph: ir.Graph, node: ir.Node) -> bool:
    perms = [_perm(v) for v in node.inputs]
    perm = next((p for p in perms if p is not None), None)
    renamed = None if perm is None else _RENAMERS.get(node.op_type)
    if perm is None or renamed is None:
        return False
    op = hub.Builder(graph, before=node, source=hub.origin(node))
    plan = renamed(op, node, perm, perms)
    if plan is None:
        for node_below in reversed(op.nodes):
            graph.remove(node_below, safe=True)
        return False
    inputs, attributes, result_perm = plan
    node_below = ir.Node(
        "",
        node.op_type,
        inputs,
        ir.convenience.convert_attributes(attributes),
        num_outputs=len(node.outputs),
        metadata_props=dict(node.metadata_props),
    )
    for old, new in zip(node.outputs, node_below.outputs, strict=True):
        new.type = old.type
        inverse = [result_perm.index(i) for i in range(len(result_perm))]
        new.shape = permuted(old.shape, inverse)
    op.insert(node_below)
    transposed = [v.producer() for v, p in zip(node.inputs, perms, strict=True) if p is not None]
    for old, new in zip(node.outputs, node_below.outputs, strict=True):
        if old.uses() or old.is_graph_output():
            back = (
                op.Transpose(new, perm=result_perm)
                if result_perm != sorted(result_perm)
                else op.Identity(new)
            )
            back.type, back.shape = old.type, old.shape
            back.name, old.name = old.name, None
            ir.convenience.replace_all_uses_with(old, back, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    for below in dict.fromkeys(transposed):
        _drop(graph, below)
    return True


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attr(node, name) for name in node.attributes}


def _unary(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    if perms[0] is None:
        return None
    return [node.inputs[0].producer().inputs[0], *node.inputs[1:]], _attributes(node), perm


def _broadcasting(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    """Inputs transposed alike are taken from below; constants are permuted to match."""
    inputs: list[ir.Value | None] = []
    rank = len(perm)
    inverse = [perm.index(i) for i in range(rank)]
    for value, own in zip(node.inputs, perms, strict=True):
        if value is None or own == perm:
            inputs.append(None if value is None else value.producer().inputs[0])
            continue
        array = const(value)
        value_rank = hub.rank_of(value)
        if value_rank == 0 or (array is not None and array.size == 1 and array.ndim <= rank):
            inputs.append(value)
        elif array is not None and array.ndim <= rank:
            expanded = array.reshape((1,) * (rank - array.ndim) + array.shape)
            inputs.append(op.const(np.ascontiguousarray(expanded.transpose(inverse))))
        else:
            return None
    return inputs, _attributes(node), perm


def _on_axis(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    rank = len(perm)
    if node.op_type in ("CumProd", "CumSum") or (
        node.op_type in ("ArgMax", "ArgMin") and attr(node, "keepdims") == 0
    ):
        return None
    inputs = _concatenated(op, node, perm, perms) if node.op_type == "Concat" else _from_below(node, perms)
    if inputs is None:
        return None
    axis = attr(node, "axis") % rank
    return inputs, {**_attributes(node), "axis": perm[axis]}, perm


def _from_below(node: ir.Node, perms: list) -> list | None:
    return None if perms[0] is None else [node.inputs[0].producer().inputs[0], *node.inputs[1:]]


def _concatenated(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    if any(
        p != perm and (held(v) is None or const(v).ndim != len(perm))
        for v, p in zip(node.inputs, perms, strict=True)
    ):
        return None
    inverse = [perm.index(i) for i in range(len(perm))]
    return [
        v.producer().inputs[0] if p == perm else op.const(np.ascontiguousarray(const(v).transpose(inverse)))
        for v, p in zip(node.inputs, perms, strict=True)
    ]


def _quantized(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    """One scale for all elements."""
    per_tensor = all(v is None or hub.rank_of(v) == 0 for v in node.inputs[1:]) and not attr(
        node, "block_size"
    )
    return _unary(op, node, perm, perms) if per_tensor else None


def _reduce(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    rank = len(perm)
    axes_input = input_at(node, 1)
    axes = const(axes_input)
    if perms[0] is None or (axes_input is not None and axes is None):
        return None
    if axes is None or axes.size == 0:
        if attr(node, "noop_with_empty_axes"):
            return None
        reduced = list(range(rank))
    else:
        reduced = [int(a) % rank for a in axes]
    inputs = [
        node.inputs[0].producer().inputs[0],
        op.const(np.array(sorted(perm[a] for a in reduced), np.int64)),
    ]
    if attr(node, "keepdims"):
        return inputs, _attributes(node), perm
    left = [perm[a] for a in range(rank) if a not in reduced]
    order = sorted(left)
    return inputs, _attributes(node), [order.index(i) for i in left]


def _pad(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    rank = len(perm)
    pads = const(node.inputs[1])
    axes_input = input_at(node, 3)
    axes = const(axes_input)
    if perms[0] is None or pads is None or (axes_input is not None and axes is None):
        return None
    named = list(range(rank)) if axes is None else [int(a) % rank for a in axes]
    full = np.zeros((2, rank), np.int64)
    for i, axis in enumerate(named):
        full[:, perm[axis]] = pads[i], pads[i + len(named)]
    value = input_at(node, 2)
    return [node.inputs[0].producer().inputs[0], op.const(full.ravel()), value], _attributes(node), perm


def _slice(op: Any, node: ir.Node, perm: list[int], perms: list) -> Any:
    starts = node.inputs[1]
    axes_input = input_at(node, 3)
    axes = const(axes_input)
    count = hub.shape_of(starts)
    if perms[0] is None or count is None or (axes_input is not None and axes is None):
        return None
    named = range(count[0]) if axes is None else [int(a) % len(perm) for a in axes]
    moved = op.const(np.array([perm[a] for a in named], np.int64))
    return (
        [node.inputs[0].producer().inputs[0], starts, node.inputs[2], moved, *node.inputs[4:]],
        _attributes(node),
        perm,
    )


_RENAMERS: dict[str, Callable] = {
    **dict.fromkeys(ELEMENTWISE, _unary),
    **dict.fromkeys(BROADCASTING, _broadcasting),
    **dict.fromkeys(REDUCTION, _reduce),
    **dict.fromkeys(ON_AXIS, _on_axis),
    "Pad": _pad,
    "Slice": _slice,
    "QuantizeLinear": _quantized,
    "DequantizeLinear": _quantized,
}
