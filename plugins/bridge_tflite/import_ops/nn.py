"""Fully connected layers, matrix products, Softmax."""

from __future__ import annotations

from bridge.hub import rank_of
from bridge.importing import permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FUSED, activate, mark_hybrid

ops = OpTable()


@ops.op(
    "FULLY_CONNECTED",
    needs=(FUSED, condition("weights in the default format", lambda n: n.get("weightsFormat", 0) == 0)),
)
def fully_connected(op, node, x, w, bias=None):
    if not node.get("keepNumDims", False) and rank_of(x) != 2:
        x = op.Reshape(x, [-1, node.shape(1)[1]])
    y = mark_hybrid(node, op.MatMul(x, permuted(op, w, [1, 0])), 1)
    return activate(op, node, y if bias is None else op.Add(y, bias))


@ops.op("BATCH_MATMUL")
def batch_matmul(op, node, x, y):
    def transpose_last(value):
        rank = rank_of(value)
        return op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])

    x = transpose_last(x) if node.get("adjX", False) else x
    return mark_hybrid(node, op.MatMul(x, transpose_last(y) if node.get("adjY", False) else y), 1)


@ops.op("SOFTMAX")
def softmax(op, node, x):
    beta = float(node.get("beta", 1.0))
    return op.Softmax(x if beta == 1 else op.Mul(x, beta), axis=-1)


ops.same(LOG_SOFTMAX="LogSoftmax")
