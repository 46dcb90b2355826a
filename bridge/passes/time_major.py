"""Recurrent operators on sequences of batches."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from bridge import hub
from bridge.ops import OpTable
from bridge.passes.rewrite import Rewrite

__all__ = ["TimeMajor"]

_ops = OpTable()


@_ops.op("LSTM", "GRU", "RNN")
def time_major(
    op: Any, node: ir.Node, x: Any, w: Any, r: Any, b: Any = None, lens: Any = None, *states: Any
) -> Any:
    initial, peepholes = states[: 2 if node.op_type == "LSTM" else 1], states[2:]
    swap = [1, 0, 2]
    attributes = {n: a.value for n, a in node.attributes.items() if n != "layout"}
    y, *last = op.node(
        node.op_type,
        op.Transpose(x, perm=swap),
        *(w, r, b, lens),
        *(None if h is None else op.Transpose(h, perm=swap) for h in initial),
        *peepholes,
        _outputs=3 if node.op_type == "LSTM" else 2,
        **attributes,
    )
    return [op.Transpose(y, perm=[2, 0, 1, 3]), *(op.Transpose(h, perm=swap) for h in last)]


class TimeMajor(Rewrite):
    """1. An LSTM, GRU or RNN whose batch comes first (layout=1) becomes one whose time does, between
    Transposes: the one layout that ONNX Runtime has kernels for.
    """

    def __init__(self) -> None:
        super().__init__(_ops, keep=lambda node: not hub.attr(node, "layout"))
