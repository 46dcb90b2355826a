"""Sorting."""

from __future__ import annotations

from bridge.hub import attr, const
from bridge.needs import constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOATS, INTS, MIL, SMALL, TENSOR, axis_of

ops = OpTable()


NUMBERS = dtype(*FLOATS, *INTS, *SMALL)


@ops.op("TopK", needs=(NUMBERS, TENSOR, constant(1, "k")))
def top_k(mil, node, x, k):
    return mil.topk(x=x, k=int(const(k).item()), axis=axis_of(node), ascending=not attr(node, "largest"))


@ops.op(f"{MIL}::ArgSort", needs=(NUMBERS, TENSOR))
def arg_sort(mil, node, x):
    return mil.argsort(x=x, axis=axis_of(node), ascending=bool(attr(node, "ascending")))
