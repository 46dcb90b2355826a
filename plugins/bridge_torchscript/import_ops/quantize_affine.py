"""Quantized programs as torchao makes them (`torchao`): parameters for blocks of a tensor, which are the
whole, the slices along an axis, the rows, or groups within the rows of a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape, sizes_of
from bridge.importing import ints
from bridge.ops import OpTable
from bridge.quant import limits
from bridge_torchscript.import_ops.common import (
    T,
    cast,
    dims_of,
    dtype_of,
    dtype_or,
    rank,
    static_value,
    tensor,
)
from bridge_torchscript.import_ops.math import clamp
from bridge_torchscript.import_ops.quantize_decomposed import dequantized, quantized
from bridge_torchscript.values import Sym, Unsupported

ops = OpTable()


@dataclass(frozen=True)
class Blocks:
    """Blocks of a tensor `x`: dimensions of which each element has its own, and those cut in parts."""

    x: ir.Value
    single: tuple[int, ...]
    parts: dict[int, int]

    @classmethod
    def of(cls, x: ir.Value, block_size: Any) -> Blocks:
        single, parts = [], {}
        for index, (block, length) in enumerate(zip(block_size, dims_of(x), strict=True)):
            if isinstance(block, Sym) or block == length:
                continue
            if block == 1:
                single.append(index)
            elif isinstance(length, int):
                parts[index] = block
            else:
                raise Unsupported("quantizes parts of a length known at run time alone")
        return cls(x, tuple(single), parts)

    def apply(self, op: Any, convert: Any, scale: ir.Value, zero: Any) -> ir.Value:
        """`convert(x, scale, zero, axis, **blocks)` of the tensor as it takes it, in the tensor's shape."""
        count = rank(self.x)
        if not self.single and not self.parts:
            return convert(self.x, *self._shaped(op, scale, zero, ()), None)
        if not self.parts and len(self.single) == 1:
            return convert(self.x, *self._shaped(op, scale, zero, (-1,)), self.single[0])
        if not self.parts and self.single == tuple(range(count - 1)):
            rows = reshape(op, self.x, [-1, lengths(op, self.x)[-1]])
            return op.Reshape(convert(rows, *self._shaped(op, scale, zero, (-1,)), 0), sizes_of(op, self.x))
        last = self.parts.get(count - 1)
        if count == 2 and last is not None and len(self.parts) == 1 and self.single == (0,):
            grid = (-1, int(dims_of(self.x)[1]) // last)
            return convert(self.x, *self._shaped(op, scale, zero, grid), 1, block_size=last)
        raise Unsupported("quantizes blocks that are no tensor, slice along an axis, row or group in a row")

    def _shaped(self, op: Any, scale: ir.Value, zero: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
        return op.Reshape(scale, ints(*shape)), None if zero is None else op.Reshape(zero, ints(*shape))

    def extremes(self, op: Any, keepdim: bool) -> tuple[ir.Value, ir.Value]:
        """Least and greatest element of each block, or zero beyond either."""
        shape: list[Any] = []
        axes: list[int] = []
        for index, length in enumerate(lengths(op, self.x)):
            if index in self.parts:
                shape += [length // self.parts[index], self.parts[index]]
            else:
                shape.append(length)
            if index not in self.single and length != 1:
                axes.append(len(shape) - 1)
        view = reshape(op, self.x, shape) if self.parts else self.x
        nothing = tensor(op, 0, self.x.dtype)
        low = op.Min(op.ReduceMin(view, ints(*axes), keepdims=0), nothing)
        high = op.Max(op.ReduceMax(view, ints(*axes), keepdims=0), nothing)
        if keepdim:
            kept = [
                n // self.parts.get(i, 1) if i in {*self.single, *self.parts} else 1
                for i, n in enumerate(lengths(op, self.x))
            ]
            low, high = (reshape(op, v, kept) for v in (low, high))
        return low, high


def _bounds(dtype: ir.DataType, low: Any, high: Any) -> tuple[Any, Any]:
    """Least and greatest integer: those given, or the dtype's."""
    least, most = limits(dtype)
    given = (static_value(v, "bounds") for v in (low, high))
    return tuple(int(d if g is None else g) for g, d in zip(given, (least, most), strict=True))  # type: ignore[return-value]


@ops.op("torchao::quantize_affine")
def quantize_affine(op, x, block_size, scale, zero_point, output_dtype, quant_min=None, quant_max=None):
    low, high = _bounds(dtype_of(output_dtype), quant_min, quant_max)

    def convert(value: Any, scales: Any, zeros: Any, axis: int | None, **blocks: int) -> ir.Value:
        return quantized(op, value, scales, zeros, low, high, output_dtype, axis, **blocks)

    return Blocks.of(x, block_size).apply(op, convert, scale, zero_point)


@ops.op("torchao::dequantize_affine")
def dequantize_affine(
    op, x, block_size, scale, zero_point, input_dtype, quant_min=None, quant_max=None, output_dtype=6
):
    def convert(value: Any, scales: Any, zeros: Any, axis: int | None, **blocks: int) -> ir.Value:
        whole = zeros if zeros is None or zeros.dtype.is_integer() else cast(op, zeros, T.INT64)
        return dequantized(op, value, scales, whole, output_dtype, axis, **blocks)

    return Blocks.of(x, block_size).apply(op, convert, scale, zero_point)


@ops.op("torchao::choose_qparams_affine")
def choose_qparams_affine(
    op,
    x,
    mapping_type,
    block_size,
    target_dtype,
    quant_min=None,
    quant_max=None,
    eps=None,
    scale_dtype=None,
    zero_point_dtype=None,
    keepdim=False,
):
    """Scale and zero point of each block, whose range holds zero."""
    least, most = _bounds(dtype_of(target_dtype), quant_min, quant_max)
    low, high = Blocks.of(x, block_size).extremes(op, keepdim)
    smallest = float(np.finfo(x.dtype.numpy()).smallest_normal) if eps is None else eps
    if mapping_type == "ASYMMETRIC":
        scale = op.Div(op.Sub(high, low), tensor(op, float(most - least), x.dtype))
    elif mapping_type == "SYMMETRIC":
        scale = op.Div(op.Max(op.Neg(low), high), tensor(op, (most - least) / 2, x.dtype))
    else:
        scale = op.Max(
            op.Div(low, tensor(op, float(least), x.dtype)), op.Div(high, tensor(op, float(most), x.dtype))
        )
    scale = op.Max(scale, tensor(op, smallest, x.dtype))
    if mapping_type == "ASYMMETRIC":
        zero = clamp(op, op.Sub(tensor(op, least, x.dtype), op.Round(op.Div(low, scale))), least, most)
        kind = dtype_or(zero_point_dtype, T.INT32)
    else:
        zero = op.Expand(tensor(op, int((most + least + 1) / 2), x.dtype), op.Shape(scale))
        kind = dtype_or(zero_point_dtype, x.dtype)
    return cast(op, scale, dtype_or(scale_dtype, x.dtype)), cast(op, zero, kind)
