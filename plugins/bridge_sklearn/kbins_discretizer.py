"""KBinsDiscretizer: values on an edge, as quantiles are, belong to the bin above it."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_sklearn.frames import Frame
from bridge_sklearn.graphs import DOUBLE, PartBuilder, cast, mark_decisive


def kbins_discretizer(op: PartBuilder, src: Any, frame: Frame) -> Frame:
    """The bin of a value is the number of inner edges it has reached; its indicators are differences of those
    steps."""
    blocks = []
    for index, edges in enumerate(src.bin_edges_):
        inner = np.asarray(edges[1:-1], np.float64)
        below = op.Less(cast(op, frame.column(index), DOUBLE), op.const(inner[None]))
        mark_decisive(below.producer())
        steps, count = op.Cast(op.Not(below), to=int(DOUBLE)), len(inner)
        if src.encode == "ordinal":
            weights, start = np.ones((count, 1)), np.zeros((1, 1))
        else:
            weights, start = np.eye(count + 1)[1:] - np.eye(count, count + 1), np.eye(1, count + 1)
        blocks.append(op.Add(op.MatMul(steps, op.const(weights)), op.const(start)))
    return Frame(op, blocks)
