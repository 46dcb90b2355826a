"""Normalizations."""

from __future__ import annotations

import numpy as np

from bridge.importing import to_channels_first, to_channels_last
from bridge.ops import OpTable
from bridge_tflite.import_ops.common import FUSED, activate

ops = OpTable()


@ops.op("L2_NORMALIZATION", needs=(FUSED,))
def l2_normalization(op, node, x):
    total = op.ReduceSum(op.Mul(x, x), [-1], keepdims=1)
    return activate(op, node, op.Div(x, op.Sqrt(op.Max(total, np.array(1e-6, np.float32)))))


@ops.op("LOCAL_RESPONSE_NORMALIZATION")
def local_response_normalization(op, node, x):
    """TFLite's alpha applies to each element, ONNX's to their mean."""
    size = 2 * node.get("radius", 0) + 1
    alpha = float(node.get("alpha", 0.0)) * size
    y = op.LRN(
        to_channels_first(op, x),
        alpha=alpha,
        beta=float(node.get("beta", 0.0)),
        bias=float(node.get("bias", 0.0)),
        size=size,
    )
    return to_channels_last(op, y)
