"""Layers: matrix products, biases, losses, and blocks moved between space, depth and batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge import dims
from bridge.hub import const, rank_of
from bridge.importing import as_int64, constant_ints, ints, permuted
from bridge.needs import condition
from bridge.ops import OpTable
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


def _has_constant_arguments(node: Any) -> bool:
    return rank_of(node.inputs[0]) is not None and all(const(v) is not None for v in node.inputs[1:])


CONSTANTS = condition("constant block sizes and amounts", _has_constant_arguments)


@ops.op("SpaceToBatchND", needs=(CONSTANTS,))
def space_to_batch(op, node, x, block, paddings):
    sizes, count = constant_ints(block), len(constant_ints(block))
    table = np.zeros((rank_of(x), 2), np.int64)
    table[1 : count + 1] = const(paddings)
    x = op.Pad(x, op.const(np.ascontiguousarray(table.T).ravel())) if table.any() else x
    lengths = dims.lengths(op, x)
    split_lengths = [p for i, b in enumerate(sizes) for p in (lengths[i + 1] // b, b)]
    other_lengths = lengths[count + 1 :]
    split = dims.reshape(op, x, [lengths[0], *split_lengths, *other_lengths])
    order = [
        *range(2, 2 * count + 1, 2),
        0,
        *range(1, 2 * count, 2),
        *range(2 * count + 1, 2 * count + 1 + len(other_lengths)),
    ]
    batch = lengths[0] * math.prod(sizes)
    return dims.reshape(op, op.Transpose(split, perm=order), [batch, *split_lengths[::2], *other_lengths])


@ops.op("BatchToSpaceND", needs=(CONSTANTS,))
def batch_to_space(op, node, x, block, crops):
    sizes, count = constant_ints(block), len(constant_ints(block))
    lengths = dims.lengths(op, x)
    other_lengths = lengths[count + 1 :]
    batch = lengths[0] // math.prod(sizes)
    split = dims.reshape(op, x, [*sizes, batch, *lengths[1 : count + 1], *other_lengths])
    pairs = [a for i in range(count) for a in (count + 1 + i, i)]
    order = [count, *pairs, *range(2 * count + 1, 2 * count + 1 + len(other_lengths))]
    merged_lengths = [d * b for d, b in zip(lengths[1 : count + 1], sizes, strict=True)]
    merged = dims.reshape(op, op.Transpose(split, perm=order), [batch, *merged_lengths, *other_lengths])
    table = const(crops)
    if not table.any():
        return merged
    ends = [2**31 - 1 if not c else -int(c) for c in table[:, 1]]
    return op.Slice(
        merged, op.const(table[:, 0].astype(np.int64)), ints(*ends), np.arange(1, count + 1, dtype=np.int64)
    )


@ops.op("SpaceToBatch", "BatchToSpace", needs=(CONSTANTS,))
def square_blocks(op, node, x, amounts):
    block = op.const(ints(node.get("block_size"), node.get("block_size")))
    return (space_to_batch if node.op == "SpaceToBatch" else batch_to_space)(op, node, x, block, amounts)
