"""Elementwise operators."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.dims import sizes_of
from bridge.facts import WRAPPED
from bridge.hub import attr, const, held
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import SUB_BYTE_DTYPES, TFLITE
from bridge_tflite.export_ops.math import CAST_DTYPES, CAST_TARGETS

ops = OpTable()

BIT_DTYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32")


@ops.op("Clip", needs=(dtype("float", "int8", "int16", "int32", "int64", "uint8"),))
def clip(op, node, x, low=None, high=None):
    bounds = tuple(None if held(v) is None else const(v).item() for v in (low, high))
    if bounds == (0.0, 6.0) and x.dtype == ir.DataType.FLOAT:
        return op.Relu6(x, _domain=TFLITE)
    if low is not None:
        x = op.Max(x, low)
    if high is not None:
        x = op.Min(x, high)
    return x


def _square_root_input(node: ir.Node) -> ir.Value | None:
    """Input of the Sqrt that produces the input of `node`, or None."""
    first = node.inputs[0].producer() if node.inputs[0] is not None else None
    return first.inputs[0] if first is not None and not first.domain and first.op_type == "Sqrt" else None


@ops.op(
    "Reciprocal",
    needs=(dtype("float"), condition("a square root before it", lambda n: _square_root_input(n) is not None)),
)
def reciprocal(op, node, x):
    return op.Rsqrt(_square_root_input(node), _domain=TFLITE)


def _squared_subtraction(node: ir.Node) -> ir.Node | None:
    """Sub whose result only `node` reads, as both factors; else None."""
    first = node.inputs[0].producer() if node.inputs[0] is node.inputs[1] and node.inputs[0] else None
    if first is None or first.domain or first.op_type != "Sub" or first.outputs[0].is_graph_output():
        return None
    return first if all(use.node is node for use in first.outputs[0].uses()) else None


@ops.op("Mul", needs=(dtype("float"), condition("the square of a difference", _squared_subtraction)))
def squared_difference(op, node, x, y):
    return op.SquaredDifference(*_squared_subtraction(node).inputs, _domain=TFLITE)


NOT_QUANTIZED = condition(
    "an input that is not dequantized",
    lambda n: (maker := n.inputs[0].producer()) is None or maker.op_type != "DequantizeLinear",
)


@ops.op("Exp", needs=(dtype("float"), NOT_QUANTIZED))
def exp(op, node, x):
    """LiteRT's EXP answers 0 for NaN."""
    return op.Where(op.Equal(x, x), op.Exp(x, _domain=TFLITE, _dtype=x.dtype, _shape=x.shape), x)


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
    ones = op.Expand(op.const(1, x.dtype), sizes_of(op, x))
    ones.shape = x.shape
    return op.Atan2(x, ones, _domain=TFLITE)


@ops.op("Asin", needs=(dtype("float"),))
def asin(op, node, x):
    return op.Atan2(x, op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), _domain=TFLITE)


@ops.op("Acos", needs=(dtype("float"),))
def acos(op, node, x):
    return op.Atan2(op.Sqrt(op.Mul(op.Sub(1.0, x), op.Add(x, 1.0))), x, _domain=TFLITE)


@ops.op(
    "BitShift",
    needs=(dtype(*BIT_DTYPES), condition("direction=RIGHT", lambda n: attr(n, "direction") == "RIGHT")),
)
def right_shift(op, node, x, y):
    """The shift amount is clamped: the kernel shifts by less than the bit width."""
    last = op.const(x.dtype.bitwidth - 1, x.dtype)
    out_of_range = op.Or(op.Less(y, op.const(0, y.dtype)), op.Greater(y, last))
    shifted = op.RightShift(
        x, op.Where(out_of_range, last, y), _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape
    )
    unsigned = x.dtype.name.startswith("U")
    return op.Where(out_of_range, op.const(0, x.dtype), shifted) if unsigned else shifted


EVERY_BIT = (*BIT_DTYPES, "int64", "uint64")


