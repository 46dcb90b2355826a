"""Reductions, cumulative sums, ArgMax and ArgMin."""

from __future__ import annotations

import numpy as np

from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, RANKED, cast

ops = OpTable()

REDUCTIONS = {
    "reduce_l1_norm": "ReduceL1",
    "reduce_l2_norm": "ReduceL2",
    "reduce_log_sum": "ReduceLogSum",
    "reduce_log_sum_exp": "ReduceLogSumExp",
    "reduce_max": "ReduceMax",
    "reduce_mean": "ReduceMean",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
    "reduce_sum_square": "ReduceSumSquare",
}


@ops.op(*REDUCTIONS)
def reduction(op, node, x):
    axes = node.get("axes")
    axes = None if axes is None else np.asarray(axes, np.int64).reshape(-1)
    return op.node(REDUCTIONS[node.op], x, axes, keepdims=int(node.get("keep_dims", False)))


@ops.op("reduce_argmax", "reduce_argmin")
def arg_extreme(op, node, x):
    name = "ArgMax" if node.op == "reduce_argmax" else "ArgMin"
    indices = op.node(name, x, axis=node.get("axis", -1), keepdims=int(node.get("keep_dims", False)))
    return cast(op, indices, DTYPES[node.get("output_dtype", "int32")])


@ops.op("cumsum", needs=(RANKED,))
def cumsum(op, node, x):
    axis = np.array(node.get("axis", 0), np.int64)
    return op.CumSum(
        x, axis, exclusive=int(node.get("exclusive", False)), reverse=int(node.get("reverse", False))
    )
