"""Products of matrices and vectors."""

from __future__ import annotations

import numpy as np

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import rank_of, weight

ops = OpTable()


@ops.op("batchedMatmul")
def batched_matmul(op, layer, x, y=None):
    p = layer.params
    if y is None:
        kernel = weight(p.weights, [p.weightMatrixSecondDimension, p.weightMatrixFirstDimension])
        product = op.MatMul(x, op.const(np.ascontiguousarray(kernel.T)))
        return (
            op.Add(product, op.const(weight(p.bias, [p.weightMatrixSecondDimension])))
            if p.hasBias
            else product
        )
    operands = []
    for value, is_transposed in ((x, p.transposeA), (y, p.transposeB)):
        rank = rank_of(value) or 2
        operands.append(
            op.Transpose(value, perm=[*range(rank - 2), rank - 1, rank - 2])
            if is_transposed and rank > 1
            else value
        )
    for i, axis in enumerate((0, 1)):
        if rank_of(operands[i]) == 1:
            operands[i] = op.Unsqueeze(operands[i], ints(axis))
    return op.MatMul(*operands)


@ops.op("dot")
def dot(op, layer, x, y):
    def total(a, b):
        return op.ReduceSum(op.Mul(a, b), ints(-3), keepdims=1)

    result = total(x, y)
    if layer.params.cosineSimilarity:
        result = op.Div(result, op.Sqrt(op.Mul(total(x, x), total(y, y))))
    return result
