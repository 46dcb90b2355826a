"""Weights that stay quantized, and what is quantized as it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, input_at
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.quant import is_dequantize, is_quantize, quant_params
from bridge_coreml.export_ops.common import IOS16, IOS17, IOS18, NUMPY

ops = OpTable()


EIGHT_BITS = ("int8", "uint8")
REALS = ("float32", "float16")
UP_TO_EIGHT_BITS = (*EIGHT_BITS, "int4", "uint4")


def has_constant_parameters(node: ir.Node) -> bool:
    """True for a constant scale, scalar or per axis, in the dtype of the real values, and a constant zero
    point."""
    params = quant_params(node)
    if params is None or params.block_size:
        return False
    real = node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[0]
    return (
        real is not None
        and real.dtype in (ir.DataType.FLOAT, ir.DataType.FLOAT16)
        and real.dtype == node.inputs[1].dtype
    )


def is_read_by_dequantize(node: ir.Node) -> bool:
    """True if the output is 8-bit, and only DequantizeLinear nodes read it."""
    output = node.outputs[0]
    readers = {use.node for use in output.uses()}
    return (
        output.dtype in (ir.DataType.INT8, ir.DataType.UINT8)
        and not output.is_graph_output()
        and all(is_dequantize(r) and r.graph is node.graph and has_constant_parameters(r) for r in readers)
    )


def reads_quantize(node: ir.Node) -> bool:
    """True if the input is the output of a QuantizeLinear."""
    producer = node.inputs[0].producer() if node.inputs[0] is not None else None
    return is_quantize(producer) and has_constant_parameters(producer) and is_read_by_dequantize(producer)


CONSTANT_PARAMETERS = condition(
    "constant scales, one or one along an axis, of the dtype of the numbers", has_constant_parameters
)


def mil_parameters(mil: Any, node: ir.Node) -> dict[str, Any]:
    """MIL parameters scale, zero_point and axis: scalars, or arrays along an axis."""
    params = quant_params(node)
    assert params is not None
    scale: np.ndarray = params.scale.astype(NUMPY[mil.dtype_of(node.inputs[1])])
    zero = params.zero_point if input_at(node, 2) is not None else None
    return {
        "scale": scale[()],
        "zero_point": None if zero is None else zero[()],
        "axis": None if params.axis is None else np.int32(params.axis),
    }


@ops.op(
    "QuantizeLinear",
    since=IOS17,
    needs=(CONSTANT_PARAMETERS, condition("bytes that are dequantized again", is_read_by_dequantize)),
)
def quantize(mil, node, x, scale, zero_point=None):
    return mil.quantize(input=x, output_dtype=node.outputs[0].dtype.name.lower(), **mil_parameters(mil, node))


@ops.op(
    "DequantizeLinear",
    since=IOS17,
    needs=(CONSTANT_PARAMETERS, condition("bytes quantized beside it", reads_quantize)),
)
def dequantize_quantized(mil, node, x, scale, zero_point=None):
    return mil.dequantize(input=x, **mil_parameters(mil, node))


def has_scales_in_blocks(node: ir.Node) -> bool:
    """Constant weights with scales that divide them into equal blocks."""
    weights, params = const(node.inputs[0]), quant_params(node)
    if weights is None or params is None or not weights.ndim or params.scale.dtype.name not in REALS:
        return False
    scale, _ = params.aligned(weights.ndim)
    return scale.ndim == weights.ndim and all(
        d % s == 0 for d, s in zip(weights.shape, scale.shape, strict=True)
    )


@ops.op(
    "DequantizeLinear",
    since=IOS18,
    needs=(
        dtype(*UP_TO_EIGHT_BITS),
        condition("constant weights in equal blocks of one scale each", has_scales_in_blocks),
    ),
)
def shift_scale(mil, node, x, scale, zero_point=None):
    from coremltools.converters.mil.mil import types

    name = x.dtype.name.lower()
    storage_dtype = {"int4": types.np_int4_dtype, "uint4": types.np_uint4_dtype}.get(name, x.dtype.numpy())
    eight_bits = np.int8 if x.dtype.is_signed() else np.uint8
    scales, zero = quant_params(node).aligned(const(x).ndim)
    return mil.constexpr_blockwise_shift_scale(
        data=const(x).astype(eight_bits).astype(storage_dtype),
        scale=scales,
        offset=None if zero_point is None else zero.astype(eight_bits).astype(storage_dtype),
    )


def has_scale_per_tensor_or_axis(node: ir.Node) -> bool:
    """Constant weights with one scale, or one for each place of an axis."""
    weights, params = const(node.inputs[0]), quant_params(node)
    if weights is None or params is None or params.block_size:
        return False
    return weights.ndim > 0 and params.scale.dtype.name in REALS


@ops.op(
    "DequantizeLinear",
    since=IOS16,
    needs=(
        dtype("int8", "uint8"),
        condition("constant weights with a scale, or one along an axis", has_scale_per_tensor_or_axis),
    ),
)
def dequantize(mil, node, x, scale, zero_point=None):
    params = quant_params(node)
    return mil.constexpr_affine_dequantize(
        quantized_data=const(x),
        zero_point=params.zero_point[()],
        scale=params.scale[()],
        axis=np.int32(params.axis or 0),
    )
