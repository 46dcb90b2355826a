"""Operators of ONNX files that the hub does not have: QLinear* and the common com.microsoft ones.

The vendor operators are described in ONNX Runtime's ContribOperators.md.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import attribute, condition, constant
from bridge.ops import Need, OpTable

ops = OpTable()
MS = "com.microsoft::"


def absent(index: int, name: str) -> Need:
    """Input `index` is not given."""
    return condition(f"no {name}", lambda n: len(n.inputs) <= index or n.inputs[index] is None)


def unused(*indices: int) -> Need:
    """Outputs that training alone needs are not asked for."""
    return condition(
        "the saved statistics to be unused",
        lambda n: not any(o.uses() or o.is_graph_output() for i, o in enumerate(n.outputs) if i in indices),
    )


def axes(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def kept(node: ir.Node, *without: str) -> dict:
    return {name: attr(node, name) for name in node.attributes if name not in without}


def activation(op, node, x):
    """The `activation` attribute of a fused operator, applied."""
    name, parameters = attr(node, "activation", ""), attr(node, "activation_params") or []
    if not name:
        return x
    if name == "Clip":
        return op.Clip(x, *(np.array(p, np.float32) for p in parameters))
    names = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}.get(name, [])
    return op.node(name, x, **dict(zip(names, parameters, strict=False)))


@ops.op(MS + "FusedConv")
def fused_conv(op, node, x, w, bias=None, z=None):
    y = op.Conv(x, w, bias, **kept(node, "activation", "activation_params"))
    return activation(op, node, y if z is None else op.Add(y, z))


@ops.op(MS + "FusedGemm")
def fused_gemm(op, node, a, b, c=None):
    names = {"activation_alpha": "alpha", "activation_beta": "beta"}
    given = {new: attr(node, old) for old, new in names.items() if old in node.attributes}
    y = op.Gemm(a, b, c, **kept(node, "activation", "activation_gamma", *names))
    return op.node(attr(node, "activation"), y, **given) if attr(node, "activation") else y


@ops.op(MS + "FusedMatMul")
def fused_matmul(op, node, a, b):
    turned = [fused_operand(op, node, value, side) for value, side in ((a, "A"), (b, "B"))]
    if None in turned:
        return NotImplemented
    alpha = attr(node, "alpha", 1.0)
    return op.MatMul(*turned) if alpha == 1 else op.Mul(op.MatMul(*turned), alpha)


def fused_operand(op, node, value, side):
    """One side of FusedMatMul: its first axis moved behind the batch, its last two exchanged; None of unknown rank."""
    batch, last = attr(node, f"transBatch{side}", 0), attr(node, f"trans{side}", 0)
    rank = rank_of(value)
    if rank is None:
        return None if batch or last else value
    order = [*range(1, rank - 1), 0, rank - 1] if batch and rank > 1 else [*range(rank)]
    if last and rank > 1:
        order[-2:] = order[:-3:-1]
    return value if order == [*range(rank)] else op.Transpose(value, perm=order)


@ops.op(MS + "Gelu")
def gelu(op, node, x):
    return op.Gelu(x)


@ops.op(MS + "BiasGelu")
def bias_gelu(op, node, x, bias):
    return op.Gelu(op.Add(x, bias))


@ops.op(MS + "FastGelu")
def fast_gelu(op, node, x, bias=None):
    return op.Gelu(x if bias is None else op.Add(x, bias), approximate="tanh")


@ops.op(MS + "QuickGelu")
def quick_gelu(op, node, x):
    return op.Mul(x, op.Sigmoid(op.Mul(x, attr(node, "alpha", 1.702))))


@ops.op(MS + "LayerNormalization")
def layer_normalization(op, node, x, scale, bias=None):
    return op.LayerNormalization(x, scale, bias, **kept(node), _outputs=len(node.outputs))


@ops.op("SimplifiedLayerNormalization", MS + "SimplifiedLayerNormalization", needs=(unused(1),))
def simplified_layer_normalization(op, node, x, scale):
    return op.RMSNormalization(x, scale, axis=attr(node, "axis", -1), epsilon=attr(node, "epsilon", 1e-5))


@ops.op(MS + "SkipLayerNormalization", needs=(unused(1, 2),))
def skip_layer_normalization(op, node, x, skip, gamma, beta=None, bias=None):
    total = op.Add(x, skip)
    total = total if bias is None else op.Add(total, bias)
    y = op.LayerNormalization(total, gamma, beta, axis=-1, epsilon=attr(node, "epsilon", 1e-12))
    return y, None, None, total


@ops.op(MS + "SkipSimplifiedLayerNormalization", needs=(unused(1, 2),))
def skip_simplified_layer_normalization(op, node, x, skip, gamma, bias=None):
    total = op.Add(x, skip)
    total = total if bias is None else op.Add(total, bias)
    y = op.RMSNormalization(total, gamma, axis=-1, epsilon=attr(node, "epsilon", 1e-12))
    return y, None, None, total


@ops.op(MS + "EmbedLayerNormalization", needs=(attribute("mask_index_type", 0),))
def embed_layer_normalization(
    op, node, ids, segments, words, positions, segment_table, gamma, beta, mask=None, position_ids=None
):
    if position_ids is None:
        length = op.Squeeze(op.Shape(ids, start=1, end=2), axes(0))
        position_ids = op.Range(np.array(0, np.int64), length, np.array(1, np.int64))
    total = op.Add(op.Gather(words, ids), op.Gather(positions, position_ids))
    if segments is not None:
        total = op.Add(total, op.Gather(segment_table, segments))
    y = op.LayerNormalization(total, gamma, beta, axis=-1, epsilon=attr(node, "epsilon", 1e-12))
    if mask is not None:
        count = op.ReduceSum(mask, axes(1), keepdims=0)
    else:
        count = op.Expand(np.array([0], np.int32), op.Shape(ids, start=0, end=1))
    return y, count, total


@ops.op(
    MS + "RotaryEmbedding",
    needs=(attribute("is_packed_batching", 0), attribute("scale", 1.0), attribute("rotary_embedding_dim", 0)),
)
def rotary_embedding(op, node, x, positions, cos, sin):
    if rank_of(positions) == 1:
        if rank_of(x) is None:
            return NotImplemented
        length_axis = 2 if rank_of(x) == 4 else 1
        length = op.Squeeze(op.Shape(x, start=length_axis, end=length_axis + 1), axes(0))
        steps = op.Range(np.array(0, np.int64), length, np.array(1, np.int64))
        shape = op.Concat(op.Shape(x, start=0, end=1), op.Unsqueeze(length, axes(0)), axis=0)
        positions = op.Expand(op.Unsqueeze(op.Add(steps, positions), axes(0)), shape)
    heads = attr(node, "num_heads", 0)
    if rank_of(x) == 3 and not heads:
        width, half = x.shape[2], cos.shape[1] if cos.shape is not None else None
        if not (isinstance(width, int) and isinstance(half, int)):
            return NotImplemented
        heads = width // (2 * half)
    return op.RotaryEmbedding(
        x, cos, sin, positions, interleaved=attr(node, "interleaved", 0), num_heads=heads
    )


@ops.op(
    MS + "MatMulNBits",
    needs=(attribute("bits", 4, 8), constant(1, "B"), constant(3, "zero_points"), absent(4, "g_idx")),
)
def matmul_nbits(op, node, a, b, scales, zero_points=None, g_idx=None, bias=None):
    """Blocks of `block_size` along K become DequantizeLinear blocks."""
    k, n, block = (attr(node, name) for name in ("K", "N", "block_size"))
    bits = attr(node, "bits", 4)
    blocks = -(-k // block)
    dtype = ir.DataType.UINT4 if bits == 4 else ir.DataType.UINT8
    codes = unpacked(const(b).reshape(n, -1), bits)[:, :k]
    if zero_points is None:
        zeros = np.full((n, blocks), 1 << (bits - 1), np.uint8)
    elif zero_points.dtype == ir.DataType.UINT8:
        zeros = unpacked(const(zero_points).reshape(n, -1), bits)[:, :blocks]
    else:
        return NotImplemented
    weights = op.DequantizeLinear(
        op.const(codes.astype(dtype.numpy())),
        op.Reshape(scales, axes(n, blocks)),
        op.const(zeros.astype(dtype.numpy())),
        axis=1,
        block_size=block,
    )
    product = op.MatMul(a, op.Transpose(weights, perm=[1, 0]))
    return product if bias is None else op.Add(product, bias)


def unpacked(array: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a row, low nibble first."""
    if bits == 8:
        return array
    return np.stack([array & 15, array >> 4], axis=-1).reshape(len(array), -1)


