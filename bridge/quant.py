"""Quantization parameters: scale and zero point as QuantizeLinear and DequantizeLinear have them.

Formulas and dtypes are those of https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html and
https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeGuard

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.hub import Builder, attr, const, input_at, rank_of, shape_of
from bridge.traits import MOVES_DATA, RESHAPES, is_a

__all__ = [
    "QuantParams",
    "is_dequantize",
    "is_quantize",
    "limits",
    "quant_of",
    "quant_params",
    "quantized_dtype",
]

T = ir.DataType


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale and zero point of a tensor held in `dtype`: number = (integer - zero point) · scale.

    `scale` is of a float dtype. Its shape is [] per tensor, [n] per axis, and per block that of the tensor
    with ceil(n / block_size) along `axis`. `zero_point` is of `dtype` and has the same shape. `axis` counts
    from the first dimension and is None per tensor; `block_size` is 0 where there are no blocks. `of` makes
    one from other forms.

    Raises ValueError for parameters that do not fit one another.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None
    block_size: int
    dtype: ir.DataType

    def __post_init__(self) -> None:
        rank, shape = self.scale.ndim, list(self.scale.shape)
        if self.zero_point.shape != self.scale.shape or self.zero_point.dtype != self.dtype.numpy():
            raise ValueError(f"zero point of another shape or dtype than a scale {shape} of {self.dtype} has")
        if (self.axis is None) != (rank == 0) or (rank > 1 and not self.block_size):
            raise ValueError(f"axis {self.axis} and blocks of {self.block_size} for a scale of shape {shape}")
        if self.axis is not None and (self.axis < 0 or (self.block_size and self.axis >= rank)):
            raise ValueError(f"axis {self.axis} of a scale of shape {shape}")

    @classmethod
    def of(
        cls, scale: Any, zero_point: Any, dtype: ir.DataType, axis: int | None = None, block_size: int = 0
    ) -> QuantParams:
        """Parameters from arrays or numbers; a Python number as float32.

        No zero point is 0, a single one is broadcast to the shape of the scale; a scale of one element
        without blocks is per tensor.
        """
        scale = np.asarray(scale, np.float32 if isinstance(scale, (int, float)) else None, order="C")
        zero_point = np.asarray(0 if zero_point is None else zero_point)
        if scale.size == 1 and not block_size:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        if not scale.ndim:
            axis, block_size = None, 0
        elif block_size and axis is not None:
            axis %= scale.ndim
        offset = np.broadcast_to(zero_point.astype(dtype.numpy()), scale.shape)
        return cls(scale, np.array(offset, order="C"), axis, block_size, dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantParams) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        scale, zero_point = self.scale, self.zero_point
        # -0 is 0, and no other numbers are equal in other bytes
        numbers = (scale + np.zeros((), scale.dtype)).tobytes(), zero_point.tobytes()
        return (*numbers, scale.dtype, scale.shape, self.axis, self.block_size, self.dtype)

    @property
    def per_tensor(self) -> bool:
        """True if every element has the same scale and zero point."""
        return self.axis is None

    @property
    def symmetric(self) -> bool:
        """True if every zero point is 0."""
        return not self.zero_point.astype(np.float32).any()

    def aligned(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Scale and zero point with `rank` dimensions, of length 1 where they do not vary; one element for
        each block."""
        if self.block_size:
            return self.scale, self.zero_point
        shape = [1] * rank
        if self.axis is not None:
            shape[self.axis] = -1
        return self.scale.reshape(shape), self.zero_point.reshape(shape)

    def broadcast(self, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Scale and zero point that NumPy broadcasts to a tensor of `shape`, repeated within blocks."""
        scale, zero_point = self.aligned(len(shape))
        if not self.block_size:
            return scale, zero_point
        assert self.axis is not None
        block = np.arange(shape[self.axis]) // self.block_size
        return scale.take(block, self.axis), zero_point.take(block, self.axis)

    def quantize(
        self, array: np.ndarray, precision: ir.DataType | None = None, saturate: bool = True
    ) -> np.ndarray:
        """saturate(round(x / scale) + zero point), half to even, in `dtype`.

        The quotient is rounded to `precision`, else to the dtype of the scale (float64 for integers).
        Integers saturate always, 8-bit floats if `saturate`; these and smaller floats are rounded by their
        cast alone.
        """
        scale, zero_point = self.broadcast(np.shape(array))
        divided = precision.numpy() if precision is not None else _precision(scale.dtype)
        storage = self.dtype.numpy()
        with np.errstate(all="ignore"):
            ratio = np.asarray(array).astype(divided) / scale.astype(divided)
            if self.dtype.is_integer():
                whole = np.rint(ratio.astype(np.float64)) + zero_point.astype(np.float64)
                return np.asarray(np.clip(whole, *limits(self.dtype)).astype(storage))
            ratio = ratio.astype(np.float32)
            if not self.symmetric:
                ratio = ratio + zero_point.astype(np.float32)
            if saturate:
                ratio = np.clip(ratio, *limits(self.dtype))
            return np.asarray(ratio.astype(storage))

    def dequantize(self, array: np.ndarray, dtype: ir.DataType | None = None) -> np.ndarray:
        """(x - zero point) · scale in float32, rounded once to `dtype`, else to the dtype of the scale. int32
        is subtracted as int32."""
        scale, zero_point = self.broadcast(np.shape(array))
        array = np.asarray(array)
        result = dtype.numpy() if dtype is not None else _precision(scale.dtype)
        with np.errstate(all="ignore"):
            if self.dtype == T.INT32:
                numbers = (array - zero_point).astype(np.float32)
            else:
                numbers = array.astype(np.float32)
                if not self.symmetric:
                    numbers = numbers - zero_point.astype(np.float32)
            return np.asarray((numbers * scale.astype(np.float32)).astype(result))

    def transpose(self, perm: Sequence[int]) -> QuantParams:
        """The parameters of the tensor with its dimensions in the order of `perm`."""
        if self.axis is None:
            return self
        axis = list(perm).index(self.axis)
        if not self.block_size:
            return replace(self, axis=axis)
        scale, zero_point = (np.ascontiguousarray(v.transpose(perm)) for v in (self.scale, self.zero_point))
        return replace(self, scale=scale, zero_point=zero_point, axis=axis)

    def quantize_linear(self, op: Builder, x: ir.Value) -> ir.Value:
        """`x` through a QuantizeLinear of these parameters."""
        return op.QuantizeLinear(x, op.const(self.scale), op.const(self.zero_point), **self._along())

    def dequantize_linear(self, op: Builder, x: ir.Value) -> ir.Value:
        """`x`, of `dtype`, through a DequantizeLinear of these parameters; int32 has no zero point."""
        zero_point = None if self.dtype == T.INT32 and self.symmetric else op.const(self.zero_point)
        return op.DequantizeLinear(x, op.const(self.scale), zero_point, **self._along())

    def _along(self) -> dict[str, int]:
        along = {} if self.axis is None else {"axis": self.axis}
        return along | ({"block_size": self.block_size} if self.block_size else {})


def _precision(scale: np.dtype) -> np.dtype:
    """The dtype of a quotient by scales of this dtype: theirs, but for exponents alone and for integers."""
    if scale == T.FLOAT8E8M0.numpy():
        return np.dtype(np.float32)
    return np.dtype(np.float64) if scale.kind in "iu" else scale


def limits(dtype: ir.DataType) -> tuple[float, float]:
    """The least and the greatest finite number of a quantized dtype."""
    numpy_dtype = dtype.numpy()
    info = ml_dtypes.iinfo(numpy_dtype) if dtype.is_integer() else ml_dtypes.finfo(numpy_dtype)
    return float(info.min), float(info.max)


def is_quantize(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """True for a QuantizeLinear."""
    return node is not None and node.op_type == "QuantizeLinear" and not node.domain


def is_dequantize(node: ir.Node | None) -> TypeGuard[ir.Node]:
    """True for a DequantizeLinear."""
    return node is not None and node.op_type == "DequantizeLinear" and not node.domain


def quantized_dtype(node: ir.Node) -> ir.DataType | None:
    """The dtype a DequantizeLinear reads (None if unknown) or a QuantizeLinear makes: that of the zero point,
    else `output_dtype`, else uint8."""
    if is_dequantize(node):
        return node.inputs[0].dtype if node.inputs[0] is not None else None
    zero_point = input_at(node, 2)
    if zero_point is not None and zero_point.dtype is not None:
        return zero_point.dtype
    return T(attr(node, "output_dtype") or int(T.UINT8))


def quant_params(node: ir.Node) -> QuantParams | None:
    """The parameters of a QuantizeLinear or DequantizeLinear; None if they, the dtype, or the rank that an
    axis needs are known only at run time."""
    scale, dtype = const(node.inputs[1]), quantized_dtype(node)
    zero_point_input = input_at(node, 2)
    zero_point = const(zero_point_input)
    if scale is None or dtype is None or (zero_point_input is not None and zero_point is None):
        return None
    axis, block_size = attr(node, "axis"), attr(node, "block_size")
    if scale.ndim:
        rank = rank_of(node.inputs[0])
        if not rank and scale.size > 1:
            return None
        axis %= rank or 1
    try:
        return QuantParams.of(scale, zero_point, dtype, axis, block_size)
    except ValueError:
        return None


def quant_of(value: ir.Value | None) -> QuantParams | None:
    """The parameters of a result of QuantizeLinear or DequantizeLinear, where they are constants.

    They are seen through operators that move or pick elements, as long as they stay exact: at the axis they
    vary along after the move, and from all inputs of a Concat the same. None for any other value.
    """
    node = value.producer() if value is not None else None
    if node is None:
        return None
    if is_quantize(node) or is_dequantize(node):
        return quant_params(node)
    if not is_a(node, MOVES_DATA, {"MaxPool"}) or (
        node.op_type == "MaxPool" and value is not node.outputs[0]
    ):
        return None
    parts = {quant_of(v) for v in dict.fromkeys(node.inputs if node.op_type == "Concat" else node.inputs[:1])}
    params = parts.pop() if len(parts) == 1 else None
    return None if params is None else _moved(params, node)


def _moved(params: QuantParams, node: ir.Node) -> QuantParams | None:
    """The parameters of the results of a node that moves elements of parameters `params`; None where these
    are no longer along one axis, or cannot be told."""
    if params.axis is None or node.op_type == "Identity":
        return params
    x, rank = node.inputs[0], rank_of(node.inputs[0])
    if node.op_type == "Transpose" and rank is not None:
        return params.transpose(attr(node, "perm") or list(range(rank))[::-1])
    if params.block_size or rank is None:
        return None
    if node.op_type in RESHAPES:
        return _reshaped(params, shape_of(x), shape_of(node.outputs[0]))
    if node.op_type in ("Concat", "Split"):
        return params if attr(node, "axis") % rank != params.axis else None
    if node.op_type == "Slice":
        axes = const(input_at(node, 3))
        return params if axes is not None and params.axis not in axes % rank else None
    return params if node.op_type == "MaxPool" and not node.domain and params.axis < 2 else None


def _reshaped(params: QuantParams, before: list[int] | None, after: list[int] | None) -> QuantParams | None:
    """Parameters per axis after a reshape: the axis is that of the same length with as many elements before
    it."""
    if before is None or after is None or 0 in before:
        return None
    assert params.axis is not None
    ahead, length = prod(before[: params.axis]), before[params.axis]
    for axis, other in enumerate(after):
        if other == length and prod(after[:axis]) == ahead:
            return replace(params, axis=axis)
    return None
