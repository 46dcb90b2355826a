"""Strings and lookup tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.hub import const, rank_of
from bridge.importing import as_dtype, constant_ints
from bridge.needs import condition, constant
from bridge.ops import OpTable
from bridge_savedmodel.import_ops.common import T, get
from bridge_savedmodel.values import Table, tensor_of, text

ops = OpTable(get)

ML = "ai.onnx.ml"


STRINGS = condition("strings", lambda n: n.get("T") == T.STRING)

ops.same(needs=(STRINGS,), Add="StringConcat", AddV2="StringConcat")


@ops.op("StringJoin")
def join(op, node, first, *rest):
    made, separator = first, node.get("separator")
    for value in rest:
        if separator:
            made = op.StringConcat(made, op.const(tensor_of(np.array(separator, object))))
        made = op.StringConcat(made, value)
    return made if rest else op.Identity(made)


ops.same(attributes={"pattern": "pattern"}, StaticRegexFullMatch="RegexFullMatch")


@ops.op("RegexFullMatch", needs=(condition("a constant pattern", lambda n: const(n.inputs[1]) is not None),))
def regex_of(op, node, x, pattern):
    return op.RegexFullMatch(x, pattern=str(text(const(pattern)).reshape(())))


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


def _kinds(array: np.ndarray) -> str:
    if array.dtype.kind in "OSU":
        return "strings"
    return "floats" if array.dtype.kind == "f" else "int64s"


def _fits(node: Any) -> bool:
    return isinstance(node.inputs[0], Table) and len(node.inputs) > 2 and const(node.inputs[2]) is not None


@ops.op(
    "LookupTableFindV2",
    "LookupTableFind",
    needs=(condition("a table of constants and a constant default", _fits),),
)
def find(op, node, table, keys, default):
    """A LabelEncoder: integers as int64, floats as float32."""
    own, values = (text(a) if a.dtype.kind in "OSU" else a for a in (table.keys, table.values))
    wanted = node.get("Tout")
    if values.dtype.kind in "OSU" and wanted != T.STRING:
        values = np.array([v for v in values], wanted.numpy())
    if own.dtype.kind in "OSU" and keys.dtype != T.STRING:
        own = np.array([k for k in own], keys.dtype.numpy())
    source = (
        keys if keys.dtype == T.STRING else as_dtype(op, keys, T.FLOAT if own.dtype.kind == "f" else T.INT64)
    )
    fallback = const(default).reshape(())
    fallback = text(np.array([fallback]))[0] if values.dtype.kind in "OSU" else fallback.item()
    singular = {"strings": "default_string", "floats": "default_float", "int64s": "default_int64"}
    attributes = {
        f"keys_{_kinds(own)}": own.tolist(),
        f"values_{_kinds(values)}": values.tolist(),
        singular[_kinds(values)]: fallback,
    }
    kind = {"strings": T.STRING, "floats": T.FLOAT, "int64s": T.INT64}[_kinds(values)]
    made = op.LabelEncoder(source, _domain=ML, _dtype=kind, _shape=source.shape, **attributes)
    return made if kind == wanted else op.Cast(made, to=int(wanted))


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
    """Joined along the axes in the order given; along all of them from the last."""
    rank, at = rank_of(x), constant_ints(axes)
    places = [a % rank for a in at] if at else list(range(rank))[::-1] if rank else []
    for axis in places:
        size = x.shape[axis]
        if not isinstance(size, int) or size == 0:
            return NotImplemented
        parts = op.Split(x, axis=axis, num_outputs=size, _outputs=size) if size > 1 else [x]
        x = join(op, node, *parts)
    if node.get("keep_dims") or not places:
        return x
    return op.Squeeze(x, np.array(sorted(places), np.int64))
