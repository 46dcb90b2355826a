"""Masks of attention in the form ONNX Runtime takes."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge.hub import input_at, rank_of
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["MasksOfQueries"]

_ops = OpTable()


def _for_all(node: ir.Node) -> bool:
    """True if one row of the mask is for all queries, and they are not known to be one."""
    mask, q = input_at(node, 3), input_at(node, 0)
    if not rank_of(mask) or rank_of(q) is None:
        return False
    rows = mask.shape[-2] if len(mask.shape) > 1 else 1
    return rows == 1 and q.shape[-2] != 1


@_ops.op("Attention")
def repeat_row(op: Any, node: ir.Node, q: Any, k: Any, v: Any, mask: Any, *rest: Any) -> Any:
    axis = (rank_of(q) or 0) - 2
    ahead = [1] * max((rank_of(mask) or 0) - 2, 0)
    shape = op.Concat(op.const([*ahead]), op.Shape(q, start=axis, end=axis + 1), op.const([1]), axis=0)
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    repeated = op.Expand(mask, shape)
    return op.node("Attention", q, k, v, repeated, *rest, _outputs=len(node.outputs), **attributes)


class MasksOfQueries(Rewrite):
    """1. A mask of Attention with one row for all queries has one for each: ONNX Runtime takes no other."""

    def __init__(self) -> None:
        super().__init__(_ops, keep=lambda node: not _for_all(node))
