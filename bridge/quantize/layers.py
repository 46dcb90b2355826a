"""Weights of layers in fewer bits, while activations stay floats or are quantized as they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge import facts, hub
from bridge.hub import attr, const, input_at
from bridge.passes.half_weights import weighty
from bridge.passes.rewrite import replace
from bridge.quant import QuantParams
from bridge.quantize.schemes import Holding, Kind, Scheme
from bridge.quantize.weights import (
    channel_axis,
    few_bits_params,
    palette,
    quantized,
    summed_axis,
    symmetric_params,
    weights_of,
)

__all__ = ["quantize_weights"]

FEWEST = 64
"""Elements of weights that are worth a scale."""


def quantize_weights(model: ir.Model, holding: Holding, scheme: Scheme, kept: set[ir.Node]) -> int:
    """Give the layers of a model that are not `kept` in float weights of a scheme without ranges; how many
    there are of them."""
    if scheme.kind in (Kind.ROUNDED, Kind.PALETTE):
        return _round(model, scheme, kept)
    changed = 0
    for node in list(hub.all_nodes(model)):
        if node in kept or node.domain or node.op_type not in holding.kernels or not holding.takes(node):
            continue
        if node.op_type == "Gather":
            changed += _looked_up(node)
            continue
        array = weights_of(node)
        if array is None or array.size < FEWEST:
            continue
        if scheme.kind is Kind.DYNAMIC:
            changed += _dynamic(node, array, holding)
        else:
            changed += _dequantized(node, array, holding, scheme)
    return changed


def _dequantized(node: ir.Node, array: np.ndarray, holding: Holding, scheme: Scheme) -> bool:
    """Weights as integers that a DequantizeLinear reads."""
    params = _params(node, array, holding, scheme)
    op = hub.Builder(node.graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
    node.replace_input_with(1, params.dequantize_linear(op, op.const(quantized(array, params))))
    return True


def _looked_up(node: ir.Node) -> bool:
    """Rows of a constant table gathered as integers, and times the scale of each row."""
    array, axis = const(node.inputs[0]), attr(node, "axis")
    if array is None or array.dtype != np.float32 or array.size < FEWEST or not np.isfinite(array).all():
        return False
    if axis % max(array.ndim, 1) or array.ndim != 2:
        return False
    params = symmetric_params(array, ir.DataType.INT8, 0)
    op = hub.Builder(node.graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
    rows = op.Gather(op.const(quantized(array, params)), node.inputs[1])
    scales = op.Gather(params.scale.reshape(-1, 1), node.inputs[1])
    replace(node.graph, node, op.Mul(op.Cast(rows, to=int(ir.DataType.FLOAT)), scales), op)  # type: ignore[arg-type]
    return True


def _params(node: ir.Node, array: np.ndarray, holding: Holding, scheme: Scheme) -> QuantParams:
    """The parameters of the weights of one layer. Those of 4 bits are for matrix products, in blocks along
    the axis that is summed over where these fill it, else of a scale a channel; a convolution, whose weights
    are few and each read often, has 8."""
    axis = channel_axis(node) if node.op_type in holding.per_channel else None
    if scheme.bits == 8 or node.op_type not in ("Gemm", "MatMul") or array.ndim != 2:
        return symmetric_params(array, ir.DataType.INT8, axis)
    summed = summed_axis(node)
    if scheme.block and array.shape[summed] % scheme.block == 0:
        return few_bits_params(array, scheme.weights, summed, scheme.block)
    return few_bits_params(array, scheme.weights, 1 - summed, 0)


def _dynamic(node: ir.Node, array: np.ndarray, holding: Holding) -> bool:
    """A product of integers, the activations of which are quantized by their range of the moment."""
    x, graph = node.inputs[0], node.graph
    transposes = node.op_type == "Gemm" and (attr(node, "transA") or attr(node, "alpha") != 1.0)
    if x is None or x.dtype != ir.DataType.FLOAT or transposes or node.op_type == "ConvTranspose":
        return False
    bias = input_at(node, 2)
    if node.op_type == "Gemm" and attr(node, "beta") != 1.0 and bias is not None:
        return False
    if node.op_type == "Gemm" and attr(node, "transB"):
        array = np.ascontiguousarray(array.T)
    axis = 0 if node.op_type == "Conv" else 1 if array.ndim == 2 else None
    params = symmetric_params(array, ir.DataType.INT8, axis if node.op_type in holding.per_channel else None)
    op = hub.Builder(graph, before=node, source=hub.origin(node))  # type: ignore[arg-type]
    integers, scale, zero = op.DynamicQuantizeLinear(x, _outputs=3)
    weights = op.const(params.quantize(array))
    if node.op_type == "Conv":
        kept = {name: attr(node, name) for name in node.attributes}
        product = op.ConvInteger(integers, weights, zero, **kept)
        shape = [1, -1, *[1] * (array.ndim - 2)]
    else:
        product = op.MatMulInteger(integers, weights, zero)
        shape = [-1]
    factor = params.scale if params.per_tensor else params.scale.reshape(shape)
    result = op.Mul(op.Cast(product, to=int(ir.DataType.FLOAT)), op.Mul(scale, op.const(factor)))
    if bias is not None:
        result = op.Add(result, op.Reshape(bias, shape) if node.op_type == "Conv" else bias)
    replace(graph, node, result, op)  # type: ignore[arg-type]
    return True


def _round(model: ir.Model, scheme: Scheme, kept: set[ir.Node]) -> int:
    """Large weights take the nearest values that fewer bits hold, and stay float32: a format stores them in
    the dtype, or as places in the table, that loses nothing."""
    facts.STORED_WEIGHTS.set(model, scheme.name)
    changed = 0
    for graph in model.graphs():
        for value in list(graph.initializers.values()):
            tensor = value.const_value
            if not weighty(tensor) or any(node in kept for node, _ in value.uses()):
                continue
            assert tensor is not None
            array = _nearest(scheme)(tensor.numpy())
            if np.isfinite(array).all():
                value.const_value = ir.tensor(array, name=value.name)
                changed += 1
    return changed


def _nearest(scheme: Scheme) -> Callable[[np.ndarray], Any]:
    if scheme.kind is Kind.PALETTE:
        return lambda array: palette(array, scheme.bits)
    half = np.dtype(np.float16) if scheme.weights == ir.DataType.FLOAT16 else np.dtype(ml_dtypes.bfloat16)

    def rounded(array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return array.astype(half).astype(np.float32)

    return rounded
