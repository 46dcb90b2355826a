"""Scaled dot product attention."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.importing import like
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import IOS18, as_type, lengths, rank_of, ranked

ops = OpTable()


@ops.op(
    "scaled_dot_product_attention",
    since=IOS18,
    needs=(ranked("query"),),
)
def attention(op, node, query, key, value, attn_mask=None):
    if rank_of(query) == 4 and attn_mask is None:
        return op.Attention(query, key, value)
    rank = rank_of(key) or 0
    head_size = query.shape[-1] if query.shape is not None else None
    if isinstance(head_size, int):
        scale = like(op, query, 1 / np.sqrt(head_size))
    else:
        runtime_size = op.Cast(lengths(op, query)[-1], to=int(query.dtype))
        scale = op.Reciprocal(op.Sqrt(runtime_size))
    scores = op.MatMul(query, op.Transpose(key, perm=[*range(rank - 2), rank - 1, rank - 2]))
    scores = op.Mul(scores, scale)
    if attn_mask is not None and attn_mask.dtype == ir.DataType.BOOL:
        scores = op.Where(attn_mask, scores, like(op, query, -np.inf))
    elif attn_mask is not None:
        scores = op.Add(scores, as_type(op, attn_mask, query))
    return op.MatMul(op.Softmax(scores, axis=-1), value)
