"""Reductions along axes that are known at run time alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import reshape
from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOATS, INTS, STATIC

ops = OpTable()

GATHERED = {
    "ReduceSum": ("add", 0.0),
    "ReduceProd": ("mul", 1.0),
    "ReduceMax": ("max", -np.inf),
    "ReduceMin": ("min", np.inf),
}


def running_axes(node: ir.Node) -> bool:
    axes = input_at(node, 1)
    shape = shape_of(axes)
    return axes is not None and const(axes) is None and shape is not None and len(shape) == 1 and shape[0] > 0


RUNNING = condition("axes known at run time alone, of known number", running_axes)


@ops.op(*GATHERED, needs=(dtype(*FLOATS, *INTS), RUNNING, STATIC))
def reduce(op, node, x, axes):
    """Every element is sent to its place in the result, where a scatter reduces what meets."""
    sizes, rank = shape_of(x) or [], rank_of(x) or 0
    kept, result = _kept(op, axes, sizes)
    mode, number = GATHERED[node.op_type]
    if x.dtype.is_integer() and not np.isfinite(number):
        number = -(2**31) + 1 if number < 0 else 2**31 - 1
    places = None
    stride: Any = op.const(np.ones(1, np.int64))
    for axis in range(rank)[::-1]:
        keep, length = (op.Slice(v, [axis], [axis + 1], [0]) for v in (kept, result))
        own = op.const(np.indices(sizes)[axis].ravel().astype(np.int64))
        part = op.Mul(own, op.Mul(keep, stride))
        places = part if places is None else op.Add(places, part)
        stride = op.Mul(stride, length)
    start = op.Expand(op.const(number, x.dtype), stride)
    flat = op.ScatterElements(start, places, op.Reshape(x, [-1]), axis=0, reduction=mode)
    if attr(node, "keepdims"):
        made = op.Reshape(flat, result)
        made.shape = ir.Shape([None] * rank)
        return made
    count = rank - (shape_of(axes) or [0])[0]
    if count <= 0:
        return reshape(op, flat, [])
    order = op.Mul(kept, op.const(np.arange(rank, 0, -1)))
    _, first = op.TopK(order, op.const(np.array([count], np.int64)), axis=0, _outputs=2)
    made = op.Reshape(flat, op.Gather(op.const(np.array(sizes, np.int64)), first, axis=0))
    made.shape = ir.Shape([None] * count)
    return made


def _kept(op: Any, axes: ir.Value, sizes: list[int]) -> tuple[Any, Any]:
    """1 for every axis that stays, 0 for one that is reduced; the lengths of the result with reduced axes
    kept."""
    rank = len(sizes)
    places = op.Cast(axes, to=int(ir.DataType.INT64))
    places = op.Where(op.Less(places, 0), op.Add(places, rank), places)
    hits = op.Equal(op.Unsqueeze(places, [1]), op.const(np.arange(rank)[None]))
    reduced = op.ReduceMax(op.Cast(hits, to=int(ir.DataType.INT64)), [0], keepdims=0)
    kept = op.Sub(op.const(np.ones(rank, np.int64)), reduced)
    return kept, op.Where(op.Equal(reduced, 1), op.const(np.int64(1)), op.const(np.array(sizes, np.int64)))


@ops.op("ReduceMean", needs=(dtype(*FLOATS), RUNNING, STATIC))
def mean(op, node, x, axes):
    _, result = _kept(op, axes, shape_of(x) or [])
    total = op.ReduceSum(x, axes, keepdims=attr(node, "keepdims"))
    count = op.ReduceProd(result, [0], keepdims=0)
    whole = op.const(float(np.prod(shape_of(x) or [1])), x.dtype)
    return op.Div(total, op.Div(whole, op.Cast(count, to=int(x.dtype))))
