"""Reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, product, reshape
from bridge.hub import attr, const, held, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import wrap_indices

ops = OpTable()

NEUTRAL = {
    "ReduceSum": 0.0,
    "ReduceProd": 1.0,
    "ReduceMax": -np.inf,
    "ReduceMin": np.inf,
    "ReduceMean": np.nan,
}


@ops.op("ReduceLogSumExp", needs=(dtype("float", "double", "float16", "bfloat16"),))
def log_sum_exp(op, node, x, axes=None):
    """The largest plus log Σ exp of what is left, so that no exponential overflows; infinities stay."""
    if (
        rank_of(x) is None
        or (axes is None and attr(node, "noop_with_empty_axes"))
        or 0 in (shape_of(x) or [])
    ):
        return NotImplemented
    if axes is not None and (held(axes) is None or not const(axes).size):
        return NotImplemented
    top = op.ReduceMax(x, axes, keepdims=1)
    finite_top = op.Where(op.IsInf(top), op.const(0.0, x.dtype), top)
    total = op.Log(op.ReduceSum(op.Exp(op.Sub(x, finite_top)), axes, keepdims=1))
    result = op.Add(total, finite_top)
    if attr(node, "keepdims"):
        return result
    return op.Squeeze(result, None if axes is None else const(axes))


@ops.op(
    "ReduceMean",
    "ReduceSum",
    needs=(
        condition(
            "axes=[0], not kept",
            lambda n: (
                not attr(n, "keepdims")
                and len(n.inputs) > 1
                and held(n.inputs[1]) is not None
                and const(n.inputs[1]).tolist() == [0]
            ),
        ),
    ),
)
def mean_of_stacked(op, node, x, axes):
    """Matrices stacked along a new first axis are added up side by side."""
    parts = stacked_matrices(x)
    if not parts:
        return NotImplemented
    total = parts[0] if len(parts) == 1 else op.Sum(*parts)
    return (
        op.Div(total, op.const(float(len(parts)), total.dtype))
        if node.op_type == "ReduceMean"
        else op.Identity(total)
    )


def stacked_matrices(value: ir.Value) -> list[ir.Value]:
    """The [N, K] matrices of which a Concat along axis 0 of [1, N, K] is made; none for others."""
    node = value.producer()
    if node is None or node.op_type != "Concat" or attr(node, "axis") != 0:
        return []
    matrices = []
    for part in node.inputs:
        producer = None if part is None else part.producer()
        shape = const(producer.inputs[1]) if producer is not None and producer.op_type == "Reshape" else None
        if producer is None or shape is None or len(shape) != 3 or shape[:2].tolist() != [1, -1]:
            return []
        source = producer.inputs[0]
        if source is None or width(source) != shape[2]:
            return []
        matrices.append(source)
    return matrices


def width(value: ir.Value) -> int | None:
    """The columns of a matrix, or of a classifier's scores."""
    producer = value.producer()
    if value.shape is not None:
        last = value.shape[-1] if len(value.shape) == 2 else None
        return last if isinstance(last, int) else None
    labels = (
        []
        if producer is None
        else attr(producer, "classlabels_int64s") or attr(producer, "classlabels_strings") or []
    )
    return len(labels) or None


@ops.op(*NEUTRAL)
def reduce(op, node, x, axes=None):
    """Reductions of nothing are their neutral element; empty axes mean all of them, or none."""
    attributes = {"keepdims": attr(node, "keepdims")}
    if axes is not None and shape_of(axes) == [0]:
        return (
            op.Identity(x) if attr(node, "noop_with_empty_axes") else op.node(node.op_type, x, **attributes)
        )
    if (axes is None and attr(node, "noop_with_empty_axes")) or rank_of(x) == 0:
        return op.Identity(x)
    if 0 in (shape_of(x) or []):
        return _of_nothing(op, node, x, axes)
    if (
        node.op_type == "ReduceMean"
        and x.dtype is not None
        and x.dtype.is_integer()
        and (axes is None or held(axes) is not None)
    ):
        sizes = lengths(op, x)
        reduced = sizes if axes is None else [sizes[int(a)] for a in const(axes)]
        count = product(op, reduced)
        count = op.const(count, x.dtype) if isinstance(count, int) else op.Cast(count, to=int(x.dtype))
        return op.Div(op.ReduceSum(x, axes, **attributes), count)
    return NotImplemented


def _of_nothing(op: Any, node: ir.Node, x: Any, axes: Any) -> Any:
    """A reduction of no elements: the neutral one, everywhere."""
    shape = shape_of(node.outputs[0])
    if shape is None and not attr(node, "keepdims"):
        return NotImplemented
    info = np.iinfo(x.dtype.numpy()) if x.dtype.is_integer() else None
    number = NEUTRAL[node.op_type] if x.dtype != ir.DataType.BOOL else float(node.op_type == "ReduceMin")
    if info is not None and not np.isfinite(number):
        number = info.min if number < 0 else info.max
    if shape is not None:
        return op.Identity(op.const(np.full(shape, number).astype(x.dtype.numpy())))
    axis_indices = op.const(np.arange(rank_of(x))[None], axes.dtype)
    axes_column = op.Unsqueeze(wrap_indices(op, axes, rank_of(x)), [1])
    hits = op.ReduceMax(op.Cast(op.Equal(axes_column, axis_indices), to=7), [0], keepdims=0)
    sizes = op.Where(op.Equal(hits, 1), op.const(np.array(1)), op.const(np.array(shape_of(x))))
    return op.Expand(op.const(number, x.dtype), sizes)


@ops.op("ArgMax", "ArgMin")
def arg_extreme(op, node, x):
    """The last of equals is the first counted from the end; a kept dimension is put back."""
    rank = rank_of(x)
    if not rank:
        return NotImplemented
    axis = attr(node, "axis") % rank
    if attr(node, "keepdims"):
        attributes = {"axis": axis, "select_last_index": attr(node, "select_last_index")}
        return op.Unsqueeze(op.node(node.op_type, x, keepdims=0, **attributes), [axis])
    if not attr(node, "select_last_index"):
        return NotImplemented
    backwards = op.Slice(x, [-1], [-(2**31)], [axis], [-1])
    last = lengths(op, x)[axis]
    last = last - 1 if isinstance(last, int) else op.Sub(last, 1)
    index = op.node(node.op_type, backwards, axis=axis, keepdims=0)
    return op.Sub(
        op.const(np.array(last, np.int64)) if isinstance(last, int) else reshape(op, last, []), index
    )
