"""Quantization and exact-integer products."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.quant import limits, quantized_dtype
from bridge_torchscript.export_ops.common import flag
from bridge_torchscript.export_ops.math import converted

ops = OpTable()

T = ir.DataType
BYTES = (dtype("int8", "uint8"), dtype("int8", "uint8", index=1))


SINGLE = condition("precision float", lambda n: T(attr(n, "precision") or int(T.FLOAT)) == T.FLOAT)


@ops.op("QuantizeLinear", needs=(dtype("float", "float16", "bfloat16", "int32"), SINGLE))
def quantize(ts, node, x, scale, zero=None):
    """saturate(round(x / scale) + zero point); float8 and float4 are rounded by their cast."""
    made, along = quantized_dtype(node), (attr(node, "axis"), attr(node, "block_size"))
    ratio = ts.lib("scaled", x, scale, *along)
    if not made.is_integer():
        return converted(ts, ratio, T.FLOAT, made, attr(node, "saturate"))
    low, high = limits(made)
    whole = ts.lib("whole", ratio, zero, *along, low, high)
    return converted(ts, whole, T.FLOAT, made)


@ops.op("DequantizeLinear", needs=(dtype("float", "float16", "bfloat16", index=1),))
def dequantize(ts, node, x, scale, zero=None):
    """(x - zero point) · scale in float32; int32 is subtracted as int32."""
    kind = T(attr(node, "output_dtype") or int(node.inputs[1].dtype))
    whole = flag(node.inputs[0].dtype == T.INT32)
    made = ts.lib("dequantized", x, scale, zero, attr(node, "axis"), attr(node, "block_size"), whole)
    return converted(ts, made, T.FLOAT, kind)


@ops.op("MatMulInteger", needs=BYTES)
def matmul_integer(ts, node, a, b, a_zero=None, b_zero=None):
    a = ts.lib("from_zero_of_rows", a, a_zero) if a_zero is not None else f"{a}.to(torch.int32)"
    b = f"({b}.to(torch.int32) - {b_zero}.to(torch.int32))" if b_zero is not None else f"{b}.to(torch.int32)"
    return f"torch.matmul({a}, {b})"
