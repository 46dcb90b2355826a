"""Products and activations with what follows them fused in."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, node_attributes

ops = OpTable()

ops.same(domain=DOMAIN, Gelu="Gelu")


@ops.op(MS + "FusedGemm")
def fused_gemm(op, node, a, b, c=None):
    names = {"activation_alpha": "alpha", "activation_beta": "beta"}
    y = op.Gemm(a, b, c, **node_attributes(node, "activation", "activation_gamma", *names))
    if not attr(node, "activation"):
        return y
    return op.node(attr(node, "activation"), y, **{new: attr(node, old) for old, new in names.items()})


@ops.op(MS + "FusedMatMul")
def fused_matmul(op, node, a, b):
    operands = [fused_operand(op, node, value, side) for value, side in ((a, "A"), (b, "B"))]
    if None in operands:
        return NotImplemented
    y, alpha = op.MatMul(*operands), attr(node, "alpha")
    return y if alpha in (None, 1) else op.Mul(y, alpha)


def fused_operand(op: hub.Builder, node: ir.Node, value: ir.Value, side: str) -> ir.Value | None:
    """An operand with its first axis moved behind the batch (transBatch) and its last two exchanged (trans).
    None where its rank is unknown."""
    batch, last = attr(node, f"transBatch{side}"), attr(node, f"trans{side}")
    rank = rank_of(value)
    if rank is None:
        return None if batch or last else value
    order = [*range(1, rank - 1), 0, rank - 1] if batch and rank > 1 else [*range(rank)]
    if last and rank > 1:
        order[-2:] = order[:-3:-1]
    return value if order == [*range(rank)] else op.Transpose(value, perm=order)


@ops.op(MS + "BiasGelu")
def bias_gelu(op, node, x, bias):
    return op.Gelu(op.Add(x, bias))


@ops.op(MS + "FastGelu")
def fast_gelu(op, node, x, bias=None):
    return op.Gelu(x if bias is None else op.Add(x, bias), approximate="tanh")


@ops.op(MS + "QuickGelu")
def quick_gelu(op, node, x):
    return op.Mul(x, op.Sigmoid(op.Mul(x, attr(node, "alpha", 1.702))))
