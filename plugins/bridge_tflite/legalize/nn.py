"""Fully connected layers, matrix products, and fused activations."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, product, reshape, vector
from bridge.hub import attr, const, held, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.weightfile import Transposed
from bridge_tflite.export_ops.common import NHWC, TFLITE
from bridge_tflite.kept_weights import WEIGHTS
from bridge_tflite.legalize.bodies import add_bodies

ops = OpTable()


def has_constant_weights(node: ir.Node) -> bool:
    x, weights = node.inputs[0], held(node.inputs[1])
    is_matrix = weights is not None and len(weights.shape) == 2
    return is_matrix and x.dtype == ir.DataType.FLOAT and 2 <= (rank_of(x) or 0) <= 8


@ops.op("MatMul", needs=(condition("constant weights of two dimensions", has_constant_weights),))
def fully_connected(op, node, x, weights):
    """MatMul by constant weights as FULLY_CONNECTED, with the bias of an Add that alone reads it."""
    tensor = held(weights)
    transposed = op.const(Transposed(tensor, (1, 0)))
    if WEIGHTS in weights.meta:
        transposed.meta[WEIGHTS] = weights.meta[WEIGHTS].transpose([1, 0])
    bias = added_bias(node, tensor.shape[1])
    if bias is None:
        return op.FullyConnected(x, transposed, _domain=TFLITE)
    add, value = bias
    layer = op.FullyConnected(x, transposed, op.const(const(value).reshape(-1)), _domain=TFLITE)
    total = add.outputs[0]
    layer.type, layer.shape = total.type, total.shape
    ir.convenience.replace_all_uses_with(total, layer, replace_graph_outputs=True)
    layer.name, total.name = total.name, None
    op.graph.remove(add, safe=True)
    return layer


def added_bias(node: ir.Node, width: int) -> tuple[ir.Node, Any] | None:
    """Add that alone reads the product and adds a constant bias to each of `width` columns, and that
    constant."""
    uses = node.outputs[0].uses()
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    add = next(iter(uses)).node
    if add.op_type != "Add" or add.domain:
        return None
    bias = add.inputs[1] if add.inputs[0] is node.outputs[0] else add.inputs[0]
    array = const(bias)
    fits = (
        array is not None
        and array.size == width
        and array.shape[-1:] == (width,)
        and array.ndim <= (rank_of(add.outputs[0]) or 0)
    )
    return (add, bias) if fits else None


def is_swapped(value: ir.Value) -> bool:
    """True if a Transpose of only the last two dimensions produces `value`."""
    transpose, rank = value.producer(), rank_of(value) or 0
    if transpose is None or transpose.op_type != "Transpose" or transpose.domain or rank < 2:
        return False
    return attr(transpose, "perm") == [*range(rank - 2), rank - 1, rank - 2]


def has_transposed_rhs(node: ir.Node) -> bool:
    """True for a non-empty product of rank 2 to 4 whose right operand is transposed."""
    ranks = [rank_of(v) or 0 for v in node.inputs]
    return min(ranks) >= 2 and max(ranks) <= 4 and not has_empty_operand(node) and is_swapped(node.inputs[1])


def has_empty_operand(node: ir.Node) -> bool:
    return any(0 in list(v.shape or ()) for v in node.inputs if v is not None)


@ops.op(
    "MatMul",
    needs=(
        dtype("float"),
        condition("more than 5 dimensions", lambda n: max(rank_of(v) or 0 for v in n.inputs) > 5),
        condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2),
    ),
)
def merge_batch_dims(op, node, x, y):
    """Flatten all dimensions but the last two to one."""
    rank = max(rank_of(x), rank_of(y))
    sizes = [[1] * (rank - rank_of(v)) + lengths(op, v) for v in (x, y)]
    batch = [_broadcast_length(op, *pair) for pair in zip(*(s[:-2] for s in sizes), strict=True)]
    flat = [
        reshape(op, op.Expand(v, vector(op, [*batch, *s[-2:]])), [product(op, batch), *s[-2:]])
        for v, s in zip((x, y), sizes, strict=True)
    ]
    return reshape(op, op.MatMul(*flat), [*batch, sizes[0][-2], sizes[1][-1]])


def _broadcast_length(op: Any, left: Any, right: Any) -> Any:
    """Length that two lengths broadcast to."""
    if 1 in (left, right):
        return right if left == 1 else left
    return next((n for n in (left, right) if isinstance(n, int)), None) or op.Max(left, right)


@ops.op("MatMul", needs=(dtype("float"), condition("a transposed right operand", has_transposed_rhs)))
def batch_matmul(op, node, x, y):
    """BATCH_MATMUL with adj_y, which reads the right operand transposed."""
    source = y.producer().inputs[0]
    return op.BatchMatMul(x, source, _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape, adj_y=1)


ACTIVATIONS = {"Relu": "Relu", f"{TFLITE}::Relu6": "Relu6"}
HOSTS = (
    "Add",
    "Sub",
    "Mul",
    "Div",
    f"{NHWC}::Conv",
    *(f"{TFLITE}::{name}" for name in ("Conv", "FullyConnected", "TransposeConv")),
)


class FuseActivations(ir.passes.InPlacePass):
    """1. A Relu or Relu6 that alone reads an Add, Sub, Mul, Div, convolution or dense layer is fused.

    The layer moves to TFLite's own domain, with the attribute `activation`.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = any([_fuse(model.graph, node) for node in list(model.graph)])
        if changed:
            add_bodies(model)
        return ir.passes.PassResult(model, changed)


def _fuse(graph: ir.Graph, node: ir.Node) -> bool:
    activation, inner = ACTIVATIONS.get(hub.qualified(node)), node.inputs[0] if node.inputs else None
    host = inner.producer() if activation is not None and inner is not None else None
    if inner is None or host is None or hub.qualified(host) not in HOSTS or inner.dtype != ir.DataType.FLOAT:
        return False
    if len(inner.uses()) > 1 or inner.is_graph_output() or attr(host, "activation") is not None:
        return False
    fused = ir.Node(
        TFLITE,
        host.op_type,
        host.inputs,
        [*host.attributes.values(), ir.AttrString("activation", str(activation))],
        num_outputs=1,
        name=host.name,
        metadata_props=dict(host.metadata_props),
    )
    result, outer = fused.outputs[0], node.outputs[0]
    result.type, result.shape = inner.type, inner.shape
    graph.insert_before(host, fused)
    result.name, outer.name = outer.name, None
    ir.convenience.replace_all_uses_with(outer, result, replace_graph_outputs=True)
    graph.remove([node, host], safe=True)
    return True
