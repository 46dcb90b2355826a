"""Normalizations."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE

ops = OpTable()


def has_odd_size(node: ir.Node) -> bool:
    return (
        attr(node, "size") % 2 == 1 and rank_of(node.inputs[0]) == 4 and 0 not in list(node.inputs[0].shape)
    )


@ops.op("LRN", needs=(condition("four dimensions and an odd size", has_odd_size), dtype("float")))
def local_response(op, node, x):
    """LiteRT sums along the last dimension, so channels go last. Its alpha applies to each element, ONNX's to
    their mean."""
    size = attr(node, "size")
    image = op.Transpose(x, perm=[0, 2, 3, 1])
    normalized = op.LRN(
        image,
        _domain=TFLITE,
        _dtype=x.dtype,
        _shape=image.shape,
        radius=size // 2,
        alpha=attr(node, "alpha") / size,
        beta=attr(node, "beta"),
        bias=attr(node, "bias"),
    )
    return op.Transpose(normalized, perm=[0, 3, 1, 2])
