"""Matrix products."""

from __future__ import annotations

from bridge.importing import permuted
from bridge.ops import OpTable
from bridge_coreml.import_ops.common import RANKED, as_type, rank_of, ranked

ops = OpTable()


@ops.op("matmul", needs=(RANKED, ranked("y")))
def matmul(op, node, x, y):
    x, y = (as_type(op, x, y), y) if node.array("x") is not None else (x, as_type(op, y, x))
    operands = []
    for value, name in ((x, "transpose_x"), (y, "transpose_y")):
        rank = rank_of(value) or 0
        transposed = node.get(name, False) and rank > 1
        operands.append(permuted(op, value, [*range(rank - 2), rank - 1, rank - 2]) if transposed else value)
    return op.MatMul(*operands)


@ops.op("einsum")
def einsum(op, node):
    return op.Einsum(*node.values("values"), equation=node.get("equation").replace(" ", ""))
