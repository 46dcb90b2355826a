"""Reductions, ArgMax, TopK, CumSum, segments and windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge.hub import rank_of
from bridge.importing import constant, constant_ints, int64_vector, ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import BOOL, INT32, INT64, arange, check_count

ops = OpTable()

FAR = 2**31 - 1

REDUCTIONS = {
    "MEAN": "ReduceMean",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
    "SUM": "ReduceSum",
}


def _reduction_handler(native: str) -> Callable[..., Any]:
    def handler(op: Any, node: Any, x: Any, axes: Any) -> Any:
        axes = int64_vector(op, axes)
        return op.node(native, x, axes, keepdims=int(node.get("keepDims", False)), noop_with_empty_axes=1)

    return handler


for _name, _native in REDUCTIONS.items():
    ops.op(
        _name,
        needs=()
        if _name != "MEAN"
        else (condition("a float or quantized input", lambda n: is_real(n.tensor(0))),),
    )(_reduction_handler(_native))


def is_real(tensor: Any) -> bool:
    return tensor.type.startswith("FLOAT") or tensor.quantized


@ops.op("MEAN")
def integer_mean(op, node, x, axes):
    """Sum divided by the number of elements, truncated."""
    axes, keep = int64_vector(op, axes), int(node.get("keepDims", False))
    total = op.ReduceSum(op.Cast(x, to=INT64), axes, keepdims=keep, noop_with_empty_axes=1)
    count = op.ReduceProd(op.Gather(op.Shape(x), axes, axis=0), keepdims=0)
    return op.Cast(op.Div(total, count), to=int(x.dtype))


@ops.op("REDUCE_ANY", "REDUCE_ALL")
def reduce_any(op, node, x, axes):
    reduce = op.ReduceMax if node.op == "REDUCE_ANY" else op.ReduceMin
    keep = int(node.get("keepDims", False))
    return op.Cast(
        reduce(op.Cast(x, to=INT32), int64_vector(op, axes), keepdims=keep, noop_with_empty_axes=1), to=BOOL
    )


@ops.op("ARG_MAX", "ARG_MIN", needs=(constant(1, "axis"),))
def arg_max(op, node, x, axis):
    search = op.ArgMax if node.op == "ARG_MAX" else op.ArgMin
    indices = search(x, axis=constant_ints(axis)[0], keepdims=0)
    return op.Cast(indices, to=int(node.out_dtype()))


@ops.op("CUMSUM")
def cumsum(op, node, x, axis):
    flags = {"exclusive": int(node.get("exclusive", False)), "reverse": int(node.get("reverse", False))}
    return op.CumSum(x, axis, **flags)


@ops.op("TOPK_V2")
def topk_v2(op, node, x, k):
    values, indices = op.TopK(x, int64_vector(op, k), _outputs=2)
    return values, op.Cast(indices, to=int(node.out_dtype(1)))


def _reduce_segments(op: Any, data: Any, ids: Any, count: int, start: np.ndarray, reduction: str) -> Any:
    """Reduce rows of `data` to `count` rows that start as `start`; rows of negative ids are dropped."""
    rank = rank_of(ids) or 0
    positions = op.Reshape(op.Cast(ids, to=INT64), ints(-1, 1))
    inner = op.Shape(data, start=rank) if (rank_of(data) or 0) > rank else op.const(ints())
    rows = op.Reshape(data, op.Concat(ints(-1), inner, axis=0)) if rank != 1 else data
    row_count = op.Reshape(op.Cast(count, to=INT64), ints(1))
    initial = op.Expand(op.const(start), op.Concat(op.Add(row_count, ints(1)), inner, axis=0))
    positions = op.Where(op.Less(positions, ints(0)), row_count, positions)
    return op.Slice(op.ScatterND(initial, positions, rows, reduction=reduction), ints(0), row_count, ints(0))


@ops.op("SEGMENT_SUM")
def segment_sum(op, node, data, ids):
    """Ids are sorted: the last one determines the number of rows."""
    count = op.Add(op.Slice(op.Cast(ids, to=INT64), ints(-1), ints(FAR), ints(0)), ints(1))
    return _reduce_segments(op, data, ids, count, np.zeros((), data.dtype.numpy()), "add")


def _lowest(dtype: np.dtype) -> Any:
    return np.finfo(dtype).min if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype) -> Any:
    return np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max


@ops.op("UNSORTED_SEGMENT_SUM", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX", "UNSORTED_SEGMENT_MIN")
def unsorted_segment(op, node, data, ids, count):
    dtype = data.dtype.numpy()
    starts = {"add": 0, "mul": 1, "max": _lowest(dtype), "min": _highest(dtype)}
    reduction = {"SUM": "add", "PROD": "mul", "MAX": "max", "MIN": "min"}[node.op.rsplit("_", 1)[1]]
    return _reduce_segments(op, data, ids, count, np.array(starts[reduction], dtype), reduction)


WINDOW_REDUCTIONS = {
    1: "ReduceSum",
    2: "ReduceProd",
    3: "ReduceMin",
    4: "ReduceMax",
    5: "ReduceMin",
    6: "ReduceMax",
}
COMBINATIONS = {1: "Add", 2: "Mul", 3: "Min", 4: "Max", 5: "And", 6: "Or"}


def reduce_windows(
    op: Any, x: Any, start: Any, function: int, shape: list[int], strides: list[int], dilations: list[int]
) -> Any:
    """Gather the elements of each window along a new axis and reduce it, axis by axis."""
    bits = x.dtype.numpy() == np.bool_
    values = op.Cast(x, to=INT32) if bits else x
    for axis, (size, stride, dilation) in enumerate(zip(shape, strides, dilations, strict=True)):
        if size == 1 and stride == 1:
            continue
        check_count(max(size, 0) * dilation)
        check_count(stride - 1)
        if values.shape is not None and isinstance(values.shape[axis], int):
            check_count(values.shape[axis])
        length = op.Squeeze(op.Shape(values, start=axis, end=axis + 1), ints(0))
        last = op.Sub(length, np.int64((size - 1) * dilation))
        begins = op.Range(np.int64(0), last, np.int64(stride))
        positions = op.Add(op.Unsqueeze(begins, ints(1)), op.const(arange(size) * dilation))
        values = op.node(
            WINDOW_REDUCTIONS[function], op.Gather(values, positions, axis=axis), ints(axis + 1), keepdims=0
        )
    values = op.Cast(values, to=BOOL) if bits else values
    return op.node(COMBINATIONS[function], values, start)


@ops.op(
    "REDUCE_WINDOW",
    needs=(
        condition("a known reduction", lambda n: n.get("reduceFunction", 0) in WINDOW_REDUCTIONS),
        *(constant(i, n) for i, n in ((2, "window"), (3, "strides"), (4, "dilations"))),
    ),
)
def reduce_window(op, node, x, start, shape, strides, dilations):
    parameters = (constant_ints(v) for v in (shape, strides, dilations))
    return reduce_windows(op, x, start, node.get("reduceFunction", 0), *parameters)
