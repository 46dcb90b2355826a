"""Weights that stay integers: they are dequantized as the model runs, or once when TensorFlow loads it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, held
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.quant import quant_params

ops = OpTable()

T = ir.DataType


def is_weights(node: ir.Node) -> bool:
    """A constant with constant parameters in float32, one or one along an axis."""
    params = quant_params(node)
    return (
        held(node.inputs[0]) is not None
        and params is not None
        and not params.block_size
        and params.scale.dtype == np.float32
        and attr(node, "output_dtype") in (0, int(T.FLOAT))
    )


@ops.op("DequantizeLinear", needs=(dtype("int8", "uint8"), condition("constant weights", is_weights)))
def dequantize(tf, node, x, scale, zero=None):
    """(x - zero point) · scale in float32."""
    params = quant_params(node)
    scales, zeros = params.aligned(len(x.shape))
    values = tf.Cast(x, DstT=tf.api.float32)
    if not params.symmetric:
        values = tf.Sub(values, zeros.astype(np.float32))
    return tf.Mul(values, scales)
