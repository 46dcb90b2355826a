"""LabelEncoder with text as a hash table from keys to indices, and a Gather of the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import strings
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML
from bridge_tflite.export_ops.ml import Table, maps_text_and_int64

ops = OpTable()


def is_text_lookup(node: ir.Node) -> bool:
    """True for unique keys, with text as keys or values."""
    table = Table.of(node)
    text = table is not None and object in (table.keys.dtype, table.values.dtype)
    return text and len({*table.keys.tolist()}) == table.keys.size and not maps_text_and_int64(node)


@ops.op(f"{ML}::LabelEncoder", needs=(condition("text as keys or values, no key twice", is_text_lookup),))
def label_encoder(op, node, x):
    """Index of the key, or that of the default after the last; then the value at the index."""
    table = Table.of(node)
    positions = list(range(table.keys.size))
    if table.keys.dtype == object:
        keys: dict[str, Any] = {"keys_strings": table.keys.tolist()}
    else:
        keys = {"keys_tensor": ir.tensor(table.keys)}
    result = {"_domain": ML, "_dtype": ir.DataType.INT64, "_shape": x.shape}
    index = op.LabelEncoder(x, **result, **keys, values_int64s=positions, default_int64=len(positions))
    values = np.concatenate([table.values, table.default[None]])
    table_values = op.const(strings(values) if values.dtype == object else values)
    return op.Gather(table_values, index, axis=0)
