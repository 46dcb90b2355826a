"""Reductions, running sums, order, and the place of an extreme."""

from __future__ import annotations

import numpy as np

from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import FLOAT, rank_of

ops = OpTable()

NAMES = {
    "reduceL1": "ReduceL1",
    "reduceL2": "ReduceL2",
    "reduceMax": "ReduceMax",
    "reduceMin": "ReduceMin",
    "reduceSum": "ReduceSum",
    "reduceProd": "ReduceProd",
    "reduceMean": "ReduceMean",
    "reduceLogSum": "ReduceLogSum",
    "reduceSumSquare": "ReduceSumSquare",
    "reduceLogSumExp": "ReduceLogSumExp",
}


@ops.op(*NAMES)
def reduction(op, layer, x):
    p = layer.params
    axes = None if p.reduceAll else np.asarray(p.axes, np.int64)
    made = op.node(NAMES[layer.kind], x, axes, keepdims=int(p.keepDims))
    return made if rank_of(made) != 0 else op.Reshape(made, ints(1))


LOGS = "the sum of logarithms"
MODES = (
    "ReduceSum", "ReduceMean", "ReduceProd", LOGS, "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax",
    "ReduceMin",
)  # fmt: skip
AXES = ([-3, -2, -1], [-2, -1], [-3], [-2], [-1])


@ops.op("reduce")
def reduce_blob(op, layer, x):
    p = layer.params
    axes = AXES[p.axis]
    if p.mode == 9:
        return op.Cast(op.ArgMax(x, axis=axes[-1], keepdims=1), to=FLOAT)
    if MODES[p.mode] == LOGS:
        return op.ReduceSum(
            op.Log(op.Add(x, np.float32(p.epsilon or 1e-6))), np.asarray(axes, np.int64), keepdims=1
        )
    return op.node(MODES[p.mode], x, np.asarray(axes, np.int64), keepdims=1)


@ops.op("argMax", "argMin")
def arg_extreme(op, layer, x):
    p = layer.params
    keep = not p.removeDim or (rank_of(x) or 1) == 1
    name = "ArgMax" if layer.kind == "argMax" else "ArgMin"
    return op.Cast(op.node(name, x, axis=int(p.axis), keepdims=int(keep)), to=FLOAT)


@ops.op("cumSum")
def cum_sum(op, layer, x, axis=None):
    p = layer.params
    place = np.array(p.axis, np.int64) if axis is None else op.Reshape(as_int64(op, axis), op.const([]))
    return op.CumSum(x, place, exclusive=int(p.excludeFinalSum), reverse=int(p.reverse))
