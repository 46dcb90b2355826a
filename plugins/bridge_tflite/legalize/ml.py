"""Lookups of text: a hash table gives the place of a key, by which any value is gathered."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import strings
from bridge.needs import condition
from bridge.ops import OpTable
from bridge.passes.decompose.ml import ML
from bridge_tflite.export_ops.ml import Table, between

ops = OpTable()


def lookup(node: ir.Node) -> bool:
    """Text among keys or values, and no key twice."""
    table = Table.of(node)
    text = table is not None and object in (table.keys.dtype, table.values.dtype)
    return text and len({*table.keys.tolist()}) == table.keys.size and not between(node)


@ops.op(f"{ML}::LabelEncoder", needs=(condition("text as keys or values, no key twice", lookup),))
def label_encoder(op, node, x):
    """The place of the key among all, or the one behind the last; then the value there."""
    table = Table.of(node)
    places = list(range(table.keys.size))
    if table.keys.dtype == object:
        keys: dict[str, Any] = {"keys_strings": table.keys.tolist()}
    else:
        keys = {"keys_tensor": ir.tensor(table.keys)}
    kind = {"_domain": ML, "_dtype": ir.DataType.INT64, "_shape": x.shape}
    place = op.LabelEncoder(x, **kind, **keys, values_int64s=places, default_int64=len(places))
    values = np.concatenate([table.values, table.default[None]])
    held = op.const(strings(values) if values.dtype == object else values)
    return op.Gather(held, place, axis=0)
