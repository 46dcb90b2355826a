"""Layers: matrix products, biases, losses, and blocks moved between space, depth and batch."""

from __future__ import annotations

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_int64, constant_ints, ints, permuted
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.blocks import blocks_node
from bridge_savedmodel.import_ops.common import (
    channels_last,
    from_data_format,
    get,
    known_rank,
    to_data_format,
)

ops = OpTable(get)


@ops.op("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", needs=(known_rank(), known_rank(1)))
def matmul(op, node, x, y):
    operands = []
    for value, names in ((x, ("transpose_a", "adj_x")), (y, ("transpose_b", "adj_y"))):
        if any(node.get(n) for n in names):
            rank = rank_of(value)
            value = permuted(op, value, [*range(rank - 2), rank - 1, rank - 2])
        operands.append(value)
    return op.MatMul(*operands)


ops.same(attributes={"equation": "equation"}, Einsum="Einsum", XlaEinsum="Einsum")


@ops.op("BiasAdd", "BiasAddV1", needs=(known_rank(),))
def bias_add(op, node, x, bias):
    if channels_last(node):
        return op.Add(x, bias)
    return op.Add(x, op.Unsqueeze(bias, np.arange(1, rank_of(x) - 1, dtype=np.int64)))


@ops.op("SoftmaxCrossEntropyWithLogits")
def softmax_cross_entropy(op, node, logits, labels):
    logs = op.LogSoftmax(logits, axis=-1)
    loss = op.Neg(op.ReduceSum(op.Mul(labels, logs), ints(-1), keepdims=0))
    return loss, op.Sub(op.Exp(logs), labels)


@ops.op("SparseSoftmaxCrossEntropyWithLogits")
def sparse_softmax_cross_entropy(op, node, logits, labels):
    logs = op.LogSoftmax(logits, axis=-1)
    label_logs = op.GatherElements(logs, op.Unsqueeze(as_int64(op, labels), ints(-1)), axis=1)
    return op.Neg(op.Squeeze(label_logs, ints(-1)))


@ops.op(
    "SpaceToDepth",
    "DepthToSpace",
    needs=(
        known_rank(),
        condition("data_format=NHWC or NCHW", lambda n: n.get("data_format") in ("NHWC", "NCHW")),
    ),
)
def blocks(op, node, x):
    source = from_data_format(op, node, x)
    return to_data_format(op, node, op.node(node.op, source, blocksize=node.get("block_size")))


BLOCK = condition(
    "constant block sizes",
    lambda n: rank_of(n.inputs[0]) is not None and (n.op[-2:] != "ND" or const(n.inputs[1]) is not None),
)


@ops.op("SpaceToBatchND", "BatchToSpaceND", needs=(BLOCK,))
def blocks_of_batch(op, node, x, block, amounts):
    return blocks_node(op, node.op.removesuffix("ND"), x, constant_ints(block), amounts)


@ops.op("SpaceToBatch", "BatchToSpace", needs=(BLOCK,))
def square_blocks(op, node, x, amounts):
    return blocks_node(op, node.op, x, [node.get("block_size")] * 2, amounts)
