"""Integer kernels: the operators of the other families on int8, each tensor with its scale and zero point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.ops import OpTable, Rule
from bridge_tflite.export_ops.common import TFLITE, fused
from bridge_tflite.export_ops.nn import convolve

ops = OpTable("TFLite export: quantize")

INTEGER = "bridge.tflite.integer"
ALIKE = {
    "": (
        "Add",
        "Sub",
        "Mul",
        "Sigmoid",
        "Tanh",
        "HardSwish",
        "LeakyRelu",
        "Relu",
        "MatMul",
        "ReduceMean",
        "Softmax",
        "Concat",
        "Transpose",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
    ),
    TFLITE: ("Relu6", "ExpandDims", "StridedSlice"),
    "bridge.nhwc": ("AveragePool", "MaxPool", "DepthToSpace", "SpaceToDepth"),
}


def quantized(tfl: Any, node: ir.Node, *data: Any) -> None:
    """Give each of `data` its parameters, in the order of the attributes `scales` and `zeros`."""
    for value, scale, zero in zip(data, attr(node, "scales"), attr(node, "zeros"), strict=True):
        tfl.quantize(value, [scale], [zero])


def alike(float_rules: Iterable[Rule]) -> Iterable[Rule]:
    """Rules that write an integer operator as its float form is written."""
    names = {f"{d}::{n}" if d else n for d, kinds in ALIKE.items() for n in kinds}
    done = set()
    for rule in float_rules:
        if rule.op in names and rule.op not in done:
            done.add(rule.op)
            yield Rule(f"{INTEGER}::{rule.op.rsplit('::')[-1]}", _integer(rule.handler))


def _integer(handler: Any) -> Any:
    def write(tfl: Any, node: ir.Node, *inputs: Any) -> None:
        count = len(attr(node, "scales")) - 1
        quantized(tfl, node, *inputs[:count], node.outputs[0])
        handler(tfl, node, *inputs)

    return write


@ops.op(f"{INTEGER}::Reshape")
def reshape(tfl, node, x, shape):
    quantized(tfl, node, x, node.outputs[0])
    dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
    tfl.RESHAPE(x, np.array(dims, np.int32) if dims.count(-1) < 2 and 0 not in dims else shape)


@ops.op(f"{INTEGER}::Pad")
def pad(tfl, node, x, pads, value=None):
    quantized(tfl, node, x, node.outputs[0])
    if value is None:
        tfl.PAD(x, pads)
        return
    tfl.quantize(value, attr(node, "scales")[:1], attr(node, "zeros")[:1])
    tfl.PADV2(x, pads, value)


@ops.op(f"{INTEGER}::Quantize")
def quantize(tfl, node, x):
    quantized(tfl, node, node.outputs[0])
    tfl.QUANTIZE(x)


@ops.op(f"{INTEGER}::Dequantize")
def dequantize(tfl, node, x):
    quantized(tfl, node, x)
    tfl.DEQUANTIZE(x)


def layer(tfl: Any, node: ir.Node, x: Any, array: np.ndarray, bias: Any, axis: int) -> tuple[Any, Any]:
    """Weights and bias as tensors with their parameters; the output channels of the weights lie along `axis`."""
    quantized(tfl, node, x, node.outputs[0])
    scales = np.array(attr(node, "weight_scales"), np.float32)
    weights = ir.Value(
        name=node.inputs[1].name,
        shape=ir.Shape(array.shape),
        type=ir.TensorType(ir.DataType.INT8),
        const_value=ir.tensor(np.ascontiguousarray(array)),
    )
    added = ir.Value(name=bias.name, shape=bias.shape, type=bias.type, const_value=bias.const_value)
    tfl.quantize(weights, scales, np.zeros(len(scales), np.int64), axis)
    products = np.float32(attr(node, "scales")[0]) * scales
    tfl.quantize(added, products, np.zeros(len(scales), np.int64))
    return weights, added


@ops.op(f"{INTEGER}::FullyConnected")
def fully_connected(tfl, node, x, weights, bias):
    weights, bias = layer(tfl, node, x, const(weights), bias, 0)
    tfl.FULLY_CONNECTED(x, weights, bias, keep_num_dims=True, fused_activation_function=fused(node))


@ops.op(f"{INTEGER}::Conv")
def conv(tfl, node, x, weights, bias):
    convolve(tfl, node, x, const(weights), lambda turned, axis: layer(tfl, node, x, turned, bias, axis))
