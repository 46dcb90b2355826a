"""Subgraphs, variables, tables, complex numbers between two operators, random numbers."""

from __future__ import annotations

import numpy as np

from bridge_tflite.cases.common import c, case, cf, f, s
from bridge_tflite.cases.file import Op, Sub, T, const


def z(*shape: int, dtype: object = np.float32) -> T:
    return T(np.zeros(shape, dtype))


def binary_subgraph(op: str, constant: T | None = None) -> Sub:
    """Subgraph of one operator on two inputs, or on one input and a constant."""
    x, y, out = z(3), z(3), z(3)
    return Sub([x] if constant is not None else [x, y], [out], [Op(op, [x, constant or y], [out])])


for _flag in (True, False):
    case(
        "IF",
        [T(np.array(_flag)), f(3), f(3)],
        subs=(binary_subgraph("ADD"), binary_subgraph("MUL")),
        name=str(_flag),
        thenSubgraphIndex=1,
        elseSubgraphIndex=2,
    )
case("CALL", [f(3), f(3)], subs=(binary_subgraph("SUB"),), want=lambda x, y: [x - y], subgraph=1)
for _index in (0, 1, 2, 9, -1):
    case(
        "STABLEHLO_CASE",
        [T(np.int32(_index)), f(3), f(3)],
        subs=(binary_subgraph("ADD"), binary_subgraph("MUL"), binary_subgraph("SUB")),
        branchSubgraphIndices=[1, 2, 3],
        name=str(_index),
    )
case("STABLEHLO_COMPOSITE", [f(3), f(3)], subs=(binary_subgraph("SUB"),), decompositionSubgraphIndex=1)


def counting() -> tuple[Sub, Sub]:
    """Loop subgraphs: while the first value is below 5, add one to it and double the second."""
    n, x, go = z(dtype=np.int32), z(3), z(dtype=bool)
    condition = Sub([n, x], [go], [Op("LESS", [n, c(5)], [go])])
    a, y, more, twice = z(dtype=np.int32), z(3), z(dtype=np.int32), z(3)
    body = Sub([a, y], [more, twice], [Op("ADD", [a, c(1)], [more]), Op("ADD", [y, y], [twice])])
    return condition, body


for _start in (0, 3, 7):
    case(
        "WHILE",
        [T(np.int32(_start)), f(3)],
        [np.int32, "float32"],
        subs=counting(),
        condSubgraphIndex=1,
        bodySubgraphIndex=2,
        name=str(_start),
    )

# Variables: y = v + x, then v = y


def handle() -> T:
    return T(np.zeros(1, np.int32), type_name="RESOURCE")


def variable() -> tuple[list[Op], Sub, T, T]:
    x, y, old, variable_handle, start = f(3), z(3), z(3), handle(), handle()
    named = {"sharedName": "v", "container": ""}
    ops = [
        Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}),
        Op("VAR_HANDLE", [], [variable_handle], named),
        Op("READ_VARIABLE", [variable_handle], [old]),
        Op("ADD", [old, x], [y]),
        Op("ASSIGN_VARIABLE", [variable_handle, y], []),
    ]
    first = Sub([], [], [Op("VAR_HANDLE", [], [start], named), Op("ASSIGN_VARIABLE", [start, cf(3)], [])])
    return ops, first, x, y


for _op in ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"):
    _ops, _first, _x, _y = variable()
    case(_op, [_x], [_y], graph=_ops, subs=(_first,))


def lookup_table(
    keys: T, values: T, default: T, queries: T, results: T, types: tuple[int, int]
) -> tuple[list[Op], Sub]:
    table_handle, start = handle(), handle()
    options = {"tableId": 7, "keyDtype": types[0], "valueDtype": types[1]}
    ops = [
        Op("CALL_ONCE", [], [], {"initSubgraphIndex": 1}),
        Op("HASHTABLE", [], [table_handle], options),
        Op("HASHTABLE_FIND", [table_handle, queries, default], [results]),
    ]
    initial_table = Op("HASHTABLE", [], [start], options)
    return ops, Sub([], [], [initial_table, Op("HASHTABLE_IMPORT", [start, keys, values], [])])


_words, _numbers = const(s("a", "b", "c"), object), c([1, 20, 300], np.int64)
STRING, INT64 = 5, 4
for _op in ("HASHTABLE", "HASHTABLE_IMPORT", "HASHTABLE_FIND"):
    _asked, _found = T(s("c", "x", "a")), T(np.zeros(3, np.int64))
    _ops, _first = lookup_table(_words, _numbers, c([-1], np.int64), _asked, _found, (STRING, INT64))
    case(_op, [_asked], [_found], graph=_ops, subs=(_first,))
_asked, _found = T(np.int64([300, 5, 1])), T(s("", "", ""))
_ops, _first = lookup_table(_numbers, _words, const(s("none"), object), _asked, _found, (INT64, STRING))
case("HASHTABLE_FIND", [_asked], [_found], graph=_ops, subs=(_first,), name="strings")
_size = T(np.zeros(1, np.int64))
_ops, _first = lookup_table(
    _words, _numbers, c([-1], np.int64), T(s("a")), T(np.zeros(1, np.int64)), (STRING, INT64)
)
_x, _y = T(np.int64([3])), T(np.zeros(1, np.int64))
_ops[2:] = [Op("HASHTABLE_SIZE", [_ops[1].outputs[0]], [_size]), Op("ADD", [_size, _x], [_y])]
case("HASHTABLE_SIZE", [_x], [_y], graph=_ops, subs=(_first,))

# Complex numbers

for _op in ("RFFT2D", "REAL", "IMAG", "COMPLEX_ABS"):
    for _length in ((4, 8), (8, 4), (2, 16)):
        _x, _complex, _y = (
            f(2, 5, 7),
            T(np.zeros((2, _length[0], _length[1] // 2 + 1), np.complex64)),
            z(2, _length[0], _length[1] // 2 + 1),
        )
        _last = "REAL" if _op == "RFFT2D" else _op
        case(
            _op,
            [_x],
            [_y],
            graph=[Op("RFFT2D", [_x, c(_length)], [_complex]), Op(_last, [_complex], [_y])],
            name=f"{_length[0]}x{_length[1]}",
        )

# Random numbers

for _op in ("RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL"):
    case(_op, [c([3, 4])], random=True, seed=1, seed2=2)
    case(_op, [T(np.int32([3, 4]))], random=True, name="computed")
case("MULTINOMIAL", [f(2, 5), c(7)], np.int64, random=True)
