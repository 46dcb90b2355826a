"""LabelEncoder as a hash table. LiteRT's kernels map text to int64 and int64 to text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, decoded
from bridge.needs import condition
from bridge.ops import OpTable

ops = OpTable()

COLUMN_DTYPES = {"strings": object, "int64s": np.int64, "floats": np.float32}
DEFAULTS = {
    "strings": ("default_string", "_Unused"),
    "int64s": ("default_int64", -1),
    "floats": ("default_float", -0.0),
}


@dataclass(frozen=True)
class Table:
    """Lookup table of a LabelEncoder: keys [n], values [n], and the default for any other key."""

    keys: np.ndarray
    values: np.ndarray
    default: np.ndarray

    @classmethod
    def of(cls, node: ir.Node) -> Table | None:
        keys, values = _column(node, "keys"), _column(node, "values")
        if keys is None or values is None:
            return None
        default_tensor = attr(node, "default_tensor")
        if default_tensor is None:
            suffix = (
                "strings" if values.dtype == object else "floats" if values.dtype.kind == "f" else "int64s"
            )
            default = np.array(attr(node, *DEFAULTS[suffix]), values.dtype)
        else:
            default = _elements(default_tensor).astype(values.dtype).reshape(())
        return cls(keys, values, default)


def _column(node: ir.Node, role: str) -> np.ndarray | None:
    tensor = attr(node, f"{role}_tensor")
    if tensor is not None:
        return _elements(tensor).reshape(-1)
    columns = ((attr(node, f"{role}_{suffix}"), dtype) for suffix, dtype in COLUMN_DTYPES.items())
    return next((np.array(values, dtype) for values, dtype in columns if values is not None), None)


def _elements(tensor: ir.TensorProtocol) -> np.ndarray:
    """Elements of a tensor, text as str."""
    array = tensor.numpy()
    return decoded(array) if tensor.dtype == ir.DataType.STRING else array


def maps_text_and_int64(node: ir.Node) -> bool:
    """True for unique keys that map text to int64 or int64 to text."""
    table = Table.of(node)
    if table is None or len({*table.keys.tolist()}) != table.keys.size or not table.keys.size:
        return False
    return {table.keys.dtype, table.values.dtype} == {np.dtype(object), np.dtype(np.int64)}


@ops.op(
    "ai.onnx.ml::LabelEncoder",
    needs=(condition("text to int64 or int64 to text, no key twice", maps_text_and_int64),),
)
def label_encoder(tfl, node, x):
    table = Table.of(node)
    handle = tfl.hash_table(table.keys, table.values)
    tfl.HASHTABLE_FIND(handle, x, table.default.reshape(1))
