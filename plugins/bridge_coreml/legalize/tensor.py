"""Rewrites into forms Core ML has."""

from __future__ import annotations

from bridge.hub import const, shape_of
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import lengths, vector
from bridge_coreml.export_ops.common import TENSOR

native = OpTable("Core ML operators")


def dynamic_zeros(node) -> bool:
    """A constant shape that copies lengths of the input, not all of them static."""
    array = const(node.inputs[1])
    return array is not None and (array == 0).any() and shape_of(node.inputs[0]) is None


@native.op("Reshape", needs=(condition("zeros in a constant shape", dynamic_zeros), TENSOR))
def reshape_with_zeros(op, node, x, shape):
    sizes = lengths(op, x)
    return op.Reshape(x, vector(op, [sizes[i] if n == 0 else int(n) for i, n in enumerate(const(shape))]))
