"""The lengths a Resize makes, said in whole numbers."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const, input_at, shape_of
from bridge.passes.shapes import forget_shapes


class ResizeToLengths(ir.passes.InPlacePass):
    """1. Constant scales of a Resize that are, but for their rounding to float32, quotients of known lengths
    become those lengths.

    ONNX Runtime multiplies in float32, where 6 * 1.6666666 is 10; the shape inference of onnx rounds the
    exact product down to 9. Shapes inferred before are forgotten, so they are to be inferred again.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = [node for node in hub.all_nodes(model) if node.op_type == "Resize" and not node.domain]
        modified = any([_write(node) for node in nodes])
        if modified:
            forget_shapes(model)
        return ir.passes.PassResult(model, modified)


def _write(node: ir.Node) -> bool:
    x, scales = shape_of(node.inputs[0]), const(input_at(node, 2))
    if (
        x is None
        or scales is None
        or not scales.size
        or attr(node, "coordinate_transformation_mode") == "tf_crop_and_resize"
    ):
        return False
    axes = attr(node, "axes") or range(len(x))
    products = [x[axis] * float(scale) for axis, scale in zip(axes, scales, strict=True)]
    lengths = [math.floor(np.float32(x[axis]) * scale) for axis, scale in zip(axes, scales, strict=True)]
    rounded = zip(products, lengths, strict=True)
    if not all(math.isclose(p, n, rel_tol=1e-6) for p, n in rounded) or lengths == list(
        map(math.floor, products)
    ):
        return False
    op = hub.Builder(node.graph, before=node)
    node.resize_inputs(4)
    node.replace_input_with(2, None)
    node.replace_input_with(3, op.const(np.array(lengths, np.int64)))
    return True
