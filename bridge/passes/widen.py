"""Operators computed in a wider dtype than the values they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.hub import subgraphs
from bridge.passes.rewrite import Accepts, replace
from bridge.weightfile import Converted, FileTensor, Transposed

__all__ = ["ComputeWider"]

T = ir.DataType
WIDER: dict[ir.DataType, tuple[ir.DataType, ...]] = {
    T.FLOAT16: (T.FLOAT,),
    T.BFLOAT16: (T.FLOAT,),
    T.DOUBLE: (T.FLOAT,),
    T.INT8: (T.INT32, T.FLOAT),
    T.UINT8: (T.INT32, T.FLOAT),
    T.INT16: (T.INT32,),
    T.UINT16: (T.INT32,),
    T.UINT32: (T.INT64,),
}
LARGEST = float(np.finfo(np.float32).max)
# Comparisons, and whether a constant on the right is rounded up
BOUNDS = {"Less": True, "LessOrEqual": False, "Greater": False, "GreaterOrEqual": True, "Equal": False}
CLAMPS = ("Min", "Max", "Clip")
EXACT_KINDS = frozenset(
    [
        "BitCast",
        "Cast",
        "CastLike",
        "DequantizeLinear",
        "QuantizeLinear",
        "DynamicQuantizeLinear",
        "ConvInteger",
        "MatMulInteger",
    ]
)


class ComputeWider(ir.passes.InPlacePass):
    """1. A node that `accepts` refuses reads and writes a wider dtype between Casts: half precision and
    float64 as float32, 8- and 16-bit integers as int32 (as float32 where the operator has no int32 form),
    uint32 as int64.

    2. Integers wrap as before, since the Cast back drops the high bits. float64 is marked as approximated.
    3. float32 rounded to float16 only to be widened again stays float32; bfloat16, of which 8 bits are left,
       is rounded.
    4. What a Cast, a quantization or an exact-integer operator does is its dtypes: these stay.
    5. A float64 constant beyond float32's range becomes the bound a float32 is compared with to the same end;
       where it is not compared or clamped with, the node stays.
    6. A comparison that less precision would turn stays.
    """

    precedes = ("Decompose", "ChannelsLast")

    def __init__(self, accepts: Accepts, moves: Callable[[ir.Node], bool] = lambda node: False) -> None:
        super().__init__()
        self.accepts = accepts
        self.keep = lambda node: node.op_type in EXACT_KINDS or moves(node) or accepts(node)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, self._graph(model.graph))

    def _graph(self, graph: ir.Graph) -> bool:
        changed = False
        for node in list(graph):
            inner = subgraphs(node)
            for subgraph in inner:
                changed |= self._graph(subgraph)
            if not inner and not node.domain:
                changed |= self._node(graph, node)
        return changed

    def _node(self, graph: ir.Graph, node: ir.Node) -> bool:
        wide = _wide(node)
        if not wide or self.keep(node) or facts.DECISIVE.get(node):
            return False
        schema = hub.schema(node)
        assert schema is not None
        targets = [wide.get(_formal(schema.inputs, i)) for i in range(len(node.inputs))]
        beyond = [t == T.FLOAT and exceeds(v) for v, t in zip(node.inputs, targets, strict=True)]
        if any(beyond) and node.op_type not in (*BOUNDS, *CLAMPS):
            return False
        op = hub.Builder(graph, before=node, source=hub.origin(node))
        inputs = [
            v
            if v is None or target is None
            else op.const(bound(node.op_type, i, v))
            if beyond[i] and node.op_type in BOUNDS
            else _cast(op, v, target)
            for i, (v, target) in enumerate(zip(node.inputs, targets, strict=True))
        ]
        made = wide.get(_formal(schema.outputs, 0))
        wider = ir.Node("", node.op_type, inputs, _attributes_of(node, made), num_outputs=len(node.outputs))
        approximate = any(v is not None and v.dtype == T.DOUBLE for v in [*node.inputs, *node.outputs])
        results: list[ir.Value | None] = []
        for i, output in enumerate(node.outputs):
            target = wide.get(_formal(schema.outputs, i))
            wider.outputs[i].type = ir.TensorType(target) if target is not None else output.type
            wider.outputs[i].shape = output.shape
        op.insert(wider)
        if _rounds_inside(node) and not self.accepts(wider):
            for each in reversed(op.nodes):
                graph.remove(each, safe=True)
            return False
        for i, output in enumerate(node.outputs):
            if not (output.uses() or output.is_graph_output()):
                wider.outputs[i].name = ""
                results.append(None)
            elif wide.get(_formal(schema.outputs, i)) is None:
                results.append(wider.outputs[i])
            else:
                back = op.Cast(wider.outputs[i], to=int(output.dtype))
                facts.WIDENED.set(back.producer(), True)
                back.shape = output.shape
                results.append(back)
        if approximate:
            for each in op.nodes:
                facts.APPROXIMATED.set(each, "float64 computed as float32")
        replace(graph, node, results, op)
        return True


def _attributes_of(node: ir.Node, made: ir.DataType | None) -> list[ir.Attr]:
    """The attributes of a node of which the first result is of dtype `made`: those that say its dtype do."""
    attributes = dict(node.attributes)
    if made is not None and node.op_type == "ConstantOfShape" and "value" in attributes:
        array = attributes["value"].as_tensor().numpy()
        attributes["value"] = ir.AttrTensor("value", ir.tensor(array.astype(made.numpy())))
    if made is not None and "dtype" in attributes and attributes["dtype"].value == node.outputs[0].dtype:
        attributes["dtype"] = ir.AttrInt64("dtype", int(made))
    return list(attributes.values())


def exceeds(value: ir.Value | None) -> bool:
    """True if a float64 constant has finite elements beyond float32's range."""
    array = hub.const(value) if value is not None and value.dtype == T.DOUBLE else None
    return array is not None and bool((np.isfinite(array) & (np.abs(array) > LARGEST)).any())


