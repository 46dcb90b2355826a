"""Helpers of all families: dtypes of MIL operators, dtypes that store hub dtypes, needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import attr, const, rank_of, shape_of
from bridge.needs import condition, dtype
from bridge.ops import Need

IOS16, IOS17, IOS18 = 16, 17, 18

T = ir.DataType
FLOATS = ("float", "float16")
INTS = ("int32", "int64")
SMALL = ("int8", "uint8", "int16", "uint16")
UNSIGNED = ("uint32", "uint64")
BITS4 = ("int4", "uint4", "int2", "uint2")
FLOAT8 = ("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1")
ANY = (*FLOATS, *INTS, *SMALL, *UNSIGNED, *BITS4, *FLOAT8, "bool", "double", "bfloat16")
NUMBERS = (*FLOATS, *INTS)

# Hub dtypes as the dtypes MIL computes with.
HELD: dict[ir.DataType, str] = {
    T.FLOAT: "fp32",
    T.FLOAT16: "fp16",
    T.DOUBLE: "fp32",
    T.BFLOAT16: "fp32",
    T.BOOL: "bool",
    **{ir.DataType[name.upper()]: "fp32" for name in FLOAT8},
    **{ir.DataType[name.upper()]: "int32" for name in (*INTS, *SMALL, *UNSIGNED, *BITS4)},
}
NARROWED = {T.DOUBLE: "float32", T.INT64: "int32", T.UINT32: "int32", T.UINT64: "int32"}
NUMPY = {"fp32": np.float32, "fp16": np.float16, "int32": np.int32, "bool": np.bool_}
I32_MAX = 2**31 - 1
MIL = "bridge.coreml"

FLOAT = dtype(*FLOATS)
NUMBER = dtype(*NUMBERS)
MOVED = dtype(*ANY)
RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)
STATIC = condition("a static shape", lambda n: shape_of(n.inputs[0]) is not None)
TENSOR = condition("an input of rank 1 or more", lambda n: (rank_of(n.inputs[0]) or 0) > 0)


def is_empty(value: ir.Value | None) -> bool:
    """True for a value with a dimension of length 0."""
    return value is not None and value.shape is not None and 0 in list(value.shape)


def fits(value: ir.Value | None) -> bool:
    """True if a constant fits the dtype that stores it; run-time values are assumed to."""
    if value is None or value.dtype not in NARROWED or not value.dtype.is_integer():
        return True
    array = const(value)
    return (
        array is None or array.size == 0 or (int(array.min()) >= -I32_MAX - 1 and int(array.max()) <= I32_MAX)
    )


def in_range(*indices: int) -> Need:
    """Constants of 64 bits at these inputs (all of them without a number) fit into 32 bits."""

    def holds(node: ir.Node) -> bool:
        values = [node.inputs[i] for i in indices if i < len(node.inputs)] if indices else node.inputs
        return all(fits(v) for v in values)

    return condition("constants that fit into 32 bits", holds)


IN_RANGE = in_range()


def axis_of(node: ir.Node) -> int:
    """The attribute `axis`, counted from the first dimension of the first input."""
    return attr(node, "axis") % max(rank_of(node.inputs[0]) or 1, 1)


def ints(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)


def clamped(values: Any) -> list[int]:
    """Bounds as int32: what is beyond stays beyond."""
    return [int(v) for v in np.clip(np.asarray(values, np.int64), -I32_MAX, I32_MAX)]
