"""Products of matrices."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, held, input_at, rank_of
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_coreml.export_ops.common import FLOAT, FLOATS

ops = OpTable()


ops.same(
    needs=(
        dtype(*FLOATS, "int32", "int64"),
        condition("operands of rank 2 or more", lambda n: all((rank_of(v) or 0) > 1 for v in n.inputs)),
    ),
    MatMul="matmul",
)


def is_linear_layer(node: ir.Node) -> bool:
    bias, weights = held(input_at(node, 2)), held(node.inputs[1])
    if weights is None or (input_at(node, 2) is not None and bias is None):
        return False
    units = weights.shape[0 if attr(node, "transB") else 1]
    return (
        not attr(node, "transA")
        and attr(node, "alpha") == attr(node, "beta") == 1.0
        and (bias is None or bias.size in (1, units))
        and (bias is None or len(bias.shape) < 2 or bias.shape[0] == 1)
    )


@ops.op(
    "Gemm",
    needs=(FLOAT, condition("constant weights and bias, alpha and beta of 1, transA=0", is_linear_layer)),
)
def gemm(mil, node, x, weights, bias=None):
    kernel = const(weights) if attr(node, "transB") else np.ascontiguousarray(const(weights).T)
    bias_vector = (
        None
        if bias is None
        else np.broadcast_to(const(bias).ravel(), (kernel.shape[0],)).astype(kernel.dtype)
    )
    return mil.linear(
        x=x, weight=kernel, bias=None if bias_vector is None else np.ascontiguousarray(bias_vector)
    )
