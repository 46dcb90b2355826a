"""Quantization as exact tensor arithmetic.

Integers of 8 and 16 bits, and their differences, are whole numbers that float32 holds exactly, and so is
every sum of such numbers whose absolute values add up to less than 2**24, in whatever order it is added.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape, vector
from bridge.hub import attr, const, held, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.passes.decompose.common import along
from bridge.quant import limits, quant_params, quantized_dtype

ops = OpTable()

T = ir.DataType
FLOAT, INT32 = int(T.FLOAT), int(T.INT32)
NARROW = ("int8", "uint8", "int16", "uint16")
FEW_BITS = ("int2", "uint2", "int4", "uint4")
HALF = (T.FLOAT16, T.BFLOAT16)
EXACT = 2**24
WIDEST = 255
TERMS = EXACT // WIDEST**2


def as_float(op: Any, value: ir.Value) -> ir.Value:
    return value if value.dtype == T.FLOAT else op.Cast(value, to=FLOAT)


def broadcast_parameter(op: Any, node: ir.Node, x: ir.Value, parameter: ir.Value) -> Any:
    """A scale or zero point that broadcasts to `x`: per tensor, per axis, per block. It may be known only at
    run time."""
    rank = rank_of(x)
    assert rank is not None
    assert parameter.shape is not None
    block = attr(node, "block_size")
    if len(parameter.shape) == 0 or (shape_of(parameter) == [1] and not block):
        return op.Reshape(parameter, op.const(np.zeros(0, np.int64))) if parameter.shape else parameter
    axis = attr(node, "axis") % rank
    if not block:
        return along(op, parameter, axis, rank)
    counts = lengths(op, parameter)
    repeated = op.Expand(
        op.Unsqueeze(parameter, [axis + 1]), vector(op, [*[1] * (axis + 1), block, *[1] * (rank - axis - 1)])
    )
    repeated_length = counts[axis] * block if isinstance(counts[axis], int) else op.Mul(counts[axis], block)
    flat = reshape(op, repeated, [*counts[:axis], repeated_length, *counts[axis + 1 :]])
    length = lengths(op, x)[axis]
    if isinstance(length, int) and length == repeated_length:
        return flat
    return op.Slice(flat, [0], vector(op, [length]), [axis])


def has_known_ranks(node: ir.Node) -> bool:
    """Ranks the arithmetic needs; an axis named only where parameters vary along it."""
    return all(v is None or v.shape is not None for v in node.inputs[:3])


PARAMETERS = condition("inputs of known rank", has_known_ranks)


def precision(node: ir.Node) -> ir.DataType:
    """The dtype the division is rounded to: `precision`, else float32 as in ONNX Runtime."""
    return T(attr(node, "precision") or FLOAT)


def makes_integers(node: ir.Node) -> bool:
    dtype = quantized_dtype(node)
    return dtype is not None and dtype.name.lower() in (*FEW_BITS, *NARROW)


@ops.op(
    "QuantizeLinear",
    needs=(
        PARAMETERS,
        dtype("float", "float16", "bfloat16", "int32"),
        dtype("float", "float16", "bfloat16", index=1),
        condition("a result of integers", makes_integers),
        condition("precision float or half", lambda n: precision(n) in (T.FLOAT, *HALF)),
    ),
)
def quantize(op, node, x, scale, zero_point=None):
    """saturate(round(x / scale) + zero_point), half to even; beyond 2**23 the result is saturated either
    way."""
    result_dtype, precision_dtype = quantized_dtype(node), precision(node)
    low, high = limits(result_dtype)
    ratio = op.Div(
        _rounded(op, x, precision_dtype),
        _rounded(op, broadcast_parameter(op, node, x, scale), precision_dtype),
    )
    value = op.Round(_rounded(op, ratio, precision_dtype))
    if zero_point is not None:
        value = op.Add(value, broadcast_parameter(op, node, x, as_float(op, zero_point)))
    return op.Cast(op.Min(op.Max(value, low), high), to=int(result_dtype))


def _rounded(op: Any, value: ir.Value, dtype: ir.DataType) -> Any:
    """Saturate as float32 to the range of `dtype`."""
    if dtype == T.FLOAT or value.dtype == dtype:
        return as_float(op, value)
    return op.Cast(op.Cast(value, to=int(dtype)), to=FLOAT)


@ops.op("DequantizeLinear", needs=(PARAMETERS, dtype(*NARROW, "int32")))
def dequantize(op, node, x, scale, zero_point=None):
    """(x - zero_point) · scale; int32 is subtracted as int32 and rounded once to float32."""
    result = T(attr(node, "output_dtype") or int(scale.dtype))
    if x.dtype == T.INT32:
        value = x if zero_point is None else op.Sub(x, broadcast_parameter(op, node, x, zero_point))
        value = as_float(op, value)
    else:
        value = as_float(op, x)
        if zero_point is not None:
            value = op.Sub(value, broadcast_parameter(op, node, x, as_float(op, zero_point)))
    value = op.Mul(value, as_float(op, broadcast_parameter(op, node, x, scale)))
    return value if result == T.FLOAT else op.Cast(value, to=int(result))


def is_low_bit_constant(node: ir.Node) -> bool:
    """True for known numbers and parameters of a dtype that is no integer of 8 bits or more."""
    narrow = node.inputs[0].dtype.name.lower() not in (*NARROW, "int32")  # type: ignore[union-attr]
    return narrow and held(node.inputs[0]) is not None and quant_params(node) is not None


@ops.op("DequantizeLinear", needs=(condition("constants of a dtype of fewer bits", is_low_bit_constant),))
def dequantize_constant(op, node, x, scale, zero_point=None):
    """Constants of any dtype."""
    dtype = T(attr(node, "output_dtype") or int(scale.dtype))
    return op.const(quant_params(node).dequantize(const(x), dtype))


@ops.op("DequantizeLinear", needs=(PARAMETERS, dtype(*FEW_BITS)))
def dequantize_few_bits(op, node, x, scale, zero_point=None):
    return dequantize(op, node, x, scale, zero_point)


@ops.op(
    "DynamicQuantizeLinear", needs=(dtype("float"), condition("a known rank", lambda n: has_known_ranks(n)))
)
def dynamic_quantize(op, node, x):
    """To uint8 over the range of the values and 0; the scale is 1 where all are 0, as in ONNX Runtime."""
    zero = op.const(np.array(0, np.float32))
    low, high = op.Min(op.ReduceMin(x, keepdims=0), zero), op.Max(op.ReduceMax(x, keepdims=0), zero)
    flat = op.Equal(low, high)
    scale = op.Where(flat, op.const(np.array(1, np.float32)), op.Div(op.Sub(high, low), 255.0))
    rounded = op.Round(op.Min(op.Max(op.Sub(zero, op.Div(low, scale)), 0.0), 255.0))
    zero_point = op.Cast(rounded, to=int(T.UINT8))
    return op.QuantizeLinear(x, scale, zero_point), scale, zero_point


def centred(op: Any, x: ir.Value, zero_point: ir.Value | None, shape: list[int] | None = None) -> Any:
    """x - zero_point as float32; the zero point, where it is a vector, in `shape`."""
    value = as_float(op, x)
    if zero_point is None:
        return value
    offset = as_float(op, zero_point)
    if zero_point.shape is not None and len(zero_point.shape) == 1:
        one = shape_of(zero_point) == [1]
        offset = op.Reshape(offset, op.const(np.array([] if one else shape, np.int64)))
    return op.Sub(value, offset)


def constant_less_zero(value: ir.Value, zero: ir.Value | None, axis: int) -> np.ndarray | None:
    """Constant weights less their constant zero points, one or one along `axis`; None for others."""
    array, offset = const(value), np.zeros(1) if zero is None else const(zero)
    if array is None or offset is None or offset.ndim > 1:
        return None
    shape = np.ones(array.ndim, int)
    if array.ndim:
        shape[axis] = -1
    return np.asarray(array.astype(np.float64) - offset.astype(np.float64).reshape(shape))


def as_weights(op: Any, value: ir.Value, zero: ir.Value | None, axis: int) -> Any:
    """Constant weights of bytes as a DequantizeLinear with a scale of 1, so that bytes they stay; None for
    others."""
    if constant_less_zero(value, zero, axis) is None or not (rank := rank_of(value)):
        return None
    axis %= rank
    offset = np.zeros((), value.dtype.numpy()) if zero is None else const(zero)  # type: ignore[union-attr]
    offset = offset.reshape(()) if offset.size == 1 else offset
    return op.DequantizeLinear(
        value, op.const(np.ones(offset.shape, np.float32)), op.const(offset), axis=axis
    )


def part(op: Any, value: ir.Value, start: int, end: int, axis: int) -> Any:
    """Elements from `start` to `end` along an axis; of a constant as a constant."""
    array = const(value)
    if array is None:
        return op.Slice(value, [start], [end], [axis])
    return op.const(np.ascontiguousarray(array[(slice(None),) * axis + (slice(start, end),)]))


BYTES = (dtype("int8", "uint8"), dtype("int8", "uint8", index=1), PARAMETERS)


def inner_length(node: ir.Node) -> Any:
    """The length a matrix product sums over."""
    for value, axis in ((node.inputs[0], -1), (node.inputs[1], -2)):
        if value.shape is None or len(value.shape) == 0:
            continue
        length = value.shape[max(axis, -len(value.shape))]
        if isinstance(length, int):
            return length
    return None


@ops.op(
    "MatMulInteger",
    needs=(*BYTES, condition("a static inner dimension", lambda n: inner_length(n) is not None)),
)
def matmul_integer(op, node, a, b, a_zero=None, b_zero=None):
    """Products of at most 258 terms in float32, which are exact, added up as int32."""
    rows = [-1, 1] if rank_of(a_zero) == 1 else None
    x, length = centred(op, a, a_zero, rows), inner_length(node)
    step = length if _bounded(b, b_zero) else TERMS
    total = None
    for start in range(0, length, step) if length > step else (None,):
        left, right = x, b
        if start is not None:
            end = min(start + step, length)
            left = op.Slice(x, [start], [end], [rank_of(a) - 1])
            right = part(op, b, start, end, max(rank_of(b) - 2, 0))
        weights = as_weights(op, right, b_zero, -1) or centred(op, right, b_zero, [-1])
        product = op.Cast(op.MatMul(left, weights), to=INT32)
        total = product if total is None else op.Add(total, product)
    return total


@ops.op("MatMulInteger", needs=BYTES)
def matmul_as_int32(op, node, a, b, a_zero=None, b_zero=None):
    """Sums of a length known only at run time: as int32."""
    left, right = op.Cast(a, to=INT32), op.Cast(b, to=INT32)
    if a_zero is not None:
        rows = op.Cast(a_zero, to=INT32)
        left = op.Sub(left, op.Reshape(rows, [-1, 1]) if rank_of(rows) == 1 else rows)
    if b_zero is not None:
        right = op.Sub(right, op.Cast(b_zero, to=INT32))
    return op.MatMul(left, right)


def _bounded(weights: ir.Value, zero: ir.Value | None) -> bool:
    """No sum over the second operand of a product, a constant, can reach 2**24."""
    array = constant_less_zero(weights, zero, -1)
    if array is None or array.ndim < 2:
        return False
    return bool(np.abs(array).sum(axis=-2).max(initial=0) * WIDEST < EXACT)


@ops.op(
    "ConvInteger",
    needs=(*BYTES, condition("static weights", lambda n: shape_of(n.inputs[1]) is not None)),
)
def conv_integer(op, node, x, w, x_zero=None, w_zero=None):
    """Convolutions of at most 258 terms in float32, which are exact, added up as int32: the input channels
    or, in groups, the weights are taken in parts."""
    shape = shape_of(w)
    attributes = {name: attr(node, name) for name in node.attributes}
    value, table = centred(op, x, x_zero), constant_less_zero(w, w_zero, 0)
    bound = np.prod(shape[1:]) * WIDEST**2
    if table is not None:
        bound = np.abs(table).reshape(shape[0], -1).sum(axis=1).max(initial=0) * WIDEST
    parts = [(value, _centred_filters(op, w, w_zero, shape))] if bound < EXACT else None
    total = None
    for left, right in parts or _conv_parts(op, value, w, w_zero, shape, attr(node, "group")):
        product = op.Cast(op.Conv(left, right, **attributes), to=INT32)
        total = product if total is None else op.Add(total, product)
    return total


def _centred_filters(op: Any, w: ir.Value, zero: ir.Value | None, shape: list[int]) -> Any:
    return as_weights(op, w, zero, 0) or centred(op, w, zero, [-1, *[1] * (len(shape) - 1)])


def _conv_parts(
    op: Any, x: ir.Value, w: ir.Value, zero: ir.Value | None, shape: list[int], group: int
) -> Any:
    """Pairs of operands with at most TERMS terms to a sum, whose convolutions add up to that of `x` and
    `w`."""
    window = int(np.prod(shape[2:]))
    if group == 1 and window <= TERMS:
        step = TERMS // window
        for start in range(0, shape[1], step):
            end = min(start + step, shape[1])
            filters = _centred_filters(op, part(op, w, start, end, 1), zero, shape)
            yield op.Slice(x, [start], [end], [1]), filters
        return
    weights = centred(op, w, zero, [-1, *[1] * (len(shape) - 1)])
    term_indices = np.arange(window * shape[1]).reshape(1, *shape[1:])
    for chunk in range(-(-term_indices.size // TERMS)):
        yield x, op.Mul(weights, op.const((term_indices // TERMS == chunk).astype(np.float32)))
