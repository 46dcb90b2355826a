"""What a newer deployment target would hold as it is."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bridge import hub
from bridge.facts import COREML_NEWER


class NoteNewer(ir.passes.InPlacePass):
    """1. Operators that `takes(version)` refuses and `takes` of a newer version accepts are noted on the
    model, under the first of `newer` that accepts them. The nodes stay as they are.
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
    """One sentence for each newer target that would help."""
    return [
        f"minimum_deployment_target=iOS{number} would hold as they are: {', '.join(operators)}"
        for number, operators in sorted(COREML_NEWER.all(model))
    ]
