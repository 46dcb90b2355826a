"""StableHLO operators: against LiteRT where it has a kernel, else against the formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_tflite.cases.common import RNG, b, c, case, cf, f, i
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
    options["want"] = lambda *x: [want(*x)]  # type: ignore[operator]
    case(f"STABLEHLO_{op}", inputs, [out], name=name, **options)


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


def update_slice(x: np.ndarray, update: np.ndarray, *_: object) -> np.ndarray:
    result = x.copy()
    result[1:3, 2:5] = update
    return result


formula("DYNAMIC_UPDATE_SLICE", [f(5, 6), f(2, 3), T(np.int32(1)), T(np.int32(2))], update_slice, o(5, 6))
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
    """Loop subgraphs: while the first value is below 5, add one to it and double the second."""
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

for _name, _indices, _shape, _options in (
    (
        "rows",
        i(4, 1, low=-1, high=7),
        (4, 6, 3),
        {
            "offsetDims": [1, 2],
            "collapsedSliceDims": [0],
            "startIndexMap": [0],
            "indexVectorDim": 1,
            "sliceSizes": [1, 6, 3],
        },
    ),
    (
        "boxes",
        i(2, 4, low=-1, high=6),
        (2, 4, 3, 2),
        {
            "offsetDims": [0, 2, 3],
            "collapsedSliceDims": [],
            "startIndexMap": [1, 0],
            "indexVectorDim": 0,
            "sliceSizes": [2, 3, 2],
        },
    ),
    (
        "elements",
        i(2, 3, 3, low=0, high=3),
        (2, 3),
        {
            "offsetDims": [],
            "collapsedSliceDims": [0, 1, 2],
            "startIndexMap": [0, 1, 2],
            "indexVectorDim": 2,
            "sliceSizes": [1, 1, 1],
        },
    ),
):
    case("STABLEHLO_GATHER", [f(5, 6, 3), _indices], o(*_shape), name=_name, **_options)


formula(
    "GATHER",
    [f(5, 6, 3), i(4, low=-1, high=7)],
    lambda x, at: x[np.clip(at, 0, 4), :, :2].transpose(1, 0, 2),
    o(6, 4, 2),
    "scalars",
    offsetDims=[0, 2],
    collapsedSliceDims=[0],
    startIndexMap=[0],
    indexVectorDim=1,
    sliceSizes=[1, 6, 2],
)


def replacing(dtype: object = np.float32) -> Sub:
    old, new = T(np.zeros((), dtype)), T(np.zeros((), dtype))
    return Sub([old, new], [new], [])


_by_rows: dict[str, Any] = {
    "updateWindowDims": [1],
    "insertedWindowDims": [0],
    "scatterDimsToOperandDims": [0],
    "indexVectorDim": 1,
}
_boxes = {
    "updateWindowDims": [0, 2],
    "insertedWindowDims": [],
    "scatterDimsToOperandDims": [1, 0],
    "indexVectorDim": 0,
}
for _name, _update in (
    ("replacing", replacing()),
    ("adding", body("STABLEHLO_ADD")),
    ("multiplying", body("STABLEHLO_MULTIPLY")),
    ("largest", body("STABLEHLO_MAXIMUM")),
    ("smallest", body("STABLEHLO_MINIMUM")),
):
    case(
        "STABLEHLO_SCATTER",
        [f(5, 4), c([[3], [0], [7]]), f(3, 4)],
        o(5, 4),
        subs=(_update,),
        name=f"{_name} rows",
        updateComputationSubgraphIndex=1,
        **_by_rows,
    )
case(
    "STABLEHLO_SCATTER",
    [f(5, 4), c([[0, 2], [3, 0]]), f(2, 2, 2)],
    o(5, 4),
    subs=(body("STABLEHLO_ADD"),),
    name="adding boxes",
    updateComputationSubgraphIndex=1,
    **_boxes,
)


def comparator(op: str, index: int, count: int, **options: object) -> Sub:
    """Subgraph: True if one element of operand `place` comes before another."""
    operands, before = [T(np.zeros((), np.float32)) for _ in range(2 * count)], T(np.array(False))
    return Sub(operands, [before], [Op(op, operands[2 * index : 2 * index + 2], [before], dict(options))])


for _name, _compare, _sign in (
    ("rising", ("STABLEHLO_COMPARE", {"comparisonDirection": 5}), 1),
    ("falling", ("STABLEHLO_COMPARE", {"comparisonDirection": 3}), -1),
    ("less", ("LESS", {}), 1),
):
    formula(
        "SORT",
        [T(RNG.integers(0, 5, (4, 6)).astype(np.float32))],
        lambda x, sign=_sign: sign * np.sort(sign * x, 1),
        o(4, 6),
        _name,
        subs=(comparator(_compare[0], 0, 1, **_compare[1]),),
        dimension=1,
        isStable=True,
        comparatorSubgraphIndex=1,
    )
case(
    "STABLEHLO_SORT",
    [f(5, 3), T(RNG.integers(0, 3, (5, 3)).astype(np.float32))],
    [o(5, 3), o(5, 3)],
    name="pairs",
    subs=(comparator("GREATER", 1, 2),),
    want=lambda x, y: [np.take_along_axis(v, np.argsort(-y, 0, kind="stable"), 0) for v in (x, y)],
    dimension=0,
    isStable=True,
    comparatorSubgraphIndex=1,
)


def convolve(
    x: np.ndarray, w: np.ndarray, strides: tuple, edges: tuple, dilations: tuple, groups: int = 1
) -> np.ndarray:
    """Convolution of [N, H, W, C] by [KH, KW, I, O], by its definition."""
    x = np.pad(x, [(0, 0), *edges, (0, 0)])
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape[:2], dilations, strict=True)]
    sizes = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:3], spans, strides, strict=True)]
    group_size, result = w.shape[2], np.zeros((x.shape[0], *sizes, w.shape[3]), np.float32)
    for out in range(w.shape[3]):
        first = out // (w.shape[3] // groups) * group_size
        for a, b_ in np.ndindex(*sizes):
            top, left = a * strides[0], b_ * strides[1]
            patch = x[
                :,
                top : top + spans[0] : dilations[0],
                left : left + spans[1] : dilations[1],
                first : first + group_size,
            ]
            result[:, a, b_, out] = np.einsum("nhwc,hwc->n", patch, w[..., out])
    return result


_layout = {
    "inputBatchDimension": 0,
    "inputSpatialDimensions": [1, 2],
    "inputFeatureDimension": 3,
    "kernelSpatialDimensions": [0, 1],
    "kernelInputFeatureDimension": 2,
    "kernelOutputFeatureDimension": 3,
    "outputBatchDimension": 0,
    "outputSpatialDimensions": [1, 2],
    "outputFeatureDimension": 3,
    "batchGroupCount": 1,
}
_filters = cf(3, 2, 2, 6)
formula(
    "CONVOLUTION",
    [f(2, 7, 8, 4), _filters],
    lambda x: convolve(x, _filters.value, (2, 1), ((1, 0), (0, 2)), (1, 2), 2),
    o(2, 3, 8, 6),
    "groups",
    windowStrides=[2, 1],
    padding=[1, 0, 0, 2],
    lhsDilation=[1, 1],
    rhsDilation=[1, 2],
    windowReversal=[False, False],
    featureGroupCount=2,
    **_layout,
)


def insert_zero_rows(x: np.ndarray) -> np.ndarray:
    """Insert a zero row between any two rows."""
    result = np.zeros((x.shape[0], 2 * x.shape[1] - 1, *x.shape[2:]), np.float32)
    result[:, ::2] = x
    return result


_turned = cf(2, 3, 3, 5)
formula(
    "CONVOLUTION",
    [f(2, 5, 4, 3), _turned],
    lambda x: convolve(
        insert_zero_rows(x)[:, 1:], _turned.value[::-1], (1, 1), ((0, 1), (1, 1)), (1, 1)
    ).transpose(0, 3, 1, 2),
    o(2, 5, 8, 4),
    "transposed",
    windowStrides=[1, 1],
    padding=[-1, 1, 1, 1],
    lhsDilation=[2, 1],
    rhsDilation=[1, 1],
    windowReversal=[True, False],
    featureGroupCount=1,
    **(_layout | {"outputSpatialDimensions": [2, 3], "outputFeatureDimension": 1}),
)
