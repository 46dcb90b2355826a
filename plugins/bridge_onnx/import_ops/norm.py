"""Normalizations, with what is added before and what gates them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, reshape
from bridge.hub import attr, rank_of, shape_of
from bridge.importing import ints
from bridge.needs import condition, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import (
    DOMAIN,
    EPSILON,
    MS,
    channels_last,
    node_attributes,
    sized,
    static,
    unused,
)

ops = OpTable()

for domain in ("", DOMAIN):
    ops.same(
        domain,
        {"axis": "axis", "epsilon": "epsilon"},
        needs=(unused(1),),
        SimplifiedLayerNormalization="RMSNormalization",
    )


@ops.op(MS + "LayerNormalization")
def layer_normalization(op, node, x, scale, bias=None):
    return op.LayerNormalization(x, scale, bias, **node_attributes(node), _outputs=len(node.outputs))


@ops.op(MS + "SkipLayerNormalization", needs=(unused(1, 2),))
def skip_layer_normalization(op, node, x, skip, gamma, beta=None, bias=None):
    total = op.Add(x, skip)
    total = total if bias is None else op.Add(total, bias)
    y = op.LayerNormalization(total, gamma, beta, axis=-1, epsilon=attr(node, "epsilon", EPSILON))
    return y, None, None, total


@ops.op(MS + "SkipSimplifiedLayerNormalization", needs=(unused(1, 2),))
def skip_simplified_layer_normalization(op, node, x, skip, gamma, bias=None):
    total = op.Add(x, skip)
    total = total if bias is None else op.Add(total, bias)
    y = op.RMSNormalization(total, gamma, axis=-1, epsilon=attr(node, "epsilon", EPSILON))
    return y, None, None, total


@ops.op(MS + "EmbedLayerNormalization")
def embed_layer_normalization(
    op, node, ids, segments, words, positions, segment_table, gamma, beta, mask=None, position_ids=None
):
    if position_ids is None:
        length = op.Squeeze(op.Shape(ids, start=1, end=2), ints(0))
        position_ids = op.Range(np.array(0, np.int64), length, np.array(1, np.int64))
    total = op.Add(op.Gather(words, ids), op.Gather(positions, position_ids))
    if segments is not None:
        total = op.Add(total, op.Gather(segment_table, segments))
    y = op.LayerNormalization(total, gamma, beta, axis=-1, epsilon=attr(node, "epsilon", EPSILON))
    if mask is not None:
        count = op.ReduceSum(mask, ints(1), keepdims=0)
    else:
        count = op.Expand(np.array([0], np.int32), op.Shape(ids, start=0, end=1))
    return y, count, total


@ops.op(MS + "QEmbedLayerNormalization")
def quantized_embed_layer_normalization(op, node, ids, segments, *rest):
    """Tables and parameters of bytes: word, position, segment, gamma, beta; behind the mask their scales and
    zero points."""
    mask, places = (*rest, None)[5], (0, 1, 2, 3, 4)
    tables = [
        None if rest[i] is None else op.DequantizeLinear(rest[i], rest[6 + i], rest[11 + i]) for i in places
    ]
    return embed_layer_normalization(op, node, ids, segments, *tables, mask)


def rms(op: hub.Builder, x: ir.Value, epsilon: float) -> ir.Value:
    """`x` in float32, over the root of the mean of its squares along the last axis."""
    wide = op.Cast(x, to=ir.DataType.FLOAT)
    mean = op.ReduceMean(op.Mul(wide, wide), ints(-1), keepdims=1)
    return op.Div(wide, op.Sqrt(op.Add(mean, np.array(epsilon, np.float32))))


def grouped(op: hub.Builder, x: ir.Value, width: int) -> ir.Value:
    """The last axis cut into parts of `width`, a rank more."""
    *outer, last = lengths(op, x)
    return reshape(op, x, [*outer, last // width, width])


WIDTH = sized(0, -1, "an input")


@ops.op(MS + "GatedRMSNorm", needs=(WIDTH, static(1, "a scale")))
def gated_rms_norm(op, node, x, scale, gate):
    epsilon, size = attr(node, "epsilon", 1e-5), shape_of(scale)[0]
    y = op.Mul(rms(op, grouped(op, x, size), epsilon), op.Cast(scale, to=ir.DataType.FLOAT))
    wide = op.Cast(gate, to=ir.DataType.FLOAT)
    opened = op.Sigmoid(wide)
    if attr(node, "activation", "silu") != "sigmoid":
        opened = op.Mul(wide, opened)
    return op.Cast(op.Mul(reshape(op, y, lengths(op, x)), opened), to=x.dtype)


def in_branches(op: hub.Builder, node: ir.Node, x: ir.Value) -> tuple[ir.Value, list[Any]]:
    """`x` [..., branches, width], and the shape it has: flattened, num_branches says how many there are."""
    sizes, branches = lengths(op, x), attr(node, "num_branches") or 0
    return (grouped(op, x, sizes[-1] // branches) if branches else x), sizes


@ops.op(MS + "BranchwiseRMSNorm", needs=(WIDTH,))
def branchwise_rms_norm(op, node, x, scale=None):
    branches, sizes = in_branches(op, node, x)
    y = rms(op, branches, attr(node, "epsilon", 1e-5))
    if scale is not None:
        wide, (count, width) = op.Cast(scale, to=ir.DataType.FLOAT), lengths(op, branches)[-2:]
        flat = rank_of(scale) == 1 and shape_of(scale) != [width]
        y = op.Mul(y, reshape(op, wide, [count, width]) if flat else wide)
    return op.Cast(reshape(op, y, sizes), to=x.dtype)


@ops.op(MS + "HyperConnectionPreMix", needs=(WIDTH,))
def hyper_connection_pre_mix(op, node, x, mix):
    """The branches of `x`, weighed and added up."""
    branches, _ = in_branches(op, node, x)
    weights = of_branches(op, mix, branches)
    total = op.ReduceSum(op.Mul(op.Cast(branches, to=ir.DataType.FLOAT), weights), ints(-2), keepdims=0)
    return op.Cast(op.Mul(total, np.array(attr(node, "reduction_scale", 1.0), np.float32)), to=x.dtype)


def of_branches(op: hub.Builder, mix: ir.Value, branches: ir.Value) -> ir.Value:
    """Weights in float32 that go with branches [..., count, width]: one of each, or of each element."""
    wide, (*outer, count, width) = op.Cast(mix, to=ir.DataType.FLOAT), lengths(op, branches)
    if rank_of(mix) == len(outer) + 2:
        return wide
    return reshape(op, wide, [*outer, count, 1 if lengths(op, mix)[-1] == count else width])


@ops.op(MS + "HyperConnectionPostMix", needs=(WIDTH,))
def hyper_connection_post_mix(op, node, x, block, mix, stream_mix=None):
    """The branches of `x`, mixed among themselves, and a block added to each by weight."""
    branches, sizes = in_branches(op, node, x)
    wide, added = (op.Cast(v, to=ir.DataType.FLOAT) for v in (branches, block))
    if stream_mix is not None:
        mixing = op.Cast(stream_mix, to=ir.DataType.FLOAT)
        order = [*range(rank_of(mixing) - 2), rank_of(mixing) - 1, rank_of(mixing) - 2]
        wide = op.MatMul(op.Transpose(mixing, perm=order), wide)
    y = op.Add(wide, op.Mul(of_branches(op, mix, branches), op.Unsqueeze(added, ints(-2))))
    return op.Cast(reshape(op, y, sizes), to=x.dtype)


@ops.op(MS + "EngramGate", needs=(rank(4), WIDTH))
def engram_gate(op, node, key, query, value, key_scale, query_scale, conv_scale=None):
    epsilon, wide = attr(node, "epsilon", 1e-5), ir.DataType.FLOAT
    scaled = [
        op.Mul(rms(op, x, epsilon), op.Cast(scale, to=wide))
        for x, scale in ((key, key_scale), (query, query_scale))
    ]
    dot = op.ReduceSum(op.Mul(*scaled), ints(-1), keepdims=1)
    dot = op.Div(dot, np.array(np.sqrt(lengths(op, key)[-1]), np.float32))
    root = op.Sqrt(op.Max(op.Abs(dot), np.array(1e-6, np.float32)))
    gate = op.Sigmoid(op.Mul(op.Sign(dot), root))
    y = op.Mul(gate, op.Unsqueeze(op.Cast(value, to=wide), ints(2)))
    normed = None
    if conv_scale is not None:
        normed = op.Cast(op.Mul(rms(op, y, epsilon), op.Cast(conv_scale, to=wide)), to=key.dtype)
    return op.Cast(y, to=key.dtype), normed


@ops.op(MS + "GroupNorm", needs=(rank(4),))
def group_norm(op, node, x, gamma, beta):
    return grouped_norm(op, node, x, gamma, beta)


@ops.op(MS + "SkipGroupNorm", needs=(rank(4),))
def skip_group_norm(op, node, x, gamma, beta, skip, bias=None):
    last = attr(node, "channels_last", 1)
    if rank_of(skip) == 2:
        skip = op.Unsqueeze(skip, ints(1, 2) if last else ints(2, 3))
    total = op.Add(x, skip)
    if bias is not None:
        total = op.Add(total, bias if last else op.Unsqueeze(bias, ints(1, 2)))
    return grouped_norm(op, node, total, gamma, beta), total


def grouped_norm(op: hub.Builder, node: ir.Node, x: ir.Value, gamma: ir.Value, beta: ir.Value) -> ir.Value:
    """GroupNormalization of channels last or first, and SiLU behind it where asked for."""

    def compute(data: ir.Value) -> ir.Value:
        parameters = (op.CastLike(v, data) for v in (gamma, beta))
        epsilon = attr(node, "epsilon", 1e-5)
        y = op.GroupNormalization(data, *parameters, num_groups=attr(node, "groups"), epsilon=epsilon)
        return op.Mul(y, op.Sigmoid(y)) if attr(node, "activation") == 1 else y

    return channels_last(op, x, compute) if attr(node, "channels_last", 1) else compute(x)


ANCIENT = condition(
    "a form older than opset 9",
    lambda n: "across_channels" in n.attributes or "normalize_variance" in n.attributes,
)


@ops.op("MeanVarianceNormalization", needs=(ANCIENT, rank(4)))
def mean_variance_normalization(op, node, x):
    """Over the batch and the image, and over channels where asked for; the mean alone is taken away where the
    variance stays."""
    axes = ints(0, 1, 2, 3) if attr(node, "across_channels", 0) else ints(0, 2, 3)
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    if not attr(node, "normalize_variance", 1):
        return centred
    return op.Div(centred, op.Sqrt(op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)))
