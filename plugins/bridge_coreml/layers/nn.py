"""Activations and fully connected layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.importing import ints
from bridge.ops import OpTable
from bridge_coreml.layers.common import lengths, rank_of, reshape, weight

ops = OpTable(attribute=lambda layer, name: getattr(layer.params, name))


@ops.op("innerProduct")
def inner_product(op, layer, x):
    """Fully connected layer. For a blob of rank 4 or 5 the last three dimensions are the input vector."""
    p, rank = layer.params, rank_of(x) or 1
    kernel = weight(p.weights, [p.outputChannels, p.inputChannels])
    vectors = x
    if rank >= 4:
        vectors = reshape(op, x, [*lengths(op, x)[: rank - 3], p.inputChannels])
    result = op.MatMul(vectors, op.const(np.ascontiguousarray(kernel.T)))
    if p.hasBias:
        result = op.Add(result, op.const(weight(p.bias, [p.outputChannels])))
    return op.Unsqueeze(result, ints(rank - 2, rank - 1)) if rank >= 4 else result


def broadcast_parameter(op: hub.Builder, shape: Iterable[int], params: Any, x: ir.Value) -> Any:
    """Parameter of shape [1], [C], [1, H, W] or [C, H, W], broadcast over the last three dimensions."""
    dims = [int(d) for d in shape]
    array = weight(params, dims)
    return op.const(array.reshape(-1, 1, 1) if len(dims) == 1 and (rank_of(x) or 0) >= 3 else array)


@ops.op("scale")
def scale(op, layer, x):
    p = layer.params
    scaled = op.Mul(x, broadcast_parameter(op, p.shapeScale, p.scale, x))
    return op.Add(scaled, broadcast_parameter(op, p.shapeBias, p.bias, x)) if p.hasBias else scaled


@ops.op("bias")
def bias(op, layer, x):
    return op.Add(x, broadcast_parameter(op, layer.params.shape, layer.params.bias, x))


ops.same(attributes={"axis": "axis"}, softmaxND="Softmax")


@ops.op("clampedReLU")
def clamped_relu(op, layer, x):
    return op.Min(op.Where(op.Less(x, 0.0), op.Mul(x, layer.params.alpha), x), np.float32(layer.params.beta))


@ops.op("gelu")
def gelu(op, layer, x):
    if layer.params.mode == 2:
        return op.Mul(x, op.Sigmoid(op.Mul(x, 1.702)))
    return op.Gelu(x, approximate="tanh" if layer.params.mode == 1 else None)


def apply_activation(op: hub.Builder, params: Any, x: ir.Value, channel_axis: int = -3) -> Any:
    """Apply the activation of an ActivationParams message to a blob."""
    activation_type = params.WhichOneof("NonlinearityType")
    p = getattr(params, activation_type)

    def per_channel(values: Any) -> Any:
        array = weight(values, [max(len(values.floatValue), len(values.float16Value) // 2, 1)])
        broadcast_shape = [1] * (rank_of(x) or 3)
        broadcast_shape[channel_axis] = -1
        return op.const(array.reshape(broadcast_shape) if array.size > 1 else array)

    return {
        "linear": lambda: op.Add(op.Mul(x, p.alpha), p.beta),
        "ReLU": lambda: op.Relu(x),
        "leakyReLU": lambda: op.LeakyRelu(x, alpha=p.alpha),
        "thresholdedReLU": lambda: op.Where(op.Less(x, p.alpha), np.float32(0), x),
        "PReLU": lambda: op.PRelu(x, per_channel(p.alpha)),
        "tanh": lambda: op.Tanh(x),
        "scaledTanh": lambda: op.Mul(op.Tanh(op.Mul(x, p.beta)), p.alpha),
        "sigmoid": lambda: op.Sigmoid(x),
        "sigmoidHard": lambda: op.HardSigmoid(x, alpha=p.alpha, beta=p.beta),
        "ELU": lambda: op.Elu(x, alpha=p.alpha),
        "softsign": lambda: op.Softsign(x),
        "softplus": lambda: op.Softplus(x),
        "parametricSoftplus": lambda: op.Mul(
            op.Softplus(op.Mul(x, per_channel(p.beta))), per_channel(p.alpha)
        ),
    }[activation_type]()


@ops.op("activation")
def activation(op, layer, x):
    return apply_activation(op, layer.params, x)


@ops.op("softmax")
def softmax(op, layer, x):
    """Softmax along the channels, the third axis from the end."""
    return op.Softmax(x, axis=(rank_of(x) or 3) - 3)
