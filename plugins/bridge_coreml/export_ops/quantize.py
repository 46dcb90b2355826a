"""Weights that stay quantized, and what is quantized as it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import IOS16, IOS17, IOS18, NUMPY

ops = OpTable()


BYTES = ("int8", "uint8")
HALVES = ("float32", "float16")
SMALL = (*BYTES, "int4", "uint4")


def stepped(node: ir.Node) -> bool:
    """A constant scale, one or one for each place of an axis, of the dtype of the real numbers; the zero
    point constant too."""
    scale, zero = const(node.inputs[1]), const(node.inputs[2]) if len(node.inputs) > 2 else 0
    if scale is None or zero is None or scale.ndim > 1 or attr(node, "block_size"):
        return False
    real = node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[0]
    return (
        real is not None
        and real.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)
        and real.dtype == node.inputs[1].dtype
    )


def paired(node: ir.Node) -> bool:
    """Quantized to bytes that nothing but DequantizeLinear reads."""
    made = node.outputs[0]
    readers = {use.node for use in made.uses()}
    return (
        made.dtype in (ir.DataType.INT8, ir.DataType.UINT8)
        and not made.is_graph_output()
        and all(r.op_type == "DequantizeLinear" and r.graph is node.graph and stepped(r) for r in readers)
    )


def opened(node: ir.Node) -> bool:
    """What a QuantizeLinear beside it made."""
    maker = node.inputs[0].producer() if node.inputs[0] is not None else None
    return maker is not None and maker.op_type == "QuantizeLinear" and stepped(maker) and paired(maker)


STEPPED = condition("constant scales, one or one along an axis, of the dtype of the numbers", stepped)


def steps(mil: Any, node: ir.Node, dtype: Any) -> dict[str, Any]:
    """Scale, zero point and axis as MIL takes them."""
    scale: Any = const(node.inputs[1]).astype(NUMPY[mil.dtype_of(node.inputs[1])])
    zero = const(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
    rank = rank_of(node.inputs[0]) or 0
    axis = np.int32(attr(node, "axis") % max(rank, 1)) if scale.ndim else None
    if scale.size == 1:
        scale, zero, axis = scale.ravel()[0], None if zero is None else zero.ravel()[0], None
    return {"scale": scale, "zero_point": None if zero is None else zero.astype(dtype), "axis": axis}


@ops.op("QuantizeLinear", since=IOS17, needs=(STEPPED, condition("bytes that are dequantized again", paired)))
def quantize(mil, node, x, scale, zero_point=None):
    kind = node.outputs[0].dtype
    return mil.quantize(input=x, output_dtype=kind.name.lower(), **steps(mil, node, kind.numpy()))


@ops.op("DequantizeLinear", since=IOS17, needs=(STEPPED, condition("bytes quantized beside it", opened)))
def dequantize_made(mil, node, x, scale, zero_point=None):
    return mil.dequantize(input=x, **steps(mil, node, x.dtype.numpy()))


def blocked(node: ir.Node) -> bool:
    """Constant weights with scales that divide them into equal blocks."""
    values = [const(v) for v in node.inputs if v is not None]
    if any(v is None for v in values) or not values[0].ndim or values[1].dtype.name not in HALVES:
        return False
    spread = scales(node, values[1], values[0].ndim)
    return spread.ndim == values[0].ndim and all(
        d % s == 0 for d, s in zip(values[0].shape, spread.shape, strict=True)
    )


def scales(node: ir.Node, values: np.ndarray, rank: int) -> np.ndarray:
    """Scales or zero points with the rank of the weights."""
    if attr(node, "block_size"):
        return values
    places = [1] * rank
    if values.ndim and values.size > 1:
        places[attr(node, "axis") % rank] = values.size
    return values.reshape(places)


@ops.op(
    "DequantizeLinear",
    since=IOS18,
    needs=(dtype(*SMALL), condition("constant weights in equal blocks of one scale each", blocked)),
)
def shift_scale(mil, node, x, scale, zero_point=None):
    from coremltools.converters.mil.mil import types

    kind = x.dtype.name.lower()
    held = {"int4": types.np_int4_dtype, "uint4": types.np_uint4_dtype}.get(kind, x.dtype.numpy())
    wide = np.int8 if x.dtype.is_signed() else np.uint8
    weights, zero = const(x), None if zero_point is None else const(zero_point)
    return mil.constexpr_blockwise_shift_scale(
        data=weights.astype(wide).astype(held),
        scale=scales(node, const(scale), weights.ndim),
        offset=None if zero is None else scales(node, zero.astype(wide), weights.ndim).astype(held),
    )


def stored(node: ir.Node) -> bool:
    """Constant weights with one scale, or one for each place of an axis."""
    values = [const(v) for v in node.inputs if v is not None]
    if any(v is None for v in values) or attr(node, "block_size"):
        return False
    scale = values[1]
    return values[0].ndim > 0 and scale.ndim <= 1 and scale.dtype.name in HALVES


@ops.op(
    "DequantizeLinear",
    since=IOS16,
    needs=(dtype("int8", "uint8"), condition("constant weights with a scale, or one along an axis", stored)),
)
def dequantize(mil, node, x, scale, zero_point=None):
    weights, factor = const(x), const(scale)
    zero = np.zeros(factor.shape, weights.dtype) if zero_point is None else const(zero_point)
    axis = attr(node, "axis") % weights.ndim if factor.size > 1 else 0
    if factor.size == 1:
        factor, zero = factor.ravel()[0], zero.ravel()[0]
    return mil.constexpr_affine_dequantize(
        quantized_data=weights, zero_point=zero, scale=factor, axis=np.int32(axis)
    )
