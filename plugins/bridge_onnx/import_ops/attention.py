"""The attention operators of com.microsoft, as ONNX Runtime's ContribOperators.md describes them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at, rank_of, shape_of
from bridge.importing import ints
from bridge.needs import attribute, condition, rank
from bridge.ops import Need, OpTable
from bridge_onnx.import_ops.common import MS, absent, size_at, sized, static
from bridge_onnx.import_ops.quantize import dequantized

ops = OpTable()

MASKED = 2
"""Of qk_matmul_output_mode: scores with what is added to them."""
CUMULATED = -1
"""Of a mask that has the number of keys of every row, and behind them those of queries and keys so far."""


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
        if count == 3 * batch + 2:
            return CUMULATED
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
    of keys of each row, or [2 * batch] the ends of its keys and then their starts, or [3 * batch + 2] as
    many keys first.
    """
    if rank_of(mask) == 1:
        keys = op.Range(np.array(0, np.int64), total, np.array(1, np.int64))
        bounds = op.Unsqueeze(op.Cast(mask, to=ir.DataType.INT64), ints(1))
        if lengths_per_row(node, mask) == CUMULATED:
            bounds = op.Slice(bounds, ints(0), op.Shape(q, start=0, end=1), ints(0))
        if lengths_per_row(node, mask) in (1, CUMULATED):
            present = op.Less(keys, bounds)
        else:
            ends, starts = op.Split(bounds, axis=0, num_outputs=2, _outputs=2)
            present = op.And(op.Less(keys, ends), op.GreaterOrEqual(keys, starts))
    else:
        present = op.Greater(mask, op.CastLike(np.array(0, np.int32), mask))
    by_head = op.Unsqueeze(present, ints(1) if rank_of(mask) == 3 else ints(1, 2))
    filtered = np.array(attr(node, "mask_filter_value", -10000.0), np.float32)
    return op.Cast(op.Where(by_head, np.array(0, np.float32), filtered), to=int(q.dtype))


class Cache(NamedTuple):
    """Keys and values [batch, heads, length, size] of tokens before: all of them, or with `filled`, a number
    of one element, the first of a buffer."""

    keys: ir.Value | None = None
    values: ir.Value | None = None
    filled: ir.Value | None = None


def attend(
    op: hub.Builder,
    node: ir.Node,
    q: ir.Value,
    k: ir.Value,
    v: ir.Value,
    mask: ir.Value | None,
    attention_bias: ir.Value | None,
    cache: Cache = Cache(),  # noqa: B008
) -> Any:
    """Attention of projected q, k and v of rank 3: output, keys and values [batch, heads, length, size], and
    scores where the node has them."""
    if cache.filled is not None:
        return attend_buffer(op, node, q, k, v, mask, attention_bias, cache)
    heads = attr(node, "num_heads")
    total = op.Squeeze(op.Shape(k, start=1, end=2), ints(0))
    if cache.keys is not None:
        total = op.Add(total, op.Squeeze(op.Shape(cache.keys, start=2, end=3), ints(0)))
    cached, scored = cache.keys is not None, len(node.outputs) > 3
    results = op.Attention(
        q, k, v, bias_of(op, node, q, mask, attention_bias, total), cache.keys, cache.values,
        q_num_heads=heads,
        kv_num_heads=heads,
        is_causal=attr(node, "unidirectional"),
        scale=attr(node, "scale") or None,
        qk_matmul_output_mode=MASKED if scored else None,
        _outputs=4 if scored else 3 if cached else 1,
    )  # fmt: skip
    y, keys, values, scores = [*results, None, None][:4] if cached or scored else [results, None, None, None]
    if not cached:
        keys, values = split_heads(op, k, heads), split_heads(op, v, heads)
    return y, keys, values, scores


def bias_of(
    op: hub.Builder, node: ir.Node, q: ir.Value, mask: Any, attention_bias: Any, total: ir.Value
) -> ir.Value | None:
    """The bias of scores: the mask's part, and what the node is given. A mask of one column masks nothing."""
    if rank_of(mask) == 2 and size_at(mask, 1) == 1:
        mask = None
    masked = None if mask is None else float_mask(op, node, mask, q, total)
    if masked is None or attention_bias is None:
        return attention_bias if masked is None else masked
    return op.Add(masked, attention_bias)


def attend_buffer(
    op: hub.Builder, node: ir.Node, q: Any, k: Any, v: Any, mask: Any, attention_bias: Any, cache: Cache
) -> Any:
    """Attention over the filled part of a buffer and what is written behind it."""
    heads, new = attr(node, "num_heads"), op.Shape(q, start=1, end=2)
    filled = op.Reshape(op.Cast(cache.filled, to=ir.DataType.INT64), ints(1))
    starts, end = op.Expand(filled, op.Shape(q, start=0, end=1)), op.Add(filled, new)
    keys = op.TensorScatter(cache.keys, split_heads(op, k, heads), starts, axis=2)
    values = op.TensorScatter(cache.values, split_heads(op, v, heads), starts, axis=2)
    total = op.Squeeze(end, ints(0))
    bias = bias_of(op, node, q, mask, attention_bias, total)
    if attr(node, "unidirectional"):
        places = op.Add(op.Range(*counted(op, op.Squeeze(new, ints(0)))), filled)
        later = op.Greater(op.Range(*counted(op, total)), op.Unsqueeze(places, ints(1)))
        dtype = q.dtype.numpy()
        hidden = op.Where(later, op.const(np.array(-np.inf, dtype)), op.const(np.zeros((), dtype)))
        bias = hidden if bias is None else op.Add(bias, hidden)
    parts = (op.Slice(x, ints(0), end, ints(2)) for x in (keys, values))
    scored = len(node.outputs) > 3
    results = op.Attention(
        split_heads(op, q, heads), *parts, bias,
        scale=attr(node, "scale") or None,
        qk_matmul_output_mode=MASKED if scored else None,
        _outputs=4 if scored else 1,
    )  # fmt: skip
    y, scores = (results[0], results[3]) if scored else (results, None)
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, -1)), keys, values, scores


