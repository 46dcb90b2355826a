"""Reductions, cumulative sums, ArgMax and ArgMin."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of
from bridge.needs import attribute, condition, constant, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, FLOATS, INTS, SMALL, TENSOR, axis_of, ints

ops = OpTable()

REDUCTIONS = {
    "ReduceL1": "reduce_l1_norm",
    "ReduceL2": "reduce_l2_norm",
    "ReduceLogSum": "reduce_log_sum",
    "ReduceLogSumExp": "reduce_log_sum_exp",
    "ReduceMax": "reduce_max",
    "ReduceMean": "reduce_mean",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
    "ReduceSum": "reduce_sum",
    "ReduceSumSquare": "reduce_sum_square",
}


def axes_of(node: ir.Node) -> list[int]:
    rank = rank_of(node.inputs[0]) or 0
    axes = const(input_at(node, 1))
    if axes is None or not axes.size:
        return [] if attr(node, "noop_with_empty_axes") else list(range(rank))
    return [] if rank == 0 else [int(a) % rank for a in axes.ravel()]


def reduction(names: tuple[str, ...], *needs) -> None:
    @ops.op(
        *names, needs=(*needs, TENSOR, constant(1, "axes"), condition("axes", lambda n: bool(axes_of(n))))
    )
    def reduce(mil, node, x, axes=None):
        keep = bool(attr(node, "keepdims"))
        return getattr(mil, REDUCTIONS[node.op_type])(x=x, axes=ints(axes_of(node)), keep_dims=keep)


reduction(tuple(REDUCTIONS), FLOAT)
reduction(("ReduceSum", "ReduceProd", "ReduceMax", "ReduceMin"), dtype(*INTS))
reduction(("ReduceMax", "ReduceMin"), dtype(*SMALL))


@ops.op(
    "ReduceMax",
    "ReduceMin",
    needs=(dtype("bool"), TENSOR, constant(1, "axes"), condition("axes", lambda n: bool(axes_of(n)))),
)
def reduce_boolean(mil, node, x, axes=None):
    name, keep = REDUCTIONS[node.op_type], bool(attr(node, "keepdims"))
    return mil.as_numbers(x, lambda v: getattr(mil, name)(x=v, axes=ints(axes_of(node)), keep_dims=keep))


@ops.op("ArgMax", "ArgMin", needs=(dtype(*FLOATS, *INTS, *SMALL), TENSOR, attribute("select_last_index", 0)))
def arg_extreme(mil, node, x):
    name = "reduce_argmax" if node.op_type == "ArgMax" else "reduce_argmin"
    return getattr(mil, name)(x=x, axis=axis_of(node), keep_dims=bool(attr(node, "keepdims")))


@ops.op("CumSum", needs=(dtype(*FLOATS, *INTS), TENSOR, constant(1, "axis")))
def cum_sum(mil, node, x, axis):
    axis_number = int(const(axis).item()) % rank_of(x)
    return mil.cumsum(
        x=x, axis=axis_number, exclusive=bool(attr(node, "exclusive")), reverse=bool(attr(node, "reverse"))
    )
