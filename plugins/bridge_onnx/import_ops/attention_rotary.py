"""Rotary embeddings of com.microsoft. Their `scale` and `is_packed_batching` change no number that ONNX
Runtime computes."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import arange, lengths, reshape, vector
from bridge.hub import attr, rank_of
from bridge.importing import ints
from bridge.needs import condition, rank
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import MS, size_at

ops = OpTable()


def head_size(node: ir.Node) -> int | None:
    """The size of a head; None where it is unknown."""
    x, tables = node.inputs[0], node.inputs[2]
    if rank_of(x) == 4:
        return size_at(x, 3)
    width, heads, half = size_at(x, 2), attr(node, "num_heads"), size_at(tables, 1)
    if heads and width is not None:
        return width // heads
    return None if half is None or attr(node, "rotary_embedding_dim") else 2 * half


def fitting_tables(node: ir.Node) -> bool:
    size, half = head_size(node), size_at(node.inputs[2], 1)
    turned = attr(node, "rotary_embedding_dim") or size
    return None not in (size, half) and 2 * half == turned  # type: ignore[operator]


NEEDS = (
    rank(3, 4),
    rank(2, index=2),
    condition("heads of known size, and tables half as wide as what is turned of them", fitting_tables),
)


def turn(op: hub.Builder, node: ir.Node, x: ir.Value, cos: ir.Value, sin: ir.Value, *positions: Any) -> Any:
    """Heads turned: of rank 4 [batch, heads, length, size], of rank 3 [batch, length, heads · size]."""
    turned, interleaved = attr(node, "rotary_embedding_dim") or 0, attr(node, "interleaved") or 0
    size = cast(int, head_size(node))
    options = {"interleaved": interleaved, "rotary_embedding_dim": 0 if turned == size else turned}
    if rank_of(x) == 4:
        return op.RotaryEmbedding(x, cos, sin, *positions, **options)
    batch, length, width = lengths(op, x)
    if isinstance(width, int):
        return op.RotaryEmbedding(x, cos, sin, *positions, num_heads=width // size, **options)
    heads = op.Transpose(reshape(op, x, [batch, length, width // size, size]), perm=[0, 2, 1, 3])
    y = op.RotaryEmbedding(heads, cos, sin, *positions, **options)
    return reshape(op, op.Transpose(y, perm=[0, 2, 1, 3]), [batch, length, width])


@ops.op(MS + "RotaryEmbedding", needs=NEEDS)
def rotary_embedding(op, node, x, positions, cos, sin):
    if rank_of(positions) != 2:
        batch, length = lengths(op, x)[0], lengths(op, x)[2 if rank_of(x) == 4 else 1]
        steps = op.Add(arange(op, length), op.Reshape(positions, ints(1)))
        positions = op.Expand(op.Unsqueeze(steps, ints(0)), vector(op, [batch, length]))
    return turn(op, node, x, cos, sin, positions)


def stream_of(sections: list[int], layout: int) -> np.ndarray:
    """The one of three positions that every column of the tables is turned by: in parts one after another, or
    by turns as far as the parts of the second and third reach."""
    if layout == 0:
        return np.repeat(np.arange(3), sections)
    streams = np.zeros(sum(sections), np.int64)
    for stream in (1, 2):
        streams[stream : 3 * sections[stream] : 3] = stream
    return streams


@ops.op(MS + "MRotaryEmbedding", needs=(*NEEDS, rank(3, index=1)))
def rotary_embedding_of_three_positions(op, node, x, positions, cos, sin):
    """Time, height and width; every column of the tables is read at one of them."""
    streams = stream_of(attr(node, "mrope_section"), attr(node, "mrope_layout") or 0)
    tables = []
    for table in (cos, sin):
        parts = op.Split(op.Gather(table, positions, axis=0), axis=0, num_outputs=3, _outputs=3)
        time, height, width = (op.Squeeze(part, ints(0)) for part in parts)
        tables.append(op.Where(op.const(streams == 0), time, op.Where(op.const(streams == 1), height, width)))
    return turn(op, node, x, *tables)


@ops.op(MS + "GemmaRotaryEmbedding")
def gemma_rotary_embedding(op, node, angles, q, q_turned, k, k_turned):
    cos, sin = (op.Unsqueeze(op.CastLike(f(angles), q), ints(1)) for f in (op.Cos, op.Sin))
    pairs = ((q, q_turned), (k, k_turned))
    return tuple(op.Add(op.Mul(x, cos), op.Mul(turned, sin)) for x, turned in pairs)