def counted(op: hub.Builder, limit: ir.Value) -> tuple[Any, ...]:
    return np.array(0, np.int64), limit, np.array(1, np.int64)


def split_heads(op: hub.Builder, x: ir.Value, heads: int) -> ir.Value:
    """[batch, length, heads * size] as [batch, heads, length, size]."""
    return op.Transpose(op.Reshape(x, ints(0, 0, heads, -1)), perm=[0, 2, 1, 3])


@ops.op(
    MS + "Attention",
    needs=(
        attribute("do_rotary", 0),
        attribute("past_present_share_buffer", 0),
        mask_of(3, multiples=(1, 2, CUMULATED)),
        absent(6, "past_sequence_length"),
    ),
)
def attention(op, node, x, weights, bias=None, mask=None, past=None, attention_bias=None):
    sizes = attr(node, "qkv_hidden_sizes") or ([shape_of(weights)[1] // 3] * 3 if shape_of(weights) else None)
    if sizes is None:
        return NotImplemented
    projected = op.MatMul(x, weights)
    projected = projected if bias is None else op.Add(projected, bias)
    return attend_packed(op, node, projected, sizes, mask, past, attention_bias)


def attend_packed(
    op: hub.Builder,
    node: ir.Node,
    projected: Any,
    sizes: list[int],
    mask: Any,
    past: Any,
    attention_bias: Any = None,
) -> Any:
    """Attention of query, key and value that lie side by side; keys and values are of one tensor."""
    q, k, v = op.Split(projected, ints(*sizes), axis=2, _outputs=3)
    cache = [] if past is None else [op.Gather(past, np.array(i, np.int64), axis=0) for i in (0, 1)]
    y, keys, values, _ = attend(op, node, q, k, v, mask, attention_bias, Cache(*cache))
    return y, op.Concat(op.Unsqueeze(keys, ints(0)), op.Unsqueeze(values, ints(0)), axis=0)


@ops.op(
    MS + "QAttention",
    needs=(
        attribute("do_rotary", 0),
        attribute("past_present_share_buffer", 0),
        mask_of(5, multiples=(1, 2, CUMULATED)),
        static(1, "weights"),
    ),
)
def quantized_attention(
    op, node, x, weights, bias, x_scale, weight_scale, mask=None, x_zero=None, weight_zero=None, past=None
):
    product = op.MatMul(
        dequantized(op, x, x_scale, x_zero), dequantized(op, weights, weight_scale, weight_zero)
    )
    sizes = [shape_of(weights)[1] // 3] * 3
    return attend_packed(op, node, op.Add(product, bias), sizes, mask, past)


@ops.op(
    MS + "MultiHeadAttention",
    needs=(
        condition("query, key and value apart, packed, or as a cache", readable_layout),
        mask_of(4, multiples=(1, CUMULATED)),
        absent(9, "cache_indirection"),
    ),
)
def multi_head_attention(
    op, node, q, k=None, v=None, bias=None, mask=None, attention_bias=None, past_key=None, past_value=None,
    past_length=None,
):  # fmt: skip
    if rank_of(q) == 5:
        q, k, v = unpack_heads(op, q, 3)
    elif rank_of(k) == 5:
        k, v = unpack_heads(op, k, 2)
    elif rank_of(k) == 4:
        k, v = (op.Reshape(op.Transpose(x, perm=[0, 2, 1, 3]), ints(0, 0, -1)) for x in (k, v))
    if bias is not None:
        widths = [size_at(value, 2) for value in (q, k, v)]
        if None in widths:
            return NotImplemented
        splits = op.Split(bias, ints(*widths), axis=0, _outputs=3)
        q, k, v = (op.Add(value, part) for value, part in zip((q, k, v), splits, strict=True))
    return attend(op, node, q, k, v, mask, attention_bias, Cache(past_key, past_value, past_length))


@ops.op(
    MS + "DecoderMaskedMultiHeadAttention",
    needs=(
        absent(9, "cache_indirection"),
        mask_of(3, multiples=()),
        rank(3),
        sized(0, 2, "a query"),
        condition(
            "no bias beside a cache of keys", lambda n: rank_of(input_at(n, 1)) != 4 or not input_at(n, 10)
        ),
    ),
)
def decoder_attention(
    op, node, q, k=None, v=None, mask=None, attention_bias=None, past_key=None, past_value=None,
    past_length=None, beams=None, indirection=None, bias=None,
):  # fmt: skip
    """One new token, whose keys and values go into a buffer; or one that is held against a cache."""
    if k is None:
        q, k, v = op.Split(q, axis=2, num_outputs=3, _outputs=3)
    length = past_length if attr(node, "past_present_share_buffer") else None
    return multi_head_attention(op, node, q, k, v, bias, mask, attention_bias, past_key, past_value, length)


def unpack_heads(op: hub.Builder, x: ir.Value, count: int) -> list[ir.Value]:
    """[batch, length, heads, count, size] as `count` values [batch, length, heads * size]."""
    splits = op.Split(x, axis=3, num_outputs=count, _outputs=count)
    return [op.Reshape(part, ints(0, 0, -1)) for part in splits]
