"""Elementwise operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_tflite.cases.common import CASES, INTS, TABLE, b, case, cf, f, i, q, qo, s
from bridge_tflite.cases.file import Op, T, const

for _op in [
    "ABS",
    "CEIL",
    "COS",
    "ELU",
    "EXP",
    "FLOOR",
    "GELU",
    "HARD_SWISH",
    "LOGISTIC",
    "NEG",
    "RELU",
    "RELU6",
    "RELU_N1_TO_1",
    "RELU_0_TO_1",
    "ROUND",
    "SIGN",
    "SIN",
    "SQUARE",
    "TANH",
]:
    case(_op, [f(2, 3, 5)])
for _op in ["LOG", "RSQRT", "SQRT"]:
    case(_op, [f(2, 3, low=0.1)])
case("GELU", [f(3, 4)], approximate=True, name="tanh")
case("ROUND", [T(np.float32([0.5, 1.5, 2.5, -0.5, -1.5]))], name="halves")
for _op, _scale, _zero in (("LOGISTIC", 1 / 256, -128), ("TANH", 1 / 128, 0)):
    case(_op, [q(2, 30)], qo(scale=_scale, zero=_zero), name="int8")
case("TANH", [q(2, 30, dtype=np.int16, scale=1 / 4096)], qo(np.int16, 1 / 32768), name="int16", quanta=TABLE)
case(
    "LOGISTIC",
    [q(2, 30, dtype=np.int16, scale=1 / 4096)],
    qo(np.int16, 1 / 32768),
    name="int16",
    quanta=TABLE,
)
for _op in ["ABS", "ELU", "RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "GELU", "EXP"]:
    case(_op, [q(2, 30)], qo(scale=0.06 if _op != "EXP" else 2.5), name="int8")
case("LOG", [q(30, scale=0.02, zero=-128)], qo(scale=0.05), name="int8")
case("RSQRT", [q(30, scale=0.02, zero=-128)], qo(scale=0.05, zero=-128), name="int8")
_dtype: Any
for _dtype in (np.int32, np.int64):
    case("NEG", [i(3, 4, dtype=_dtype)], _dtype, name=np.dtype(_dtype).name)
case("ABS", [i(3, 4)], np.int32, name="int32")
case("SIGN", [i(3, 4)], np.int32, name="int32")

for _op in ["ADD", "SUB", "MUL", "DIV"]:
    for _fused in range(4):
        case(_op, [f(2, 3), f(2, 3, low=0.5)], fused_activation_function=0, name=f"act{_fused}")
        CASES[f"{_op}-act{_fused}"].options = {"fusedActivationFunction": _fused}
    case(_op, [f(2, 1, 4), f(3, 1)], name="broadcast")
    case(_op, [f(2, 3, 4, 5, 2), f(1, 1, 4, 1, 2)], name="rank5")
    case(_op, [f(), f(3)], name="scalar")
    case(_op, [i(2, 3), i(3, low=1)], np.int32, name="int32")
for _op in ["ADD", "SUB", "MUL"]:
    case(_op, [i(2, 3, dtype=np.int64), i(3, low=1, dtype=np.int64)], np.int64, name="int64")
    case(_op, [q(2, 5, 6), q(2, 5, 6, scale=0.03)], qo(scale=0.1), name="int8")
    case(_op, [q(2, 5, 6, dtype=np.uint8), q(6, scale=0.03, dtype=np.uint8)], qo(np.uint8, 0.1), name="uint8")
    case(_op, [q(2, 5, 6), q(1, scale=0.03)], qo(scale=0.1), name="int8-relu6", fusedActivationFunction=3)
    _wide = [q(2, 30, dtype=np.int16, scale=2**-12), q(2, 30, dtype=np.int16, scale=2**-13)]
    case(_op, _wide, qo(np.int16, 2**-12 if _op != "MUL" else 2**-10), name="int16")
case("ADD_N", [f(2, 3), f(2, 3), f(2, 3)])
case("ADD_N", [i(2, 3), i(2, 3)], np.int32, name="int32")
for _op in ["MAXIMUM", "MINIMUM"]:
    case(_op, [f(2, 3, 4), f(4)])
    for _dtype in (np.int32, np.int64):
        case(_op, [i(2, 3, dtype=_dtype), i(3, dtype=_dtype)], _dtype, name=np.dtype(_dtype).name)
    case(_op, [q(2, 5), q(2, 5)], qo(), name="int8")
for _op in ["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]:
    case(_op, [T(np.float32([1, 2, 3, 4])), T(np.float32([[1, 3, 2, 4]]))], bool)
    case(_op, [i(3, 4, high=-5), i(4, high=-5)], bool, name="int32")
    case(_op, [i(3, 4, high=-5, dtype=np.int64), i(4, high=-5, dtype=np.int64)], bool, name="int64")
    case(_op, [q(40), q(40, scale=0.1)], bool, name="int8")
case("EQUAL", [b(9), b(9)], bool, name="bool")
case("EQUAL", [T(s("a", "b", "c")), T(s("a", "c", "c"))], bool, name="string")
case("NOT_EQUAL", [T(s("a", "b", "c")), T(s("a", "c", "c"))], bool, name="string")
for _op in ["LOGICAL_AND", "LOGICAL_OR"]:
    case(_op, [b(3, 4), b(4)], bool)
case("LOGICAL_NOT", [b(3, 4)], bool)
case("POW", [f(2, 3, low=0.1), f(3)])
case("POW", [i(2, 3, low=0), i(3, low=0, high=4)], np.int32, name="int32")
case("SQUARED_DIFFERENCE", [f(2, 3), f(3)])
case("SQUARED_DIFFERENCE", [i(2, 3), i(3)], np.int32, name="int32")
case("SQUARED_DIFFERENCE", [q(2, 30, scale=0.02), q(30, scale=0.03)], qo(scale=0.3, zero=-128), name="int8")
case("FLOOR_DIV", [f(4, 5), f(5, low=0.5)])
case("FLOOR_MOD", [f(4, 5), T(np.float32([1.5, -1.5, 2, -2, 0.7]))])
for _dtype in (np.int8, np.int16, np.int32):
    case(
        "FLOOR_DIV",
        [i(4, 4, dtype=_dtype), T(np.array([2, -2, 3, -3], _dtype))],
        _dtype,
        name=np.dtype(_dtype).name,
    )
for _dtype in INTS:
    case(
        "FLOOR_MOD",
        [i(4, 4, dtype=_dtype), T(np.array([2, -2, 3, -3], _dtype))],
        _dtype,
        name=np.dtype(_dtype).name,
    )
case("ATAN2", [f(5, 4), f(5, 4)])
case(
    "ATAN2",
    [
        T(np.float32([0, 0, 0, 1, -1, -0.0, -0.0, np.inf, -np.inf, np.inf, 1, -1, 1])),
        T(np.float32([0, 1, -1, 0, 0, 1, -1, np.inf, np.inf, -np.inf, np.inf, -np.inf, -np.inf])),
    ],
    name="edges",
)
for _dtype in (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32):
    case(
        "BITWISE_XOR",
        [i(9, low=0, high=100, dtype=_dtype), i(9, low=0, high=100, dtype=_dtype)],
        _dtype,
        name=np.dtype(_dtype).name,
    )
    case(
        "RIGHT_SHIFT",
        [
            i(9, low=0 if _dtype().dtype.kind == "u" else -100, high=100, dtype=_dtype),
            i(9, low=0, high=40, dtype=_dtype),
        ],
        _dtype,
        name=np.dtype(_dtype).name,
    )
case("LEAKY_RELU", [f(3, 4)], alpha=0.2)
case("LEAKY_RELU", [q(3, 30)], qo(scale=0.04), alpha=0.2, name="int8")
case("PRELU", [f(2, 3, 3, 4), cf(1, 1, 4)])
case("PRELU", [f(2, 3, 3, 4), cf(3, 1, 4)], name="broadcast")
case("PRELU", [q(2, 3, 3, 4), const(q(1, 1, 4).value, scale=0.01, zero=3)], qo(scale=0.06), name="int8")
for _to in (np.int32, np.int64, np.float32, bool, np.uint8, np.int8, np.int16, np.float16):
    case("CAST", [f(3, 4)], _to, name=f"float-{np.dtype(_to).name}")
    case("CAST", [i(3, 4, low=0)], _to, name=f"int32-{np.dtype(_to).name}")
case("CAST", [b(3)], np.float32, name="bool-float32")
CASES["CAST-float-uint8"].inputs = [f(3, 4, low=0)]
for _op in ("SELECT", "SELECT_V2"):
    case(_op, [b(3, 4), f(3, 4), f(3, 4)])
    case(_op, [b(3, 4), i(3, 4), i(3, 4)], np.int32, name="int32")
case("SELECT", [b(3), f(3, 4), f(3, 4)], name="rows")
case("SELECT", [T(np.array(True)), f(3, 4), f(3, 4)], name="scalar")
case("SELECT_V2", [b(3, 1), f(4), f(1, 4)], name="broadcast")
case("ZEROS_LIKE", [f(3, 4)])
case("ZEROS_LIKE", [i(3, 4, dtype=np.int64)], np.int64, name="int64")
case("FAKE_QUANT", [f(4, 9)], min=-1.1, max=2.3, numBits=8)
case("FAKE_QUANT", [f(4, 9)], min=0.0, max=2.3, numBits=4, name="4 bits")
case("BITCAST", [f(3, 4)], np.int32)
case("BITCAST", [f(3, 4)], np.uint32, name="uint32")
case("BITCAST", [f(3, 4)], np.uint8, name="bytes")
case("BITCAST", [i(3, 4, dtype=np.int64)], np.int16, name="halves of halves")
case("BITCAST", [i(3, 4, dtype=np.int8)], np.float32, name="from bytes")
case("BITCAST", [i(3, 2, dtype=np.int32)], np.int64, name="from halves")
for _type, _dtype in (("INT2", np.int8), ("INT4", np.int8), ("UINT4", np.uint8)):
    _x, _y = T(np.float32([1.7, -2.2, 9, -9, 7, 0, 20])), T(np.zeros(7, np.float32))
    _low = T(np.zeros(7, _dtype), type_name=_type)
    case("CAST", [_x], [_y], name=_type, graph=[Op("CAST", [_x], [_low]), Op("CAST", [_low], [_y])])
