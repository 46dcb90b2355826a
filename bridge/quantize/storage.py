"""Weights that fewer bits hold exactly, as a file may store them: halves, or places in a table."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bridge.facts import STORED_WEIGHTS
from bridge.passes.half_weights import weighty
from bridge.quantize.schemes import Kind, scheme_of

__all__ = ["Table", "halves_of", "stored_bytes", "table_of"]

Table = tuple[np.ndarray, np.ndarray]
HALVES = {ir.DataType.FLOAT16: np.dtype(np.float16), ir.DataType.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


def halves_of(model: ir.Model, value: ir.Value) -> np.ndarray | None:
    """Large weights as 16-bit floats, where the model was rounded to these and they lose nothing; else
    None."""
    name = STORED_WEIGHTS.get(model)
    if name is None or scheme_of(name).kind is not Kind.ROUNDED or not weighty(value.const_value):
        return None
    array = value.const_value.numpy()  # type: ignore[union-attr]
    with np.errstate(over="ignore"):
        halves = array.astype(HALVES[scheme_of(name).weights])
    return halves if np.array_equal(halves.astype(np.float32), array) else None


def table_of(model: ir.Model, value: ir.Value) -> Table | None:
    """The values that large weights have, sorted, and the place of each element among them as uint8 of the
    shape of the weights, where the model was given a palette and they are few enough; else None."""
    name = STORED_WEIGHTS.get(model)
    if name is None or scheme_of(name).kind is not Kind.PALETTE or not weighty(value.const_value):
        return None
    array = value.const_value.numpy()  # type: ignore[union-attr]
    values, places = np.unique(array, return_inverse=True)
    if values.size > 2 ** scheme_of(name).bits:
        return None
    return values, places.reshape(array.shape).astype(np.uint8)


def stored_bytes(model: ir.Model) -> float:
    """Bytes of the weights of a model as a file may store them."""
    total = 0.0
    for value in (v for graph in model.graphs() for v in graph.initializers.values()):
        halves, table = halves_of(model, value), table_of(model, value)
        if halves is not None:
            total += halves.nbytes
        elif table is not None:
            bits = scheme_of(STORED_WEIGHTS.get(model) or "").bits
            total += table[0].nbytes + table[1].size * bits / 8
        elif value.const_value is not None:
            total += value.const_value.nbytes
    return total
