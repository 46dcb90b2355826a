"""Quantized operators, as what they are around dequantized values; weights of a few bits."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.importing import ints
from bridge.needs import attribute, constant
from bridge.ops import OpTable
from bridge_onnx.import_ops.common import DOMAIN, MS, absent, node_attributes

ops = OpTable()

ops.same(DOMAIN, {"axis": "axis"}, QuantizeLinear="QuantizeLinear", DequantizeLinear="DequantizeLinear")


@ops.op(
    MS + "MatMulNBits",
    needs=(attribute("bits", 4, 8), constant(1, "B"), constant(3, "zero_points"), absent(4, "g_idx")),
)
def matmul_nbits(op, node, a, b, scales, zero_points=None, g_idx=None, bias=None):
    """Blocks of `block_size` along K become DequantizeLinear blocks."""
    k, n, block = (attr(node, name) for name in ("K", "N", "block_size"))
    bits = attr(node, "bits", 4)
    blocks = -(-k // block)
    dtype = ir.DataType.UINT4 if bits == 4 else ir.DataType.UINT8
    codes = unpack_codes(const(b).reshape(n, -1), bits)[:, :k]
    if zero_points is None:
        zeros = np.full((n, blocks), 1 << (bits - 1), np.uint8)
    elif zero_points.dtype == ir.DataType.UINT8:
        zeros = unpack_codes(const(zero_points).reshape(n, -1), bits)[:, :blocks]
    else:
        return NotImplemented
    weights = op.DequantizeLinear(
        op.const(codes.astype(dtype.numpy())),
        op.Reshape(scales, ints(n, blocks)),
        op.const(zeros.astype(dtype.numpy())),
        axis=1,
        block_size=block,
    )
    product = op.MatMul(a, op.Transpose(weights, perm=[1, 0]))
    return product if bias is None else op.Add(product, bias)


def unpack_codes(array: np.ndarray, bits: int) -> np.ndarray:
    """Codes of a row, low nibble first."""
    if bits == 8:
        return array
    return np.stack([array & 15, array >> 4], axis=-1).reshape(len(array), -1)


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
