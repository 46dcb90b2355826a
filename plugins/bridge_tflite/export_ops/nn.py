"""Matrix products, fully connected layers, Softmax."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition, max_rank
from bridge.ops import OpTable
from bridge_tflite.export_ops.common import FLOAT_KERNEL, TFLITE
from bridge_tflite.kept_weights import WEIGHTS, weight_operand

ops = OpTable()


@ops.op(
    "MatMul",
    needs=(
        FLOAT_KERNEL,
        max_rank(5),
        max_rank(5, index=1),
        condition("two operands of rank 2 or more", lambda n: min(rank_of(v) or 0 for v in n.inputs) >= 2),
        condition("non-empty operands", lambda n: all(0 not in (shape_of(v) or []) for v in n.inputs)),
    ),
)
def matmul(tfl, node, x, y):
    tfl.BATCH_MATMUL(x, y)


@ops.op(f"{TFLITE}::BatchMatMul", needs=(FLOAT_KERNEL,))
def batch_matmul(tfl, node, x, y):
    tfl.BATCH_MATMUL(x, y, adj_y=bool(attr(node, "adj_y", 0)))


@ops.op(f"{TFLITE}::FullyConnected", needs=(FLOAT_KERNEL,))
def fully_connected(tfl, node, x, weights, bias=None):
    weights = weight_operand(tfl, weights, [0, 1]) if WEIGHTS in weights.meta else weights
    tfl.FULLY_CONNECTED(
        x, weights, bias, keep_num_dims=True, fused_activation_function=attr(node, "activation")
    )


def is_last_axis(node: ir.Node) -> bool:
    rank = rank_of(node.inputs[0])
    return rank is not None and rank > 0 and attr(node, "axis") % rank == rank - 1


ALONG_ROWS = (FLOAT_KERNEL, max_rank(4), condition("the last axis", is_last_axis))
ops.same(needs=ALONG_ROWS, LogSoftmax="LOG_SOFTMAX")


@ops.op("Softmax", needs=ALONG_ROWS)
def softmax(tfl, node, x):
    tfl.SOFTMAX(x, beta=1.0)
