"""LSTM, GRU and RNN with their usual activations, as loops over time."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.needs import condition, dtype
from bridge.ops import OpTable
from bridge_torchscript.export_ops.common import flag

ops = OpTable()

USUAL = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}


def usual(node: ir.Node) -> bool:
    """Default activations, no clipping, gates not coupled."""
    names = [n.lower() for n in attr(node, "activations") or []]
    plain = USUAL[node.op_type]
    if "clip" in node.attributes or attr(node, "input_forget"):
        return False
    return not names or names == plain * (2 if attr(node, "direction") == "bidirectional" else 1)


PLAIN = condition("the default activations without clipping", usual)


@ops.op("LSTM", "GRU", "RNN", needs=(dtype("float", "double"), PLAIN))
def recurrent(ts, node, x, w, r, bias=None, lengths=None, h=None, c=None, peepholes=None):
    settings = [
        flag(attr(node, "linear_before_reset")),
        flag(attr(node, "direction") == "reverse"),
        flag(attr(node, "layout")),
    ]
    made = ts.lib("recurrent", f'"{node.op_type}"', x, w, r, bias, lengths, h, c, peepholes, *settings)
    names = [v.name or "unused" for v in node.outputs]
    return ts.unpack(made, *[*names, "unused", "unused"][:3])[: len(node.outputs)]
