"""Weights that stay quantized."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import IOS16

ops = OpTable("Core ML export: quantize")


def stored(node: ir.Node) -> bool:
    """Constant weights with one scale, or one for each place of an axis."""
    values = [const(v) for v in node.inputs if v is not None]
    if any(v is None for v in values) or attr(node, "block_size", 0):
        return False
    scale = values[1]
    return values[0].ndim > 0 and scale.ndim <= 1 and scale.dtype in (np.float32, np.float16)


@ops.op(
    "DequantizeLinear",
    since=IOS16,
    needs=(dtype("int8", "uint8"), condition("constant weights with a scale, or one along an axis", stored)),
)
def dequantize(mil, node, x, scale, zero_point=None):
    weights, factor = const(x), const(scale)
    zero = np.zeros(factor.shape, weights.dtype) if zero_point is None else const(zero_point)
    axis = attr(node, "axis", 1) % weights.ndim if factor.ndim else 0
    if not factor.ndim:
        factor, zero = factor[()], zero[()]
    return mil.constexpr_affine_dequantize(
        quantized_data=weights, zero_point=zero, scale=factor, axis=np.int32(axis)
    )
