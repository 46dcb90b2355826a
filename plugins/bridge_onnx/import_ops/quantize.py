"""Quantized operators, as what they are around dequantized values."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.importing import ints
from bridge.needs import attribute
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, node_attributes

ops = OpTable()

ops.same(DOMAIN, {"axis": "axis"}, QuantizeLinear="QuantizeLinear", DequantizeLinear="DequantizeLinear")


@ops.op(MS + "QGemm")
def qgemm(op, node, a, a_scale, a_zero, b, b_scale, b_zero, c=None, y_scale=None, y_zero=None):
    """Gemm of what is quantized; a bias of int32 counts in steps of alpha · a_scale · b_scale, and without
    y_scale the result is float."""
    transposed, alpha = attr(node, "transB") or 0, attr(node, "alpha", 1.0)
    left = op.DequantizeLinear(a, a_scale, a_zero)
    right = op.DequantizeLinear(b, b_scale, b_zero, axis=0 if transposed else 1)
    if c is not None:
        c = op.DequantizeLinear(c, op.Mul(op.Mul(a_scale, b_scale), alpha), axis=-1)
    y = op.Gemm(left, right, c, alpha=alpha, transA=attr(node, "transA") or 0, transB=transposed)
    return y if y_scale is None else op.QuantizeLinear(y, y_scale, y_zero)


@ops.op("QLinearMatMul")
def qlinear_matmul(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    left = op.DequantizeLinear(a, a_scale, a_zero, axis=-2)
    right = op.DequantizeLinear(b, b_scale, b_zero, axis=-1)
    return op.QuantizeLinear(op.MatMul(left, right), y_scale, y_zero)


@ops.op("QLinearConv")
def qlinear_conv(op, node, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    data = op.DequantizeLinear(x, x_scale, x_zero)
    weights = op.DequantizeLinear(w, w_scale, w_zero, axis=0)
    if bias is not None:
        bias = op.Mul(op.Cast(bias, to=ir.DataType.FLOAT), op.Mul(x_scale, w_scale))
    return op.QuantizeLinear(op.Conv(data, weights, bias, **node_attributes(node)), y_scale, y_zero)


@ops.op(MS + "QLinearAdd", MS + "QLinearMul")
def qlinear_binary(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero=None):
    left, right = op.DequantizeLinear(a, a_scale, a_zero), op.DequantizeLinear(b, b_scale, b_zero)
    return op.QuantizeLinear(op.node(node.op_type.removeprefix("QLinear"), left, right), y_scale, y_zero)


@ops.op(
    *(MS + f"QLinear{name}" for name in ("Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool")),
    needs=(attribute("channels_last", 0),),
)
def qlinear_unary(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    name = node.op_type.removeprefix("QLinear")
    y = op.node(name, op.DequantizeLinear(x, x_scale, x_zero), **node_attributes(node, "channels_last"))
    return op.QuantizeLinear(y, y_scale, y_zero)


@ops.op(MS + "QLinearSoftmax")
def qlinear_softmax(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    """Before opset 13, of which `opset` tells, over all axes from `axis` on."""
    data, axis = op.DequantizeLinear(x, x_scale, x_zero), attr(node, "axis", -1)
    if attr(node, "opset", 13) < 13:
        y = op.Reshape(op.Softmax(op.Flatten(data, axis=axis), axis=-1), op.Shape(x))
    else:
        y = op.Softmax(data, axis=axis)
    return op.QuantizeLinear(y, y_scale, y_zero)


@ops.op(MS + "QLinearConcat")
def qlinear_concat(op, node, y_scale, y_zero, *parts):
    values = [op.DequantizeLinear(*parts[i : i + 3]) for i in range(0, len(parts), 3)]
    return op.QuantizeLinear(op.Concat(*values, axis=attr(node, "axis")), y_scale, y_zero)


@ops.op(MS + "QLinearReduceMean")
def qlinear_reduce_mean(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    reduced_axes = attr(node, "axes")
    mean = op.ReduceMean(
        op.DequantizeLinear(x, x_scale, x_zero),
        None if reduced_axes is None else ints(*reduced_axes),
        keepdims=attr(node, "keepdims"),
    )
    return op.QuantizeLinear(mean, y_scale, y_zero)


@ops.op(MS + "QLinearWhere")
def qlinear_where(op, node, condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero):
    selected = op.Where(
        condition, op.DequantizeLinear(x, x_scale, x_zero), op.DequantizeLinear(y, y_scale, y_zero)
    )
    return op.QuantizeLinear(selected, z_scale, z_zero)
