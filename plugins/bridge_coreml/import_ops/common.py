"""Helpers of all families: dtypes, needs, casts, indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, reshape, vector
from bridge.hub import const, rank_of, shape_of
from bridge.importing import like
from bridge.needs import condition
from bridge.ops import Need

INT32, INT64, FLOAT = (int(ir.DataType[name]) for name in ("INT32", "INT64", "FLOAT"))
IOS16, IOS17, IOS18 = 16, 17, 18
I64_MAX, I64_MIN = 2**63 - 1, -(2**63) + 1

DTYPES = {
    "bool": ir.DataType.BOOL,
    "fp16": ir.DataType.FLOAT16,
    "fp32": ir.DataType.FLOAT,
    "fp64": ir.DataType.DOUBLE,
    "string": ir.DataType.STRING,
    "half": ir.DataType.FLOAT16,
    "float": ir.DataType.FLOAT,
    "float16": ir.DataType.FLOAT16,
    "float32": ir.DataType.FLOAT,
    **{name: ir.DataType[name.upper()] for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")},
}


def ranked(name: str) -> Need:
    """Input `name` has a known rank."""
    return condition("a known rank", lambda n: n.dims(name) is not None)


RANKED = ranked("x")
STATIC = condition("a static shape", lambda n: n.dims("x") is not None and None not in n.dims("x"))


def as_type(op: Any, value: ir.Value | None, x: ir.Value) -> Any:
    """`value` in the dtype of `x`; operators of iOS 17 may mix them."""
    if value is None or value.dtype == x.dtype:
        return value
    array = const(value)
    return like(op, x, array) if array is not None else op.Cast(value, to=int(x.dtype or ir.DataType.FLOAT))


def cast(op: Any, value: ir.Value, to: ir.DataType) -> Any:
    return value if value.dtype == to else op.Cast(value, to=int(to))


def index(op: Any, value: ir.Value) -> Any:
    """Indices in a dtype the hub's operators take."""
    if value.dtype in (ir.DataType.INT32, ir.DataType.INT64):
        return value
    array = const(value)
    return op.const(array.astype(np.int32)) if array is not None else op.Cast(value, to=INT32)


def channels(op: Any, node: Any, name: str, x: ir.Value) -> Any:
    """A vector per channel, shaped to meet axis 1 of `x` from the left."""
    array = node.array(name)
    return like(op, x, array.reshape(-1, *[1] * ((rank_of(x) or 2) - 2)))


__all__ = [
    "DTYPES", "FLOAT", "I64_MAX", "I64_MIN", "INT32", "INT64", "IOS16", "IOS17", "IOS18", "RANKED",
    "STATIC", "as_type", "cast", "channels", "const", "index", "lengths",
    "rank_of", "ranked", "reshape", "shape_of", "vector",
]  # fmt: skip
