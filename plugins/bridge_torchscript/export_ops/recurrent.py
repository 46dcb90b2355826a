"""LSTM, GRU and RNN with default activations, as loops over time."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge.recurrent import DEFAULT_ACTIVATIONS, activations
from bridge_torchscript.export_ops.common import flag

ops = OpTable()


def has_default_cell(node: ir.Node) -> bool:
    """True for default activations without clipping and coupled gates."""
    if "clip" in node.attributes or attr(node, "input_forget"):
        return False
    default = [name.lower() for name in DEFAULT_ACTIVATIONS[node.op_type]]
    return all([name.lower() for name in names] == default for names in activations(node))


PLAIN = condition("the default activations without clipping", has_default_cell)


@ops.op("LSTM", "GRU", "RNN", needs=(dtype("float", "double"), PLAIN))
def recurrent(ts, node, x, w, r, bias=None, lengths=None, h=None, c=None, peepholes=None):
    settings = [
        flag(attr(node, "linear_before_reset")),
        flag(attr(node, "direction") == "reverse"),
        flag(attr(node, "layout")),
    ]
    call = ts.lib("recurrent", f'"{node.op_type}"', x, w, r, bias, lengths, h, c, peepholes, *settings)
    names = [v.name or "unused" for v in node.outputs]
    return ts.unpack(call, *[*names, "unused", "unused"][:3])[: len(node.outputs)]
