"""Recurrences that begin at zero."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, const

__all__ = ["DropZeroStates"]

RECURRENT = ("LSTM", "GRU", "RNN")
FIRST = 5
"""The place of the first state among the inputs."""
STATES = 2


class DropZeroStates(ir.passes.InPlacePass):
    """1. A first state of zeros is left out: without one, an LSTM, GRU or RNN begins at zeros."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for node in hub.all_nodes(model):
            if node.op_type not in RECURRENT or node.domain:
                continue
            for place in range(FIRST, min(FIRST + STATES, len(node.inputs))):
                if _is_zero(node.inputs[place]):
                    node.replace_input_with(place, None)
                    changed = True
        return ir.passes.PassResult(model, changed)


def _is_zero(value: ir.Value | None) -> bool:
    """True for a value of zeros alone."""
    if value is None:
        return False
    array, node = const(value), value.producer()
    if array is not None:
        return not array.any()
    if node is None or node.op_type != "ConstantOfShape" or node.domain:
        return False
    fill = attr(node, "value")
    return fill is None or not fill.numpy().any()
