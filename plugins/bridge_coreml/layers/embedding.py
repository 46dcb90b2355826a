"""Embeddings."""

from __future__ import annotations

import numpy as np

from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import rank_of, weight

ops = OpTable()


@ops.op("embedding")
def embedding(op, layer, x):
    p, rank = layer.params, rank_of(x) or 4
    table = weight(p.weights, [p.outputChannels, p.inputDim]).T
    indices = op.Squeeze(as_int64(op, x), ints(*range(rank - 3, rank)))
    result = op.Gather(op.const(np.ascontiguousarray(table)), indices, axis=0)
    if p.hasBias:
        result = op.Add(result, op.const(weight(p.bias, [p.outputChannels])))
    return op.Unsqueeze(result, ints(rank - 2, rank - 1))


@ops.op("embeddingND")
def embedding_nd(op, layer, x):
    p, rank = layer.params, rank_of(x) or 2
    table = weight(p.weights, [p.embeddingSize, p.vocabSize]).T
    result = op.Gather(
        op.const(np.ascontiguousarray(table)), op.Squeeze(as_int64(op, x), ints(rank - 1)), axis=0
    )
    return op.Add(result, op.const(weight(p.bias, [p.embeddingSize]))) if p.hasBias else result
