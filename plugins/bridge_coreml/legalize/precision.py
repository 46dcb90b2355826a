"""Half precision."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.passes.rewrite import Accepts

T = ir.DataType
FLOAT16_MAX = float(np.finfo(np.float16).max)
FLOAT32_ONLY = ("Cast", "If", "Loop", "BitCast")


class HalfPrecision(ir.passes.InPlacePass):
    """1. Every operator that `accepts` allows in float16 reads and writes float16; inputs and outputs of the
    model stay float32.

    2. Operators with constants out of the range of float16, and those whose name, output or operator type
    is in `keep`, stay float32.
    """

    follows = ("ComputeWider", "Decompose", "JoinViews")

    def __init__(self, accepts: Accepts, keep: Collection[str] = ()) -> None:
        super().__init__()
        self.accepts, self.keep = accepts, frozenset(keep)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in (model.graph, *model.graph.subgraphs()):
            for node in list(graph):
                changed |= self._node(graph, node)
        return ir.passes.PassResult(model, changed)

    def _stays_float32(self, node: ir.Node) -> bool:
        names = {node.op_type, node.name, *(o.name for o in node.outputs)}
        return bool(names & self.keep) or node.op_type in FLOAT32_ONLY or bool(node.domain)

    def _node(self, graph: ir.Graph, node: ir.Node) -> bool:
        schema = hub.schema(node)
        if schema is None or self._stays_float32(node):
            return False
        flexible = {
            c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs
        }
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        inputs, has_float16_input = [], False
        for i, value in enumerate(node.inputs):
            if value is None or value.dtype != T.FLOAT or type_parameter(schema.inputs, i) not in flexible:
                inputs.append(value)
                continue
            half = as_float16(op, value)
            if half is None:
                return self._undo(graph, op)
            inputs.append(half)
            has_float16_input = True
        is_float16 = [
            o.dtype == T.FLOAT and type_parameter(schema.outputs, i) in flexible
            for i, o in enumerate(node.outputs)
        ]
        new_node = ir.Node(
            "", node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs)
        )
        for old, new, narrow in zip(node.outputs, new_node.outputs, is_float16, strict=True):
            new.type, new.shape = ir.TensorType(T.FLOAT16) if narrow else old.type, old.shape
            new.name = old.name if old.name == "" else None
        if not has_float16_input:
            return self._undo(graph, op)
        op.insert(new_node)
        if not self.accepts(new_node):
            return self._undo(graph, op)
        for old, new, narrow in zip(node.outputs, new_node.outputs, is_float16, strict=True):
            if not (old.uses() or old.is_graph_output()):
                new.name = ""
                continue
            restored = op.Cast(new, to=int(T.FLOAT)) if narrow else new
            restored.shape, restored.type = old.shape, old.type
            restored.name, old.name = old.name, None
            ir.convenience.replace_all_uses_with(old, restored, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        return True

    def _undo(self, graph: ir.Graph, op: hub.Builder) -> bool:
        for each in reversed(op.nodes):
            graph.remove(each, safe=True)
        return False


def type_parameter(formals: list[Any], index: int) -> str:
    return formals[min(index, len(formals) - 1)].type_str if formals else ""


def as_float16(op: hub.Builder, value: ir.Value) -> ir.Value | None:
    array = hub.const(value)
    if array is not None:
        finite = array[np.isfinite(array)]
        if finite.size and float(np.abs(finite).max()) > FLOAT16_MAX:
            return None
        return op.const(array.astype(np.float16))
    producer = value.producer()
    if producer is not None and producer.op_type == "Cast" and producer.inputs[0] is not None:
        source = producer.inputs[0]
        if source.dtype == T.FLOAT16:
            return source
    return op.Cast(value, to=int(T.FLOAT16))
