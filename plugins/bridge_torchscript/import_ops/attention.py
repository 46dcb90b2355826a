"""Attention: scaled dot products, and the fused layers that torch runs in evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints, like
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    cast,
    length,
    number,
    rank,
    static_shape,
    static_value,
    swap_last_axes,
    tensor,
)
from bridge_torchscript.import_ops.nn import dropout, linear
from bridge_torchscript.import_ops.norm import layer_norm
from bridge_torchscript.values import Poison

ops = OpTable()

HEADS_MASK, PADDING_MASK = 0, 1


@ops.op("aten::scaled_dot_product_attention")
def attention(
    op, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    width = static_value(length(op, query, -1), "the width of heads")
    factor = 1 / math.sqrt(width) if scale is None else scale
    if enable_gqa:
        repeats = static_shape(query)[-3] // static_shape(key)[-3]
        heads = np.repeat(np.arange(static_shape(key)[-3]), repeats)
        key, value = (op.Gather(v, op.const(heads), axis=rank(v) - 3) for v in (key, value))
    scores = op.MatMul(op.Mul(query, number(op, factor, query)), swap_last_axes(op, key))
    if is_causal:
        rows, columns = (
            op.Range(
                np.array(0), op.Squeeze(op.Shape(v, start=rank(v) - 2, end=rank(v) - 1), ints(0)), np.array(1)
            )
            for v in (query, key)
        )
        visible = op.LessOrEqual(columns, op.Unsqueeze(rows, ints(1)))
        scores = op.Where(visible, scores, number(op, -math.inf, scores))
    if attn_mask is not None and attn_mask.dtype == T.BOOL:
        scores = op.Where(attn_mask, scores, number(op, -math.inf, scores))
    elif attn_mask is not None:
        scores = op.Add(scores, attn_mask)
    weights = op.Softmax(scores, axis=-1)
    if attn_mask is not None:
        weights = op.Where(op.IsNaN(weights), like(op, weights), weights)
    return op.MatMul(dropout(op, weights, dropout_p, True), value)


@ops.op("aten::_scaled_dot_product_flash_attention_for_cpu")
def flash_attention(op, query, key, value, dropout_p=0.0, is_causal=False, attn_mask=None, scale=None):
    unread = Poison("has logarithms of sums, which are not read")
    return attention(op, query, key, value, attn_mask, dropout_p, is_causal, scale), unread


def _project_part(op: Any, x: ir.Value, weight: ir.Value, bias: ir.Value, part: int, width: int) -> ir.Value:
    """Queries, keys or values: linear layer by one third (`part`) of the joint weights [3 · width, width]."""
    rows = ints(part * width), ints((part + 1) * width), ints(0)
    return linear(op, x, op.Slice(weight, *rows), op.Slice(bias, *rows))


def _split_heads(op: Any, x: ir.Value, count: int, width: int) -> ir.Value:
    """Transpose [batch, length, width] to [batch, heads, length, width / heads]."""
    return op.Transpose(op.Reshape(x, ints(0, -1, count, width // count)), perm=[0, 2, 1, 3])


def _mask_bias(op: Any, mask: ir.Value, mask_type: Any) -> ir.Value:
    """Bias added to the scores: -inf where a bool mask hides.

    The mask is [length, length], of keys [batch, length], or per head.
    """
    if mask.dtype == T.BOOL:
        hidden = op.Where(mask, tensor(op, -math.inf, T.FLOAT), tensor(op, 0.0, T.FLOAT))
    else:
        hidden = cast(op, mask, T.FLOAT)
    return op.Unsqueeze(hidden, ints(1, 2)) if mask_type == PADDING_MASK else hidden


@ops.op("aten::_native_multi_head_attention")
def multi_head_attention(
    op,
    query,
    key,
    value,
    embed_dim,
    num_head,
    qkv_weight,
    qkv_bias,
    proj_weight,
    proj_bias,
    mask=None,
    need_weights=True,
    average_attn_weights=True,
    mask_type=None,
):
    """Multi-head attention over [batch, length, width].

    The attention weights are the second output, if asked for.
    """
    heads = [
        _split_heads(op, _project_part(op, x, qkv_weight, qkv_bias, i, embed_dim), num_head, embed_dim)
        for i, x in enumerate((query, key, value))
    ]
    scores = op.MatMul(
        op.Mul(heads[0], number(op, 1 / math.sqrt(embed_dim // num_head), query)),
        swap_last_axes(op, heads[1]),
    )
    if mask is not None:
        scores = op.Add(scores, cast(op, _mask_bias(op, mask, mask_type), scores.dtype))
    weights = op.Softmax(scores, axis=-1)
    joined = op.Reshape(op.Transpose(op.MatMul(weights, heads[2]), perm=[0, 2, 1, 3]), ints(0, -1, embed_dim))
    output = linear(op, joined, proj_weight, proj_bias)
    if not need_weights:
        return output, None
    return output, op.ReduceMean(weights, ints(1), keepdims=0) if average_attn_weights else weights


@ops.op("aten::_transformer_encoder_layer_fwd")
def encoder_layer(
    op,
    src,
    embed_dim,
    num_heads,
    qkv_weight,
    qkv_bias,
    proj_weight,
    proj_bias,
    use_gelu,
    norm_first,
    eps,
    norm_weight_1,
    norm_bias_1,
    norm_weight_2,
    norm_bias_2,
    ffn_weight_1,
    ffn_bias_1,
    ffn_weight_2,
    ffn_bias_2,
    mask=None,
    mask_type=None,
):
    """Transformer encoder layer: residual attention and residual feed-forward, normalized before or after."""

    def attend(x: ir.Value) -> ir.Value:
        weights = (qkv_weight, qkv_bias, proj_weight, proj_bias)
        return multi_head_attention(
            op, x, x, x, embed_dim, num_heads, *weights, mask, False, True, mask_type
        )[0]

    def feed(x: ir.Value) -> ir.Value:
        inner = linear(op, x, ffn_weight_1, ffn_bias_1)
        return linear(op, op.Gelu(inner) if use_gelu else op.Relu(inner), ffn_weight_2, ffn_bias_2)

    norms = ((norm_weight_1, norm_bias_1), (norm_weight_2, norm_bias_2))
    for step, norm in zip((attend, feed), norms, strict=True):
        if norm_first:
            src = op.Add(src, step(layer_norm(op, src, [embed_dim], *norm, eps)))
        else:
            src = layer_norm(op, op.Add(src, step(src)), [embed_dim], *norm, eps)
    return src
