"""Attention of sequences without their padding, and what takes padding away and puts it back.

Tokens [tokens, width] come with the place each has among padded ones, token_offset [batch, length], where
the places of padding stand last.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, product, reshape, scalar, vector
from bridge.hub import attr, input_at, rank_of, shape_of
from bridge.importing import ints
from bridge.needs import condition, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import MS, alike

ops = OpTable()

INT64 = int(ir.DataType.INT64)


def places_of(op: hub.Builder, x: ir.Value, offsets: ir.Value) -> ir.Value:
    """The place of every token, [tokens]."""
    flat = op.Cast(op.Reshape(offsets, ints(-1)), to=INT64)
    return op.Slice(flat, ints(0), op.Shape(x, start=0, end=1), ints(0))


def padded(op: hub.Builder, x: ir.Value, offsets: ir.Value) -> ir.Value:
    """Tokens [tokens, width] as [batch, length, width], zeros between them."""
    batch, length = lengths(op, offsets)
    width = lengths(op, x)[1]
    blank = op.Expand(alike(op, 0, x), vector(op, [product(op, [batch, length]), width]))
    rows = op.ScatterND(blank, op.Unsqueeze(places_of(op, x, offsets), ints(1)), x)
    return reshape(op, rows, [batch, length, width])


def unpadded(op: hub.Builder, y: ir.Value, x: ir.Value, offsets: ir.Value) -> ir.Value:
    """The rows of `y` [batch, length, width] of the tokens of `x`."""
    batch, length, width = lengths(op, y)
    return op.Gather(reshape(op, y, [product(op, [batch, length]), width]), places_of(op, x, offsets), axis=0)


def attend_packed(
    op: hub.Builder, node: ir.Node, parts: Any, offsets: ir.Value, sums: ir.Value, attention_bias: Any
) -> ir.Value:
    """Attention of query, key and value [tokens, width], in which no token sees padding."""
    q, k, v = (padded(op, part, offsets) for part in parts)
    heads, dtype = attr(node, "num_heads"), q.dtype.numpy()
    counts = op.Sub(op.Slice(sums, ints(1), ints(2**31), ints(0)), op.Slice(sums, ints(0), ints(-1), ints(0)))
    keys = op.Range(op.const(np.array(0)), scalar(op, lengths(op, offsets)[1]), op.const(np.array(1)))
    seen = op.Less(keys, op.Unsqueeze(op.Cast(counts, to=INT64), ints(1, 2, 3)))
    mask = seen
    if attention_bias is not None:
        mask = op.Where(seen, attention_bias, op.const(np.array(-np.inf, dtype)))
    y = op.Attention(q, k, v, mask, q_num_heads=heads, kv_num_heads=heads, scale=attr(node, "scale") or None)
    return unpadded(op, y, parts[0], offsets)


def split_sizes(node: ir.Node) -> list[int] | None:
    """Widths of query, key and value that one product makes."""
    shape = shape_of(node.inputs[1])
    return attr(node, "qkv_hidden_sizes") or (None if shape is None else [shape[1] // 3] * 3)


@ops.op(
    MS + "PackedAttention",
    needs=(rank(2), condition("weights of known shape", lambda n: split_sizes(n) is not None)),
)
def packed_attention(op, node, x, weights, bias, offsets, sums, attention_bias=None):
    projected = op.Add(op.MatMul(x, weights), bias)
    parts = op.Split(projected, ints(*split_sizes(node)), axis=1, _outputs=3)
    return attend_packed(op, node, parts, offsets, sums, attention_bias)


def known_widths(node: ir.Node) -> bool:
    given = [v for v in (input_at(node, i) for i in range(3)) if v is not None]
    return all(v.shape is not None and all(isinstance(n, int) for n in v.shape[1:]) for v in given)


@ops.op(
    MS + "PackedMultiHeadAttention",
    needs=(rank(2, 4), condition("query, key and value of known widths", known_widths)),
)
def packed_multi_head_attention(op, node, q, k, v, bias, offsets, sums, attention_bias=None):
    """Query, key and value apart, or of every head in one: [tokens, heads, 3, size]."""
    parts = [q, k, v]
    if rank_of(q) == 4:
        split = op.Split(q, axis=2, num_outputs=3, _outputs=3)
        tokens, heads, _, size = lengths(op, q)
        parts = [reshape(op, part, [tokens, heads * size]) for part in split]
    if bias is not None:
        widths = [lengths(op, part)[1] for part in parts]
        biases = op.Split(bias, ints(*widths), axis=0, _outputs=3)
        parts = [op.Add(part, b) for part, b in zip(parts, biases, strict=True)]
    return attend_packed(op, node, parts, offsets, sums, attention_bias)


@ops.op(MS + "RestorePadding", needs=(rank(2), rank(2, index=1)))
def restore_padding(op, node, x, offsets):
    return padded(op, x, offsets)


@ops.op(MS + "RemovePadding", needs=(rank(3),))
def remove_padding(op, node, x, counts):
    """The tokens that are none of padding, the places of these and of the others, sums of the counts from 0
    on, and the largest of them."""
    batch, length, width = lengths(op, x)
    dtype, wide = counts.dtype.numpy(), op.Cast(counts, to=INT64)
    number = scalar(op, product(op, [batch, length]))
    places = op.Range(op.const(np.array(0)), number, op.const(np.array(1)))
    within = op.Mod(places, scalar(op, length))
    ends = op.Gather(wide, op.Div(places, scalar(op, length)), axis=0)
    is_token = op.Less(within, ends)
    tokens, padding = (op.Compress(places, flags, axis=0) for flags in (is_token, op.Not(is_token)))
    rows = op.Gather(reshape(op, x, [product(op, [batch, length]), width]), tokens, axis=0)
    offsets = op.CastLike(reshape(op, op.Concat(tokens, padding, axis=0), [batch, length]), counts)
    sums = op.Concat(op.const(np.zeros(1, dtype)), op.CumSum(counts, np.array(0)), axis=0)
    return rows, offsets, sums, op.ReduceMax(counts, keepdims=1)
