"""Random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import TFLITE
from bridge_tflite.legalize.common import RANKED, as_int32

ops = OpTable()


@ops.op("RandomUniformLike", needs=(RANKED,))
@ops.op("RandomNormalLike", needs=(RANKED,))
def random_like(op, node, x):
    return _draw(op, node, op.Shape(x), list(x.shape))


@ops.op("RandomUniform")
@ops.op("RandomNormal")
def random(op, node):
    shape = attr(node, "shape")
    return _draw(op, node, op.const(np.array(shape, np.int64)), shape)


def _draw(op: Any, node: ir.Node, shape: ir.Value, dims: list) -> Any:
    """Standard random numbers of the kernel, scaled and shifted."""
    operator = node.op_type.removesuffix("Like")
    seed, low = attr(node, "seed"), attr(node, "low")
    samples = op.node(
        operator,
        as_int32(op, shape),
        _domain=TFLITE,
        _dtype=ir.DataType.FLOAT,
        _shape=dims,
        seed=None if seed is None else int(abs(seed)) + 1,
    )
    scale, start = (
        (attr(node, "high") - low, low)
        if operator == "RandomUniform"
        else (attr(node, "scale"), attr(node, "mean"))
    )
    return op.Cast(op.Add(op.Mul(samples, float(scale)), float(start)), to=int(node.outputs[0].dtype or 1))