def _expand_to_result(op: Any, node: ir.Node, x: ir.Value, y: ir.Value) -> list[ir.Value]:
    """Both inputs expanded to the shape of the output."""
    if x.shape == y.shape and x.shape is not None:
        return [x, y]
    shape = node.outputs[0].shape
    if shape is not None and shape.is_static():
        return [op.Expand(v, op.const(np.array(list(shape), np.int64))) for v in (x, y)]
    sizes = op.Shape(op.Equal(x, y))
    return [op.node("Expand", v, sizes, _shape=shape) for v in (x, y)]


@ops.op("BitwiseAnd", needs=(dtype(*EVERY_BIT),))
def bitwise_and(op, node, x, y):
    expanded = _expand_to_result(op, node, x, y)
    return op.And(*expanded, _domain=TFLITE, _dtype=x.dtype, _shape=node.outputs[0].shape)


@ops.op("BitwiseOr", needs=(dtype(*EVERY_BIT),))
def bitwise_or(op, node, x, y):
    return op.BitwiseXor(op.BitwiseXor(x, y), op.BitwiseAnd(x, y))


@ops.op("BitwiseXor", needs=(dtype("int64", "uint64"),))
def bitwise_xor(op, node, x, y):
    """x + y - 2 (x & y)."""
    common_bits = op.BitwiseAnd(x, y)
    return op.Sub(op.Add(x, y), op.Add(common_bits, common_bits))


WRAPPING = ("Add", "Sub", "Mul", "Equal", "BitwiseXor")


@ops.op(*WRAPPING, needs=(dtype("uint64"),))
def as_signed(op, node, x, y):
    """Compute in int64: sums, products and equality do not depend on signedness."""
    signed = int(ir.DataType.INT64)
    result = op.node(node.op_type, op.BitCast(x, to=signed), op.BitCast(y, to=signed))
    return result if node.op_type == "Equal" else op.BitCast(result, to=int(x.dtype))


@ops.op("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Max", "Min", needs=(dtype("uint64"),))
def compare_uint64(op, node, x, y):
    """Compare in int64 with the sign bit flipped, which keeps the order of uint64."""
    flipped = [
        op.Add(op.BitCast(v, to=int(ir.DataType.INT64)), op.const(np.array(-(2**63), np.int64)))
        for v in (x, y)
    ]
    result = op.node(node.op_type, *flipped)
    if node.op_type not in ("Max", "Min"):
        return result
    return op.BitCast(op.Add(result, op.const(np.array(-(2**63), np.int64))), to=int(x.dtype))


FLOAT = ir.DataType.FLOAT
SUB_BYTE = {ir.DataType[name.upper()] for name in SUB_BYTE_DTYPES}


@ops.op(
    "Cast",
    needs=(
        dtype(*SUB_BYTE_DTYPES),
        condition(
            "to another dtype than float32", lambda n: cast_target(n) in (CAST_TARGETS | SUB_BYTE) - {FLOAT}
        ),
    ),
)
def from_few_bits(op, node, x):
    return op.Cast(op.Cast(x, to=int(FLOAT)), to=int(cast_target(node)))


@ops.op(
    "Cast",
    needs=(
        dtype(*CAST_DTYPES),
        condition(
            "to less than a byte, not wrapped yet",
            lambda n: cast_target(n) in SUB_BYTE and not is_wrapped(n.inputs[0]),
        ),
    ),
)
def to_few_bits(op, node, x):
    """Wrap to the low bits, as ONNX does; LiteRT's CAST would saturate."""
    target_dtype = cast_target(node)
    lowest = int(ml_dtypes.iinfo(target_dtype.numpy()).min)
    integers = op.Cast(x, to=int(ir.DataType.INT32))
    offset, count = op.Sub(integers, lowest), op.const(2**target_dtype.bitwidth, integers.dtype)
    low = op.FloorMod(offset, count, _domain=TFLITE, _dtype=integers.dtype, _shape=x.shape)
    low_bits = op.Cast(op.Add(low, lowest), to=int(FLOAT))
    WRAPPED.set(low_bits.producer(), target_dtype.name)
    return op.Cast(low_bits, to=int(target_dtype))


def is_wrapped(value: ir.Value) -> bool:
    """True if the float32 value is known to be representable in the dtype it is cast to."""
    producer = value.producer()
    return producer is not None and WRAPPED.get(producer) is not None


def cast_target(node: ir.Node) -> ir.DataType:
    return ir.DataType(attr(node, "to"))
