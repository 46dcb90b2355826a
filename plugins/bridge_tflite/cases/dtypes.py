"""Data-moving and comparing operators on every dtype of LiteRT's kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_tflite.cases.common import RNG, c, case
from bridge_tflite.cases.file import T, const

EVERY = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")
# What LiteRT has no kernel for, or computes only with a scale
LACKING = {
    "ABS": "int8 uint8 int64 bool",
    "ADD": "int8 uint8 bool",
    "ARG_MAX": "int16 int64",
    "ARG_MIN": "int16 int64",
    "CUMSUM": "int8 uint8 int16 bool",
    "DEPTH_TO_SPACE": "int16 bool",
    "EQUAL": "int8 uint8",
    "GREATER": "int8 uint8 bool",
    "GREATER_EQUAL": "int8 uint8 bool",
    "LESS": "int8 uint8 bool",
    "LESS_EQUAL": "int8 uint8 bool",
    "MATRIX_DIAG": "bool",
    "MATRIX_SET_DIAG": "bool",
    "MAXIMUM": "bool",
    "MEAN": "bool int16 int8 uint8",
    "MINIMUM": "bool",
    "MUL": "bool int8 uint8",
    "NEG": "uint8 bool",
    "NOT_EQUAL": "int16 int8 uint8",
    "ONE_HOT": "int16",
    "PACK": "bool",
    "POW": "int8 uint8 int16 int64 bool",
    "REDUCE_MAX": "bool",
    "REDUCE_MIN": "bool",
    "REDUCE_PROD": "bool",
    "RELU": "bool int16 int32 int64 int8 uint8",
    "REVERSE_SEQUENCE": "int8 bool",
    "SCATTER_ND": "int16",
    "SIGN": "int8 uint8 int16 int64 bool",
    "SPACE_TO_DEPTH": "int16 bool",
    "SPLIT": "bool",
    "SQUARE": "int8 uint8 int16 int32 int64 bool",
    "SUB": "int8 uint8 int16 bool",
    "SUM": "bool int16 int8 uint8",
    "TOPK_V2": "bool",
    "UNIQUE": "bool",
    "UNPACK": "int64",
    "WHERE": "int16",
    "ZEROS_LIKE": "int8 uint8 int16 bool",
}


def any_of(dtype: str, *shape: int) -> T:
    low, high = (0, 2) if dtype == "bool" else (0 if dtype[0] == "u" else -100, 100)
    return T(RNG.integers(low, high, shape).astype(dtype))


def one(dtype: str) -> T:
    return const(np.ones((), dtype))


MOVES: dict[str, tuple[Callable[[str], list], dict[str, Any]]] = {
    "RESHAPE": (lambda d: [any_of(d, 2, 3), c([3, 2])], {"newShape": [3, 2]}),
    "TRANSPOSE": (lambda d: [any_of(d, 2, 3, 4), c([2, 0, 1])], {}),
    "EXPAND_DIMS": (lambda d: [any_of(d, 2, 3), c(1)], {}),
    "SQUEEZE": (lambda d: [any_of(d, 2, 1, 3)], {}),
    "CONCATENATION": (lambda d: [any_of(d, 2, 3), any_of(d, 2, 3)], {"axis": 1}),
    "PACK": (lambda d: [any_of(d, 2, 3), any_of(d, 2, 3)], {"axis": 1, "valuesCount": 2}),
    "GATHER": (lambda d: [any_of(d, 4, 3), T(np.int32([2, 0]))], {"axis": 0}),
    "GATHER_ND": (lambda d: [any_of(d, 4, 3), T(np.int32([[2, 0], [1, 1]]))], {}),
    "SLICE": (lambda d: [any_of(d, 4, 5), c([1, 0]), c([2, 3])], {}),
    "STRIDED_SLICE": (lambda d: [any_of(d, 4, 5), c([3, 0]), c([0, 5]), c([-1, 2])], {}),
    "TILE": (lambda d: [any_of(d, 2, 3), c([2, 1])], {}),
    "BROADCAST_TO": (lambda d: [any_of(d, 3, 1), c([2, 3, 4])], {"version": 3}),
    "REVERSE_V2": (lambda d: [any_of(d, 3, 4), c([1])], {}),
    "SELECT_V2": (lambda d: [any_of("bool", 3, 1), any_of(d, 4), any_of(d, 3, 4)], {}),
    "FILL": (lambda d: [c([2, 3]), T(np.ones((), d))], {}),
    "PAD": (lambda d: [any_of(d, 2, 3), c([[1, 0], [0, 2]])], {}),
    "MIRROR_PAD": (lambda d: [any_of(d, 4, 3), c([[1, 0], [2, 1]])], {"mode": 1}),
    "SCATTER_ND": (lambda d: [T(np.int32([[2], [0]])), any_of(d, 2, 3), c([4, 3])], {}),
    "ONE_HOT": (lambda d: [T(np.int32([2, 0])), c(3), one(d), const(np.zeros((), d))], {"axis": -1}),
    "DYNAMIC_UPDATE_SLICE": (lambda d: [any_of(d, 4, 5), any_of(d, 2, 2), T(np.int32([1, 2]))], {}),
    "BATCH_TO_SPACE_ND": (lambda d: [any_of(d, 4, 2, 2, 1), c([2, 2]), c([[0, 0], [0, 0]])], {}),
    "SPACE_TO_BATCH_ND": (lambda d: [any_of(d, 1, 4, 4, 1), c([2, 2]), c([[0, 0], [0, 0]])], {}),
    "SPACE_TO_DEPTH": (lambda d: [any_of(d, 1, 4, 4, 1)], {"blockSize": 2}),
    "DEPTH_TO_SPACE": (lambda d: [any_of(d, 1, 2, 2, 4)], {"blockSize": 2}),
    "MATRIX_DIAG": (lambda d: [any_of(d, 2, 3)], {}),
    "MATRIX_SET_DIAG": (lambda d: [any_of(d, 2, 3, 3), any_of(d, 2, 3)], {}),
    "REVERSE_SEQUENCE": (lambda d: [any_of(d, 3, 2), T(np.int32([2, 3]))], {"seqDim": 0, "batchDim": 1}),
    "CUMSUM": (lambda d: [any_of(d, 3, 4), c(1)], {}),
    "REDUCE_MAX": (lambda d: [any_of(d, 3, 4), c([1])], {}),
    "REDUCE_MIN": (lambda d: [any_of(d, 3, 4), c([1])], {}),
    "SUM": (lambda d: [any_of(d, 3, 4), c([1])], {}),
    "REDUCE_PROD": (lambda d: [any_of(d, 3, 2), c([1])], {}),
    "MEAN": (lambda d: [any_of(d, 3, 4), c([1])], {}),
    "MAXIMUM": (lambda d: [any_of(d, 3, 4), any_of(d, 4)], {}),
    "MINIMUM": (lambda d: [any_of(d, 3, 4), any_of(d, 4)], {}),
    "ADD": (lambda d: [any_of(d, 3, 4), any_of(d, 4)], {}),
    "SUB": (lambda d: [any_of(d, 3, 4), any_of(d, 4)], {}),
    "MUL": (lambda d: [any_of(d, 3, 4), any_of(d, 4)], {}),
    "ABS": (lambda d: [any_of(d, 3, 4)], {}),
    "NEG": (lambda d: [any_of(d, 3, 4)], {}),
    "SIGN": (lambda d: [any_of(d, 3, 4)], {}),
    "SQUARE": (lambda d: [any_of(d, 3, 4)], {}),
    "ZEROS_LIKE": (lambda d: [any_of(d, 3, 4)], {}),
    "POW": (lambda d: [T(np.full((3,), 2, d)), T(np.full((3,), 3, d))], {}),
    "RELU": (lambda d: [any_of(d, 3, 4)], {}),
}


def taken(op: str) -> list[str]:
    return [d for d in EVERY if d not in LACKING.get(op, "").split()]


for _op, (_make, _options) in MOVES.items():
    for _dtype in taken(_op):
        case(_op, _make(_dtype), _dtype, name=f"of-{_dtype}", **_options)
for _dtype in taken("SPLIT"):
    case("SPLIT", [c(1), any_of(_dtype, 2, 6)], [_dtype] * 2, name=f"of-{_dtype}", numSplits=2)
for _dtype in taken("UNPACK"):
    case("UNPACK", [any_of(_dtype, 2, 3)], [_dtype] * 2, name=f"of-{_dtype}", num=2)
for _dtype in taken("TOPK_V2"):
    case("TOPK_V2", [any_of(_dtype, 3, 9), c(4)], [_dtype, np.int32], name=f"of-{_dtype}")
for _dtype in taken("UNIQUE"):
    case("UNIQUE", [any_of(_dtype, 9)], [_dtype, np.int32], name=f"of-{_dtype}", idxOutType=2)
for _dtype in taken("WHERE"):
    case("WHERE", [any_of(_dtype, 3, 4)], np.int64, name=f"of-{_dtype}")
for _op in ("ARG_MAX", "ARG_MIN"):
    for _dtype in taken(_op):
        case(_op, [any_of(_dtype, 3, 9), c(1)], np.int32, name=f"of-{_dtype}", outputType=2)
for _op in ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
    for _dtype in taken(_op):
        case(_op, [any_of(_dtype, 3, 4), any_of(_dtype, 4)], bool, name=f"of-{_dtype}")
for _dtype in EVERY:
    for _to in EVERY:
        if (_dtype, _to) != ("float32", "uint8"):
            case("CAST", [any_of(_dtype, 3, 4)], _to, name=f"of-{_dtype}-{_to}")
