"""Sorting, order statistics, searches and unique values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, held
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_torchscript.import_ops.common import (
    T,
    axis,
    cast,
    is_float,
    length,
    lengths_vector,
    number,
    promote,
    rank,
    static_shape,
    static_value,
    tensor,
)
from bridge_torchscript.import_ops.tensor import reshape_to_base

ops = OpTable()


@ops.op("aten::topk")
def topk(op, x, k, dim=-1, largest=True, sorted=True):
    if not rank(x):
        return (op.Identity(x), op.const(np.array(0)))
    count = lengths_vector(op, [k])
    return op.TopK(x, count, axis=axis(x, dim), largest=int(largest), _outputs=2)


@ops.op("aten::sort")
def sort(op, x, dim=-1, descending=False, stable=None):
    if not rank(x):
        return (op.Identity(x), op.const(np.array(0)))
    at = axis(x, dim)
    dtype = x.dtype
    sortable = op.Cast(x, to=7) if dtype in (T.BOOL, T.INT8, T.UINT8, T.INT16) else x
    count = lengths_vector(op, [length(op, x, at)])
    values, indices = op.TopK(sortable, count, axis=at, largest=int(bool(descending)), _outputs=2)
    return cast(op, values, dtype), indices


@ops.op("aten::msort")
def msort(op, x):
    return sort(op, x, 0)[0]


@ops.op("aten::argsort")
def argsort(op, x, dim=-1, descending=False, stable=False):
    return sort(op, x, dim, descending)[1]


@ops.op("aten::kthvalue")
def kthvalue(op, x, k, dim=-1, keepdim=False):
    values, indices = sort(op, x, dim)
    if not rank(x):
        return values, indices
    at = axis(x, dim)
    results = [op.Gather(v, np.array(k - 1), axis=at) for v in (values, indices)]
    return tuple(op.Unsqueeze(v, ints(at)) for v in results) if keepdim else tuple(results)


@ops.op("aten::median")
def median(op, x, dim=None, keepdim=False):
    """Median; the lower of the two middle elements."""
    if dim is None:
        flat = op.Reshape(x, ints(-1))
        return kthvalue(op, flat, (static_shape(flat)[0] + 1) // 2, 0)[0]
    size = length(op, x, dim) if rank(x) else 1
    return kthvalue(op, x, (static_value(size, "length") + 1) // 2, dim, keepdim)


@ops.op("aten::nanmedian")
def nanmedian(op, x, dim=None, keepdim=False):
    """Median of the elements that are not NaN; NaN without any."""
    if dim is None:
        return nanmedian(op, op.Reshape(x, ints(-1)), 0)[0]
    if not rank(x):
        return op.Identity(x), op.const(np.array(0))
    at = axis(x, dim)
    missing = op.IsNaN(x)
    values, indices = sort(op, op.Where(missing, number(op, np.inf, x), x), at)
    count = op.ReduceSum(op.Cast(op.Not(missing), to=7), ints(at))
    middle = op.Max(op.Div(op.Sub(count, np.array(1)), np.array(2)), np.array(0))
    medians = op.GatherElements(values, middle, axis=at)
    medians = op.Where(op.Equal(count, np.array(0)), number(op, np.nan, x), medians)
    positions = op.GatherElements(indices, middle, axis=at)
    return (
        (medians, positions) if keepdim else (op.Squeeze(medians, ints(at)), op.Squeeze(positions, ints(at)))
    )


@ops.op("aten::bucketize")
def bucketize(op, x, boundaries, out_int32=False, right=False):
    return searchsorted(op, boundaries, x, out_int32, right)


@ops.op("aten::searchsorted")
def searchsorted(op, sorted_sequence, x, out_int32=False, right=False, side=None, sorter=None):
    """Number of boundaries below each value; with `right`, at most the value."""
    if side is not None:
        right = side == "right"
    if sorter is not None:
        sorted_sequence = op.GatherElements(sorted_sequence, sorter, axis=-1)
    values = tensor(op, x)
    a, b = (
        promote(op, sorted_sequence, values)
        if isinstance(x, ir.Value) or not is_float(sorted_sequence)
        else (sorted_sequence, tensor(op, x, sorted_sequence.dtype))
    )
    table = a if rank(sorted_sequence) == 1 else op.Unsqueeze(a, ints(-2))
    targets = op.Unsqueeze(b, ints(-1))
    hits = op.LessOrEqual(table, targets) if right else op.Less(table, targets)
    return op.Cast(op.ReduceSum(op.Cast(hits, to=7), ints(-1), keepdims=0), to=6 if out_int32 else 7)


def _unique_outputs(op: Any, x: ir.Value, dim: Any) -> Any:
    outputs = op.Unique(x, axis=dim, sorted=1, _outputs=4)
    return outputs[0], outputs[2] if dim is not None else reshape_to_base(op, x, outputs[2]), outputs[3]


@ops.op("aten::_unique2")
def unique2(op, x, sorted=True, return_inverse=False, return_counts=False):
    return _unique_outputs(op, x, None)


@ops.op("aten::unique_dim")
def unique_dim(op, x, dim, sorted=True, return_inverse=False, return_counts=False):
    return _unique_outputs(op, x, axis(x, dim))


@ops.op("aten::unique_consecutive")
def unique_consecutive(op, x, return_inverse=False, return_counts=False, dim=None):
    """Values that differ from their predecessor, the run of every element, and the lengths of the runs."""
    at = 0 if dim is None else axis(x, dim)
    sequence = op.Reshape(x, ints(-1)) if dim is None else x
    before, after = (op.Slice(sequence, ints(a), ints(b), ints(at)) for a, b in ((0, -1), (1, 2**62)))
    differs = op.Cast(op.Not(op.Equal(before, after)), to=int(T.INT64))
    other_axes = [i for i in range(rank(sequence)) if i != at]
    differs = op.ReduceMax(differs, ints(*other_axes), keepdims=0) if other_axes else differs
    size = op.Shape(sequence, start=at, end=at + 1)
    first = op.Slice(op.Concat(ints(1), differs, axis=0), ints(0), size, ints(0))
    inverse = op.Sub(op.CumSum(first, np.array(0)), np.array(1))
    hits = op.Cast(first, to=int(T.BOOL))
    starts = op.Reshape(op.NonZero(hits), ints(-1))
    counts = op.Sub(op.Concat(op.Slice(starts, ints(1), ints(2**62), ints(0)), size, axis=0), starts)
    values = op.Compress(sequence, hits, axis=at)
    empty = op.const(np.zeros(0, np.int64))
    indices = reshape_to_base(op, x, inverse) if dim is None else inverse
    return values, indices if return_inverse else empty, counts if return_counts else empty


@ops.op("aten::bincount")
def bincount(op, x, weights=None, minlength=0):
    """Count, or total weight, of each number from zero on."""
    indices = cast(op, x, T.INT64)
    largest = op.ReduceMax(op.Concat(ints(-1), indices, axis=0), keepdims=1)
    size = op.Max(op.Add(largest, ints(1)), lengths_vector(op, [minlength]))
    dtype = T.INT64 if weights is None else T.FLOAT if weights.dtype == T.FLOAT else T.DOUBLE
    zeros = op.Expand(tensor(op, 0, dtype), size)
    added = (
        op.Expand(tensor(op, 1, dtype), op.Shape(indices)) if weights is None else cast(op, weights, dtype)
    )
    return op.ScatterElements(zeros, indices, added, axis=0, reduction="add")


@ops.op("aten::histc")
def histc(op, x, bins=100, min=0, max=0):
    """Count of the elements in each of `bins` equal intervals, the last of which holds its end; of all
    elements from the least to the greatest if `min` equals `max`, and one more on either side if these are
    equal too. Elements outside and NaN count nowhere.
    """
    bins, flat = static_value(bins, "bins"), op.Reshape(x, ints(-1))
    low, high = number(op, min, x), number(op, max, x)
    if held(low) is None or held(high) is None or const(low) == const(high):
        unset = op.Equal(low, high)
        low = op.Where(unset, op.ReduceMin(flat, keepdims=0), low)
        high = op.Where(unset, op.ReduceMax(flat, keepdims=0), high)
        margin = cast(op, op.Equal(low, high), x.dtype)
        low, high = op.Sub(low, margin), op.Add(high, margin)
    inside = op.And(op.GreaterOrEqual(flat, low), op.LessOrEqual(flat, high))
    scaled = op.Div(op.Mul(op.Sub(flat, low), number(op, bins, x)), op.Sub(high, low))
    places = cast(op, op.Where(inside, scaled, number(op, 0, x)), T.INT64)
    places = op.Where(inside, op.Min(places, np.array(bins - 1)), np.array(bins))
    ones = op.Expand(tensor(op, 1, T.INT64), op.Shape(places))
    counts = op.ScatterElements(op.const(np.zeros(bins + 1, np.int64)), places, ones, axis=0, reduction="add")
    return cast(op, op.Slice(counts, ints(0), ints(bins), ints(0)), x.dtype)
