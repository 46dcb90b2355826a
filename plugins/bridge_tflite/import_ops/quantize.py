"""Between integers and the numbers they stand for."""

from __future__ import annotations

from bridge.ops import OpTable

ops = OpTable()


@ops.op("DEQUANTIZE")
def dequantize(op, node, x):
    return node.scope.real(op, node.operator.inputs[0]) if node.tensor(0).quantized else op.Cast(x, to=1)


@ops.op("QUANTIZE")
def quantize(op, node, x):
    """The importer quantizes every float that a quantized tensor holds."""
    return node.scope.real(op, node.operator.inputs[0]) if node.tensor(0).quantized else op.Identity(x)


@ops.op("DENSIFY")
def densify(op, node, x):
    """The reader fills sparse tensors."""
    return op.Identity(x)
