"""Dimensions of results named after those of the inputs."""

from __future__ import annotations

from collections.abc import Set
from itertools import accumulate

import onnx_ir as ir

from bridge.inputs.linear import Linear
from bridge.inputs.shapes import NamedShapes
from bridge.passes.shapes import names_of

__all__ = ["NameLengths"]


class NameLengths(ir.passes.InPlacePass):
    """1. A dimension of an output whose name is none of `given`, nor of an input, is named by the sum of
       dimensions of the inputs, and of their quotients and products, that it is in every run: `batch`,
       `2*((width - 1)//2) + 1`, `height*width`.

    2. Where lengths only must be equal for the operators to fit, none is named after the other.
    """

    def __init__(self, given: Set[str]) -> None:
        super().__init__()
        self.given = given

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        known = self.given | names_of(model.graph.inputs)
        unnamed = [v for v in model.graph.outputs if names_of([v]) - known]
        if not unnamed:
            return ir.passes.PassResult(model, False)
        shapes = NamedShapes(model)
        return ir.passes.PassResult(model, any([_name(value, shapes, known) for value in unnamed]))


def _name(value: ir.Value, shapes: NamedShapes, known: Set[str]) -> bool:
    equal = shapes.bases({name for pair in shapes.equations for side in pair for name in side.names})
    old = list(value.shape or ())
    found = shapes.dims(value) or [None] * len(old)
    new = [
        dim
        if isinstance(dim, int)
        or str(dim.value) in known
        or length is None
        or shapes.bases(length.names) & equal
        else _dimension(length) or dim
        for dim, length in zip(old, found, strict=True)
    ]
    value.shape = ir.Shape(new)
    return new != old


def _dimension(length: Linear) -> int | ir.SymbolicDim | None:
    """A sum as a dimension; None where it is a fraction."""
    if length.whole is not None or any(
        f.denominator != 1 for f in (length.constant, *dict(length.terms).values())
    ):
        return length.whole
    text = str(length)
    return ir.SymbolicDim(text[1:-1] if _closes_last(text) else text)


def _closes_last(text: str) -> bool:
    """True if the last character closes what the first opens."""
    depths = list(accumulate((c == "(") - (c == ")") for c in text))
    return depths[0] == 1 and 0 not in depths[:-1]
