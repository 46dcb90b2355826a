"""Attention whose past is one matrix for every head, updated token by token."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.dims import lengths, reshape, vector
from bridge.hub import attr, input_at
from bridge.importing import ints
from bridge.needs import attribute, condition, rank
from bridge.ops import OpTable
from bridge.passes.decompose.recurrent import walked
from bridge_onnx.import_ops.common import MS, alike, size_at, sized

ops = OpTable()


class Heads(NamedTuple):
    """Numbers of the heads of queries, and of keys and values; and their sizes."""

    queries: int
    values: int
    key_size: int
    value_size: int

    @classmethod
    def of(cls, node: ir.Node) -> Heads:
        queries, values = attr(node, "q_num_heads"), attr(node, "kv_num_heads")
        query, value = (size_at(node.inputs[i], 2) or 0 for i in (0, 2))
        return cls(queries, values, query // queries, value // values)


def known(index: int, node: ir.Node) -> bool:
    """Input `index` is absent, or of known width."""
    value = input_at(node, index)
    return value is None or size_at(value, 2) is not None


@ops.op(
    MS + "LinearAttention",
    needs=(
        rank(3),
        *(sized(i, 2, name) for i, name in enumerate(("a query", "a key", "a value"))),
        *(condition(f"a {n} of known size", partial(known, i)) for i, n in ((4, "decay"), (5, "beta"))),
        attribute("state_window", 0),
        attribute("update_rule", "gated_delta", "linear", "gated", "delta"),
    ),
)
def linear_attention(op, node, q, k, v, past=None, decay=None, beta=None):
    """A key writes its value into the matrix, or the value less what the matrix answers to it already; before
    that the matrix fades. A query reads it."""
    heads, (batch, steps, _) = Heads.of(node), lengths(op, q)
    if past is None:
        sizes = [batch, heads.values, heads.key_size, heads.value_size]
        past = op.Expand(alike(op, 0, q), vector(op, sizes))
    parts = [part for part in (q, k, v, decay, beta) if part is not None]
    widths = [lengths(op, part)[2] for part in parts]
    together = op.Transpose(op.Concat(*parts, axis=2), perm=[1, 0, 2])
    is_there = [True, True, True, decay is not None, beta is not None]

    def step(inner: hub.Builder, at: Any, element: ir.Value, states: list) -> tuple[ir.Value, list]:
        split = iter(inner.Split(element, ints(*widths), axis=1, _outputs=len(widths)))
        token = [next(split) if there else None for there in is_there]
        state = written(inner, heads, states[0], *token[1:])
        return answered(inner, heads, state, token[0], attr(node, "scale")), [state]

    y, (state,) = walked(op, together, steps, [past], step)
    return op.Transpose(y, perm=[1, 0, 2]), state


def by_head(op: hub.Builder, x: ir.Value, count: int, *sizes: int) -> ir.Value:
    """[batch, width] as [batch, count, …]."""
    return reshape(op, x, [lengths(op, x)[0], count, *sizes])


def written(
    op: hub.Builder, heads: Heads, state: ir.Value, key: ir.Value, value: ir.Value, decay: Any, beta: Any
) -> ir.Value:
    """The matrix [batch, heads, key, value] after one token."""
    column = by_head(op, key, heads.values, heads.key_size, 1)
    row = by_head(op, value, heads.values, 1, heads.value_size)
    if decay is not None:
        rates = lengths(op, decay)[1] // heads.values
        state = op.Mul(state, op.Exp(by_head(op, decay, heads.values, rates, 1)))
    if beta is not None:
        known = op.MatMul(op.Transpose(column, perm=[0, 1, 3, 2]), state)
        row = op.Mul(op.Sub(row, known), by_head(op, beta, lengths(op, beta)[1], 1, 1))
    return op.Add(state, op.Mul(column, row))


def answered(op: hub.Builder, heads: Heads, state: ir.Value, query: ir.Value, scale: Any) -> ir.Value:
    """The answer of the matrix to one query, [batch, width]; of more matrices than queries, or fewer, several
    share one."""
    count = max(heads.queries, heads.values)
    row = by_head(op, query, heads.queries, 1, heads.key_size)
    row = op.Mul(row, alike(op, scale or heads.key_size**-0.5, query))
    if heads.queries != heads.values:
        row = op.Gather(row, np.arange(count) * heads.queries // count, axis=1)
        state = op.Gather(state, np.arange(count) * heads.values // count, axis=1)
    return reshape(op, op.MatMul(row, state), [lengths(op, query)[0], count * heads.value_size])
