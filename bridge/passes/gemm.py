"""Products of matrices with what is added to each row, as one operator."""

from __future__ import annotations

import onnx_ir as ir

from bridge.facts import APPROXIMATED
from bridge.hub import attr, held, input_at, rank_of, shape_of
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["RaiseGemm"]

DTYPES = (ir.DataType.FLOAT, ir.DataType.DOUBLE)
"""What Gemm has fast kernels for."""

ops = OpTable()


class RaiseGemm(Rewrite):
    """1. An Add of a constant row to a MatMul of two matrices, or to a Gemm that adds nothing, which nothing
    else reads, is a Gemm that adds it."""

    def __init__(self) -> None:
        super().__init__(ops)


@ops.op("Add")
def add(op, node, a, b):
    for result, row in ((a, b), (b, a)):
        host = result.producer()
        if (
            _adds_nothing(host)
            and len(result.uses()) == 1
            and not result.is_graph_output()
            and _is_row(row, result)
        ):
            settings = {name: attr(host, name) for name in host.attributes if name != "beta"}
            product = op.Gemm(*host.inputs[:2], row, **settings)
            if detail := APPROXIMATED.get(host):
                APPROXIMATED.set(product.producer(), detail)
            return product
    return NotImplemented


def _adds_nothing(host: ir.Node | None) -> bool:
    """True for a product of two matrices, and no more."""
    if host is None or host.domain or host.op_type not in ("MatMul", "Gemm") or input_at(host, 2) is not None:
        return False
    return host.outputs[0].dtype in DTYPES and all(rank_of(value) == 2 for value in host.inputs[:2])


def _is_row(row: ir.Value, result: ir.Value) -> bool:
    """True for a constant of an element a column."""
    shape, columns = shape_of(row), result.shape[-1] if result.shape is not None else None
    return held(row) is not None and shape is not None and shape in ([columns], [1, columns])
