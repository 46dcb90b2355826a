"""Reductions along run-time axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import reshape
from bridge.hub import attr, held, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOATS, INTS, STATIC

ops = OpTable()

SCATTER_REDUCTIONS = {
    "ReduceSum": ("add", 0.0),
    "ReduceProd": ("mul", 1.0),
    "ReduceMax": ("max", -np.inf),
    "ReduceMin": ("min", np.inf),
}


def has_runtime_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    shape = shape_of(axes)
    return axes is not None and held(axes) is None and shape is not None and len(shape) == 1 and shape[0] > 0


RUNTIME_AXES = condition("axes known at run time alone, of known number", has_runtime_axes)


@ops.op(*SCATTER_REDUCTIONS, needs=(dtype(*FLOATS, *INTS), RUNTIME_AXES, STATIC))
def reduce(op, node, x, axes):
    """ScatterElements with a reduction: every element goes to its flat index in the result."""
    sizes, rank = shape_of(x) or [], rank_of(x) or 0
    is_kept, out_shape = kept_axes_and_shape(op, axes, sizes)
    mode, neutral = SCATTER_REDUCTIONS[node.op_type]
    if x.dtype.is_integer() and not np.isfinite(neutral):
        neutral = -(2**31) + 1 if neutral < 0 else 2**31 - 1
    flat_index = None
    stride: Any = op.const(np.ones(1, np.int64))
    for axis in range(rank)[::-1]:
        axis_kept, length = (op.Slice(v, [axis], [axis + 1], [0]) for v in (is_kept, out_shape))
        axis_index = op.const(np.indices(sizes)[axis].ravel().astype(np.int64))
        offset = op.Mul(axis_index, op.Mul(axis_kept, stride))
        flat_index = offset if flat_index is None else op.Add(flat_index, offset)
        stride = op.Mul(stride, length)
    initial = op.Expand(op.const(neutral, x.dtype), stride)
    reduced = op.ScatterElements(initial, flat_index, op.Reshape(x, [-1]), axis=0, reduction=mode)
    if attr(node, "keepdims"):
        output = op.Reshape(reduced, out_shape)
        output.shape = ir.Shape([None] * rank)
        return output
    count = rank - (shape_of(axes) or [0])[0]
    if count <= 0:
        return reshape(op, reduced, [])
    order = op.Mul(is_kept, op.const(np.arange(rank, 0, -1)))
    _, kept_axes = op.TopK(order, op.const(np.array([count], np.int64)), axis=0, _outputs=2)
    output = op.Reshape(reduced, op.Gather(op.const(np.array(sizes, np.int64)), kept_axes, axis=0))
    output.shape = ir.Shape([None] * count)
    return output


def kept_axes_and_shape(op: Any, axes: ir.Value, sizes: list[int]) -> tuple[Any, Any]:
    """Int64 vectors [rank]: 1 for every axis that stays and 0 for a reduced one; and the output shape with
    keepdims."""
    rank = len(sizes)
    positive_axes = op.Cast(axes, to=int(ir.DataType.INT64))
    positive_axes = op.Where(op.Less(positive_axes, 0), op.Add(positive_axes, rank), positive_axes)
    matches = op.Equal(op.Unsqueeze(positive_axes, [1]), op.const(np.arange(rank)[None]))
    reduced = op.ReduceMax(op.Cast(matches, to=int(ir.DataType.INT64)), [0], keepdims=0)
    is_kept = op.Sub(op.const(np.ones(rank, np.int64)), reduced)
    return is_kept, op.Where(op.Equal(reduced, 1), op.const(np.int64(1)), op.const(np.array(sizes, np.int64)))


@ops.op("ReduceMean", needs=(dtype(*FLOATS), RUNTIME_AXES, STATIC))
def mean(op, node, x, axes):
    _, result = kept_axes_and_shape(op, axes, shape_of(x) or [])
    total = op.ReduceSum(x, axes, keepdims=attr(node, "keepdims"))
    count = op.ReduceProd(result, [0], keepdims=0)
    whole = op.const(float(np.prod(shape_of(x) or [1])), x.dtype)
    return op.Div(total, op.Div(whole, op.Cast(count, to=int(x.dtype))))
