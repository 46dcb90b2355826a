"""Quantized values, and weights stored compressed: kept as DequantizeLinear where that is exact, else
unpacked now."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import rank_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.quant import QuantParams
from bridge_coreml.import_ops.common import DTYPES, IOS16, IOS17, IOS18
from bridge_coreml.reader import DTYPE_NUMBERS, unpack_elements

ops = OpTable()

T = ir.DataType
DEQUANTIZED_LATER = ("int8", "uint8", "int4", "uint4")


@ops.op("quantize", since=IOS17)
def quantize(op, node, input):
    scale = node.array("scale").astype(input.dtype.numpy())
    return params(node, scale, DTYPES[node.get("output_dtype")], rank_of(input)).quantize_linear(op, input)


def params(node: Any, scale: np.ndarray, dtype: ir.DataType, rank: int | None) -> QuantParams:
    """Parameters of integers of `dtype` by a scale and the zero point and axis of the operator."""
    axis = node.get("axis", 0)
    return QuantParams.of(
        scale, node.array("zero_point"), dtype, axis if rank is None else axis % max(rank, 1)
    )


@ops.op("dequantize", since=IOS17)
def dequantize(op, node, input):
    return params(node, node.array("scale"), input.dtype, rank_of(input)).dequantize_linear(op, input)


@ops.op("constexpr_affine_dequantize", since=IOS16)
def affine(op, node):
    quantized, scale, zero = (node.array(n) for n in ("quantized_data", "scale", "zero_point"))
    axis = int(node.get("axis", 0)) % max(quantized.ndim, 1)
    if zero.dtype == quantized.dtype:
        scale = np.broadcast_to(scale, np.broadcast_shapes(scale.shape, zero.shape))
        return QuantParams.of(scale, zero, T.from_numpy(quantized.dtype), axis).dequantize_linear(
            op, op.const(quantized)
        )
    broadcast_shape = [-1 if i == axis else 1 for i in range(quantized.ndim)]
    scale, zero = (v.reshape(broadcast_shape) if v.ndim else v for v in (scale, zero))
    return ((quantized.astype(np.float32) - zero.astype(np.float32)) * scale).astype(scale.dtype)


@ops.op("constexpr_blockwise_shift_scale", since=IOS18)
def blockwise(op, node):
    data, scale, offset = (node.array(n) for n in ("data", "scale", "offset"))
    scaled_axes = [i for i in range(data.ndim) if scale.shape[i] != 1]
    is_offset_of_dtype = offset is None or offset.dtype == data.dtype
    is_per_axis_or_tensor = not scaled_axes or (
        len(scaled_axes) == 1 and scale.shape[scaled_axes[0]] == data.shape[scaled_axes[0]]
    )
    if node.dtype_name("data") in DEQUANTIZED_LATER and is_offset_of_dtype and is_per_axis_or_tensor:
        offset = None if offset is None else offset.ravel()
        params = QuantParams.of(
            scale.ravel(), offset, T.from_numpy(data.dtype), scaled_axes[0] if scaled_axes else None
        )
        return params.dequantize_linear(op, op.const(data))
    return dequantized_blocks(data, scale, offset)


def dequantized_blocks(data: np.ndarray, scale: np.ndarray, offset: np.ndarray | None) -> np.ndarray:
    """scale · (data - offset), a scale and an offset for every block, in the dtype of the scale."""
    for axis in range(data.ndim):
        block = data.shape[axis] // scale.shape[axis]
        scale = np.repeat(scale, block, axis)
        offset = None if offset is None else np.repeat(offset, block, axis)
    as_float = data.astype(np.float32)
    if offset is not None:
        as_float = as_float - offset.astype(np.float32)
    return (as_float * scale.astype(np.float32)).astype(scale.dtype)


@ops.op("constexpr_cast", since=IOS16)
def constexpr_cast(op, node):
    return node.array("source_val").astype(DTYPES[node.get("output_dtype")].numpy())


def lookup(indices: np.ndarray, lut: np.ndarray, vector_axis: int) -> np.ndarray:
    """Entries of a table, one for every block of the indices; longer ones than 1 lie along `vector_axis`."""
    rank = indices.ndim
    table = lut
    for axis in range(rank):
        table = np.repeat(table, indices.shape[axis] // lut.shape[axis], axis)
    entries = np.take_along_axis(table, indices.astype(np.int64)[..., None, None], axis=rank)
    entries = entries[..., 0, :]
    if lut.shape[-1] == 1:
        return entries[..., 0]
    axis = vector_axis % rank
    vectors_beside_axis = np.moveaxis(entries, -1, axis + 1)
    return vectors_beside_axis.reshape(
        [*indices.shape[:axis], indices.shape[axis] * lut.shape[-1], *indices.shape[axis + 1 :]]
    )


@ops.op("constexpr_lut_to_dense", since=IOS18)
def lut_to_dense(op, node):
    axis = node.get("vector_axis", 0)
    return np.ascontiguousarray(lookup(node.array("indices"), node.array("lut"), axis))


@ops.op(
    "constexpr_lut_to_dense",
    since=IOS16,
    needs=(condition("a shape", lambda n: "shape" in n.operation.attributes),),
)
def lut_with_shape(op, node):
    """Before iOS 18: packed indices, one table."""
    lut, shape = node.array("lut"), [int(d) for d in node.array("shape")]
    bits = int(np.log2(lut.size))
    packed = node.array("indices").astype(np.uint8).tobytes()
    return lut.ravel()[_unpacked(packed, bits, int(np.prod(shape)))].reshape(shape)


def _unpacked(raw: bytes, bits: int, count: int) -> np.ndarray:
    if bits == 8:
        return np.frombuffer(raw, np.uint8, count)
    return unpack_elements(raw, DTYPE_NUMBERS[f"uint{bits}"], count).astype(np.uint8)


def scatter_by_mask(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Values where the mask is set, zero elsewhere."""
    array = np.zeros(mask.shape, values.dtype)
    array[mask.astype(bool)] = values.ravel()
    return array


@ops.op("constexpr_sparse_to_dense", since=IOS18)
def sparse_to_dense(op, node):
    return scatter_by_mask(node.array("nonzero_data"), node.array("mask"))


@ops.op(
    "constexpr_sparse_to_dense",
    since=IOS16,
    needs=(condition("a shape", lambda n: "shape" in n.operation.attributes),),
)
def sparse_with_shape(op, node):
    """Before iOS 18: the mask is packed."""
    shape = [int(d) for d in node.array("shape")]
    mask = _unpacked(node.array("mask").astype(np.uint8).tobytes(), 1, int(np.prod(shape)))
    return scatter_by_mask(node.array("nonzero_data"), mask.reshape(shape))


@ops.op("constexpr_lut_to_sparse", since=IOS18)
def lut_to_sparse(op, node):
    mask, lut = node.array("indices_mask"), node.array("lut")
    axis = node.get("vector_axis", 0)
    dense = lookup(scatter_by_mask(node.array("indices_nonzero_data"), mask), lut, axis)
    vector_mask = np.repeat(mask, lut.shape[-1], axis) if lut.shape[-1] > 1 else mask
    return vector_mask, dense[vector_mask.astype(bool)]


@ops.op("constexpr_sparse_blockwise_shift_scale", since=IOS18)
def sparse_blockwise(op, node):
    mask = node.array("data_mask")
    dense = dequantized_blocks(
        scatter_by_mask(node.array("nonzero_data"), mask), node.array("scale"), node.array("offset")
    )
    return mask, dense[mask.astype(bool)]
