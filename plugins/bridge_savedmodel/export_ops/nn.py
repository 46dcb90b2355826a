"""Layers: matrix products, determinants, and blocks moved between space and depth."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import NHWC, rank_of
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge_savedmodel.tensorflow import cpu_kernel

ops = OpTable()

MATRICES = condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2)


@ops.op("MatMul", needs=(MATRICES, cpu_kernel("BatchMatMulV2")))
def matmul(tf, node, x, y):
    """Multiply matrices. Batches of two dimensions or more that differ are broadcast first, and products over
    an empty dimension go to the batched kernel: TensorFlow's kernels crash on some of these."""
    ranks = rank_of(x), rank_of(y)
    if set(ranks) == {2} and node.inputs[0].shape[-1] != 0:
        return tf.MatMul(x, y)
    if max(ranks) > 3 and list(x.shape)[:-2] != list(y.shape)[:-2]:
        x, y = _broadcast_batches(tf, x, y)
    return tf.BatchMatMulV2(x, y)


def _broadcast_batches(tf: Any, *operands: ir.Value) -> list[Any]:
    sizes = [tf.Shape(v) for v in operands]
    batch = tf.BroadcastArgs(*(s[:-2] for s in sizes))
    return [tf.BroadcastTo(v, tf.ConcatV2([batch, s[-2:]], 0)) for v, s in zip(operands, sizes, strict=True)]


ops.same(needs=(cpu_kernel("MatrixDeterminant"),), Det="MatrixDeterminant")


ops.same(
    domain=NHWC,
    attributes={"blocksize": "block_size"},
    needs=(attribute("mode", "DCR"),),
    SpaceToDepth="SpaceToDepth",
    DepthToSpace="DepthToSpace",
)
