"""Reductions, cumulative sums, ArgMax and ArgMin."""

from __future__ import annotations

import numpy as np

from bridge.importing import as_int64, ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import FLOAT, rank_of

ops = OpTable()

REDUCTIONS = {
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


@ops.op(*REDUCTIONS)
def reduction(op, layer, x):
    p = layer.params
    axes = None if p.reduceAll else np.asarray(p.axes, np.int64)
    reduced = op.node(REDUCTIONS[layer.kind], x, axes, keepdims=int(p.keepDims))
    return reduced if rank_of(reduced) != 0 else op.Reshape(reduced, ints(1))


LOG_SUM = "the sum of logarithms"
REDUCE_MODES = (
    "ReduceSum", "ReduceMean", "ReduceProd", LOG_SUM, "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceMax",
    "ReduceMin",
)  # fmt: skip
REDUCE_AXES = ([-3, -2, -1], [-2, -1], [-3], [-2], [-1])


@ops.op("reduce")
def reduce_blob(op, layer, x):
    p = layer.params
    axes = REDUCE_AXES[p.axis]
    if p.mode == 9:
        return op.Cast(op.ArgMax(x, axis=axes[-1], keepdims=1), to=FLOAT)
    if REDUCE_MODES[p.mode] == LOG_SUM:
        return op.ReduceSum(
            op.Log(op.Add(x, np.float32(p.epsilon or 1e-6))), np.asarray(axes, np.int64), keepdims=1
        )
    return op.node(REDUCE_MODES[p.mode], x, np.asarray(axes, np.int64), keepdims=1)


@ops.op("argMax", "argMin")
def arg_extreme(op, layer, x):
    p = layer.params
    keep = not p.removeDim or (rank_of(x) or 1) == 1
    name = "ArgMax" if layer.kind == "argMax" else "ArgMin"
    return op.Cast(op.node(name, x, axis=int(p.axis), keepdims=int(keep)), to=FLOAT)


@ops.op("cumSum")
def cum_sum(op, layer, x, axis=None):
    p = layer.params
    axis_scalar = np.array(p.axis, np.int64) if axis is None else op.Reshape(as_int64(op, axis), op.const([]))
    return op.CumSum(x, axis_scalar, exclusive=int(p.excludeFinalSum), reverse=int(p.reverse))
