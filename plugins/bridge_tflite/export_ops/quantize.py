"""Integer kernels: the operators of the other families on int8, each tensor with its scale and zero point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const
from bridge.ops import OpTable, Rule
from bridge_tflite.export_ops.common import INTEGER, NHWC, TFLITE
from bridge_tflite.export_ops.nn import convolve, slopes, transposed

ops = OpTable()

ALIKE = {
    "": (
        "Abs",
        "Concat",
        "Elu",
        "Exp",
        "Flatten",
        "Gelu",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Relu",
        "Sigmoid",
        "Softmax",
        "Split",
        "Squeeze",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
    ),
    TFLITE: (
        "BatchMatMul",
        "BatchToSpace",
        "BroadcastTo",
        "ExpandDims",
        "Gather",
        "GatherND",
        "MirrorPad",
        "Relu6",
        "ResizeBilinear",
        "ResizeNearestNeighbor",
        "SpaceToBatch",
        "StridedSlice",
    ),
    NHWC: ("AveragePool", "DepthToSpace", "MaxPool", "SpaceToDepth"),
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
        count = len(attr(node, "scales")) - len(node.outputs)
        quantized(tfl, node, *inputs[:count], *node.outputs)
        handler(tfl, node, *inputs)

    return write


@ops.op(f"{INTEGER}::Add", f"{INTEGER}::Sub")
def add(tfl, node, x, y):
    """16-bit scales need not be powers of two."""
    quantized(tfl, node, x, y, node.outputs[0])
    tfl.add(
        node.op_type.upper(), x, y, fused_activation_function=attr(node, "activation"), pot_scale_int16=False
    )


@ops.op(f"{INTEGER}::PRelu")
def prelu(tfl, node, x, slope):
    turned = _own(slope, slopes(const(slope)))
    quantized(tfl, node, x, turned, node.outputs[0])
    tfl.PRELU(x, turned)


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
    filling = _own(value, const(value))
    tfl.quantize(filling, attr(node, "scales")[:1], attr(node, "zeros")[:1])
    tfl.PADV2(x, pads, filling)


@ops.op(f"{INTEGER}::Quantize")
def quantize(tfl, node, x):
    """From float, or from integers of another scale."""
    quantized(tfl, node, *[x][: len(attr(node, "scales")) - 1], node.outputs[0])
    tfl.QUANTIZE(x)


@ops.op(f"{INTEGER}::Dequantize")
def dequantize(tfl, node, x):
    quantized(tfl, node, x)
    tfl.DEQUANTIZE(x)


def _own(value: Any, array: np.ndarray) -> ir.Value:
    """A constant of the name of `value` that has parameters of its own."""
    tensor = ir.tensor(np.ascontiguousarray(array))
    return ir.Value(
        name=value.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )


def layer(
    tfl: Any, node: ir.Node, x: Any, weights: Any, array: np.ndarray, bias: Any, axis: int
) -> tuple[Any, Any]:
    """Weights and bias as tensors with their parameters; the output channels of the weights lie along `axis`."""
    quantized(tfl, node, x, node.outputs[0])
    scales = np.array(attr(node, "weight_scales"), np.float32)
    table, added = _own(weights, array), _own(bias, const(bias))
    tfl.quantize(table, scales, np.full(len(scales), attr(node, "weight_zero", 0), np.int64), axis)
    tfl.quantize(added, attr(node, "bias_scales"), np.zeros(len(scales), np.int64))
    return table, added


@ops.op(f"{INTEGER}::FullyConnected")
def fully_connected(tfl, node, x, weights, bias):
    inputs = layer(tfl, node, x, weights, const(weights), bias, 0)
    tfl.FULLY_CONNECTED(x, *inputs, keep_num_dims=True, fused_activation_function=attr(node, "activation"))


@ops.op(f"{INTEGER}::Conv")
def conv(tfl, node, x, weights, bias):
    convolve(
        tfl, node, x, const(weights), lambda turned, axis: layer(tfl, node, x, weights, turned, bias, axis)
    )


@ops.op(f"{INTEGER}::TransposeConv")
def transpose_conv(tfl, node, x, weights, shape, bias):
    table, added = layer(tfl, node, x, weights, const(weights).transpose(1, 2, 3, 0), bias, 0)
    transposed(tfl, node, x, table, shape, added)
