"""Half precision, where it was asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.passes.rewrite import Accepts

T = ir.DataType
LARGEST = float(np.finfo(np.float16).max)
LEFT = ("Cast", "If", "Loop", "BitCast")


class HalfPrecision(ir.passes.InPlacePass):
    """1. Every operator that `accepts` takes in float16 reads and writes float16; inputs and outputs of the
    model stay float32.

    2. Operators with constants beyond what float16 holds, and those whose name, result or kind is among
    `keep`, stay float32.
    """

    follows = ("ComputeWider", "Decompose", "LowerRank")

    def __init__(self, accepts: Accepts, keep: Collection[str] = ()) -> None:
        super().__init__()
        self.accepts, self.keep = accepts, frozenset(keep)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in (model.graph, *model.graph.subgraphs()):
            for node in list(graph):
                changed |= self._node(graph, node)
        return ir.passes.PassResult(model, changed)

    def _kept(self, node: ir.Node) -> bool:
        names = {node.op_type, node.name, *(o.name for o in node.outputs)}
        return bool(names & self.keep) or node.op_type in LEFT or bool(node.domain)

    def _node(self, graph: ir.Graph, node: ir.Node) -> bool:
        schema = hub.schema(node)
        if schema is None or self._kept(node):
            return False
        flexible = {
            c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs
        }
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        inputs, halved = [], False
        for i, value in enumerate(node.inputs):
            if value is None or value.dtype != T.FLOAT or _formal(schema.inputs, i) not in flexible:
                inputs.append(value)
                continue
            half = _half(op, value)
            if half is None:
                return self._undone(graph, op)
            inputs.append(half)
            halved = True
        results = [
            o.dtype == T.FLOAT and _formal(schema.outputs, i) in flexible for i, o in enumerate(node.outputs)
        ]
        made = ir.Node(
            "", node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs)
        )
        for old, new, narrow in zip(node.outputs, made.outputs, results, strict=True):
            new.type, new.shape = ir.TensorType(T.FLOAT16) if narrow else old.type, old.shape
            new.name = old.name if old.name == "" else None
        if not halved:
            return self._undone(graph, op)
        op.insert(made)
        if not self.accepts(made):
            return self._undone(graph, op)
        for old, new, narrow in zip(node.outputs, made.outputs, results, strict=True):
            if not (old.uses() or old.is_graph_output()):
                new.name = ""
                continue
            back = op.Cast(new, to=int(T.FLOAT)) if narrow else new
            back.shape, back.type = old.shape, old.type
            back.name, old.name = old.name, None
            ir.convenience.replace_all_uses_with(old, back, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        return True

    def _undone(self, graph: ir.Graph, op: hub.Builder) -> bool:
        for each in reversed(op.nodes):
            graph.remove(each, safe=True)
        return False


def _formal(formals: list[Any], index: int) -> str:
    return formals[min(index, len(formals) - 1)].type_str if formals else ""


def _half(op: hub.Builder, value: ir.Value) -> ir.Value | None:
    array = hub.const(value)
    if array is not None:
        finite = array[np.isfinite(array)]
        if finite.size and float(np.abs(finite).max()) > LARGEST:
            return None
        return op.const(array.astype(np.float16))
    producer = value.producer()
    if producer is not None and producer.op_type == "Cast" and producer.inputs[0] is not None:
        source = producer.inputs[0]
        if source.dtype == T.FLOAT16:
            return source
    return op.Cast(value, to=int(T.FLOAT16))
