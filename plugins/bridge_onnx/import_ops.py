"""Operators of ONNX files that the hub does not have: QLinear* and the common com.microsoft ones."""

from __future__ import annotations

from bridge.hub import attr
from bridge.ops import OpTable

ops = OpTable("ONNX import")


@ops.op("QLinearMatMul")
def qlinear_matmul(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    left = op.DequantizeLinear(a, a_scale, a_zero, axis=-2)
    right = op.DequantizeLinear(b, b_scale, b_zero)
    return op.QuantizeLinear(op.MatMul(left, right), y_scale, y_zero)


@ops.op("QLinearConv")
def qlinear_conv(op, node, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    data = op.DequantizeLinear(x, x_scale, x_zero)
    weights = op.DequantizeLinear(w, w_scale, w_zero, axis=0)
    if bias is not None:
        bias = op.Mul(op.Cast(bias, to=1), op.Mul(x_scale, w_scale))
    kept = {name: attr(node, name) for name in node.attributes}
    return op.QuantizeLinear(op.Conv(data, weights, bias, **kept), y_scale, y_zero)
