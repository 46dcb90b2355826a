"""Quantized operators, as what they are around dequantized values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, input_at, rank_of, shape_of
from bridge.importing import ints
from bridge.needs import condition
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, channels_last, node_attributes, ranked

ops = OpTable()

ops.same(DOMAIN, {"axis": "axis"}, QuantizeLinear="QuantizeLinear", DequantizeLinear="DequantizeLinear")


WHOLE = condition("one scale for the first operand", lambda n: _scales(n, 2) == 1)
COLUMNS = condition(
    "one scale for the second operand, or one a column", lambda n: rank_of(input_at(n, 3)) in (0, 1)
)


def _scales(node: ir.Node, index: int) -> int | None:
    sizes = shape_of(input_at(node, index))
    return None if sizes is None else int(np.prod(sizes))


@ops.op(MS + "MatMulIntegerToFloat", needs=(WHOLE, COLUMNS))
def matmul_integer_to_float(op, node, a, b, a_scale, b_scale, a_zero=None, b_zero=None, bias=None):
    product = op.MatMul(dequantized(op, a, a_scale, a_zero), dequantized(op, b, b_scale, b_zero))
    return product if bias is None else op.Add(product, bias)


@ops.op(
    MS + "DynamicQuantizeMatMul",
    needs=(condition("one scale, or one a column", lambda n: rank_of(input_at(n, 2)) in (0, 1)),),
)
def dynamic_quantize_matmul(op, node, a, b, b_scale, b_zero=None, bias=None):
    product = op.MatMul(rounded(op, a), dequantized(op, b, b_scale, b_zero))
    return product if bias is None else op.Add(product, bias)


def rounded(op: hub.Builder, x: ir.Value) -> ir.Value:
    """`x` rounded to the bytes of its own range."""
    return op.DequantizeLinear(*op.DynamicQuantizeLinear(x, _outputs=3))


def dequantized(
    op: hub.Builder, x: ir.Value, scale: ir.Value, zero: ir.Value | None, axis: int = -1
) -> ir.Value:
    """DequantizeLinear; a vector of one scale is of all."""
    if shape_of(scale) == [1]:
        scale = op.Reshape(scale, ints())
        zero = None if zero is None else op.Reshape(zero, ints())
    return op.DequantizeLinear(x, scale, zero, axis=axis)


@ops.op(MS + "MatMulInteger16")
def matmul_integer_of_16_bits(op, node, a, b):
    return op.MatMul(*(op.Cast(x, to=ir.DataType.INT32) for x in (a, b)))


@ops.op(MS + "MulInteger")
def mul_integer(op, node, a, a_zero, b, b_zero=None):
    operands = []
    for x, zero in ((a, a_zero), (b, b_zero)):
        wide = op.Cast(x, to=ir.DataType.INT32)
        operands.append(wide if zero is None else op.Sub(wide, op.Cast(zero, to=ir.DataType.INT32)))
    return op.Mul(*operands)


@ops.op(MS + "ReduceSumInteger")
def reduce_sum_integer(op, node, x):
    wide = op.Cast(x, to=ir.DataType.INT32)
    return op.ReduceSum(wide, ints(*attr(node, "axes")), keepdims=attr(node, "keepdims"))


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
    return y if y_scale is None else quantized(op, y, y_scale, y_zero, a)


def quantized(
    op: hub.Builder, y: ir.Value, scale: ir.Value, zero: ir.Value | None, like: ir.Value
) -> ir.Value:
    """QuantizeLinear to the dtype of `like`."""
    return op.QuantizeLinear(y, scale, op.const(0, like.dtype) if zero is None else zero)


@ops.op("QLinearMatMul")
def qlinear_matmul(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    left = op.DequantizeLinear(a, a_scale, a_zero, axis=-2)
    right = op.DequantizeLinear(b, b_scale, b_zero, axis=-1)
    return op.QuantizeLinear(op.MatMul(left, right), y_scale, y_zero)


LAYOUT = (ranked(0, "an input"),)


@ops.op(MS + "QLinearConv", needs=LAYOUT)
def qlinear_conv_of_layout(op, node, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    rest = (x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias)
    return in_layout(op, node, x, lambda data: qlinear_conv(op, node, data, *rest))


def in_layout(
    op: hub.Builder, node: ir.Node, x: ir.Value, compute: Callable[[ir.Value], ir.Value]
) -> ir.Value:
    """`compute` of `x`, with channels_last brought to channels first and back."""
    return channels_last(op, x, compute) if attr(node, "channels_last") else compute(x)


@ops.op("QLinearConv")
def qlinear_conv(op, node, x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None):
    data = op.DequantizeLinear(x, x_scale, x_zero)
    weights = op.DequantizeLinear(w, w_scale, w_zero, axis=0)
    if bias is not None:
        bias = op.Mul(op.Cast(bias, to=ir.DataType.FLOAT), op.Mul(x_scale, w_scale))
    return op.QuantizeLinear(
        op.Conv(data, weights, bias, **node_attributes(node, "channels_last")), y_scale, y_zero
    )


@ops.op(MS + "QLinearAdd", MS + "QLinearMul")
def qlinear_binary(op, node, a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero=None):
    left, right = op.DequantizeLinear(a, a_scale, a_zero), op.DequantizeLinear(b, b_scale, b_zero)
    return quantized(op, op.node(node.op_type.removeprefix("QLinear"), left, right), y_scale, y_zero, a)


COUNTED = condition(
    "ceil_mode=0 where padding counts, which ONNX Runtime counts otherwise there",
    lambda n: not (attr(n, "ceil_mode") and attr(n, "count_include_pad")),
)


@ops.op(
    *(MS + f"QLinear{name}" for name in ("Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool")),
    needs=(*LAYOUT, COUNTED),
)
def qlinear_unary(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    name = node.op_type.removeprefix("QLinear")

    def compute(data: ir.Value) -> ir.Value:
        y = op.node(
            name, op.DequantizeLinear(data, x_scale, x_zero), **node_attributes(node, "channels_last")
        )
        return quantized(op, y, y_scale, y_zero, x)

    return in_layout(op, node, x, compute)


@ops.op(MS + "NhwcMaxPool", needs=LAYOUT)
def max_pool_of_channels_last(op, node, x):
    return channels_last(op, x, lambda data: op.MaxPool(data, **node_attributes(node)))


@ops.op(MS + "QLinearSoftmax")
def qlinear_softmax(op, node, x, x_scale, x_zero, y_scale, y_zero=None):
    """Before opset 13, of which `opset` tells, over all axes from `axis` on."""
    data, axis = op.DequantizeLinear(x, x_scale, x_zero), attr(node, "axis", -1)
    if attr(node, "opset", 13) < 13:
        y = op.Reshape(op.Softmax(op.Flatten(data, axis=axis), axis=-1), op.Shape(x))
    else:
        y = op.Softmax(data, axis=axis)
    return quantized(op, y, y_scale, y_zero, x)


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
    return quantized(op, mean, y_scale, y_zero, x)


@ops.op(MS + "QLinearWhere")
def qlinear_where(op, node, condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero):
    selected = op.Where(
        condition, op.DequantizeLinear(x, x_scale, x_zero), op.DequantizeLinear(y, y_scale, y_zero)
    )
    return op.QuantizeLinear(selected, z_scale, z_zero)
