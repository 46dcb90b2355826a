"""StableHLO operators: against LiteRT where it has a kernel, else against the formula."""

from __future__ import annotations

import numpy as np

from bridge_tflite.cases.common import b, case, f, i
from bridge_tflite.cases.file import Op, Sub, T, const

for _op in ("ADD", "MULTIPLY", "MAXIMUM", "MINIMUM"):
    case(f"STABLEHLO_{_op}", [f(2, 3), f(2, 3)])
    case(f"STABLEHLO_{_op}", [i(2, 3), i(2, 3)], np.int32, name="int32")
case("STABLEHLO_AND", [b(2, 3), b(2, 3)], bool)
case("STABLEHLO_SHIFT_LEFT", [i(9, low=-100, high=100), i(9, low=0, high=31)], np.int32)
case(
    "STABLEHLO_SHIFT_LEFT",
    [i(9, low=-100, high=100, dtype=np.int8), i(9, low=0, high=7, dtype=np.int8)],
    np.int8,
    name="int8",
)
for _name, _low, _high, _inner in (
    ("around", [1, 2], [0, 3], [0, 0]),
    ("inside", [0, 0], [0, 0], [2, 1]),
    ("cut", [-1, 2], [1, -2], [1, 0]),
):
    case(
        "STABLEHLO_PAD",
        [f(3, 4), const(np.float32(-7))],
        edgePaddingLow=_low,
        edgePaddingHigh=_high,
        interiorPadding=_inner,
        name=_name,
    )


def formula(op: str, inputs: list, want: object, out: T, name: str = "", **options: object) -> None:
    case(f"STABLEHLO_{op}", inputs, [out], want=lambda *x: [want(*x)], name=name, **options)  # type: ignore[operator]


def o(*shape: int, dtype: object = np.float32) -> T:
    return T(np.zeros(shape, dtype))


UNARY = {
    "ABS": np.abs,
    "COSINE": np.cos,
    "EXPONENTIAL": np.exp,
    "FLOOR": np.floor,
    "NEGATE": np.negative,
    "TANH": np.tanh,
    "CBRT": np.cbrt,
    "LOGISTIC": lambda x: 1 / (1 + np.exp(-x)),
}
for _op, _want in UNARY.items():
    formula(_op, [f(3, 4)], _want, o(3, 4))
for _op, _want in {"LOG": np.log, "RSQRT": lambda x: 1 / np.sqrt(x)}.items():
    formula(_op, [f(3, 4, low=0.5)], _want, o(3, 4))
for _op, _want in {
    "DIVIDE": np.divide,
    "POWER": np.power,
    "SUBTRACT": np.subtract,
    "REMAINDER": np.fmod,
}.items():
    formula(_op, [f(3, 4, low=0.5), f(3, 4, low=0.5)], _want, o(3, 4))
formula("REMAINDER", [i(3, 4), T(np.full((3, 4), -4, np.int32))], np.fmod, o(3, 4, dtype=np.int32), "int32")
formula("OR", [b(3), b(3)], np.logical_or, o(3, dtype=bool))
formula("SELECT", [b(3), f(3), f(3)], np.where, o(3))
formula("CLAMP", [T(np.float32(-1)), f(3, 4), T(np.float32(1))], lambda a, x, z: np.clip(x, a, z), o(3, 4))
formula("CONVERT", [f(3, 4)], lambda x: x.astype(np.int32), o(3, 4, dtype=np.int32))
_directions = (np.equal, np.not_equal, np.greater_equal, np.greater, np.less_equal, np.less)
for _index, _want in enumerate(_directions):
    formula(
        "COMPARE",
        [i(9, high=-6), i(9, high=-6)],
        _want,
        o(9, dtype=bool),
        _want.__name__,
        comparisonDirection=_index,
    )
