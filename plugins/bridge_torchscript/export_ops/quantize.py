"""Quantization and integer matrix products."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.quant import limits, quantized_dtype
from bridge_torchscript.export_ops.common import flag
from bridge_torchscript.export_ops.math import cast_text

ops = OpTable()

T = ir.DataType
BYTES = (dtype("int8", "uint8"), dtype("int8", "uint8", index=1))


SINGLE = condition("precision float", lambda n: T(attr(n, "precision") or int(T.FLOAT)) == T.FLOAT)


@ops.op("QuantizeLinear", needs=(dtype("float", "float16", "bfloat16", "int32"), SINGLE))
def quantize(ts, node, x, scale, zero=None):
    """saturate(round(x / scale) + zero point). Outputs in float8 and float4 are rounded by their cast."""
    output_dtype, axis_and_block = quantized_dtype(node), (attr(node, "axis"), attr(node, "block_size"))
    scaled = ts.lib("divide_by_scale", x, scale, *axis_and_block)
    if not output_dtype.is_integer():
        return cast_text(ts, scaled, T.FLOAT, output_dtype, attr(node, "saturate"))
    low, high = limits(output_dtype)
    integers = ts.lib("round_to_integers", scaled, zero, *axis_and_block, low, high)
    return cast_text(ts, integers, T.FLOAT, output_dtype)


@ops.op("DequantizeLinear", needs=(dtype("float", "float16", "bfloat16", index=1),))
def dequantize(ts, node, x, scale, zero=None):
    """(x - zero point) · scale in float32. For int32 the subtraction is done in int32."""
    output_dtype = T(attr(node, "output_dtype") or int(node.inputs[1].dtype))
    is_int32 = flag(node.inputs[0].dtype == T.INT32)
    dequantized = ts.lib("dequantize", x, scale, zero, attr(node, "axis"), attr(node, "block_size"), is_int32)
    return cast_text(ts, dequantized, T.FLOAT, output_dtype)


@ops.op("MatMulInteger", needs=BYTES)
def matmul_integer(ts, node, a, b, a_zero=None, b_zero=None):
    a = ts.lib("subtract_row_zeros", a, a_zero) if a_zero is not None else f"{a}.to(torch.int32)"
    b = f"({b}.to(torch.int32) - {b_zero}.to(torch.int32))" if b_zero is not None else f"{b}.to(torch.int32)"
    return f"torch.matmul({a}, {b})"
