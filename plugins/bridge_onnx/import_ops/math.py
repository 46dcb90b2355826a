"""Products and activations with what follows them fused in, and those of ONNX before opset 10."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of
from bridge.importing import ints
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, alike, node_attributes, ranked

ops = OpTable()

ops.same(domain=DOMAIN, Gelu="Gelu")


@ops.op(MS + "FusedGemm")
def fused_gemm(op, node, a, b, c=None):
    names = {f"activation_{name}": name for name in ("alpha", "beta", "gamma")}
    y = op.Gemm(a, b, c, **node_attributes(node, "activation", *names))
    if not attr(node, "activation"):
        return y
    return op.node(attr(node, "activation"), y, **{new: attr(node, old) for old, new in names.items()})


@ops.op(MS + "FusedMatMul", MS + "TransposeMatMul")
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


@ops.op(MS + "FusedMatMulActivation")
def fused_matmul_activation(op, node, a, b):
    y = fused_matmul(op, node, a, b)
    names = {f"activation_{name}": name for name in ("alpha", "beta", "gamma", "axis")}
    if y is NotImplemented:
        return y
    return op.node(attr(node, "activation"), y, **{new: attr(node, old) for old, new in names.items()})


@ops.op(MS + "GemmFastGelu")
def gemm_fast_gelu(op, node, x, w, bias=None):
    return fast_gelu(op, node, op.MatMul(x, w), bias)


@ops.op(MS + "BiasSplitGelu")
def bias_split_gelu(op, node, x, bias):
    left, right = op.Split(op.Add(x, bias), axis=-1, num_outputs=2, _outputs=2)
    return op.Mul(left, op.Gelu(right))


@ops.op(MS + "BiasAdd")
def bias_add(op, node, x, bias, skip):
    return op.Add(op.Add(x, bias), skip)


@ops.op(MS + "BiasSoftmax", needs=(ranked(0, "data"),))
def bias_softmax(op, node, x, bias):
    """Softmax over all axes from `axis` on, of scores to which a bias is added: one that lacks the axes
    before it, or has 1 for some of those before `axis`."""
    axis, rank = attr(node, "axis", 1) % rank_of(x), rank_of(x)
    y = op.Add(x, bias)
    if axis == rank - 1:
        return op.Softmax(y, axis=-1)
    return op.Reshape(op.Softmax(op.Flatten(y, axis=axis), axis=-1), op.Shape(x))


@ops.op(MS + "ComplexMul", MS + "ComplexMulConj")
def complex_product(op, node, a, b):
    """Pairs on the last axis; the second conjugated."""
    (x, y), (u, v) = (op.Split(z, axis=-1, num_outputs=2, _outputs=2) for z in (a, b))
    v = op.Neg(v) if node.op_type == "ComplexMulConj" else v
    real = op.Sub(op.Mul(x, u), op.Mul(y, v))
    return op.Concat(real, op.Add(op.Mul(x, v), op.Mul(y, u)), axis=-1)


@ops.op(MS + "GatedAdd")
def gated_add(op, node, x, y, gate):
    return op.Add(x, op.Mul(y, gate))


@ops.op(MS + "ScaledSiLU")
def scaled_silu(op, node, x, scale=None):
    """Rounded to the dtype of `x` behind every step, in float32 within it."""
    wide = op.Cast(x, to=ir.DataType.FLOAT)
    factor = np.array(attr(node, "alpha", 1.0), np.float32)
    scaled = op.CastLike(op.Mul(wide, factor if scale is None else op.Cast(scale, to=ir.DataType.FLOAT)), x)
    return op.Mul(scaled, op.Sigmoid(scaled))


@ops.op(MS + "LinearAttentionGate")
def linear_attention_gate(op, node, a, bias, scale, b=None):
    wide = op.Add(op.Cast(a, to=ir.DataType.FLOAT), bias)
    decay = op.CastLike(op.Mul(scale, op.Softplus(wide)), a)
    return decay, None if b is None else op.Sigmoid(b)


@ops.op(MS + "IsAllFinite")
def is_all_finite(op, node, *tensors):
    tests = [t for t, other in (("IsNaN", "isinf_only"), ("IsInf", "isnan_only")) if not attr(node, other)]
    found = [op.Cast(op.node(t, x), to=ir.DataType.INT32) for x in tensors for t in tests]
    counts = [op.ReduceSum(flags, keepdims=0) for flags in found]
    return op.Equal(op.Sum(*counts) if len(counts) > 1 else counts[0], op.const(np.array(0, np.int32)))


@ops.op("Affine")
def affine(op, node, x):
    scaled = op.Mul(x, alike(op, attr(node, "alpha", 1.0), x))
    return op.Add(scaled, alike(op, attr(node, "beta", 0.0), x))


@ops.op("Scale")
def scale(op, node, x):
    return op.Mul(x, alike(op, attr(node, "scale", 1.0), x))


@ops.op("ScaledTanh", needs=(condition("alpha and beta", lambda n: {"alpha", "beta"} <= {*n.attributes}),))
def scaled_tanh(op, node, x):
    return op.Mul(op.Tanh(op.Mul(x, alike(op, attr(node, "beta"), x))), alike(op, attr(node, "alpha"), x))


@ops.op(
    "ParametricSoftplus", needs=(condition("alpha and beta", lambda n: {"alpha", "beta"} <= {*n.attributes}),)
)
def parametric_softplus(op, node, x):
    return op.Mul(op.Softplus(op.Mul(x, alike(op, attr(node, "beta"), x))), alike(op, attr(node, "alpha"), x))


@ops.op(
    MS + "Rfft", needs=(attribute("signal_ndim", 1), attribute("normalized", 0), attribute("onesided", 1))
)
def rfft(op, node, x):
    return op.DFT(op.Unsqueeze(x, ints(-1)), None, np.array(-2, np.int64), onesided=1)
