"""Weights rounded to fewer bits, stored in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.quantize.storage import halves_of, table_of
from bridge_coreml.export_ops.common import IOS16, IOS18

__all__ = ["stored_weights"]

BITS = (1, 2, 4, 6, 8)
"""Bits that the places in a table may have."""


def stored_weights(mil: Any, model: ir.Model, value: ir.Value) -> Any:
    """The MIL variable of weights stored as float16, or as places in a table, where the model was rounded to
    these; None for any others."""
    if mil.version < IOS16:
        return None
    halves, table = halves_of(model, value), table_of(model, value)
    if halves is not None and halves.dtype == np.float16:
        return mil.builder.constexpr_cast(source_val=halves, output_dtype="fp32")
    if table is None:
        return None
    values, places = table
    bits = next(n for n in BITS if values.size <= 2**n)
    full = np.concatenate([values, np.repeat(values[-1:], 2**bits - values.size)])
    if mil.version >= IOS18:
        from coremltools.converters.mil.mil import types

        small = types.nptype_from_builtin(types.string_to_builtin(f"uint{bits}"))
        table_shape = (*[1] * places.ndim, 2**bits, 1)
        return mil.builder.constexpr_lut_to_dense(indices=places.astype(small), lut=full.reshape(table_shape))
    flat = ((places.ravel()[:, None] >> np.arange(bits)) & 1).astype(np.uint8).ravel()
    packed, shape = np.packbits(flat, bitorder="little"), np.array(places.shape, np.uint32)
    return mil.builder.constexpr_lut_to_dense(indices=packed, lut=full, shape=shape)
