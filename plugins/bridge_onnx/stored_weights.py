"""Weights rounded to fewer bits, stored in them: ONNX Runtime makes floats of them once, when it loads the
file."""

from __future__ import annotations

import ml_dtypes
import onnx_ir as ir

from bridge import hub
from bridge.quantize.storage import halves_of, table_of

__all__ = ["StoreWeights"]

FOUR_BITS_SINCE = 21


class StoreWeights(ir.passes.InPlacePass):
    """1. Weights that 16-bit floats hold are those, and a Cast.

    2. Weights of a palette are their places, of 4 bits or 8, in a table that a Gather reads.
    """

    def __init__(self, opset: int) -> None:
        super().__init__()
        self.opset = opset

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        graph, changed = model.graph, False
        first = next(iter(graph), None)
        for value in list(graph.initializers.values()):
            if value.is_graph_output() or value.is_graph_input():
                continue
            op = hub.Builder(graph, before=first)
            stored = self._stored(op, model, value)
            if stored is not None:
                ir.convenience.replace_all_uses_with(value, stored)
                graph.initializers.pop(value.name or "")
                stored.name, value.name = value.name, None
                changed = True
        return ir.passes.PassResult(model, changed)

    def _stored(self, op: hub.Builder, model: ir.Model, value: ir.Value) -> ir.Value | None:
        halves, table = halves_of(model, value), table_of(model, value)
        if halves is not None:
            return op.Cast(op.const(halves), to=int(ir.DataType.FLOAT))
        if table is None:
            return None
        values, places = table
        if values.size <= 16 and self.opset >= FOUR_BITS_SINCE:
            places = places.astype(ml_dtypes.uint4)
        return op.Gather(op.const(values), op.Cast(op.const(places), to=int(ir.DataType.INT32)))
