"""Quantized programs as PT2E makes them (`quantized_decomposed`): tensors of integers, with scales and zero
points beside them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape, sizes_of, vector
from bridge.hub import const
from bridge.importing import ints
from bridge.ops import OpTable
from bridge.quant import limits
from bridge_torchscript.import_ops.common import T, cast, dtype_of, dtype_or, is_zero, rank, tensor
from bridge_torchscript.import_ops.math import clamp
from bridge_torchscript.values import Unsupported

ops = OpTable()

DOMAIN = "quantized_decomposed"
STORED = (T.INT8, T.UINT8, T.INT16, T.UINT16)
"""Dtypes that QuantizeLinear makes."""


def _is_zero(zero: Any) -> bool:
    return is_zero(zero) if isinstance(zero, ir.Value) else not zero


def _along(op: Any, value: Any, x: ir.Value, axis: int | None) -> Any:
    """Parameters per element of `axis`, in a shape that broadcasts with `x`."""
    if axis is None or not isinstance(value, ir.Value):
        return value
    return op.Reshape(value, ints(*(-1 if i == axis % rank(x) else 1 for i in range(rank(x)))))


def _single(op: Any, value: Any, axis: int | None) -> Any:
    """A parameter of the whole tensor as a scalar."""
    if axis is None and isinstance(value, ir.Value) and rank(value):
        return op.Reshape(value, ints())
    return value


def quantized(
    op: Any,
    x: ir.Value,
    scale: Any,
    zero: Any,
    low: Any,
    high: Any,
    dtype: Any,
    axis: int | None = None,
    **blocks: int,
) -> ir.Value:
    """Integers of `dtype`, from `low` to `high`: round(x / scale) + zero."""
    target, x = dtype_of(dtype), cast(op, x, T.FLOAT)
    scale, zero = _single(op, scale, axis), _single(op, 0 if zero is None else zero, axis)
    if target not in STORED:
        if blocks:
            raise Unsupported("makes integers of another dtype than 8 or 16 bits for groups of a row")
        steps = op.Round(op.Div(x, tensor(op, _along(op, scale, x, axis), T.FLOAT)))
        moved = op.Add(steps, tensor(op, _along(op, zero, x, axis), T.FLOAT))
        return cast(op, clamp(op, moved, low, high), target)
    attributes = blocks if axis is None else {"axis": axis % rank(x), **blocks}
    scales = tensor(op, scale, T.FLOAT)
    if not isinstance(zero, ir.Value) and axis is not None:
        zero = op.Expand(tensor(op, zero, target), op.Shape(scales))
    made = op.QuantizeLinear(x, scales, tensor(op, zero, target), **attributes)
    if (low, high) == limits(target):
        return made
    narrow = clamp(op, cast(op, made, T.INT32), low, high)
    return cast(op, narrow, target)


def dequantized(
    op: Any,
    stored: ir.Value,
    scale: Any,
    zero: Any,
    out_dtype: Any = None,
    axis: int | None = None,
    **blocks: int,
) -> ir.Value:
    """Numbers that integers stand for: (stored - zero) * scale."""
    scale, zero = _single(op, scale, axis), _single(op, zero, axis)
    out = dtype_or(out_dtype, T.FLOAT)
    whole = not isinstance(zero, ir.Value) or (zero.dtype is not None and zero.dtype.is_integer())
    attributes = blocks if axis is None else {"axis": axis % rank(stored), **blocks}
    scales = tensor(op, scale, T.FLOAT)
    if (stored.dtype in STORED and whole) or (stored.dtype == T.INT32 and _is_zero(zero) and not blocks):
        point = None if zero is None or stored.dtype == T.INT32 else tensor(op, zero, stored.dtype)
        return cast(op, op.DequantizeLinear(stored, scales, point, **attributes), out)
    if blocks:
        raise Unsupported("has zero points between integers for groups of a row")
    moved = cast(op, stored, T.FLOAT)
    if zero is not None:
        moved = op.Sub(moved, tensor(op, _along(op, zero, stored, axis), T.FLOAT))
    return cast(op, op.Mul(moved, _along(op, scales, stored, axis)), out)


@ops.op(f"{DOMAIN}::quantize_per_tensor")
def quantize_per_tensor(op, x, scale, zero_point, quant_min, quant_max, dtype):
    return quantized(op, x, scale, zero_point, *_bounds(quant_min, quant_max), dtype)


@ops.op(f"{DOMAIN}::dequantize_per_tensor")
def dequantize_per_tensor(op, x, scale, zero_point, quant_min, quant_max, dtype, out_dtype=None):
    return dequantized(op, x, scale, zero_point, out_dtype)


def _bounds(low: Any, high: Any) -> tuple[int, int]:
    """Least and greatest integer, which may come as constant tensors."""
    found = [const(v) if isinstance(v, ir.Value) else np.asarray(v) for v in (low, high)]
    if any(v is None for v in found):
        raise Unsupported("has bounds known at run time alone")
    return tuple(int(v.reshape(())) for v in found)  # type: ignore[return-value, union-attr]


@ops.op(f"{DOMAIN}::quantize_per_channel")
def quantize_per_channel(op, x, scales, zero_points, axis, quant_min, quant_max, dtype):
    return quantized(op, x, scales, zero_points, quant_min, quant_max, dtype, axis)


@ops.op(f"{DOMAIN}::dequantize_per_channel")
def dequantize_per_channel(op, x, scales, zero_points, axis, quant_min, quant_max, dtype, out_dtype=None):
    return dequantized(op, x, scales, zero_points, out_dtype, axis)


@ops.op(f"{DOMAIN}::fake_quant_per_channel")
def fake_quant_per_channel(op, x, scales, zero_points, axis, quant_min, quant_max):
    code = 1 if quant_min < 0 else 0
    made = quantized(op, x, scales, zero_points, quant_min, quant_max, code, axis)
    return dequantized(op, made, scales, zero_points, None, axis)


def _rows(op: Any, x: ir.Value, *params: ir.Value) -> list[ir.Value]:
    """Tokens as rows [token, feature], and their parameters as vectors [token]."""
    return [reshape(op, x, [-1, lengths(op, x)[-1]]), *(op.Reshape(p, ints(-1)) for p in params)]


@ops.op(f"{DOMAIN}::quantize_per_token")
def quantize_per_token(op, x, scales, zero_points, quant_min, quant_max, dtype):
    """round(x / scale + zero), where the zero point is rounded with it."""
    if _is_zero(zero_points):
        rows, scale, zero = _rows(op, x, scales, zero_points)
        made = quantized(op, rows, scale, zero, quant_min, quant_max, dtype, 0)
        return op.Reshape(made, sizes_of(op, x))
    steps = op.Mul(x, op.Reciprocal(cast(op, scales, x.dtype)))
    moved = op.Round(op.Add(steps, cast(op, zero_points, x.dtype)))
    return cast(op, clamp(op, moved, quant_min, quant_max), dtype_of(dtype))


@ops.op(f"{DOMAIN}::dequantize_per_token")
def dequantize_per_token(op, x, scales, zero_points, quant_min, quant_max, dtype, output_dtype):
    rows, scale, zero = _rows(op, x, scales, zero_points)
    whole = zero if zero.dtype.is_integer() else cast(op, zero, T.INT64)
    made = dequantized(op, rows, scale, whole, output_dtype, 0)
    return op.Reshape(made, sizes_of(op, x))


@ops.op(f"{DOMAIN}::quantize_per_channel_group")
def quantize_per_channel_group(op, x, scales, zero_points, quant_min, quant_max, dtype, group_size=128):
    groups = [
        op.Unsqueeze(op.Reshape(p, _group_grid(op, x, group_size)), ints(2)) for p in (scales, zero_points)
    ]
    split = op.Reshape(x, op.Concat(_group_grid(op, x, group_size), ints(-1), axis=0))
    steps = op.Mul(split, op.Reciprocal(cast(op, groups[0], x.dtype)))
    moved = op.Round(op.Add(steps, cast(op, groups[1], x.dtype)))
    made = cast(op, clamp(op, moved, quant_min, quant_max), dtype_of(dtype))
    return op.Reshape(made, sizes_of(op, x))


def _group_grid(op: Any, x: ir.Value, group_size: int) -> ir.Value:
    """Rows and groups in each: the shape of the parameters of groups."""
    rows, columns = lengths(op, x)
    if not isinstance(columns, int):
        raise Unsupported("needs rows of a length known before run time")
    return sizes_of(op, x) if columns < group_size else vector(op, [rows, columns // group_size])


@ops.op(f"{DOMAIN}::dequantize_per_channel_group")
def dequantize_per_channel_group(
    op, x, scales, zero_points, quant_min, quant_max, dtype, group_size=128, output_dtype=6
):
    grid = _group_grid(op, x, group_size)
    scale, zero = (None if p is None else op.Reshape(p, grid) for p in (scales, zero_points))
    return dequantized(op, x, scale, zero, output_dtype, 1, block_size=group_size)


@ops.op(f"{DOMAIN}::convert_element_type")
def convert_element_type(op, x, dtype):
    return cast(op, x, dtype_of(dtype))


def _extremes(op: Any, x: ir.Value, **reduced: Any) -> tuple[ir.Value, ir.Value]:
    """Least and greatest element, or zero beyond either."""
    nothing = tensor(op, 0, x.dtype)
    low = op.Min(op.ReduceMin(x, *reduced.get("axes", ()), keepdims=reduced["keepdims"]), nothing)
    return low, op.Max(op.ReduceMax(x, *reduced.get("axes", ()), keepdims=reduced["keepdims"]), nothing)


@ops.op(f"{DOMAIN}::choose_qparams")
def choose_qparams(op, x, quant_min, quant_max, eps, dtype):
    """Scale and zero point of all elements from the least to the greatest, each of shape [1]."""
    low, high = _extremes(op, x, keepdims=0)
    scale = op.Div(op.Sub(high, low), tensor(op, float(quant_max - quant_min), x.dtype))
    scale = op.Max(cast(op, scale, T.FLOAT), tensor(op, eps, T.FLOAT))
    steps = cast(op, op.Round(op.Div(cast(op, low, T.FLOAT), scale)), T.INT64)
    zero = clamp(op, op.Sub(tensor(op, quant_min, T.INT64), steps), quant_min, quant_max)
    return op.Reshape(cast(op, scale, T.DOUBLE), ints(1)), op.Reshape(zero, ints(1))


@ops.op(f"{DOMAIN}::choose_qparams_symmetric")
def choose_qparams_symmetric(op, x, quant_min, quant_max, eps, dtype):
    low, high = _extremes(op, x, keepdims=0)
    scale = op.Div(op.Max(op.Neg(low), high), tensor(op, (quant_max - quant_min) / 2, x.dtype))
    scale = op.Max(cast(op, scale, T.FLOAT), tensor(op, eps, T.FLOAT))
    zero = op.const(np.array([128 if dtype_of(dtype) == T.UINT8 else 0], np.int64))
    return op.Reshape(cast(op, scale, T.DOUBLE), ints(1)), zero


@ops.op(f"{DOMAIN}::choose_qparams_per_token")
def choose_qparams_per_token(op, x, dtype):
    """Symmetric scales of every token; all zero points are zero."""
    largest = op.ReduceMax(op.Abs(x), ints(-1), keepdims=1)
    if x.dtype == T.FLOAT16:
        largest = cast(op, largest, T.FLOAT)
    scales = op.Div(op.Max(largest, tensor(op, 1e-5, largest.dtype)), tensor(op, 127.0, largest.dtype))
    return scales, op.Expand(tensor(op, 0, scales.dtype), op.Shape(scales))


@ops.op(
    f"{DOMAIN}::choose_qparams_per_token_asymmetric", f"{DOMAIN}::_choose_qparams_per_token_asymmetric_impl"
)
def choose_qparams_per_token_asymmetric(op, x, dtype):
    """Scales and zero points of every token, whose range of 8 bits holds zero."""
    low, high = _extremes(op, x, axes=(ints(-1),), keepdims=1)
    scale = op.Div(op.Sub(high, low), tensor(op, 255.0, x.dtype))
    scale = op.Max(scale, tensor(op, float(np.finfo(np.float32).eps), x.dtype))
    below, above = op.Div(low, scale), op.Div(high, scale)
    least, most = tensor(op, -128, x.dtype), tensor(op, 127, x.dtype)
    errors = op.Add(op.Add(least, below), op.Add(most, above))
    zero = op.Where(op.Greater(errors, tensor(op, 0, x.dtype)), op.Sub(least, below), op.Sub(most, above))
    return cast(op, scale, T.DOUBLE), cast(op, op.Round(clamp(op, zero, -128, 127)), T.INT64)
