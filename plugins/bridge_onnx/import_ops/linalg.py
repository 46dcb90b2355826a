"""Inverses and distances."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.importing import ints
from bridge.needs import attribute, condition
from bridge.ops import OpTable
from bridge.passes.decompose.common import in_float32
from bridge.passes.decompose.linalg import LARGEST, inverse
from bridge_onnx.import_ops.common import MS

ops = OpTable()


def small_and_square(node: ir.Node) -> bool:
    shape = node.inputs[0].shape
    sides = [] if shape is None else list(shape)[-2:]
    return len(sides) == 2 and all(isinstance(n, int) and n <= LARGEST for n in sides) and len({*sides}) == 1


@ops.op(MS + "Inverse", needs=(condition(f"square matrices of at most {LARGEST} rows", small_and_square),))
def inverse_of_matrices(op, node, x):
    return in_float32(op, x, lambda wide: inverse(op, wide))


@ops.op(MS + "CDist", needs=(attribute("metric", "sqeuclidean", "euclidean"),))
def distances(op, node, a, b):
    gaps = op.Sub(op.Unsqueeze(a, ints(1)), op.Unsqueeze(b, ints(0)))
    squares = op.ReduceSum(op.Mul(gaps, gaps), ints(2), keepdims=0)
    return op.Sqrt(squares) if attr(node, "metric", "sqeuclidean") == "euclidean" else squares
