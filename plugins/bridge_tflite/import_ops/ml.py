"""Embeddings, lookups in sorted keys, locality-sensitive hashing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import BOOL, DOUBLE, FLOAT, INT32, INT64, UINT32, arange
from bridge_tflite.import_ops.math_bitcast import HashKey, split_bits

ops = OpTable()

SUM, MEAN, SQRTN = range(3)
UINT8 = 2
SPARSE, DENSE = 1, 2


@ops.op("EMBEDDING_LOOKUP")
def embedding_lookup(op, node, ids, table):
    return op.Gather(table, ids, axis=0)


@ops.op(
    "EMBEDDING_LOOKUP_SPARSE",
    needs=(condition("indices of known rank", lambda n: n.shape(1)[1] is not None),),
)
def embedding_lookup_sparse(op, node, ids, indices, shape, weights, table):
    """Weighted rows of the table, combined over the last dimension of their indices."""
    combiner, outer = node.get("combiner", SUM), node.shape(1)[1] - 1
    positions = op.Slice(op.Cast(indices, to=INT64), ints(0), ints(outer), ints(1))
    bounds = op.Slice(op.Cast(shape, to=INT64), ints(0), ints(outer), ints(0))
    inner = op.Shape(table, start=1)
    depth = rank_of(table) - 1
    tall = op.Reshape(weights, ints(-1, *[1] * depth))
    rows = op.Mul(op.Gather(table, ids, axis=0), tall)
    zeros = op.Expand(np.float32(0), op.Concat(bounds, inner, axis=0))
    total = op.ScatterND(zeros, positions, rows, reduction="add")
    if combiner == SUM:
        return total
    weight = weights if combiner == MEAN else op.Mul(weights, weights)
    divisor = op.ScatterND(op.Expand(np.float32(0), bounds), positions, weight, reduction="add")
    divisor = op.Sqrt(divisor) if combiner == SQRTN else divisor
    hit = op.ScatterND(
        op.Expand(np.float32(0), bounds), positions, op.Add(op.Mul(weights, np.float32(0)), np.float32(1))
    )
    divisor = op.Where(op.Greater(hit, np.float32(0)), divisor, np.float32(1))
    return op.Div(total, op.Unsqueeze(divisor, list(range(outer, outer + depth))) if depth else divisor)


@ops.op("HASHTABLE_LOOKUP", needs=(condition("values of numbers", lambda n: n.type(2) != "STRING"),))
def hashtable_lookup(op, node, lookup, keys, values):
    """Rows of `values` by key, zeros for an unknown key; and uint8 hits."""
    same = op.Equal(op.Unsqueeze(lookup, ints(1)), op.Unsqueeze(keys, ints(0)))
    marks = op.Cast(same, to=FLOAT)
    hits = op.ReduceMax(marks, ints(1), keepdims=0)
    rows = op.Gather(values, op.ArgMax(marks, axis=1, keepdims=0), axis=0)
    matches = op.Reshape(op.Cast(hits, to=BOOL), ints(-1, *[1] * (rank_of(values) - 1)))
    zero = np.zeros((), values.dtype.numpy())
    return op.Where(matches, rows, zero), op.Cast(hits, to=UINT8)


def _key_bytes(node: Any) -> int:
    """Bytes of a seed and one item of LSH_PROJECTION together; 0 if known at run time only."""
    lengths, dtype = node.shape(1)[1:], node.type(1)
    known = dtype not in ("STRING", "INT2", "INT4", "UINT4") and node.shape(1) and None not in lengths
    return 4 + math.prod(lengths) * (node.dtype(1).bitwidth // 8) if known else 0


def _has_32_bit_signatures(node: Any) -> bool:
    """True if number and bits of the hash functions of LSH_PROJECTION are known and fit 32 bits."""
    shape = node.shape(0)
    if len(shape) != 2 or None in shape or node.type(0) != "FLOAT32":
        return False
    return node.get("type") == DENSE or shape[1] + math.ceil(math.log2(max(shape[0], 1))) <= 32


@ops.op(
    "LSH_PROJECTION",
    needs=(
        condition("type=SPARSE or DENSE", lambda n: n.get("type") in (SPARSE, DENSE)),
        condition(
            "hash functions of known shape, their signatures of 32 bits at most", _has_32_bit_signatures
        ),
        condition(
            "items of known length, of 4092 bytes at most and no text", lambda n: 0 < _key_bytes(n) <= 4096
        ),
    ),
)
def lsh_projection(op, node, seeds, items, weights=None):
    """Bits: the sign of the weighted sum of the fingerprints of each seed with every item."""
    (count, width), length = node.shape(0), _key_bytes(node)
    head = op.Reshape(split_bits(op, seeds, 8), ints(-1, 1, 4))
    tail = op.Reshape(split_bits(op, items, 8), ints(1, -1, length - 4)) if length > 4 else None
    total = op.Slice(op.Shape(items), ints(0), ints(1))
    rows = op.Concat(ints(count * width), total, ints(1), axis=0)
    keys = [op.Expand(v, rows) for v in (head, tail) if v is not None]
    marks = op.Cast(HashKey(op, op.Concat(*keys, axis=-1), length).value(), to=DOUBLE)
    marks = marks if weights is None else op.Mul(marks, op.Cast(weights, to=DOUBLE))
    score = op.Gather(op.CumSum(marks, np.int64(1)), np.int64(-1), axis=1)
    bits = op.Greater(score, np.float64(0))
    if node.get("type") == DENSE:
        return op.Cast(bits, to=INT32)
    powers = op.const(2 ** np.arange(width - 1, -1, -1, dtype=np.int64))
    signs = op.MatMul(op.Reshape(op.Cast(bits, to=INT64), ints(count, width)), powers)
    signs = op.Add(signs, op.const(arange(count) << width))
    return op.BitCast(op.Cast(signs, to=UINT32), to=INT32)
