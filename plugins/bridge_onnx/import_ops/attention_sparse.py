"""Attention to blocks of keys that are chosen beforehand, by head."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, scalar
from bridge.hub import attr, const
from bridge.importing import ints
from bridge.needs import constant, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.attention_grouped import (
    WIDTH,
    Steps,
    extended,
    filled_part,
    heads_of,
    merged,
    rotation,
    steps_between,
    turned,
)
from bridge_onnx.import_ops.common import MS

ops = OpTable()


def layouts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Blocks of keys that each block of queries sees, [layouts, queries, keys], from the sparse form."""
    count = rows.shape[1] - 1
    dense = np.zeros((len(rows), count, count), bool)
    for layout, (ends, places) in enumerate(zip(rows, columns, strict=True)):
        for query in range(count):
            dense[layout, query, places[ends[query] : ends[query + 1]]] = True
    return dense


def seen(op: hub.Builder, node: ir.Node, steps: Steps, blocks: np.ndarray) -> ir.Value:
    """The keys a token sees, [batch, heads, new, total]: those of its blocks, up to itself."""
    size, heads = attr(node, "sparse_block_size"), attr(node, "num_heads")
    table = op.const(np.repeat(blocks.transpose(1, 0, 2), size, axis=2)[:, np.arange(heads) % len(blocks)])
    places = steps.positions(op)
    rows = op.Gather(table, op.Div(places, op.const(np.array(size))), axis=0)
    end = op.Reshape(scalar(op, steps.total), ints(1))
    chosen = op.Slice(op.Transpose(rows, perm=[0, 2, 1, 3]), ints(0), end, ints(3))
    return op.And(chosen, op.LessOrEqual(arange(op, steps.total), op.Unsqueeze(places, ints(1, 3))))


@ops.op(
    MS + "SparseAttention",
    needs=(rank(3), WIDTH, constant(5, "block_row_indices"), constant(6, "block_col_indices"), rotation(9)),
)
def sparse_attention(op, node, q, k, v, past_key, past_value, rows, columns, total, ends, cos=None, sin=None):
    steps = steps_between(op, q, op.Cast(ends, to=ir.DataType.INT64), total)
    q, k, v = (op.Transpose(x, perm=[0, 2, 1, 3]) for x in heads_of(op, node, q, k, v))
    if attr(node, "do_rotary"):
        q, k = (turned(op, node, x, cos, sin, steps.positions(op)) for x in (q, k))
    keys, values = extended(op, past_key, k, steps), extended(op, past_value, v, steps)
    mask = seen(op, node, steps, layouts(const(rows), const(columns)))
    k, v = (filled_part(op, x, steps) for x in (keys, values))
    return merged(op, op.Attention(q, k, v, mask, scale=attr(node, "scale") or None)), keys, values
