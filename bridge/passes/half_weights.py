"""Weights rounded to float16."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bridge import facts, hub

__all__ = ["HalfWeights"]

SMALLEST = 1024


class HalfWeights(ir.passes.InPlacePass):
    """1. A `weighty` initializer takes the nearest values float16 holds, and stays float32.
    2. One with a finite value beyond float16's range stays as it is.
    3. The operators that read a changed one are marked approximated.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        changed = False
        for graph in hub.graphs(model):
            for value in list(graph.initializers.values()):
                changed |= _round(value)
        return ir.passes.PassResult(model, changed)


def weighty(data: ir.TensorProtocol | None) -> bool:
    """float32 of 1024 elements and two dimensions or more: what is worth holding as float16."""
    return (
        data is not None
        and data.dtype == ir.DataType.FLOAT
        and data.size >= SMALLEST
        and len(data.shape) >= 2
    )


def _round(value: ir.Value) -> bool:
    data = value.const_value
    if data is None or not weighty(data):
        return False
    array = data.numpy()
    with np.errstate(over="ignore"):
        rounded = array.astype(np.float16).astype(np.float32)
    if np.array_equal(rounded, array, equal_nan=True) or (np.isinf(rounded) & ~np.isinf(array)).any():
        return False
    value.const_value = ir.tensor(rounded, name=value.name)
    for node, _ in value.uses():
        facts.APPROXIMATED.set(node, "weights rounded to float16")
    return True
