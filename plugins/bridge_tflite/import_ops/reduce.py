"""Reductions and searches along axes."""

from __future__ import annotations

from bridge.hub import rank_of
from bridge_tflite.import_ops.common import as_int64, constant, need, ops, vector

REDUCTIONS = {
    "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
    "SUM": "ReduceSum",
}


def _reduction(native: str):
    def handler(op, node, x, axes):
        axes = as_int64(op, axes)
        return op.node(native, x, axes, keepdims=int(node.get("keepDims", False)), noop_with_empty_axes=1)

    return handler


NO_INTEGER_MEAN = need(
    "a float or quantized input",
    lambda n: n.op != "MEAN" or n.kind(0).startswith("FLOAT") or n.tensor(0).quantized,
)

for _name, _native in REDUCTIONS.items():
    ops.op(_name, needs=(NO_INTEGER_MEAN,))(_reduction(_native))


@ops.op("REDUCE_ANY", "REDUCE_ALL")
def reduce_any(op, node, x, axes):
    reduce = op.ReduceMax if node.op == "REDUCE_ANY" else op.ReduceMin
    keep = int(node.get("keepDims", False))
    return op.Cast(reduce(op.Cast(x, to=6), as_int64(op, axes), keepdims=keep, noop_with_empty_axes=1), to=9)


@ops.op("ARG_MAX", "ARG_MIN", needs=(constant(1, "axis"),))
def arg_max(op, node, x, axis):
    search = op.ArgMax if node.op == "ARG_MAX" else op.ArgMin
    found = search(x, axis=vector(axis)[0], keepdims=0)
    return op.Cast(found, to=int(node.out_dtype()))


@ops.op("CUMSUM")
def cumsum(op, node, x, axis):
    flags = {"exclusive": int(node.get("exclusive", False)), "reverse": int(node.get("reverse", False))}
    return op.CumSum(x, axis, **flags)


@ops.op("TOPK_V2")
def topk_v2(op, node, x, k):
    values, indices = op.TopK(
        x,
        as_int64(op, op.Reshape(k, [1])) if rank_of(k) == 0 and vector(k) is None else as_int64(op, k),
        _outputs=2,
    )
    return values, op.Cast(indices, to=int(node.out_dtype(1)))