@ops.op("QLinearMatMul")
def qlinear_matmul(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    left = op.DequantizeLinear(a, a_scale, a_zero, axis=-2)
    right = op.DequantizeLinear(b, b_scale, b_zero, axis=-1)
    return op.QuantizeLinear(op.MatMul(left, right), y_scale, y_zero)


@ops.op("QLinearConv")
def qlinear_conv(op, node, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    data = op.DequantizeLinear(x, x_scale, x_zero)
    weights = op.DequantizeLinear(w, w_scale, w_zero, axis=0)
    if bias is not None:
        bias = op.Mul(op.Cast(bias, to=1), op.Mul(x_scale, w_scale))
    return op.QuantizeLinear(op.Conv(data, weights, bias, **kept(node)), y_scale, y_zero)


@ops.op(MS + "QuantizeLinear", MS + "DequantizeLinear")
def vendor_quantization(op, node, x, scale, zero=None):
    return op.node(node.op_type, x, scale, zero, axis=attr(node, "axis", 1))


@ops.op(MS + "QLinearAdd", MS + "QLinearMul")
def qlinear_binary(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero=None):
    left, right = op.DequantizeLinear(a, a_scale, a_zero), op.DequantizeLinear(b, b_scale, b_zero)
    return op.QuantizeLinear(op.node(node.op_type.removeprefix("QLinear"), left, right), y_scale, y_zero)


def unary(name: str, *attributes: str):
    """QLinear form of an operator of one input."""

    @ops.op(MS + "QLinear" + name)
    def qlinear(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
        given = {n: attr(node, n) for n in attributes if n in node.attributes}
        return op.QuantizeLinear(
            op.node(name, op.DequantizeLinear(x, x_scale, x_zero), **given), y_scale, y_zero
        )


unary("Sigmoid")
unary("LeakyRelu", "alpha")
unary("Softmax", "axis")


@ops.op(MS + "QLinearAveragePool", MS + "QLinearGlobalAveragePool", needs=(attribute("channels_last", 0),))
def qlinear_pool(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    pool = op.node(
        node.op_type.removeprefix("QLinear"),
        op.DequantizeLinear(x, x_scale, x_zero),
        **kept(node, "channels_last"),
    )
    return op.QuantizeLinear(pool, y_scale, y_zero)


@ops.op(MS + "QLinearConcat")
def qlinear_concat(op, node, y_scale, y_zero, *parts):
    values = [op.DequantizeLinear(*parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return op.QuantizeLinear(op.Concat(*values, axis=attr(node, "axis")), y_scale, y_zero)


@ops.op(MS + "QLinearReduceMean")
def qlinear_reduce_mean(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    over = attr(node, "axes")
    mean = op.ReduceMean(
        op.DequantizeLinear(x, x_scale, x_zero),
        None if over is None else axes(*over),
        keepdims=attr(node, "keepdims", 1),
    )
    return op.QuantizeLinear(mean, y_scale, y_zero)


@ops.op(MS + "QLinearWhere")
def qlinear_where(op, node, condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero):
    chosen = op.Where(
        condition, op.DequantizeLinear(x, x_scale, x_zero), op.DequantizeLinear(y, y_scale, y_zero)
    )
    return op.QuantizeLinear(chosen, z_scale, z_zero)
