"""Operators that a newer deployment target has natively."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bridge import hub
from bridge.facts import COREML_NEWER


class NoteNewer(ir.passes.InPlacePass):
    """1. An operator that `takes(version)` refuses and that a version of `newer` accepts is recorded in the
    model's metadata under the first such version. Nodes stay unchanged.
    """

    precedes = ("ComputeWider", "Decompose")

    def __init__(
        self, takes: Callable[[int], Callable[[ir.Node], bool]], version: int, newer: list[int]
    ) -> None:
        super().__init__()
        self.now = takes(version)
        self.later = {number: takes(number) for number in newer}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        for node in hub.all_nodes(model):
            if self.now(node):
                continue
            first = next((number for number, taken in self.later.items() if taken(node)), None)
            if first is not None:
                entry = COREML_NEWER.of(str(first))
                entry.set(model, sorted({*(entry.get(model) or ()), node.op_type}))
        return ir.passes.PassResult(model, False)


def notes(model: ir.Model) -> list[str]:
    """One sentence for each newer target that has operators natively."""
    return [
        f"minimum_deployment_target=iOS{number} would hold as they are: {', '.join(operators)}"
        for number, operators in sorted(COREML_NEWER.all(model))
    ]
