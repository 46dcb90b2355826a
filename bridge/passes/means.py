"""Means that are one operator."""

from __future__ import annotations

import numpy as np

from bridge.hub import attr, const, input_at, rank_of
from bridge.needs import dtype
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["RaiseMeans"]

ops = OpTable()


class RaiseMeans(Rewrite):
    """1. A mean of means, of which nothing else reads, is one over all of their dimensions.

    2. A mean over all dimensions of images, of which none goes, is GlobalAveragePool.
    """

    precedes = ("ChannelsLast", "Decompose")

    def __init__(self) -> None:
        super().__init__(ops)


@ops.op("ReduceMean", needs=(dtype("float"),))
def mean(op, node, x, axes=None):
    rank, over = rank_of(x), const(axes)
    if not rank or over is None or not over.size or not attr(node, "keepdims"):
        return NotImplemented
    dims = {int(a) % rank for a in over.ravel()}
    inner = x.producer()
    if inner is not None and (inner.op_type, inner.domain) == ("ReduceMean", "") and len(x.uses()) == 1:
        first = const(input_at(inner, 1))
        if first is not None and first.size and attr(inner, "keepdims") and not x.is_graph_output():
            both = sorted(dims | {int(a) % rank for a in first.ravel()})
            return op.ReduceMean(inner.inputs[0], np.array(both, np.int64), keepdims=1)
    return op.GlobalAveragePool(x) if rank > 3 and dims == set(range(2, rank)) else NotImplemented
