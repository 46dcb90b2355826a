"""Mixtures of experts. Every expert is asked about every token, and weighed with nothing where it was not
chosen."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, product, reshape
from bridge.hub import attr, const, held, input_at, rank_of
from bridge.importing import ints
from bridge.needs import attribute, condition, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import MS, sized
from bridge_onnx.import_ops.quantize_weights import dequantized, unpacked

ops = OpTable()

ACTIVATIONS = ("relu", "gelu", "silu", "swiglu", "identity")
COMMON = (
    attribute("activation_type", "relu", *ACTIVATIONS[1:]),
    attribute("use_sparse_mixer", 0),
    rank(2, 3),
    sized(2, 0, "experts"),
)


def routed(op: hub.Builder, node: ir.Node, router: ir.Value, normalized: bool) -> tuple[ir.Value, ir.Value]:
    """The k experts of every token by the scores of `router`, and their chances [tokens, k] among all experts
    or, `normalized`, among themselves."""
    scores, index = op.TopK(router, ints(attr(node, "k", 1)), axis=-1, _outputs=2)
    if normalized:
        return op.Softmax(scores, axis=-1), index
    return op.GatherElements(op.Softmax(router, axis=-1), index, axis=-1), index


def shares(op: hub.Builder, picked: ir.Value, index: ir.Value, experts: int) -> ir.Value:
    """Weights [tokens, experts] that are zero but for the experts of the `index` [tokens, k]."""
    hits = op.Equal(op.Unsqueeze(index, ints(-1)), op.const(np.arange(experts)))
    nothing = op.const(np.zeros((), picked.dtype.numpy()))
    return op.ReduceSum(op.Where(hits, op.Unsqueeze(picked, ints(-1)), nothing), ints(1), keepdims=0)


def projected(op: hub.Builder, x: ir.Value, weights: ir.Value, bias: ir.Value | None) -> ir.Value:
    """[experts, tokens, width] by weights [experts, width of the result, width]."""
    y = op.MatMul(x, op.Transpose(weights, perm=[0, 2, 1]))
    return y if bias is None else op.Add(y, op.Unsqueeze(bias, ints(1)))


def gates(op: hub.Builder, node: ir.Node, y: ir.Value) -> list[ir.Value]:
    """Something gated and its gate, which one product made: side by side, or by turns."""
    experts, tokens, width = lengths(op, y)
    pairs, axis = ([width // 2, 2], 3) if attr(node, "swiglu_fusion") == 1 else ([2, width // 2], 2)
    parts = op.Split(reshape(op, y, [experts, tokens, *pairs]), axis=axis, num_outputs=2, _outputs=2)
    return [op.Squeeze(part, ints(axis)) for part in parts]


def activated(op: hub.Builder, node: ir.Node, y: ir.Value, gate: ir.Value | None) -> ir.Value:
    """The activation of `y`, by the gate where there is one."""
    kind, dtype = attr(node, "activation_type", "relu"), y.dtype.numpy()
    if kind == "swiglu":
        if gate is None:
            y, gate = gates(op, node, y)
        limit = attr(node, "swiglu_limit")
        if limit is not None:
            low, high = (op.const(np.array(v, dtype)) for v in (-limit, limit))
            y, gate = op.Min(y, high), op.Min(op.Max(gate, low), high)
        slope = op.const(np.array(attr(node, "activation_alpha", 1.0), dtype))
        offset = op.const(np.array(attr(node, "activation_beta", 0.0), dtype))
        return op.Mul(op.Mul(y, op.Sigmoid(op.Mul(y, slope))), op.Add(gate, offset))
    if kind == "gelu":
        y = op.Gelu(y, approximate="tanh")
    elif kind != "identity":
        y = op.Mul(y, op.Sigmoid(y)) if kind == "silu" else op.Relu(y)
    return y if gate is None else op.Mul(y, gate)


def mixed(op: hub.Builder, x: ir.Value, weights: ir.Value, results: ir.Value) -> ir.Value:
    """Results [experts, tokens, width] weighed by weights [tokens, experts], in the shape of `x`."""
    weighed = op.Mul(results, op.Unsqueeze(op.Transpose(weights, perm=[1, 0]), ints(-1)))
    total = op.ReduceSum(weighed, ints(0), keepdims=0)
    return total if rank_of(x) == 2 else reshape(op, total, lengths(op, x))


def tokens_of(op: hub.Builder, x: ir.Value) -> ir.Value:
    """[1, tokens, width]."""
    sizes = lengths(op, x)
    return reshape(op, x, [1, product(op, sizes[:-1]), sizes[-1]])


@ops.op(MS + "MoE", needs=COMMON)
def mixture_of_experts(op, node, x, router, w1, b1, w2, b2=None, w3=None, b3=None):
    tokens = tokens_of(op, x)
    gate = None if w3 is None else projected(op, tokens, w3, b3)
    hidden = activated(op, node, projected(op, tokens, w1, b1), gate)
    picked, index = routed(op, node, router, bool(attr(node, "normalize_routing_weights")))
    return mixed(op, x, shares(op, picked, index, lengths(op, w1)[0]), projected(op, hidden, w2, b2))


PROJECTIONS = ((2, 3, 4, 11), (5, 6, 7, 12), (8, 9, 10, 13))
"""Weights, scales, bias and zero points of the first, second and third product of QMoE."""


def expert_bits(node: ir.Node, number: int) -> int:
    return attr(node, f"fc{number}_expert_weight_bits") or attr(node, "expert_weight_bits", 4)


def quantized_product(op: hub.Builder, node: ir.Node, number: int, x: ir.Value) -> ir.Value | None:
    """`x` [experts, tokens, width] through the product of a number, 1 to 3; None where the node has none.

    Scales are of every row, or of blocks of it; zero points of rows lie side by side in bytes.
    """
    packed, scales, bias, zeros = (input_at(node, i) for i in PROJECTIONS[number - 1])
    if packed is None:
        return None
    bits = expert_bits(node, number)
    codes, points = unpacked(const(packed), bits), const(zeros)
    experts, rows, width = codes.shape
    blocks = lengths(op, scales)[2] if rank_of(scales) == 3 else 1
    if points is not None:
        points = unpacked(points, bits)
        points = points[..., :blocks] if rank_of(scales) == 3 else points[:, :rows, None]
    scales = op.Reshape(scales, ints(experts, rows, blocks))
    return projected(op, x, dequantized(op, codes, bits, scales, points, width // blocks), bias)


def constants_of_experts(node: ir.Node) -> bool:
    indices = {i for weights, scales, _, zeros in PROJECTIONS for i in (weights, scales, zeros)}
    scales = [input_at(node, p[1]) for p in PROJECTIONS]
    known = all(s is None or (s.shape is not None and s.shape.is_static()) for s in scales)
    return known and all((v := input_at(node, i)) is None or held(v) is not None for i in indices)


@ops.op(
    MS + "QMoE",
    needs=(
        *COMMON,
        attribute("quant_type", "int"),
        attribute("expert_weight_bits", 4, 2, 8),
        attribute("weights_prepacked", -1, 0),
        condition("constant weights, scales and zero points", constants_of_experts),
    ),
)
def quantized_mixture_of_experts(op, node, x, router, w1, *rest):
    """Chances are of the chosen experts among themselves, or those that input 14 gives, where positive."""
    tokens, mixing = tokens_of(op, x), input_at(node, 14)
    gate = quantized_product(op, node, 3, tokens)
    hidden = activated(op, node, quantized_product(op, node, 1, tokens), gate)
    picked, index = routed(op, node, router, normalized=True)
    if mixing is not None:
        picked = op.GatherElements(mixing, index, axis=-1)
        if attr(node, "normalize_routing_weights"):
            total = op.ReduceSum(picked, ints(-1), keepdims=1)
            none, one = (op.const(np.array(n, x.dtype.numpy())) for n in (0, 1))
            picked = op.Div(picked, op.Where(op.Equal(total, none), one, total))
        picked = op.Relu(picked)
    weights = shares(op, picked, index, lengths(op, w1)[0])
    return mixed(op, x, weights, quantized_product(op, node, 2, hidden))
