"""Quantization to and from 8-bit floats and 4-bit integers, which TensorFlow can only cast."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.quantize import broadcast_parameter
from bridge.quant import limits

ops = OpTable()

T = ir.DataType
FLOAT8 = (T.FLOAT8E4M3FN, T.FLOAT8E5M2)
INT4 = (T.INT4, T.UINT4)
RANKED = condition("inputs of known rank", lambda n: all(v is None or v.shape is not None for v in n.inputs))
WHOLE_BLOCKS = condition("one scale, or one for each place of the axis", lambda n: not attr(n, "block_size"))


@ops.op(
    "DequantizeLinear", needs=(dtype("float8e4m3fn", "float8e5m2", "int4", "uint4"), RANKED, WHOLE_BLOCKS)
)
def dequantize(op, node, x, scale, zero=None):
    to = attr(node, "output_dtype") or int(scale.dtype)
    values = op.Cast(x, to=1)
    if zero is not None:
        values = op.Sub(values, broadcast_parameter(op, node, x, op.Cast(zero, to=1)))
    return _cast(op, op.Mul(values, broadcast_parameter(op, node, x, _cast(op, scale, 1))), to)


@ops.op("QuantizeLinear", needs=(dtype("float", "float16", "bfloat16"), RANKED, WHOLE_BLOCKS))
def quantize(op, node, x, scale, zero=None):
    target = node.outputs[0].dtype
    if target not in (*FLOAT8, *INT4) or attr(node, "precision") not in (0, 1):
        return NotImplemented
    values = op.Div(_cast(op, x, 1), broadcast_parameter(op, node, x, _cast(op, scale, 1)))
    offset = None if zero is None else broadcast_parameter(op, node, x, op.Cast(zero, to=1))
    if target in FLOAT8:
        values = values if offset is None else op.Add(values, offset)
        return op.Cast(values, to=int(target), saturate=attr(node, "saturate"))
    low, high = limits(target)
    values = op.Round(values) if offset is None else op.Add(op.Round(values), offset)
    return op.Cast(op.Cast(op.Min(op.Max(values, low), high), to=6), to=int(target))


def _cast(op: Any, value: Any, to: int) -> Any:
    return value if int(value.dtype) == to else op.Cast(value, to=to)