def bound(operator: str, side: int, value: ir.Value) -> np.ndarray:
    """The float32 constant on one side of a comparison that tells float32 values apart as a float64 does."""
    array = hub.const(value)
    assert array is not None
    with np.errstate(over="ignore"):
        near = array.astype(np.float32)
    beyond = np.isinf(near) & np.isfinite(array)
    if operator == "Equal":
        return np.where(beyond, np.float32(np.nan), near)
    up = BOUNDS[operator] == (side == 1)
    edge = np.where(near > 0, np.float32(np.inf if up else LARGEST), np.float32(-LARGEST if up else -np.inf))
    return np.where(beyond, edge, near)


def _formal(formals: list, index: int) -> str:
    return formals[min(index, len(formals) - 1)].type_str if formals else ""


def _wide(node: ir.Node) -> dict[str, ir.DataType]:
    """The wider dtype of each type variable of the operator that has one at this node."""
    schema = hub.schema(node)
    if schema is None:
        return {}
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    dtypes = {}
    pairs = [(_formal(schema.inputs, i), v) for i, v in enumerate(node.inputs)]
    pairs += [(_formal(schema.outputs, i), v) for i, v in enumerate(node.outputs)]
    for name, value in pairs:
        if value is None or value.dtype not in WIDER or not isinstance(value.type, ir.TensorType):
            continue
        options = [d for d in WIDER[value.dtype] if f"tensor({d.name.lower()})" in allowed.get(name, ())]
        if options:
            dtypes[name] = options[0]
    return dtypes


def _rounds_inside(node: ir.Node) -> bool:
    """Composite operators in bfloat16 round after every step of their function body, which is expanded
    first."""
    schema: Any = hub.schema(node)
    bodied = schema is not None and (schema.has_function or schema.has_context_dependent_function)
    return bodied and any(v is not None and v.dtype == T.BFLOAT16 for v in node.inputs)


def _cast(op: hub.Builder, value: ir.Value, to: ir.DataType) -> ir.Value:
    if value.dtype == to:
        return value
    known = value.const_value if not value.is_graph_input() else None
    if isinstance(known, (FileTensor, Transposed, Converted)):
        return op.const(Converted(known, to))
    if known is not None and value.producer() is None and known.size <= 2**24:
        with np.errstate(over="ignore"):
            return op.const(known.numpy().astype(to.numpy()))
    producer = value.producer()
    if producer is not None and producer.op_type == "Cast" and facts.WIDENED.get(producer):
        source = producer.inputs[0]
        if source is not None and source.dtype == to == T.FLOAT and value.dtype == T.FLOAT16:
            return source
    return op.Cast(value, to=int(to))
