"""Reductions and searches along axes."""

from __future__ import annotations

import numpy as np

from bridge_tflite.cases.common import b, c, case, f, i, q, qo
from bridge_tflite.cases.file import T, const

for _op in ["SUM", "MEAN", "REDUCE_PROD", "REDUCE_MAX", "REDUCE_MIN"]:
    case(_op, [f(2, 3, 4), c([1])])
    case(_op, [f(2, 3, 4), c([0, -1])], keepDims=True, name="keep")
    case(_op, [f(2, 3, 4), c(2)], name="scalar-axis")
    case(_op, [i(2, 3, 4), c([0, 2])], np.int32, name="int32")
    case(_op, [i(2, 3, 4, dtype=np.int64), c([0, 2])], np.int64, name="int64")
for _op, _scale in (("SUM", 0.2), ("MEAN", 0.05), ("REDUCE_MAX", 0.05), ("REDUCE_MIN", 0.05)):
    case(_op, [q(2, 3, 4, 5), c([1, 2])], qo(scale=_scale), name="int8")
case("MEAN", [q(2, 3, 4, 5, dtype=np.uint8), c([1, 2])], qo(np.uint8), keepDims=True, name="uint8")
for _op in ["REDUCE_ANY", "REDUCE_ALL"]:
    case(_op, [b(3, 4), c([1])], bool)
    case(_op, [b(3, 4), c([0, 1])], bool, keepDims=True, name="keep")
for _op in ["ARG_MAX", "ARG_MIN"]:
    case(_op, [f(3, 4), c(1)], np.int32, outputType=2)
    case(_op, [f(3, 4), c(-2)], np.int64, outputType=4, name="int64")
    case(_op, [T(np.int32([[1, 5, 5], [2, 2, 1]])), c(1)], np.int32, outputType=2, name="ties")
    case(_op, [q(3, 9), c(1)], np.int32, outputType=2, name="int8")
for _exclusive in (False, True):
    for _reverse in (False, True):
        case(
            "CUMSUM",
            [f(3, 4), c(1)],
            exclusive=_exclusive,
            reverse=_reverse,
            name=f"{_exclusive:d}{_reverse:d}",
        )
case("CUMSUM", [i(3, 4, dtype=np.int64), c(-2)], np.int64, name="int64")
case("TOPK_V2", [f(3, 9), c(4)], ["float32", np.int32])
case("TOPK_V2", [i(9, dtype=np.int64), T(np.int32(3))], [np.int64, np.int32], name="computed")
case("TOPK_V2", [q(3, 20), c(4)], [qo(), np.int32], name="int8")
case("SEGMENT_SUM", [f(5, 3), T(np.int32([0, 0, 1, 1, 2]))])
case("SEGMENT_SUM", [i(5), T(np.int32([0, 0, 1, 1, 2]))], np.int32, name="int32")
for _op in ["SUM", "PROD", "MAX", "MIN"]:
    case(f"UNSORTED_SEGMENT_{_op}", [f(5, 3), T(np.int32([2, 0, 2, -1, 0])), c(4)])
    case(
        f"UNSORTED_SEGMENT_{_op}",
        [i(2, 3, 2), T(np.int32([[2, 0, 2], [0, 1, 1]])), T(np.int32(3))],
        np.int32,
        name="rank2",
    )

# Windows

for _function in range(1, 5):
    case(
        "REDUCE_WINDOW",
        [
            f(7, 8),
            const(np.float32([0, 0, 1, 9, -9][_function])),
            c([3, 2], np.int64),
            c([2, 1], np.int64),
            c([1, 2], np.int64),
        ],
        reduceFunction=_function,
        name=str(_function),
    )
for _function in (5, 6):
    case(
        "REDUCE_WINDOW",
        [
            b(7, 8),
            const(np.array(_function == 5)),
            c([3, 2], np.int64),
            c([1, 1], np.int64),
            c([1, 1], np.int64),
        ],
        bool,
        reduceFunction=_function,
        name=str(_function),
    )
