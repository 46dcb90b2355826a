"""Unsqueezes and Transposes joined."""

from __future__ import annotations

import numpy as np

from bridge.hub import attr, const, rank_of
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["JoinMoves"]

ops = OpTable()


class JoinMoves(Rewrite):
    """1. An Unsqueeze of an Unsqueeze by constant axes is one.
    2. A Transpose of a Transpose is one.
    """

    def __init__(self) -> None:
        super().__init__(ops)


@ops.op("Unsqueeze")
def unsqueeze(op, node, x, axes):
    first, rank = x.producer(), rank_of(node.outputs[0])
    if first is None or first.op_type != "Unsqueeze" or first.domain or rank is None:
        return NotImplemented
    outer, inner = const(axes), const(first.inputs[1])
    if outer is None or inner is None:
        return NotImplemented
    added = {int(axis) % rank for axis in outer}
    places = [place for place in range(rank) if place not in added]
    added |= {places[int(axis) % len(places)] for axis in inner}
    return op.Unsqueeze(first.inputs[0], np.array(sorted(added), np.int64))


@ops.op("Transpose")
def transpose(op, node, x):
    first, rank = x.producer(), rank_of(x)
    if first is None or first.op_type != "Transpose" or first.domain or rank is None:
        return NotImplemented
    inner, outer = (attr(one, "perm") or [*range(rank)][::-1] for one in (first, node))
    return op.Transpose(first.inputs[0], perm=[inner[place] for place in outer])
