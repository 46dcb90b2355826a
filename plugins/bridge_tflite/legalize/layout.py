"""Public images in TFLite's own layout."""

from __future__ import annotations

import onnx_ir as ir

from bridge.hub import attr
from bridge.passes.channels_last import permuted


class NativeLayout(ir.passes.InPlacePass):
    """1. A Transpose between a public image and the graph goes, and the image becomes channels last."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for value in model.graph.inputs:
            readers = [use.node for use in value.uses()]
            perms = {tuple(attr(n, "perm") or ()) if n.op_type == "Transpose" else () for n in readers}
            if len(perms) == 1 and (perm := next(iter(perms))) and not value.is_graph_output():
                value.shape = permuted(value.shape, perm)
                for reader in readers:
                    ir.convenience.replace_all_uses_with(reader.outputs[0], value, replace_graph_outputs=True)
                    model.graph.remove(reader, safe=True)
                changed = True
        for value in list(model.graph.outputs):
            node = value.producer()
            if (
                node is not None
                and node.op_type == "Transpose"
                and not value.uses()
                and node.inputs[0].producer() is not None
            ):
                inner = node.inputs[0]
                if inner.is_graph_output():
                    continue
                inner.name, value.name = value.name, None
                ir.convenience.replace_all_uses_with(value, inner, replace_graph_outputs=True)
                model.graph.remove(node, safe=True)
                changed = True
        return ir.passes.PassResult(model, changed)
