"""Reductions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import Need, OpTable
from bridge_torchscript.export_ops.common import COMPUTED, FLOATS, NUMBERS, flag, list_literal
from bridge_torchscript.source import Source

ops = OpTable()

T = ir.DataType
RANK = condition("an input of known rank", lambda n: rank_of(n.inputs[0]) is not None)
OF_NUMBERS = {
    "ReduceSum": "torch.sum({x}, {axes}, {keepdim}, dtype={dtype})",
    "ReduceSumSquare": "torch.sum({x} * {x}, {axes}, {keepdim}, dtype={dtype})",
    "ReduceL1": "torch.sum(torch.abs({x}), {axes}, {keepdim}, dtype={dtype})",
}
OF_FLOATS = {
    "ReduceL2": "torch.linalg_vector_norm({x}, 2, {axes}, {keepdim})",
    "ReduceMean": "torch.mean({x}, {axes}, {keepdim})",
    "ReduceLogSum": "torch.log(torch.sum({x}, {axes}, {keepdim}))",
    "ReduceLogSumExp": "torch.logsumexp({x}, {axes}, {keepdim})",
}


def reduce(ts: Source, node: ir.Node, x: str, axes: str | None, formula: str) -> str:
    """Apply `formula` over the axes.

    Empty or absent axes mean all axes, or none with noop_with_empty_axes.
    """
    value, axes_input = node.inputs[0], list(node.inputs)[1:]
    fields = {"x": x, "keepdim": flag(attr(node, "keepdims")), "dtype": ts.dtype(value)}
    everything = list(range(rank_of(value) or 0))
    noop = attr(node, "noop_with_empty_axes")
    fixed = const(axes_input[0]) if axes_input and axes_input[0] is not None else None
    if axes is None or (fixed is not None and not fixed.size) or shape_of(axes_input[0]) == [0]:
        axes_text = list_literal([] if noop else everything)
        if noop:
            return reduce_single(node.op_type, x)
    elif fixed is not None:
        axes_text = list_literal(int(a) for a in fixed)
    else:
        axes_text = ts.ints(axes_input[0])
        if shape_of(axes_input[0]) is None:
            axes_text = ts.lib("axes_or_all", axes_text, rank_of(value))
    if not everything:
        return reduce_single(node.op_type, x)
    return formula.format(axes=axes_text, **fields)


def reduce_single(name: str, x: str) -> str:
    """Reduction of each element by itself."""
    if name in ("ReduceL1", "ReduceL2"):
        return f"torch.abs({x})"
    return f"torch.log({x})" if name == "ReduceLogSum" else f"{x} * {x}" if name == "ReduceSumSquare" else x


def has_static_axes_count(node: ir.Node) -> bool:
    """True if it is known before run time whether `axes` is empty, or an empty one means all axes."""
    axes = input_at(node, 1)
    known = axes is None or held(axes) is not None or shape_of(axes) is not None
    return known or not attr(node, "noop_with_empty_axes")


FIXED = condition("axes whose number is known", has_static_axes_count)


def register_reductions(formulas: dict[str, str], need: Need) -> None:
    for name, formula in formulas.items():

        @ops.op(name, needs=(need, RANK, FIXED))
        def call(ts, node, x, axes=None, formula=formula):
            return reduce(ts, node, x, axes, formula)


register_reductions(OF_NUMBERS, NUMBERS)
register_reductions(OF_FLOATS, FLOATS)


@ops.op("ReduceMax", "ReduceMin", needs=(COMPUTED, RANK, FIXED))
def extreme(ts, node, x, axes=None):
    """Maximum or minimum. The result over no elements is the least or greatest value of the dtype."""
    greatest = node.op_type == "ReduceMax"
    formula = f"torch.{'amax' if greatest else 'amin'}({{x}}, {{axes}}, {{keepdim}})"
    lengths = shape_of(node.inputs[0])
    if lengths is None or 0 in lengths:
        value = node.inputs[0].dtype
        info = np.iinfo(value.numpy()) if value.is_integer() else None
        neutral = (info.min, info.max) if info else ("False", "True") if value == T.BOOL else ("-inf", "inf")
        helper = "amax" if greatest else "amin"
        filler = ts.let(f"torch.full([], {neutral[not greatest]}, dtype={ts.dtype(value)})", "neutral")
        formula = ts.lib(helper, "{x}", "{axes}", "{keepdim}", filler)
    return reduce(ts, node, x, axes, formula)


@ops.op("ReduceProd", needs=(NUMBERS, RANK, FIXED))
def product(ts, node, x, axes=None):
    return reduce(ts, node, x, axes, ts.lib("prod", "{x}", "{axes}", "{keepdim}"))


@ops.op("ReduceMean", needs=(dtype("int8", "int16", "int32", "int64", "uint8"), RANK, FIXED))
def integer_mean(ts, node, x, axes=None):
    return reduce(ts, node, x, axes, ts.lib("integer_mean", "{x}", "{axes}", "{keepdim}"))


@ops.op("ArgMax", "ArgMin", needs=(NUMBERS, RANK))
def arg_extreme(ts, node, x):
    name, axis, keepdim = node.op_type.lower(), attr(node, "axis"), flag(attr(node, "keepdims"))
    if not attr(node, "select_last_index"):
        return f"torch.{name}({x}, {axis}, {keepdim})"
    if not rank_of(node.inputs[0]):
        return f"torch.{name}({x}, 0, {keepdim})"
    return f"{x}.size({axis}) - 1 - torch.{name}(torch.flip({x}, [{axis}]), {axis}, {keepdim})"
