"""Reductions, running sums, order, and the place of an extreme."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import constant
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import DTYPES, INT32, RANKED, cast, rank_of

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
    found = op.node(name, x, axis=node.get("axis", -1), keepdims=int(node.get("keep_dims", False)))
    return cast(op, found, DTYPES[node.get("output_dtype", "int32")])


@ops.op("cumsum", needs=(RANKED,))
def cumsum(op, node, x):
    axis = np.array(node.get("axis", 0), np.int64)
    return op.CumSum(
        x, axis, exclusive=int(node.get("exclusive", False)), reverse=int(node.get("reverse", False))
    )


def _ordered(op: hub.Builder, node: Any, x: ir.Value, count: Any, largest: bool) -> Any:
    return op.TopK(x, count, axis=node.get("axis", -1), largest=int(largest), sorted=1, _outputs=2)


def _length(op: hub.Builder, node: Any, x: ir.Value) -> Any:
    axis = node.get("axis", -1) % (rank_of(x) or 1)
    size = x.shape[axis] if x.shape is not None else None
    return np.array([size], np.int64) if isinstance(size, int) else op.Shape(x, start=axis, end=axis + 1)


@ops.op("topk", needs=(constant("k"), RANKED))
def topk(op, node, x):
    k = node.get("k", 1)
    count = _length(op, node, x) if k == -1 else np.array([k], np.int64)
    values, places = _ordered(op, node, x, count, not node.get("ascending", False))
    if not node.get("return_indices", True):
        return values
    return values, cast(op, places, DTYPES[node.get("output_indices_dtype", "int32")])


@ops.op("argsort", needs=(RANKED,))
def argsort(op, node, x):
    _, places = _ordered(op, node, x, _length(op, node, x), not node.get("ascending", False))
    return op.Cast(places, to=INT32)