formula("RESHAPE", [f(3, 4)], lambda x: x.reshape(2, 6), o(2, 6))
formula("TRANSPOSE", [f(2, 3, 4)], lambda x: x.transpose(2, 0, 1), o(4, 2, 3), permutation=[2, 0, 1])
formula("CONCATENATE", [f(2, 3), f(2, 3)], lambda *x: np.concatenate(x, 1), o(2, 6), dimension=1)
formula(
    "BROADCAST_IN_DIM",
    [f(3)],
    lambda x: np.broadcast_to(x[:, None], (3, 4)),
    o(3, 4),
    broadcastDimensions=[0],
)
formula(
    "SLICE",
    [f(5, 6)],
    lambda x: x[1:5:2, 0:4:1],
    o(2, 4),
    startIndices=[1, 0],
    limitIndices=[5, 4],
    strides=[2, 1],
)
for _at in ((1, 2), (9, -3)):
    _starts = [T(np.int32(v)) for v in _at]
    _rows, _columns = (int(np.clip(v, 0, n)) for v, n in zip(_at, (3, 3), strict=True))
    formula(
        "DYNAMIC_SLICE",
        [f(5, 6), *_starts],
        lambda x, *_, r=_rows, k=_columns: x[r : r + 2, k : k + 3],
        o(2, 3),
        str(_at[0]),
        sliceSizes=[2, 3],
    )


def updated(x: np.ndarray, update: np.ndarray, *_: object) -> np.ndarray:
    found = x.copy()
    found[1:3, 2:5] = update
    return found


formula("DYNAMIC_UPDATE_SLICE", [f(5, 6), f(2, 3), T(np.int32(1)), T(np.int32(2))], updated, o(5, 6))
case(
    "STABLEHLO_IOTA",
    [],
    [o(2, 3, dtype=np.int32)],
    want=lambda: [np.tile(np.arange(3, dtype=np.int32), (2, 1))],
    iotaDimension=1,
)


def body(op: str, dtype: object = np.float32) -> Sub:
    x, y, z = (T(np.zeros((), dtype)) for _ in range(3))
    return Sub([x, y], [z], [Op(op, [x, y], [z])])


for _body, _start in (
    ("STABLEHLO_ADD", 0),
    ("STABLEHLO_MULTIPLY", 1),
    ("STABLEHLO_MAXIMUM", -9),
    ("MINIMUM", 9),
):
    case(
        "STABLEHLO_REDUCE_WINDOW",
        [f(6, 7), const(np.float32(_start))],
        subs=(body(_body),),
        name=_body,
        windowDimensions=[3, 2],
        windowStrides=[1, 2],
        baseDilations=[1, 2],
        windowDilations=[2, 1],
        padding=[1, 0, 2, 1],
        bodySubgraphIndex=1,
    )
for _body, _want in (("STABLEHLO_ADD", np.sum), ("STABLEHLO_MAXIMUM", np.max), ("STABLEHLO_MINIMUM", np.min)):
    formula(
        "REDUCE",
        [f(3, 4, 5), T(np.float32(0.5))],
        lambda x, s, want=_want: want([want(x, (0, 2)), np.full(4, s)], 0),
        o(4),
        _body,
        subs=(body(_body),),
        dimensions=[0, 2],
        bodySubgraphIndex=1,
    )
formula(
    "DOT_GENERAL",
    [f(2, 3, 4), f(4, 2, 5)],
    lambda x, y: np.einsum("bik,kbj->bij", x, y),
    o(2, 3, 5),
    lhsBatchingDimensions=[0],
    rhsBatchingDimensions=[1],
    lhsContractingDimensions=[2],
    rhsContractingDimensions=[0],
)


def counting() -> tuple[Sub, Sub]:
    """While the first is below 5: one more, and the second doubled."""
    n, x, go = T(np.int32(0)), o(3), T(np.array(False))
    a, y, more, twice = T(np.int32(0)), o(3), T(np.int32(0)), o(3)
    condition = Sub([n, x], [go], [Op("LESS", [n, const(np.int32(5))], [go])])
    step = [Op("ADD", [a, const(np.int32(1))], [more]), Op("ADD", [y, y], [twice])]
    return condition, Sub([a, y], [more, twice], step)


case(
    "STABLEHLO_WHILE",
    [T(np.int32(3)), f(3)],
    [T(np.int32(0)), o(3)],
    subs=counting(),
    want=lambda n, x: [np.int32(max(n, 5)), x * np.float32(2.0 ** max(5 - n, 0))],
    condSubgraphIndex=1,
    bodySubgraphIndex=2,
)
