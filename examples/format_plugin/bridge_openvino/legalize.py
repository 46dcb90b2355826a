"""Hub → what OpenVINO holds: the visible list of passes, and rewrites of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose import Decompose
from bridge.passes.fold import FoldConstants
from bridge.passes.rewrite import Rewrite
from bridge.passes.sequences import ResolveSequences
from bridge.passes.widen import ComputeWider
from bridge_openvino import export_ops

ops = OpTable()


def passes(options: dict[str, Any]) -> list[ir.passes.PassBase]:
    """In order: sequences as tensors; dtypes OpenVINO's CPU computes; operators it lacks, quantizations
    divided exactly; what became constant."""
    return [
        ResolveSequences(),
        ComputeWider(takes),
        Rewrite(ops),
        Decompose(takes),
        Rewrite(ops),
        Decompose(takes),
        FoldConstants(),
    ]


def takes(node: ir.Node) -> bool:
    name = hub.qualified(node)
    return export_ops.ops.find(name, node) is not None or ops.find(name, node) is not None


def _scaled(node: ir.Node) -> bool:
    """Divided by a scale other than 1, of one element or one along an axis."""
    shape, known = shape_of(node.inputs[1]), const(node.inputs[1])
    if shape is None or len(shape) > 1 or attr(node, "block_size") or rank_of(node.inputs[0]) is None:
        return False
    return known is None or bool((known != 1).any())


@ops.op(
    "QuantizeLinear",
    needs=(dtype("float"), dtype("float", index=1), condition("a scale other than 1", _scaled)),
)
def quantize(op, node, x, scale, zero_point=None):
    """OpenVINO's CPU multiplies by a reciprocal, which moves ties, so what is quantized is the exact
    quotient, at the scale 1."""
    axis, rank, shape = attr(node, "axis"), rank_of(x), shape_of(scale)
    along = [] if shape in ([], [1]) else [-1 if i == axis % rank else 1 for i in range(rank)]
    ones = op.const(np.ones(shape, np.float32))
    kept = {name: a.value for name, a in node.attributes.items()}
    return op.QuantizeLinear(quotient(op, x, op.Reshape(scale, along)), ones, zero_point, **kept)


LIMIT = 2.0**24


def quotient(op: Any, a: ir.Value, b: ir.Value) -> ir.Value:
    """a / b to the last bit where it is below 2**24: the approximate one, and what is left of `a` after it
    over `b`. Both are split in halves, whose products float32 holds."""
    q = op.Clip(op.Div(a, b), op.const(-LIMIT), op.const(LIMIT))
    (q1, q2), (b1, b2) = halves(op, q), halves(op, b)
    rest = op.Sub(a, op.Mul(q1, b1))
    for product in (op.Mul(q1, b2), op.Mul(q2, b1), op.Mul(q2, b2)):
        rest = op.Sub(rest, product)
    return op.Add(q, op.Div(rest, b))


def halves(op: Any, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The upper 12 bits of a float32, and the rest (Dekker)."""
    wide = op.Mul(x, op.const(np.float32(4097)))
    upper = op.Sub(wide, op.Sub(wide, x))
    return upper, op.Sub(x, upper)
