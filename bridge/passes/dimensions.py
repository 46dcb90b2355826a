"""Symbolic dimensions given their lengths."""

from __future__ import annotations

from numbers import Integral

import onnx_ir as ir

from bridge import hub
from bridge.errors import InvalidOption, near_miss
from bridge.hub import subgraphs


class FixDimensions(ir.passes.InPlacePass):
    """1. Every dimension called by one of the names has the length given, in inputs and wherever else it
    stands.

    Raises InvalidOption for a name no input has, and for what is no length.
    """

    def __init__(self, sizes: dict[str, int]) -> None:
        super().__init__()
        self.sizes = sizes

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        check_dimensions(model, self.sizes)
        self._graph(model.graph)
        return ir.passes.PassResult(model, True)

    def _graph(self, graph: ir.Graph) -> None:
        for value in (*graph.inputs, *(v for node in graph for v in node.outputs)):
            if value.shape is not None and hub.shape_of(value) is None:
                value.shape = ir.Shape([self.sizes.get(str(getattr(d, "value", d)), d) for d in value.shape])
        for node in graph:
            for subgraph in subgraphs(node):
                self._graph(subgraph)


def check_dimensions(model: ir.Model, sizes: dict[str, int]) -> None:
    """Raise InvalidOption for a name that is no symbolic dimension of an input, and for what is no length."""
    names = {str(d.value) for v in model.graph.inputs for d in v.shape or () if isinstance(d, ir.SymbolicDim)}
    for name, length in sizes.items():
        if isinstance(length, bool) or not isinstance(length, Integral) or not 0 <= length < 2**63:
            raise InvalidOption(
                f"dims: {length!r} is no length of {name}.", "Give a whole number of 64 bits."
            )
        if name not in names:
            known = ", ".join(sorted(names)) or "none: every input has a static shape"
            hint = f"{near_miss(name, names)}Symbolic dimensions: {known}."
            raise InvalidOption(f"No input has a dimension {name!r}.", hint)
