"""Raise what frameworks spell out to the operator it means."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import AddDefaultAttributesPass

from bridge import hub
from bridge.passes.attention import RaiseAttention
from bridge.passes.gelu import RaiseGelu

__all__ = ["RaisePatterns"]


class RaisePatterns(ir.passes.InPlacePass):
    """1. Gelu and attention, by our own passes.

    2. HardSwish, HardSigmoid, LayerNormalization and RMSNormalization, by onnxscript's rules, imported only where
       the graph has the operators of such a pattern. The rules look for attributes in so many words, so defaults are spelt out.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = RaiseGelu()(model).modified | RaiseAttention()(model).modified
        present = {node.op_type for node in hub.all_nodes(model)}
        rules = []
        if present & {"Clip", "HardSigmoid"}:
            from onnxscript.rewriter.rules.common import fuse_hardswish_rules

            rules.append(fuse_hardswish_rules())
        if {"ReduceMean", "Sqrt"} <= present:
            from onnxscript.rewriter.rules.fusion._layer_norm import layer_normalization_ruleset
            from onnxscript.rewriter.rules.fusion._rms_normalization import rms_normalization_ruleset

            AddDefaultAttributesPass()(model)
            rules += [layer_normalization_ruleset, rms_normalization_ruleset]
        return ir.passes.PassResult(
            model, changed | any([bool(rule.apply_to_model(model)) for rule in rules])
        )
