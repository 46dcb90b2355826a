"""Reductions."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, input_at, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import Need, OpTable
from bridge_torchscript.export_ops.common import COMPUTED, FLOATS, NUMBERS, flag, texts
from bridge_torchscript.source import Source

ops = OpTable()

T = ir.DataType
RANK = condition("an input of known rank", lambda n: rank_of(n.inputs[0]) is not None)
OF_NUMBERS = {
    "ReduceSum": "torch.sum({x}, {axes}, {kept}, dtype={dtype})",
    "ReduceSumSquare": "torch.sum({x} * {x}, {axes}, {kept}, dtype={dtype})",
    "ReduceL1": "torch.sum(torch.abs({x}), {axes}, {kept}, dtype={dtype})",
}
OF_FLOATS = {
    "ReduceL2": "torch.sqrt(torch.sum({x} * {x}, {axes}, {kept}))",
    "ReduceMean": "torch.mean({x}, {axes}, {kept})",
    "ReduceLogSum": "torch.log(torch.sum({x}, {axes}, {kept}))",
    "ReduceLogSumExp": "torch.logsumexp({x}, {axes}, {kept})",
}


def reduce(ts: Source, node: ir.Node, x: str, axes: str | None, formula: str) -> str:
    """`formula` over the axes; empty or absent ones mean all, or none."""
    value, given = node.inputs[0], list(node.inputs)[1:]
    kind = {"x": x, "kept": flag(attr(node, "keepdims")), "dtype": ts.dtype(value)}
    everything = list(range(rank_of(value) or 0))
    nothing = attr(node, "noop_with_empty_axes")
    fixed = const(given[0]) if given and given[0] is not None else None
    if axes is None or (fixed is not None and not fixed.size) or shape_of(given[0]) == [0]:
        chosen = texts([] if nothing else everything)
        if nothing:
            return element(node.op_type, x)
    elif fixed is not None:
        chosen = texts(int(a) for a in fixed)
    else:
        listed = ts.ints(given[0])
        if shape_of(given[0]) is None:
            listed = ts.lib("axes_or_all", listed, rank_of(value))
        chosen = listed
    if not everything:
        return element(node.op_type, x)
    return formula.format(axes=chosen, **kind)


def element(name: str, x: str) -> str:
    """The reduction of each element by itself."""
    if name in ("ReduceL1", "ReduceL2"):
        return f"torch.abs({x})"
    return f"torch.log({x})" if name == "ReduceLogSum" else f"{x} * {x}" if name == "ReduceSumSquare" else x


def fixed_axes(node: ir.Node) -> bool:
    """Whether there are axes is known before run time, where none at all would change nothing."""
    axes = input_at(node, 1)
    known = axes is None or const(axes) is not None or shape_of(axes) is not None
    return known or not attr(node, "noop_with_empty_axes")


FIXED = condition("axes whose number is known", fixed_axes)


def register(formulas: dict[str, str], need: Need) -> None:
    for name, formula in formulas.items():

        @ops.op(name, needs=(need, RANK, FIXED))
        def call(ts, node, x, axes=None, formula=formula):
            return reduce(ts, node, x, axes, formula)


register(OF_NUMBERS, NUMBERS)
register(OF_FLOATS, FLOATS)


@ops.op("ReduceMax", "ReduceMin", needs=(COMPUTED, RANK, FIXED))
def extreme(ts, node, x, axes=None):
    """Of nothing: the least, or the greatest, value of the dtype."""
    greatest = node.op_type == "ReduceMax"
    formula = f"torch.{'amax' if greatest else 'amin'}({{x}}, {{axes}}, {{kept}})"
    lengths = shape_of(node.inputs[0])
    if lengths is None or 0 in lengths:
        value = node.inputs[0].dtype
        info = np.iinfo(value.numpy()) if value.is_integer() else None
        neutral = (info.min, info.max) if info else ("False", "True") if value == T.BOOL else ("-inf", "inf")
        helper = "amax" if greatest else "amin"
        filler = ts.let(f"torch.full([], {neutral[not greatest]}, dtype={ts.dtype(value)})", "neutral")
        formula = ts.lib(helper, "{x}", "{axes}", "{kept}", filler)
    return reduce(ts, node, x, axes, formula)


@ops.op("ReduceProd", needs=(NUMBERS, RANK, FIXED))
def product(ts, node, x, axes=None):
    return reduce(ts, node, x, axes, ts.lib("prod", "{x}", "{axes}", "{kept}"))


@ops.op("ReduceMean", needs=(dtype("int8", "int16", "int32", "int64", "uint8"), RANK, FIXED))
def integer_mean(ts, node, x, axes=None):
    return reduce(ts, node, x, axes, ts.lib("integer_mean", "{x}", "{axes}", "{kept}"))


@ops.op("ArgMax", "ArgMin", needs=(NUMBERS, RANK))
def arg_extreme(ts, node, x):
    name, axis, kept = node.op_type.lower(), attr(node, "axis"), flag(attr(node, "keepdims"))
    if not attr(node, "select_last_index"):
        return f"torch.{name}({x}, {axis}, {kept})"
    if not rank_of(node.inputs[0]):
        return f"torch.{name}({x}, 0, {kept})"
    return f"{x}.size({axis}) - 1 - torch.{name}(torch.flip({x}, [{axis}]), {axis}, {kept})"
