"""Integer kernels: operators of the other families on int8, uint8 or int16, each tensor with scale and zero
point."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, shape_of
from bridge.ops import OpTable, Rule
from bridge_tflite.export_ops.common import INTEGER, NHWC, ONE_UNKNOWN, TFLITE
from bridge_tflite.export_ops.conv import convolve, write_transpose_conv
from bridge_tflite.export_ops.math import strip_leading_ones

ops = OpTable()

SAME_FORM = {
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


def set_parameters(tfl: Any, node: ir.Node, *data: Any) -> None:
    """Set scale and zero point of each of `data`, from the attributes `scales` and `zeros`."""
    for value, scale, zero in zip(data, attr(node, "scales"), attr(node, "zeros"), strict=True):
        tfl.quantize(value, [scale], [zero])


def integer_rules(float_rules: Iterable[Rule]) -> Iterable[Rule]:
    """Rules for integer operators that are written as their float form, with scales and zero points added: of
    each the first, and the first that takes more than one dynamic dimension."""
    names = {f"{d}::{n}" if d else n for d, names_of_domain in SAME_FORM.items() for n in names_of_domain}
    written = set()
    for rule in float_rules:
        needs = tuple(need for need in rule.needs if need is ONE_UNKNOWN)
        if rule.op in names and (rule.op, needs) not in written:
            written.add((rule.op, needs))
            name = f"{INTEGER}::{rule.op.rsplit('::')[-1]}"
            yield Rule(name, _with_parameters(rule.handler), needs=needs)


def _with_parameters(handler: Any) -> Any:
    def write(tfl: Any, node: ir.Node, *inputs: Any) -> None:
        count = len(attr(node, "scales")) - len(node.outputs)
        set_parameters(tfl, node, *inputs[:count], *node.outputs)
        handler(tfl, node, *inputs)

    return write


@ops.op(f"{INTEGER}::Add", f"{INTEGER}::Sub")
def add(tfl, node, x, y):
    """Scales of int16 may be any, not only powers of two."""
    set_parameters(tfl, node, x, y, node.outputs[0])
    tfl.add(
        node.op_type.upper(), x, y, fused_activation_function=attr(node, "activation"), pot_scale_int16=False
    )


@ops.op(f"{INTEGER}::PRelu")
def prelu(tfl, node, x, slope):
    alpha = _constant_copy(slope, strip_leading_ones(const(slope)))
    set_parameters(tfl, node, x, alpha, node.outputs[0])
    tfl.PRELU(x, alpha)


@ops.op(f"{INTEGER}::Reshape")
def reshape(tfl, node, x, shape):
    set_parameters(tfl, node, x, node.outputs[0])
    dims = [d if isinstance(d, int) else -1 for d in node.outputs[0].shape]
    tfl.RESHAPE(x, np.array(dims, np.int32) if dims.count(-1) < 2 and 0 not in dims else shape)


@ops.op(f"{INTEGER}::Pad")
def pad(tfl, node, x, pads, value=None):
    set_parameters(tfl, node, x, node.outputs[0])
    if value is None:
        tfl.PAD(x, pads)
        return
    filling = _constant_copy(value, const(value))
    tfl.quantize(filling, attr(node, "scales")[:1], attr(node, "zeros")[:1])
    tfl.PADV2(x, pads, filling)


@ops.op(f"{INTEGER}::Quantize")
def quantize(tfl, node, x):
    """Quantize float32, or requantize integers of another scale."""
    set_parameters(tfl, node, *[x][: len(attr(node, "scales")) - 1], node.outputs[0])
    tfl.QUANTIZE(x)


@ops.op(f"{INTEGER}::Dequantize")
def dequantize(tfl, node, x):
    set_parameters(tfl, node, x)
    tfl.DEQUANTIZE(x)


def _constant_copy(value: Any, array: np.ndarray) -> ir.Value:
    """New constant named as `value`, so that it has its own scale and zero point."""
    tensor = ir.tensor(np.ascontiguousarray(array))
    return ir.Value(
        name=value.name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )


def layer_operands(
    tfl: Any, node: ir.Node, x: Any, weights: Any, array: np.ndarray, bias: Any, axis: int
) -> tuple[Any, Any]:
    """Weights and bias as quantized constants; the output channels of the weights lie along `axis`."""
    set_parameters(tfl, node, x, node.outputs[0])
    scales = np.array(attr(node, "weight_scales"), np.float32)
    integer_weights, integer_bias = _constant_copy(weights, array), _constant_copy(bias, const(bias))
    tfl.quantize(integer_weights, scales, np.full(len(scales), attr(node, "weight_zero", 0), np.int64), axis)
    tfl.quantize(integer_bias, attr(node, "bias_scales"), np.zeros(len(scales), np.int64))
    return integer_weights, integer_bias


@ops.op(f"{INTEGER}::FullyConnected")
def fully_connected(tfl, node, x, weights, bias):
    inputs = layer_operands(tfl, node, x, weights, const(weights), bias, 0)
    tfl.FULLY_CONNECTED(x, *inputs, keep_num_dims=True, fused_activation_function=attr(node, "activation"))


@ops.op(f"{INTEGER}::Conv")
def conv(tfl, node, x, weights, bias):
    convolve(
        tfl,
        node,
        x,
        shape_of(weights),
        lambda perm: layer_operands(
            tfl, node, x, weights, const(weights).transpose(perm), bias, list(perm).index(0)
        ),
    )


@ops.op(f"{INTEGER}::TransposeConv")
def transpose_conv(tfl, node, x, weights, shape, bias):
    integer_weights, integer_bias = layer_operands(
        tfl, node, x, weights, const(weights).transpose(1, 2, 3, 0), bias, 0
    )
    write_transpose_conv(tfl, node, x, integer_weights, shape, integer_bias)
