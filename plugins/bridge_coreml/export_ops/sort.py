"""Sorting."""

from __future__ import annotations

from bridge.hub import attr, const
from bridge.needs import constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOATS, INTS, SMALL, TENSOR, axis_of

ops = OpTable()


@ops.op("TopK", needs=(dtype(*FLOATS, *INTS, *SMALL), TENSOR, constant(1, "k")))
def top_k(mil, node, x, k):
    return mil.topk(x=x, k=int(const(k).item()), axis=axis_of(node), ascending=not attr(node, "largest"))
