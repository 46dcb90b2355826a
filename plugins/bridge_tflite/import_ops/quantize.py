"""QUANTIZE, DEQUANTIZE, DENSIFY."""

from __future__ import annotations

from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FLOAT

ops = OpTable()


@ops.op("DEQUANTIZE")
def dequantize(op, node, x):
    return node.scope.real(op, node.operator.inputs[0]) if node.tensor(0).quantized else op.Cast(x, to=FLOAT)


@ops.op("QUANTIZE")
def quantize(op, node, x):
    """Requantize or pass on: the importer quantizes the results of every quantized tensor."""
    return node.scope.real(op, node.operator.inputs[0]) if node.tensor(0).quantized else op.Identity(x)


@ops.op("DENSIFY")
def densify(op, node, x):
    """The reader has already made sparse tensors dense."""
    return op.Identity(x)
