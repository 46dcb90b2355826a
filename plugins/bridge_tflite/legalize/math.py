"""Element by element."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.dims import sizes_of
from bridge.facts import WRAPPED
from bridge.hub import attr, const
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FEW_BITS, TFLITE
from bridge_tflite.export_ops.math import CAST, CAST_TARGETS

ops = OpTable()

BITS = ("int8", "int16", "int32", "uint8", "uint16", "uint32")


@ops.op("Clip", needs=(dtype("float", "int8", "int16", "int32", "int64", "uint8"),))
def clip(op, node, x, low=None, high=None):
    bounds = tuple(None if const(v) is None else const(v).item() for v in (low, high))
    if bounds == (0.0, 6.0) and x.dtype == ir.DataType.FLOAT:
        return op.Relu6(x, _domain=TFLITE)
    if low is not None:
        x = op.Max(x, low)
    if high is not None:
        x = op.Min(x, high)
    return x


def _root(node: ir.Node) -> ir.Value | None:
    """What the square root before `node` is taken of."""
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    return first.inputs[0] if first is not None and not first.domain and first.op_type == "Sqrt" else None


@ops.op(
    "Reciprocal", needs=(dtype("float"), condition("a square root before it", lambda n: _root(n) is not None))
)
def reciprocal(op, node, x):
    return op.Rsqrt(_root(node), _domain=TFLITE)


def _difference(node: ir.Node) -> ir.Node | None:
    """The subtraction that `node` alone reads, and squares."""
    first = node.inputs[0].producer() if node.inputs[0] is node.inputs[1] and node.inputs[0] else None
    if first is None or first.domain or first.op_type != "Sub" or first.outputs[0].is_graph_output():
        return None
    return first if all(use.node is node for use in first.outputs[0].uses()) else None


@ops.op("Mul", needs=(dtype("float"), condition("the square of a difference", _difference)))
def squared_difference(op, node, x, y):
    return op.SquaredDifference(*_difference(node).inputs, _domain=TFLITE)


@ops.op(
    "Mod",
    needs=(
        condition("fmod=0", lambda n: not attr(n, "fmod")),
        dtype("float", "int8", "int16", "int32", "int64"),
    ),
)
def floor_mod(op, node, x, y):
    return op.FloorMod(x, y, _domain=TFLITE)


@ops.op("Atan", needs=(dtype("float", "double"),))
def atan(op, node, x):
    return op.Atan2(x, op.Expand(op.const(1, x.dtype), sizes_of(op, x)), _domain=TFLITE)


@ops.op("Asin", needs=(dtype("float"),))
def asin(op, node, x):
    return op.Atan2(x, op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), _domain=TFLITE)


@ops.op("Acos", needs=(dtype("float"),))
def acos(op, node, x):
    return op.Atan2(op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), x, _domain=TFLITE)


@ops.op(
    "BitShift",
    needs=(dtype(*BITS), condition("direction=RIGHT", lambda n: attr(n, "direction") == "RIGHT")),
)
def right_shift(op, node, x, y):
    """The kernel shifts by less than the width; a shift by more leaves the sign."""
    last = op.const(x.dtype.bitwidth - 1, x.dtype)
    gone = op.Or(op.Less(y, op.const(0, y.dtype)), op.Greater(y, last))
    shifted = op.RightShift(
        x, op.Where(gone, last, y), _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape
    )
    unsigned = x.dtype.name.startswith("U")
    return op.Where(gone, op.const(0, x.dtype), shifted) if unsigned else shifted


EVERY_BIT = (*BITS, "int64", "uint64")


def _shape_together(op: Any, node: ir.Node, x: ir.Value, y: ir.Value) -> list[ir.Value]:
    """Both inputs in the shape of the result."""
    if x.shape == y.shape and x.shape is not None:
        return [x, y]
    shape = node.outputs[0].shape
    if shape is not None and shape.is_static():
        return [op.Expand(v, op.const(np.array(list(shape), np.int64))) for v in (x, y)]
    return [op.Expand(v, op.Shape(w)) for v, w in ((x, y), (y, x))]


@ops.op("BitwiseAnd", needs=(dtype(*EVERY_BIT),))
def bitwise_and(op, node, x, y):
    both = _shape_together(op, node, x, y)
    if both[0].shape != both[1].shape:
        return NotImplemented
    return op.And(*both, _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape)


@ops.op("BitwiseOr", needs=(dtype(*EVERY_BIT),))
def bitwise_or(op, node, x, y):
    return op.BitwiseXor(op.BitwiseXor(x, y), op.BitwiseAnd(x, y))


@ops.op("BitwiseXor", needs=(dtype("int64", "uint64"),))
def bitwise_xor(op, node, x, y):
    """x + y - 2 (x & y)."""
    both = op.BitwiseAnd(x, y)
    return op.Sub(op.Add(x, y), op.Add(both, both))


WRAPPING = ("Add", "Sub", "Mul", "Equal", "BitwiseXor")


@ops.op(*WRAPPING, needs=(dtype("uint64"),))
def as_signed(op, node, x, y):
    """Sums, products and equality do not depend on the sign bit."""
    signed = int(ir.DataType.INT64)
    made = op.node(node.op_type, op.BitCast(x, to=signed), op.BitCast(y, to=signed))
    return made if node.op_type == "Equal" else op.BitCast(made, to=int(x.dtype))


@ops.op("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Max", "Min", needs=(dtype("uint64"),))
def in_order(op, node, x, y):
    """The order of uint64 is that of int64 with the sign bit turned."""
    turned = [op.Add(op.BitCast(v, to=7), op.const(np.array(-(2**63), np.int64))) for v in (x, y)]
    made = op.node(node.op_type, *turned)
    if node.op_type not in ("Max", "Min"):
        return made
    return op.BitCast(op.Add(made, op.const(np.array(-(2**63), np.int64))), to=int(x.dtype))


FLOAT = ir.DataType.FLOAT
FEW = {ir.DataType[name.upper()] for name in FEW_BITS}


@ops.op(
    "Cast",
    needs=(
        dtype(*FEW_BITS),
        condition("to another dtype than float32", lambda n: target(n) in (CAST_TARGETS | FEW) - {FLOAT}),
    ),
)
def from_few_bits(op, node, x):
    return op.Cast(op.Cast(x, to=int(FLOAT)), to=int(target(node)))


@ops.op(
    "Cast",
    needs=(
        dtype(*CAST),
        condition(
            "to less than a byte, not wrapped yet", lambda n: target(n) in FEW and not wrapped(n.inputs[0])
        ),
    ),
)
def to_few_bits(op, node, x):
    """The low bits, where LiteRT would take the nearest number it has."""
    kind = target(node)
    lowest = int(ml_dtypes.iinfo(kind.numpy()).min)
    whole = op.Cast(x, to=int(ir.DataType.INT32))
    moved, count = op.Sub(whole, lowest), op.const(2**kind.bitwidth, whole.dtype)
    low = op.FloorMod(moved, count, _domain=TFLITE, _dtype=whole.dtype, _shape=x.shape)
    made = op.Cast(op.Add(low, lowest), to=int(FLOAT))
    WRAPPED.set(made.producer(), kind.name)
    return op.Cast(made, to=int(kind))


def wrapped(value: ir.Value) -> bool:
    """Whether a float32 surely is a number of the dtype it is cast to."""
    made = value.producer()
    return made is not None and WRAPPED.get(made) is not None


def target(node: ir.Node) -> ir.DataType:
    return ir.DataType(attr(node, "to"))
