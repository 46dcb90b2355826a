"""Dilated pools say their padding in numbers."""

from __future__ import annotations

import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, shape_of
from bridge.passes.decompose.windows import explicit_pads

POOLS = ("AveragePool", "LpPool", "MaxPool")


class ExplicitPads(ir.passes.InPlacePass):
    """1. A dilated AveragePool, LpPool or MaxPool with auto_pad SAME_… gets the pads that mean the same, where lengths are known.

    ONNX Runtime pads such a pool as if it were not dilated.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        found = [node for node in hub.all_nodes(model) if _dilated(node)]
        return ir.passes.PassResult(model, any([_write(node) for node in found]))


def _dilated(node: ir.Node) -> bool:
    if node.domain or node.op_type not in POOLS or not attr(node, "auto_pad", "").startswith("SAME"):
        return False
    return any(step != 1 for step in attr(node, "dilations") or ())


def _write(node: ir.Node) -> bool:
    shape = shape_of(node.inputs[0])
    pads = explicit_pads(node, shape[2:], attr(node, "kernel_shape")) if shape else None
    if pads is None:
        return False
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return True
