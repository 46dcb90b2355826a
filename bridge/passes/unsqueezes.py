"""Unsqueezes joined."""

from __future__ import annotations

import numpy as np

from bridge.hub import const, rank_of
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["MergeUnsqueezes"]

ops = OpTable()


class MergeUnsqueezes(Rewrite):
    """1. An Unsqueeze of an Unsqueeze by constant axes is one."""

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
