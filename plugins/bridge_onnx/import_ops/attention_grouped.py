"""Attention of grouped heads over a cache of keys and values, as onnxruntime-genai writes it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, length_of, lengths, reshape, scalar, vector
from bridge.hub import attr, input_at, largest
from bridge.importing import ints
from bridge.needs import attribute, condition, rank
from bridge.ops import Need, OpTable
from bridge_onnx.import_ops.common import MS, alike, size_at, sized

ops = OpTable()

INT64 = int(ir.DataType.INT64)
AFTER = 2
"""Of qk_output: what softmax makes of scores, not what it takes."""


class Steps(NamedTuple):
    """Places of new tokens: their number, how many are in every row with them (`ends` [batch]) and without
    (`before` [batch]), the most of `ends`, and whether all are new."""

    new: hub.Length
    ends: ir.Value
    before: ir.Value
    total: hub.Length
    first: ir.Value

    def positions(self, op: hub.Builder) -> ir.Value:
        """The place of every new token, [batch, new]."""
        return op.Add(op.Unsqueeze(self.before, ints(1)), arange(op, self.new))


def steps_between(op: hub.Builder, x: ir.Value, ends: ir.Value, total: ir.Value) -> Steps:
    """Rows that hold `ends` tokens [batch] with the new ones of `x`; padded ones start at 0 all the same when
    all are new."""
    new, most = lengths(op, x)[1], length_of(op, total)
    first = op.Equal(scalar(op, most), scalar(op, new))
    before = op.Where(first, op.const(np.array(0)), op.Sub(ends, scalar(op, new)))
    return Steps(new, ends, before, most, first)


def extended(op: hub.Builder, past: ir.Value | None, new: ir.Value, steps: Steps) -> ir.Value:
    """The cache [batch, heads, length, size] with what is `new`, of the same layout, behind the tokens of
    every row, and zeros behind that. A buffer longer than all tokens keeps its length."""
    if past is None:
        return new
    batch, heads, held, size = lengths(op, past)
    places = op.Unsqueeze(arange(op, largest(held, steps.total)), ints(0))
    before = op.Unsqueeze(steps.before, ints(1))
    behind = op.Sub(places, before)
    filled = op.Less(behind, scalar(op, steps.new))
    index = op.Where(op.Less(behind, op.const(np.array(0))), places, op.Add(behind, scalar(op, held)))
    index = op.Where(filled, index, op.const(np.array(0)))
    rows = op.Add(index, op.Mul(op.Unsqueeze(arange(op, batch), ints(1)), scalar(op, held + steps.new)))
    together = op.Concat(*(op.Transpose(x, perm=[0, 2, 1, 3]) for x in (past, new)), axis=1)
    gathered = op.Gather(reshape(op, together, [batch * (held + steps.new), heads, size]), rows, axis=0)
    nothing = op.const(np.zeros((), new.dtype.numpy()))
    return op.Transpose(op.Where(op.Unsqueeze(filled, ints(2, 3)), gathered, nothing), perm=[0, 2, 1, 3])


def filled_part(op: hub.Builder, x: ir.Value, steps: Steps) -> ir.Value:
    """A buffer [batch, heads, length, size] as far as there are tokens."""
    return op.Slice(x, ints(0), op.Reshape(scalar(op, steps.total), ints(1)), ints(2))


def cached(
    op: hub.Builder, past: ir.Value | None, new: ir.Value, scale: ir.Value | None, steps: Steps
) -> tuple[ir.Value, ir.Value]:
    """The cache with what is `new`, in int8 where it has a scale; and its filled part as it is read."""
    if scale is None:
        whole = extended(op, past, new, steps)
        return whole, whole if past is None else filled_part(op, whole, steps)
    codes = op.Clip(op.Round(op.Div(new, scale)), alike(op, -128, new), alike(op, 127, new))
    whole = extended(op, past, op.Cast(codes, to=int(ir.DataType.INT8)), steps)
    part = whole if past is None else filled_part(op, whole, steps)
    return whole, op.Mul(op.CastLike(part, new), scale)


def merged(op: hub.Builder, y: ir.Value) -> ir.Value:
    """[batch, heads, length, size] as [batch, length, heads · size]."""
    return op.Reshape(op.Transpose(y, perm=[0, 2, 1, 3]), ints(0, 0, -1))


def seen(op: hub.Builder, node: ir.Node, steps: Steps) -> ir.Value:
    """The keys a token sees, [batch, 1, new, total]: those up to itself and not before its window, or with
    causal=0 all of its row."""
    keys = arange(op, steps.total)
    if attr(node, "causal", 1) == 0:
        return op.Less(keys, op.Unsqueeze(steps.ends, ints(1, 2, 3)))
    places, window = op.Unsqueeze(steps.positions(op), ints(1, 3)), attr(node, "local_window_size", -1)
    causal = op.LessOrEqual(keys, places)
    return (
        causal
        if window <= 0
        else op.And(causal, op.Greater(keys, op.Sub(places, op.const(np.array(window)))))
    )


def heads_of(op: hub.Builder, node: ir.Node, q: ir.Value, k: Any, v: Any) -> tuple[ir.Value, ...]:
    """Query, key and value [batch, length, heads, size], of three values or of one that holds them side by
    side."""
    heads, groups = attr(node, "num_heads"), attr(node, "kv_num_heads")
    batch, length, width = lengths(op, q)
    if k is None:
        packed = heads + 2 * groups
        together = reshape(op, q, [batch, length, packed, width // packed])
        return op.Split(together, ints(heads, groups, groups), axis=2, _outputs=3)
    return tuple(
        reshape(op, x, [batch, length, n, width // heads]) for x, n in ((q, heads), (k, groups), (v, groups))
    )


def turned(
    op: hub.Builder, node: ir.Node, x: ir.Value, cos: ir.Value, sin: ir.Value, places: ir.Value
) -> Any:
    """Heads [batch, heads, length, size] turned by their places, as much of them as the tables are wide."""
    width = 2 * lengths(op, cos)[1]
    return op.RotaryEmbedding(
        x,
        cos,
        sin,
        places,
        interleaved=attr(node, "rotary_interleaved", 0),
        rotary_embedding_dim=0 if width == lengths(op, x)[3] else width,
    )


def places_of(op: hub.Builder, steps: Steps, given: ir.Value | None) -> ir.Value:
    """Places of the new tokens as they are given; where all are new the first alone is read."""
    if given is None:
        return steps.positions(op)
    start = op.Slice(op.Reshape(given, ints(-1)), ints(0), ints(1), ints(0))
    return op.Where(steps.first, op.Add(start, steps.positions(op)), given)


def as_bias(op: hub.Builder, allowed: ir.Value, attention_bias: ir.Value | None, dtype: Any) -> ir.Value:
    """The bias of scores: minus infinity where they are not allowed."""
    open_to = op.const(np.zeros((), dtype)) if attention_bias is None else attention_bias
    return op.Where(allowed, open_to, op.const(np.array(-np.inf, dtype)))


def scores_of(op: hub.Builder, node: ir.Node, q: ir.Value, k: ir.Value, bias: ir.Value) -> ir.Value:
    """Scores [batch, heads, new, total], under softcap."""
    batch, heads, new, size = lengths(op, q)
    groups, total = lengths(op, k)[1:3]
    dtype = q.dtype.numpy()
    scaled = op.Mul(q, op.const(np.array(attr(node, "scale") or size**-0.5, dtype)))
    grouped = reshape(op, scaled, [batch, groups, new * (heads // groups), size])
    products = op.MatMul(grouped, op.Transpose(k, perm=[0, 1, 3, 2]))
    scores = reshape(op, products, [batch, heads, new, total])
    if softcap := attr(node, "softcap"):
        limit = op.const(np.array(softcap, dtype))
        scores = op.Mul(op.Tanh(op.Div(scores, limit)), limit)
    return op.Add(scores, bias)


def weights_of(op: hub.Builder, scores: ir.Value, sink: ir.Value | None) -> ir.Value:
    """The weights softmax makes of scores; a `sink` [heads] is one more score of every row, of nothing."""
    if sink is None:
        return op.Softmax(scores, axis=-1)
    batch, heads, new, _ = lengths(op, scores)
    column = op.Expand(reshape(op, sink, [1, heads, 1, 1]), vector(op, [batch, heads, new, 1]))
    return op.Slice(op.Softmax(op.Concat(scores, column, axis=-1), axis=-1), ints(0), ints(-1), ints(3))


def weighted(op: hub.Builder, weights: ir.Value, v: ir.Value) -> ir.Value:
    """Values [batch, groups, total, size] by weights [batch, heads, new, total], summed over the keys."""
    batch, heads, new, total = lengths(op, weights)
    groups, size = lengths(op, v)[1], lengths(op, v)[3]
    grouped = reshape(op, weights, [batch, groups, new * (heads // groups), total])
    return reshape(op, op.MatMul(grouped, v), [batch, heads, new, size])


def smooth(op: hub.Builder, node: ir.Node, sink: ir.Value | None, dtype: Any) -> ir.Value | None:
    """The score of nothing by head: as given, or 0 for a smooth softmax."""
    if sink is None and attr(node, "smooth_softmax") == 1:
        return op.const(np.zeros(attr(node, "num_heads"), dtype))
    return sink


def readable_cache(node: ir.Node) -> bool:
    """Keys and values lie there as floats, or both as int8 with scales."""
    coded = {attr(node, f"{part}_quant_type") or "NONE" for part in "kv"}
    past, scales = input_at(node, 3), [input_at(node, i) for i in (12, 13)]
    if coded == {"NONE"}:
        return scales == [None, None]
    int8 = past is None or past.dtype == ir.DataType.INT8
    return "NONE" not in coded and int8 and None not in scales and attr(node, "kv_cache_bit_width", 8) == 8


WIDTH = sized(0, 2, "a query")


def rotation(index: int) -> Need:
    """Tables from input `index` on are of known width where they turn heads."""
    return condition(
        "rotation tables of known width",
        lambda n: not attr(n, "do_rotary") or size_at(input_at(n, index), 1) is not None,
    )


@ops.op(
    MS + "GroupQueryAttention",
    needs=(
        rank(3),
        WIDTH,
        condition("a cache of floats, or of int8 of 8 bits", readable_cache),
        attribute("sliding_window_cache", 0),
        rotation(7),
    ),
)
def group_query_attention(
    op, node, q, k, v, past_key, past_value, row_lengths, total, cos=None, sin=None, position_ids=None,
    attention_bias=None, sink=None, k_scale=None, v_scale=None, q_norm=None, k_norm=None,
):  # fmt: skip
    ends = op.Add(op.Cast(op.Reshape(row_lengths, ints(-1)), to=INT64), ints(1))
    steps, dtype = steps_between(op, q, ends, total), q.dtype.numpy()
    q, k, v = heads_of(op, node, q, k, v)
    if q_norm is not None:
        epsilon = attr(node, "qk_norm_epsilon", 1e-6)
        q, k = (op.RMSNormalization(x, w, axis=-1, epsilon=epsilon) for x, w in ((q, q_norm), (k, k_norm)))
    q, k, v = (op.Transpose(x, perm=[0, 2, 1, 3]) for x in (q, k, v))
    if attr(node, "do_rotary"):
        places = places_of(op, steps, position_ids)
        q, k = (turned(op, node, x, cos, sin, places) for x in (q, k))
    keys, k = cached(op, past_key, k, k_scale, steps)
    values, v = cached(op, past_value, v, v_scale, steps)
    scores, y = None, None
    sink, allowed = smooth(op, node, sink, dtype), seen(op, node, steps)
    if sink is None and not attr(node, "softcap") and len(node.outputs) < 4:
        mask = allowed if attention_bias is None else as_bias(op, allowed, attention_bias, dtype)
        y = op.Attention(q, k, v, mask, scale=attr(node, "scale") or None)
    else:
        scores = scores_of(op, node, q, k, as_bias(op, allowed, attention_bias, dtype))
        weights = weights_of(op, scores, sink)
        y = weighted(op, weights, v)
        nothing = op.const(np.zeros((), dtype))
        scores = weights if attr(node, "qk_output") == AFTER else op.Where(allowed, scores, nothing)
    return merged(op, y), keys, values, scores
