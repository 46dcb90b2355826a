"""Order: the largest, sorting, ranks, places among boundaries, what differs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    axis,
    cast,
    known,
    length,
    number,
    rank,
    sizes,
    static,
    tensor,
    together,
)
from bridge_torchscript.import_ops.shapes import as_base

ops = OpTable()


@ops.op("aten::topk")
def topk(op, x, k, dim=-1, largest=True, sorted=True):
    if not rank(x):
        return (op.Identity(x), op.const(np.array(0)))
    count = sizes(op, [k])
    return op.TopK(x, count, axis=axis(x, dim), largest=int(largest), _outputs=2)


@ops.op("aten::sort")
def sort(op, x, dim=-1, descending=False, stable=None):
    if not rank(x):
        return (op.Identity(x), op.const(np.array(0)))
    at = axis(x, dim)
    kind = x.dtype
    wide = op.Cast(x, to=7) if kind in (T.BOOL, T.INT8, T.UINT8, T.INT16) else x
    count = sizes(op, [length(op, x, at)])
    values, places = op.TopK(wide, count, axis=at, largest=int(bool(descending)), _outputs=2)
    return cast(op, values, kind), places


@ops.op("aten::msort")
def msort(op, x):
    return sort(op, x, 0)[0]


@ops.op("aten::argsort")
def argsort(op, x, dim=-1, descending=False, stable=False):
    return sort(op, x, dim, descending)[1]


@ops.op("aten::kthvalue")
def kthvalue(op, x, k, dim=-1, keepdim=False):
    values, places = sort(op, x, dim)
    if not rank(x):
        return values, places
    at = axis(x, dim)
    found = [op.Gather(v, np.array(k - 1), axis=at) for v in (values, places)]
    return tuple(op.Unsqueeze(v, ints(at)) for v in found) if keepdim else tuple(found)


@ops.op("aten::median")
def median(op, x, dim=None, keepdim=False):
    """The lower of the two in the middle."""
    if dim is None:
        flat = op.Reshape(x, ints(-1))
        return kthvalue(op, flat, (static(flat)[0] + 1) // 2, 0)[0]
    size = length(op, x, dim) if rank(x) else 1
    return kthvalue(op, x, (known(size, "length") + 1) // 2, dim, keepdim)


@ops.op("aten::nanmedian")
def nanmedian(op, x, dim=None, keepdim=False):
    """Of the numbers there are; no number where there are none."""
    if dim is None:
        return nanmedian(op, op.Reshape(x, ints(-1)), 0)[0]
    if not rank(x):
        return op.Identity(x), op.const(np.array(0))
    at = axis(x, dim)
    missing = op.IsNaN(x)
    values, places = sort(op, op.Where(missing, number(op, np.inf, x), x), at)
    count = op.ReduceSum(op.Cast(op.Not(missing), to=7), ints(at))
    middle = op.Max(op.Div(op.Sub(count, np.array(1)), np.array(2)), np.array(0))
    found = op.GatherElements(values, middle, axis=at)
    found = op.Where(op.Equal(count, np.array(0)), number(op, np.nan, x), found)
    place = op.GatherElements(places, middle, axis=at)
    return (found, place) if keepdim else (op.Squeeze(found, ints(at)), op.Squeeze(place, ints(at)))


@ops.op("aten::bucketize")
def bucketize(op, x, boundaries, out_int32=False, right=False):
    return searchsorted(op, boundaries, x, out_int32, right)


@ops.op("aten::searchsorted")
def searchsorted(op, sorted_sequence, x, out_int32=False, right=False, side=None, sorter=None):
    """How many boundaries lie below (or at) each value."""
    if side is not None:
        right = side == "right"
    if sorter is not None:
        sorted_sequence = op.GatherElements(sorted_sequence, sorter, axis=-1)
    values = tensor(op, x)
    a, b = (
        together(op, sorted_sequence, values)
        if isinstance(x, ir.Value)
        else (sorted_sequence, tensor(op, x, sorted_sequence.dtype))
    )
    table = a if rank(sorted_sequence) == 1 else op.Unsqueeze(a, ints(-2))
    places = op.Unsqueeze(b, ints(-1))
    hits = op.LessOrEqual(table, places) if right else op.Less(table, places)
    return op.Cast(op.ReduceSum(op.Cast(hits, to=7), ints(-1), keepdims=0), to=6 if out_int32 else 7)


def _uniques(op: Any, x: ir.Value, dim: Any) -> Any:
    made = op.Unique(x, axis=dim, sorted=1, _outputs=4)
    return made[0], made[2] if dim is not None else as_base(op, x, made[2]), made[3]


@ops.op("aten::_unique2")
def unique2(op, x, sorted=True, return_inverse=False, return_counts=False):
    return _uniques(op, x, None)


@ops.op("aten::unique_dim")
def unique_dim(op, x, dim, sorted=True, return_inverse=False, return_counts=False):
    return _uniques(op, x, axis(x, dim))


@ops.op("aten::unique_consecutive")
def unique_consecutive(op, x, return_inverse=False, return_counts=False, dim=None):
    """What differs from its predecessor, where everything went, and how often in a row it is there."""
    at = 0 if dim is None else axis(x, dim)
    lined = op.Reshape(x, ints(-1)) if dim is None else x
    before, after = (op.Slice(lined, ints(a), ints(b), ints(at)) for a, b in ((0, -1), (1, 2**62)))
    differs = op.Cast(op.Not(op.Equal(before, after)), to=int(T.INT64))
    rest = [i for i in range(rank(lined)) if i != at]
    differs = op.ReduceMax(differs, ints(*rest), keepdims=0) if rest else differs
    size = op.Shape(lined, start=at, end=at + 1)
    first = op.Slice(op.Concat(ints(1), differs, axis=0), ints(0), size, ints(0))
    inverse = op.Sub(op.CumSum(first, np.array(0)), np.array(1))
    hits = op.Cast(first, to=int(T.BOOL))
    starts = op.Reshape(op.NonZero(hits), ints(-1))
    counts = op.Sub(op.Concat(op.Slice(starts, ints(1), ints(2**62), ints(0)), size, axis=0), starts)
    made = op.Compress(lined, hits, axis=at)
    empty = op.const(np.zeros(0, np.int64))
    shown = as_base(op, x, inverse) if dim is None else inverse
    return made, shown if return_inverse else empty, counts if return_counts else empty


@ops.op("aten::bincount")
def bincount(op, x, weights=None, minlength=0):
    """How often, or with what total weight, every number from zero on is there."""
    places = cast(op, x, T.INT64)
    most = op.ReduceMax(op.Concat(ints(-1), places, axis=0), keepdims=1)
    size = op.Max(op.Add(most, ints(1)), sizes(op, [minlength]))
    kind = T.INT64 if weights is None else T.FLOAT if weights.dtype == T.FLOAT else T.DOUBLE
    zeros = op.Expand(tensor(op, 0, kind), size)
    added = op.Expand(tensor(op, 1, kind), op.Shape(places)) if weights is None else cast(op, weights, kind)
    return op.ScatterElements(zeros, places, added, axis=0, reduction="add")
