"""The attention operators of com.microsoft, as ONNX Runtime's ContribOperators.md describes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at, rank_of, shape_of
from bridge.importing import ints
from bridge.needs import attribute, condition
from bridge.ops import Need, OpTable
from bridge_onnx.import_ops.common import MS, absent, unused

ops = OpTable()


def mask_of(index: int, multiples: tuple[int, ...]) -> Need:
    """The mask is of rank 2 or 3, or of rank 1 with a known multiple of the batch."""

    def is_valid_mask(node: ir.Node) -> bool:
        mask = input_at(node, index)
        return mask is None or rank_of(mask) in (2, 3) or lengths_per_row(node, mask) in multiples

    return condition("a mask of rank 2 or 3, or lengths of every row", is_valid_mask)


def lengths_per_row(node: ir.Node, mask: ir.Value) -> int | None:
    """Number of times the batch fits a mask of rank 1; None where the shapes do not tell."""
    x = node.inputs[0]
    if mask.shape is None or len(mask.shape) != 1 or x is None or x.shape is None:
        return None
    count, batch = mask.shape[0], x.shape[0]
    if isinstance(count, int) and isinstance(batch, int):
        return count // batch if batch and count % batch == 0 else None
    return 1 if count == batch else None


def readable_layout(node: ir.Node) -> bool:
    """Query, key and value of rank 3; all packed in one of rank 5; key and value packed; both as a cache."""
    ranks = tuple(None if (v := input_at(node, i)) is None else rank_of(v) for i in range(3))
    biased = input_at(node, 3) is not None
    return ranks in ((3, 3, 3), (5, None, None), (3, 5, None)) or (ranks == (3, 4, 4) and not biased)


def float_mask(op: hub.Builder, node: ir.Node, mask: ir.Value, q: ir.Value, total: ir.Value) -> ir.Value:
    """A mask as a bias over heads, in the dtype of `q`.

    Of rank 2 [batch, keys] or 3 [batch, queries, keys], 0 where a key is absent; of rank 1 [batch] the number
    of keys of each row, or [2 * batch] the ends of its keys and then their starts.
    """
    if rank_of(mask) == 1:
        keys = op.Range(np.array(0, np.int64), total, np.array(1, np.int64))
        bounds = op.Unsqueeze(op.Cast(mask, to=ir.DataType.INT64), ints(1))
        if lengths_per_row(node, mask) == 1:
            present = op.Less(keys, bounds)
        else:
            ends, starts = op.Split(bounds, axis=0, num_outputs=2, _outputs=2)
            present = op.And(op.Less(keys, ends), op.GreaterOrEqual(keys, starts))
    else:
        present = op.Greater(mask, op.CastLike(np.array(0, np.int32), mask))
    by_head = op.Unsqueeze(present, ints(1) if rank_of(mask) == 3 else ints(1, 2))
    filtered = np.array(attr(node, "mask_filter_value", -10000.0), np.float32)
    return op.Cast(op.Where(by_head, np.array(0, np.float32), filtered), to=int(q.dtype))


def attend(
    op: hub.Builder,
    node: ir.Node,
    q: ir.Value,
    k: ir.Value,
    v: ir.Value,
    mask: ir.Value | None,
    attention_bias: ir.Value | None,
    past_key: ir.Value | None = None,
    past_value: ir.Value | None = None,
) -> Any:
    """Attention of projected q, k and v of rank 3: output, keys and values [batch, heads, length, size]."""
    heads = attr(node, "num_heads")
    total = op.Squeeze(op.Shape(k, start=1, end=2), ints(0))
    if past_key is not None:
        total = op.Add(total, op.Squeeze(op.Shape(past_key, start=2, end=3), ints(0)))
    attn_mask = None if mask is None else float_mask(op, node, mask, q, total)
    if attention_bias is not None:
        attn_mask = attention_bias if attn_mask is None else op.Add(attn_mask, attention_bias)
    cached = past_key is not None
    results = op.Attention(
        q, k, v, attn_mask, past_key, past_value,
        q_num_heads=heads,
        kv_num_heads=heads,
        is_causal=attr(node, "unidirectional"),
        scale=attr(node, "scale") or None,
        _outputs=3 if cached else 1,
    )  # fmt: skip
    if cached:
        return results
    return results, split_heads(op, k, heads), split_heads(op, v, heads)


def split_heads(op: hub.Builder, x: ir.Value, heads: int) -> ir.Value:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    return op.Transpose(op.Reshape(x, ints(0, 0, heads, -1)), perm=[0, 2, 1, 3])


@ops.op(
    MS + "Attention",
    needs=(
        attribute("do_rotary", 0),
        attribute("past_present_share_buffer", 0),
        mask_of(3, multiples=(1, 2)),
        absent(6, "past_sequence_length"),
    ),
)
def attention(op, node, x, weights, bias=None, mask=None, past=None, attention_bias=None):
    sizes = attr(node, "qkv_hidden_sizes") or ([shape_of(weights)[1] // 3] * 3 if shape_of(weights) else None)
    if sizes is None:
        return NotImplemented
    projected = op.MatMul(x, weights)
    projected = projected if bias is None else op.Add(projected, bias)
    q, k, v = op.Split(projected, ints(*sizes), axis=2, _outputs=3)
    cache = [] if past is None else [op.Gather(past, np.array(i, np.int64), axis=0) for i in (0, 1)]
    y, keys, values = attend(op, node, q, k, v, mask, attention_bias, *cache)
    return y, op.Concat(op.Unsqueeze(keys, ints(0)), op.Unsqueeze(values, ints(0)), axis=0)


@ops.op(
    MS + "MultiHeadAttention",
    needs=(
        condition("query, key and value apart, packed, or as a cache", readable_layout),
        mask_of(4, multiples=(1,)),
        absent(8, "past_sequence_length"),
        absent(9, "cache_indirection"),
        unused(3),
    ),
)
def multi_head_attention(
    op, node, q, k=None, v=None, bias=None, mask=None, attention_bias=None, past_key=None, past_value=None
):
    if rank_of(q) == 5:
        q, k, v = unpack_heads(op, q, 3)
    elif rank_of(k) == 5:
        k, v = unpack_heads(op, k, 2)
    elif rank_of(k) == 4:
        k, v = (op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), ints(0, 0, -1)) for x in (k, v))
    if bias is not None:
        widths = [value.shape[2] if value.shape is not None else None for value in (q, k, v)]
        if not all(isinstance(w, int) for w in widths):
            return NotImplemented
        splits = op.Split(bias, ints(*widths), axis=0, _outputs=3)
        q, k, v = (op.Add(value, part) for value, part in zip((q, k, v), splits, strict=True))
    return attend(op, node, q, k, v, mask, attention_bias, past_key, past_value)


def unpack_heads(op: hub.Builder, x: ir.Value, count: int) -> list[ir.Value]:
    """[batch, length, heads, count, size] as `count` values [batch, length, heads * size]."""
    splits = op.Split(x, axis=3, num_outputs=count, _outputs=count)
    return [op.Reshape(part, ints(0, 0, -1)) for part in splits]

