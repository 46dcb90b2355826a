"""Layers: products, convolutions, pooling, normalization."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.ops import OpTable

ops = OpTable("decomposition: nn")


@ops.op("GlobalAveragePool")
def global_average_pool(op, node, x):
    return op.ReduceMean(x, list(range(2, rank_of(x))))


@ops.op("GlobalMaxPool")
def global_max_pool(op, node, x):
    return op.ReduceMax(x, list(range(2, rank_of(x))))


@ops.op("BatchNormalization")
def batch_normalization(op, node, x, scale, bias, mean, variance):
    if attr(node, "training_mode", 0) or any(const(v) is None for v in (scale, bias, mean, variance)):
        return NotImplemented
    factor = const(scale) / np.sqrt(const(variance) + np.float32(attr(node, "epsilon", 1e-5)))
    offset = const(bias) - const(mean) * factor
    column = (-1, *[1] * (rank_of(x) - 2))
    shifted = op.Mul(x, op.const(factor.reshape(column).astype(np.float32)))
    return op.Add(shifted, op.const(offset.reshape(column).astype(np.float32)))


@ops.op("LayerNormalization")
def layer_normalization(op, node, x, scale, bias=None):
    rank = rank_of(x)
    if (
        rank is None
        or len(node.outputs) > 1
        or attr(node, "stash_type", 1) != 1
        or x.dtype != ir.DataType.FLOAT
    ):
        return NotImplemented
    axes = op.const(np.arange(attr(node, "axis", -1) % rank, rank))
    centred = op.Sub(x, op.ReduceMean(x, axes))
    variance = op.ReduceMean(op.Mul(centred, centred), axes)
    deviation = op.Sqrt(op.Add(variance, attr(node, "epsilon", 1e-5)))
    scaled = op.Mul(op.Div(centred, deviation), scale)
    return scaled if bias is None else op.Add(scaled, bias)


@ops.op("Gemm")
def gemm(op, node, a, b, c=None):
    if attr(node, "transA", 0):
        a = op.Transpose(a, perm=[1, 0])
    alpha, beta = attr(node, "alpha", 1.0), attr(node, "beta", 1.0)
    weights = const(b)
    if weights is not None:
        turned = weights.T if attr(node, "transB", 0) else weights
        product = op.MatMul(
            a, op.const(np.ascontiguousarray(turned * turned.dtype.type(alpha)) if alpha != 1 else turned)
        )
    else:
        product = op.MatMul(a, op.Transpose(b, perm=[1, 0]) if attr(node, "transB", 0) else b)
        product = product if alpha == 1 else op.Mul(product, alpha)
    if c is None:
        return product
    return op.Add(product, c if beta == 1 else op.Mul(c, beta))


@ops.op("Conv", "MaxPool", "AveragePool", "ConvTranspose")
def one_dimension(op, node, x, *rest):
    """One spatial dimension becomes two."""
    if rank_of(x) != 3 or len(node.outputs) > 1:
        return NotImplemented
    two = op.const(np.array([2]))
    wide = {"kernel_shape": [1], "strides": [1], "dilations": [1], "output_padding": [0], "output_shape": [1]}
    kept = {name: attr(node, name) for name in node.attributes}
    for name, value in kept.items():
        if name in wide:
            kept[name] = wide[name] + value
    if "pads" in kept:
        kept["pads"] = [0, kept["pads"][0], 0, kept["pads"][1]]
    weights = [op.Unsqueeze(w, two) if i == 0 and w is not None else w for i, w in enumerate(rest)]
    if weights and const(rest[0]) is not None:
        weights[0] = op.const(const(rest[0])[:, :, None, :])
    return op.Squeeze(op.node(node.op_type, op.Unsqueeze(x, two), *weights, **kept), two)
