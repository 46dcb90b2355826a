"""Strings and lookup tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_dtype, constant_ints
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, get
from bridge_savedmodel.values import Table, decode_strings, tensor_of

ops = OpTable(get)

ML = "ai.onnx.ml"


STRINGS = condition("strings", lambda n: n.get("T") == T.STRING)

ops.same(needs=(STRINGS,), Add="StringConcat", AddV2="StringConcat")


@ops.op("StringJoin")
def join(op, node, first, *rest):
    joined, separator = first, node.get("separator")
    for value in rest:
        if separator:
            joined = op.StringConcat(joined, op.const(tensor_of(np.array(separator, object))))
        joined = op.StringConcat(joined, value)
    return joined if rest else op.Identity(joined)


ops.same(attributes={"pattern": "pattern"}, StaticRegexFullMatch="RegexFullMatch")


@ops.op("RegexFullMatch", needs=(condition("a constant pattern", lambda n: const(n.inputs[1]) is not None),))
def regex_full_match(op, node, x, pattern):
    return op.RegexFullMatch(x, pattern=str(decode_strings(const(pattern)).reshape(())))


@ops.op("StringToNumber")
def to_number(op, node, x):
    return op.Cast(x, to=int(node.get("out_type")))


@ops.op(
    "AsString",
    needs=(
        condition(
            "integers, plainly written",
            lambda n: n.inputs[0].dtype.is_integer() and not n.get("fill") and n.get("width") == -1,
        ),
    ),
)
def as_string(op, node, x):
    return op.Cast(x, to=int(T.STRING))


def _label_type(array: np.ndarray) -> str:
    """The suffix of a LabelEncoder's attributes for an array."""
    if array.dtype.kind in "OSU":
        return "strings"
    return "floats" if array.dtype.kind == "f" else "int64s"


def _has_constant_table(node: Any) -> bool:
    return isinstance(node.inputs[0], Table) and len(node.inputs) > 2 and const(node.inputs[2]) is not None


@ops.op(
    "LookupTableFindV2",
    "LookupTableFind",
    needs=(condition("a table of constants and a constant default", _has_constant_table),),
)
def lookup(op, node, table, keys, default):
    """A LabelEncoder: integers as int64, floats as float32."""
    table_keys, values = (
        decode_strings(a) if a.dtype.kind in "OSU" else a for a in (table.keys, table.values)
    )
    dtype = node.get("Tout")
    if values.dtype.kind in "OSU" and dtype != T.STRING:
        values = np.array([v for v in values], dtype.numpy())
    if table_keys.dtype.kind in "OSU" and keys.dtype != T.STRING:
        table_keys = np.array([k for k in table_keys], keys.dtype.numpy())
    source = (
        keys
        if keys.dtype == T.STRING
        else as_dtype(op, keys, T.FLOAT if table_keys.dtype.kind == "f" else T.INT64)
    )
    fallback = const(default).reshape(())
    fallback = decode_strings(np.array([fallback]))[0] if values.dtype.kind in "OSU" else fallback.item()
    default_names = {"strings": "default_string", "floats": "default_float", "int64s": "default_int64"}
    attributes = {
        f"keys_{_label_type(table_keys)}": table_keys.tolist(),
        f"values_{_label_type(values)}": values.tolist(),
        default_names[_label_type(values)]: fallback,
    }
    encoded_dtype = {"strings": T.STRING, "floats": T.FLOAT, "int64s": T.INT64}[_label_type(values)]
    encoded = op.LabelEncoder(source, _domain=ML, _dtype=encoded_dtype, _shape=source.shape, **attributes)
    return encoded if encoded_dtype == dtype else op.Cast(encoded, to=int(dtype))


@ops.op("LookupTableSizeV2", "LookupTableSize")
def table_size(op, node, table):
    return op.const(np.array(len(table.keys), np.int64))


@ops.op(
    "ReduceJoin",
    needs=(
        constant(1, "axes"),
        condition("a known number of strings to join", lambda n: n.inputs[0].shape is not None),
    ),
)
def reduce_join(op, node, x, axes):
    """Join along the axes in the given order; without axes along all, the last one first."""
    rank, given = rank_of(x), constant_ints(axes)
    order = [a % rank for a in given] if given else list(range(rank))[::-1] if rank else []
    for axis in order:
        size = x.shape[axis]
        if not isinstance(size, int) or size == 0:
            return NotImplemented
        strings = op.Split(x, axis=axis, num_outputs=size, _outputs=size) if size > 1 else [x]
        x = join(op, node, *strings)
    if node.get("keep_dims") or not order:
        return x
    return op.Squeeze(x, np.array(sorted(order), np.int64))
