"""Convolutions with an activation, normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr
from bridge.importing import ints
from bridge.needs import attribute
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, EPSILON, MS, given, unused

ops = OpTable()

for domain in ("", DOMAIN):
    ops.same(
        domain,
        {"axis": "axis", "epsilon": "epsilon"},
        needs=(unused(1),),
        SimplifiedLayerNormalization="RMSNormalization",
    )


@ops.op(MS + "FusedConv")
def fused_conv(op, node, x, w, bias=None, z=None):
    y = op.Conv(x, w, bias, **given(node, "activation", "activation_params"))
    return activation(op, node, y if z is None else op.Add(y, z))


def activation(op: hub.Builder, node: ir.Node, x: ir.Value) -> Any:
    """The `activation` attribute of a fused operator, applied."""
    name, parameters = attr(node, "activation"), attr(node, "activation_params") or []
    if not name:
        return x
    if name == "Clip":
        return op.Clip(x, *(np.array(p, np.float32) for p in parameters))
    names = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}.get(name, [])
    return op.node(name, x, **dict(zip(names, parameters, strict=False)))


@ops.op(MS + "LayerNormalization")
def layer_normalization(op, node, x, scale, bias=None):
    return op.LayerNormalization(x, scale, bias, **given(node), _outputs=len(node.outputs))


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


@ops.op(MS + "EmbedLayerNormalization", needs=(attribute("mask_index_type", 0),))
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
