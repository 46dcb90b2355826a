"""One-operator TFLite files: what LiteRT computes for each is what the hub must compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tflite_file import Op, Sub, T, const, write

VERSIONS = {"BROADCAST_TO": 2}
RNG = np.random.default_rng(7)


@dataclass
class Case:
    """An operator with inputs and examples of its outputs, whose shapes LiteRT finds."""

    op: str
    inputs: list[T | None]
    outputs: list[T]
    options: dict[str, Any] = field(default_factory=dict)
    custom: bytes | None = None
    random: bool = False
    subs: tuple[Sub, ...] = ()
    atol: float | None = None
    quanta: int = 1

    def file(self, path: Path, dynamic: bool = False, kept: bool = False) -> Path:
        """The file; with `dynamic`, every dimension of every input is known at run time only, but the last when `kept`."""
        given = [t for t in self.inputs if t is not None and not t.const and not t.variable]
        for t in given:
            shape = list(np.shape(t.value))
            known = shape[-1:] if kept and len(shape) > 2 else []
            t.dims = [-1] * (len(shape) - len(known)) + known if dynamic and shape else None
        version = VERSIONS.get(self.op, 1)
        op = Op(self.op, self.inputs, self.outputs, self.options, self.custom, version)
        return write(path, Sub(given, self.outputs, [op]), *self.subs)

    @property
    def feed(self) -> dict[str, np.ndarray]:
        given = [t for t in self.inputs if t is not None and not t.const and not t.variable]
        return {f"x{i}": np.asarray(t.value) for i, t in enumerate(given)}


CASES: dict[str, Case] = {}


def case(op: str, inputs: list, out: Any = "float32", name: str = "", **more: Any) -> None:
    """Declare a case. `out` is a dtype, a tensor, or a list of them; options of the schema are keywords."""
    kept = {k: more.pop(k) for k in ("custom", "random", "subs", "atol", "quanta") if k in more}
    outs = out if isinstance(out, list) else [out]
    outputs = [o if isinstance(o, T) else T(np.zeros((), o)) for o in outs]
    key = f"{op}-{name}" if name else op
    while key in CASES:
        key += "+"
    CASES[key] = Case(op, inputs, outputs, more, **kept)


def f(*shape: int, low: float = -3, high: float = 3) -> T:
    return T(RNG.uniform(low, high, shape).astype(np.float32))


def cf(*shape: int, **more: Any) -> T:
    return const(f(*shape).value, **more)


def i(*shape: int, low: int = -9, high: int = 9, dtype: Any = np.int32) -> T:
    return T(RNG.integers(low, high, shape, dtype=dtype))


def b(*shape: int) -> T:
    return T(RNG.integers(0, 2, shape).astype(bool))


def c(value: Any, dtype: Any = np.int32) -> T:
    return const(value, dtype)


def q(*shape: int, dtype: Any = np.int8, scale: float = 0.05, zero: int | None = None) -> T:
    """A quantized input."""
    info = np.iinfo(dtype)
    middle = {"int8": -4, "uint8": 121}.get(np.dtype(dtype).name, 0) if zero is None else zero
    return T(RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True), scale, middle)


def qo(dtype: Any = np.int8, scale: float = 0.05, zero: int | None = None) -> T:
    """A quantized output."""
    return T(np.zeros((), dtype), scale, q(dtype=dtype).zero if zero is None else zero)


def s(*items: str) -> np.ndarray:
    return np.array(items, object)


TABLE = 12  # LiteRT computes these operators on int16 by tables and polynomials of its own
INTS = (np.int8, np.int16, np.int32, np.int64)

# Element by element

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

# Shapes, slices, gathers, joins

case("RESHAPE", [f(2, 3, 4), c([4, -1])], newShape=[4, -1])
case("RESHAPE", [f(2, 3, 4), T(np.int32([6, 4]))], name="computed", newShape=[6, 4])
case("RESHAPE", [f(2, 3, 4)], newShape=[3, 8], name="option")
case("RESHAPE", [q(2, 3, 4), c([4, -1])], qo(), newShape=[4, -1], name="int8")
case("SQUEEZE", [f(1, 3, 1, 4)])
case("SQUEEZE", [f(1, 3, 1, 4)], squeezeDims=[2], name="axis")
case("SQUEEZE", [f(1, 3, 1, 4)], squeezeDims=[-4], name="negative")
for _axis in (0, -1, 1):
    case("EXPAND_DIMS", [f(3, 4), c(_axis)], name=f"axis{_axis}")
case("TRANSPOSE", [f(2, 3, 4, 5), c([2, 0, 3, 1])])
case("TRANSPOSE", [f(2, 3, 4, 2, 2), c([4, 2, 0, 3, 1])], name="rank5")
case("TRANSPOSE", [q(2, 3, 4), c([2, 0, 1])], qo(), name="int8")
for _axis in (0, 1, -1):
    case("CONCATENATION", [f(2, 3, 4), f(2, 3, 4)], axis=_axis, name=f"axis{_axis}")
    case("PACK", [f(2, 3), f(2, 3)], axis=_axis, valuesCount=2, name=f"axis{_axis}")
    case("UNPACK", [f(2, 2, 2)], ["float32"] * 2, axis=_axis, num=2, name=f"axis{_axis}")
    case("SPLIT", [c(_axis), f(4, 6, 2)], ["float32"] * 2, numSplits=2, name=f"axis{_axis}")
case("CONCATENATION", [q(2, 3), q(2, 3)], qo(), axis=1, name="int8")
case(
    "CONCATENATION",
    [q(2, 3, dtype=np.uint8), q(2, 3, dtype=np.uint8, scale=0.1)],
    qo(np.uint8, 0.08),
    axis=1,
    name="uint8",
)
case("PACK", [q(2, 3), q(2, 3)], qo(), axis=1, valuesCount=2, name="int8")
case("SPLIT_V", [f(7, 2), c([3, 1, 3]), c(0)], ["float32"] * 3, numSplits=3)
case("SPLIT_V", [f(2, 7), c([3, -1, 1]), c(-1)], ["float32"] * 3, numSplits=3, name="rest")
case("PAD", [f(2, 3, 4), c([[1, 0], [0, 2], [1, 1]])])
case("PAD", [f(2, 3), T(np.int32([[1, 0], [0, 2]]))], name="computed")
case("PAD", [q(2, 3), c([[1, 0], [0, 2]])], qo(), name="int8")
case("PADV2", [f(2, 3), c([[1, 0], [0, 2]]), c(7.5, np.float32)])
case("PADV2", [i(2, 3), c([[1, 0], [0, 2]]), c(7)], np.int32, name="int32")
case("PADV2", [q(2, 3), c([[1, 0], [0, 2]]), const(np.int8(7), scale=0.05, zero=-4)], qo(), name="int8")
for _mode in (0, 1):
    case("MIRROR_PAD", [f(4, 5), c([[2, 1], [0, 3]])], mode=_mode, name=f"mode{_mode}")
    case("MIRROR_PAD", [q(4, 5), c([[2, 1], [0, 3]])], qo(), mode=_mode, name=f"int8-mode{_mode}")
case("SLICE", [f(4, 5, 6), c([1, 0, 2]), c([2, -1, 3])])
case("SLICE", [f(4, 5), T(np.int32([1, 0])), T(np.int32([2, -1]))], name="computed")
case("SLICE", [T(s("a", "b", "c")), c([1]), c([2])], object, name="string")
_cube = [f(4, 5, 6)]
for _name, _args, _masks in (
    ("plain", ([0, 1, 2], [3, 5, 6], [1, 2, 1]), {}),
    ("fewer", ([1], [3], [1]), {}),
    ("negative", ([-1, 4, -2], [-5, 0, -6], [-1, -2, -1]), {}),
    ("masks", ([1, 1, 1], [2, 2, 2], [1, 1, -1]), {"beginMask": 5, "endMask": 3}),
    ("shrink", ([1, -1, 0], [2, 0, 6], [1, 1, 1]), {"shrinkAxisMask": 3}),
    ("ellipsis", ([0, 1], [0, 3], [1, 1]), {"ellipsisMask": 1}),
    ("middle", ([1, 0, 1], [3, 0, 3], [1, 1, 1]), {"ellipsisMask": 2}),
    ("new", ([0, 1, 0], [0, 3, 2], [1, 1, 1]), {"newAxisMask": 1}),
    ("new-last", ([1, 0, 0], [3, 0, 0], [1, 1, 1]), {"newAxisMask": 4, "ellipsisMask": 2}),
    ("new-shrink", ([0, 1, 0, 2], [0, 3, 2, 3], [1, 1, 1, 1]), {"newAxisMask": 1, "shrinkAxisMask": 8}),
    ("offset", ([0, -3, 2], [3, 2, 2], [1, 1, 1]), {"offset": True}),
    ("far", ([-9, 2, 0], [99, 99, -99], [1, 1, 1]), {}),
):
    case("STRIDED_SLICE", [*_cube, *map(c, _args)], name=_name, **_masks)
case(
    "STRIDED_SLICE",
    [f(4, 5), T(np.int32([1, -1])), T(np.int32([3, 0])), c([1, 1])],
    name="computed",
    shrinkAxisMask=2,
)
case("STRIDED_SLICE", [q(4, 5), c([1, 0]), c([3, 5]), c([1, 2])], qo(), name="int8")
for _axis in (0, 1, -1):
    case("GATHER", [f(3, 4, 5), c([2, 0, 1])], axis=_axis, name=f"axis{_axis}")
case("GATHER", [f(3, 4), T(np.int64([[2, 0], [1, 1]]))], axis=0, name="int64")
case("GATHER", [f(3, 4), T(np.int16([2, 0]))], axis=0, name="int16")
case("GATHER", [q(3, 4), c([2, 0])], qo(), axis=1, name="int8")
case("GATHER", [T(s("a", "b", "c")), T(np.int32([2, 0]))], object, axis=0, name="string")
case("GATHER", [f(2, 3, 4, 5), i(2, 3, low=0, high=4)], axis=2, batchDims=2, name="batch2")
case("GATHER", [f(2, 3, 4, 5), i(2, 6, low=0, high=5)], axis=3, batchDims=1, name="batch1")
case("GATHER", [f(2, 3, 4), i(2, 2, 3, low=0, high=3)], axis=1, batchDims=1, name="batch1-deep")
case("GATHER_ND", [f(3, 4, 5), T(np.int32([[2, 1], [0, 3]]))])
case("GATHER_ND", [f(3, 4), T(np.int64([[[2, 1]], [[0, 3]]]))], name="int64")
case("TILE", [f(2, 3), c([2, 3])])
case("TILE", [i(2, 3), T(np.int32([2, 1]))], np.int32, name="computed")
case("BROADCAST_TO", [f(3, 1), c([2, 3, 4])])
case("FILL", [c([2, 3]), f()])
case("FILL", [T(np.int64([2, 3])), i()], np.int32, name="computed")
case("SHAPE", [f(2, 3)], np.int32, outType=2)
case("SHAPE", [f(2, 3)], np.int64, outType=4, name="int64")
case("RANK", [f(2, 3)], np.int32)
case("RANGE", [i(), T(np.int32(30)), T(np.int32(4))], np.int32)
case("RANGE", [T(np.float32(1)), T(np.float32(3)), T(np.float32(0.5))], name="float")
case("RANGE", [T(np.int64(9)), T(np.int64(0)), T(np.int64(-2))], np.int64, name="int64")
case("REVERSE_V2", [f(3, 4, 2), c([1])])
case("REVERSE_V2", [i(3, 4), c([-1])], np.int32, name="negative")
case("REVERSE_SEQUENCE", [f(4, 3, 2), T(np.int32([2, 4, 0]))], seqDim=0, batchDim=1)
case("REVERSE_SEQUENCE", [f(2, 3, 4), T(np.int64([2, 4]))], seqDim=2, batchDim=0, name="int64")
case("SPACE_TO_BATCH_ND", [f(2, 4, 6, 3), c([2, 3]), c([[0, 0], [0, 0]])])
case("SPACE_TO_BATCH_ND", [f(2, 3, 6, 3), c([2, 3]), c([[1, 0], [2, 1]])], name="padded")
case("SPACE_TO_BATCH_ND", [f(2, 3, 2), c([2]), T(np.int32([[1, 0]]))], name="rank3")
case("SPACE_TO_BATCH_ND", [q(1, 3, 6, 3), c([2, 3]), c([[1, 0], [2, 1]])], qo(), name="int8")
case("BATCH_TO_SPACE_ND", [f(6, 2, 3, 2), c([2, 3]), c([[0, 0], [0, 0]])])
case("BATCH_TO_SPACE_ND", [f(6, 2, 3, 2), c([2, 3]), c([[1, 0], [2, 1]])], name="cropped")
case("BATCH_TO_SPACE_ND", [f(4, 3, 2), c([2]), T(np.int32([[1, 0]]))], name="rank3")
case("SCATTER_ND", [T(np.int32([[1], [3], [1]])), f(3, 2), c([5, 2])])
case("SCATTER_ND", [T(np.int32([[1, 0], [3, 1]])), i(2), T(np.int32([5, 2]))], np.int32, name="int32")
case("SPARSE_TO_DENSE", [T(np.int32([[0, 1], [2, 3]])), c([3, 4]), f(2), T(np.float32(-1))])
case("SPARSE_TO_DENSE", [T(np.int64([1, 3])), T(np.int64([5])), f(1), T(np.float32(9))], name="vector")
CASES["SPARSE_TO_DENSE-vector"].inputs[2] = f()
for _axis in (0, 1, -1):
    case(
        "ONE_HOT",
        [i(2, 3, low=-2, high=6), c(4), T(np.float32(5)), T(np.float32(-1))],
        axis=_axis,
        name=f"axis{_axis}",
    )
case(
    "ONE_HOT",
    [i(3, low=0, high=4, dtype=np.int64), c(4), T(np.int32(1)), T(np.int32(0))],
    np.int32,
    axis=-1,
    name="int64",
)
case("UNIQUE", [T(np.float32([3, 1, 3, 2, 1]))], ["float32", np.int32], idxOutType=2)
case("UNIQUE", [T(np.int32([3, 1, 3, 2, 1]))], [np.int32, np.int64], idxOutType=4, name="int64")
case("WHERE", [b(3, 4)], np.int64)
case("WHERE", [T(np.float32([0, 1.5, -2, 0]))], np.int64, name="float")
case("WHERE", [T(np.int32([[0, 1], [2, 0]]))], np.int64, name="int32")
case("MATRIX_DIAG", [f(2, 3)])
case("MATRIX_DIAG", [i(3)], np.int32, name="int32")
case("MATRIX_SET_DIAG", [f(2, 3, 3), f(2, 3)])
case("MATRIX_SET_DIAG", [f(4, 3), f(3)], name="tall")
case("MATRIX_SET_DIAG", [i(2, 4), i(2)], np.int32, name="wide")
for _start in ([1, 2], [-1, 9]):
    case("DYNAMIC_UPDATE_SLICE", [f(4, 5), f(2, 3), T(np.int32(_start))], name=f"at{_start[0]}")
case("DYNAMIC_UPDATE_SLICE", [i(4, 5), i(4, 1), T(np.int64([0, 2]))], np.int32, name="int64")
case("BROADCAST_ARGS", [T(np.int32([2, 1, 3])), T(np.int32([4, 1]))], np.int32)
case("BROADCAST_ARGS", [T(np.int64([1])), T(np.int64([4, 1]))], np.int64, name="int64")
case("BUCKETIZE", [f(4, 5)], np.int32, boundaries=[-1.0, 0.0, 1.5])
case("BUCKETIZE", [i(4, 5)], np.int32, boundaries=[-3.0, 0.0, 4.0], name="int32")
case("DILATE", [f(3, 4), c([2, 3]), c(-1.5, np.float32)])
case("DILATE", [i(3, 4, 2), c([1, 2, 1]), c(7)], np.int32, name="int32")

# Reductions

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

# Layers


def w8(*shape: int, axis: int | None = None) -> T:
    """Weights of symmetric int8, quantized per channel along `axis`."""
    scale = 0.02 if axis is None else RNG.uniform(0.01, 0.03, shape[axis]).astype(np.float32)
    return const(RNG.integers(-127, 128, shape, dtype=np.int8), scale=scale, zero=0, axis=axis or 0)


def bias(x: T, w: T, count: int, dtype: Any = np.int32) -> T:
    scale = np.float32(x.scale) * np.broadcast_to(np.float32(w.scale), count if np.ndim(w.scale) else 1)
    return const(RNG.integers(-2000, 2000, count, dtype=dtype), scale=scale, zero=0)


PADDINGS = {"same": 0, "valid": 1}
for _name, _padding in PADDINGS.items():
    for _stride, _dilation in ((1, 1), (2, 1), (1, 2)):
        _window = {"padding": _padding, "strideH": _stride, "strideW": _stride, "dilationHFactor": _dilation}
        _window["dilationWFactor"] = _dilation
        _n = f"{_name}-{_stride}-{_dilation}"
        case("CONV_2D", [f(2, 7, 8, 4), cf(5, 3, 2, 4), cf(5)], name=_n, fusedActivationFunction=1, **_window)
        case(
            "DEPTHWISE_CONV_2D", [f(2, 7, 8, 4), cf(1, 3, 2, 8), cf(8)], name=_n, depthMultiplier=2, **_window
        )
        if _dilation == 1:
            _pool = {
                "padding": _padding,
                "strideH": _stride,
                "strideW": _stride,
                "filterHeight": 3,
                "filterWidth": 2,
            }
            for _op in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"):
                case(_op, [f(2, 7, 8, 3)], name=_n, **_pool)
            for _dtype in (np.int8, np.uint8):
                for _op in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
                    case(
                        _op,
                        [q(2, 7, 8, 3, dtype=_dtype)],
                        qo(_dtype),
                        name=f"{_n}-{np.dtype(_dtype).name}",
                        **_pool,
                    )
        _conv3 = {
            "padding": _padding,
            "strideD": _stride,
            "strideH": _stride,
            "strideW": 1,
            "dilationDFactor": _dilation,
        }
        _conv3 |= {"dilationHFactor": _dilation, "dilationWFactor": 1}
        case(
            "CONV_3D",
            [f(1, 5, 6, 5, 2), cf(2, 3, 2, 2, 4), cf(4)],
            name=_n,
            fusedActivationFunction=1,
            **_conv3,
        )
case(
    "CONV_2D",
    [f(1, 6, 6, 4), cf(6, 3, 3, 2), cf(6)],
    name="groups",
    padding=0,
    strideH=1,
    strideW=1,
    dilationHFactor=1,
    dilationWFactor=1,
)
_plain = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
for _axis in (None, 0):
    for _act in (0, 1, 3):
        _x, _w = q(2, 6, 7, 8), w8(6, 3, 3, 8, axis=_axis)
        case(
            "CONV_2D",
            [_x, _w, bias(_x, _w, 6)],
            qo(scale=0.15),
            name=f"int8-{_axis}-{_act}",
            fusedActivationFunction=_act,
            **_plain,
        )
    _x, _w = q(2, 6, 7, 8), w8(1, 3, 3, 8, axis=None if _axis is None else 3)
    case(
        "DEPTHWISE_CONV_2D",
        [_x, _w, bias(_x, _w, 8)],
        qo(scale=0.1),
        name=f"int8-{_axis}",
        depthMultiplier=1,
        **_plain,
    )
    _x, _w = q(3, 20), w8(5, 20, axis=_axis)
    case(
        "FULLY_CONNECTED",
        [_x, _w, bias(_x, _w, 5)],
        qo(scale=0.1),
        name=f"int8-{_axis}",
        fusedActivationFunction=1,
    )
_x = q(2, 6, 7, 8, dtype=np.int16, scale=2e-4)
_w = w8(6, 3, 3, 8, axis=0)
case("CONV_2D", [_x, _w, bias(_x, _w, 6, np.int64)], qo(np.int16, 1e-3), name="int16", **_plain)
_w = w8(1, 3, 3, 8, axis=3)
case(
    "DEPTHWISE_CONV_2D",
    [_x, _w, bias(_x, _w, 8, np.int64)],
    qo(np.int16, 1e-3),
    name="int16",
    depthMultiplier=1,
    **_plain,
)
_x, _w = q(3, 20, dtype=np.int16, scale=2e-4), w8(5, 20)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5, np.int64)], qo(np.int16, 1e-3), name="int16")
_x = q(2, 6, 7, 8, dtype=np.uint8)
_w = const(RNG.integers(0, 256, (6, 3, 3, 8), dtype=np.uint8), scale=0.02, zero=131)
case("CONV_2D", [_x, _w, bias(_x, _w, 6)], qo(np.uint8, 0.15), name="uint8", **_plain)
_w = const(RNG.integers(0, 256, (1, 3, 3, 8), dtype=np.uint8), scale=0.02, zero=131)
case(
    "DEPTHWISE_CONV_2D",
    [_x, _w, bias(_x, _w, 8)],
    qo(np.uint8, 0.15),
    name="uint8",
    depthMultiplier=1,
    **_plain,
)
_x, _w = q(3, 20, dtype=np.uint8), const(RNG.integers(0, 256, (5, 20), dtype=np.uint8), scale=0.02, zero=131)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5)], qo(np.uint8, 0.15), name="uint8")
case("FULLY_CONNECTED", [f(3, 4), cf(5, 4), cf(5)], fusedActivationFunction=3)
case("FULLY_CONNECTED", [f(2, 3, 4), cf(5, 4)], keepNumDims=True, name="keep")
case("FULLY_CONNECTED", [f(2, 3, 4), cf(5, 12)], name="flat")
case("FULLY_CONNECTED", [f(3, 4), f(5, 4), f(5)], name="computed")
_x, _w = q(3, 20), const(RNG.integers(-7, 8, (5, 20), dtype=np.int8), kind="INT4", scale=0.1, zero=0)
case("FULLY_CONNECTED", [_x, _w, bias(_x, _w, 5)], qo(scale=0.2), name="int4")
for _name, _padding in PADDINGS.items():
    for _stride in (1, 2):
        _out = (
            [1, 5 * _stride, 4 * _stride, 3]
            if _padding == 0
            else [1, 5 * _stride + 3 - _stride, 4 * _stride + 3 - _stride, 3]
        )
        case(
            "TRANSPOSE_CONV",
            [c(_out), cf(3, 3, 3, 2), f(1, 5, 4, 2)],
            name=f"{_name}-{_stride}",
            padding=_padding,
            strideH=_stride,
            strideW=_stride,
        )
        _out = (
            [1, 3 * _stride, 4 * _stride, 3, 2]
            if _padding == 0
            else [1, 3 * _stride + 3 - _stride, 4 * _stride + 2 - _stride, 3, 2]
        )
        case(
            "CONV_3D_TRANSPOSE",
            [c(_out), cf(3, 2, 1, 2, 4), f(1, 3, 4, 3, 4)],
            name=f"{_name}-{_stride}",
            padding=_padding,
            strideD=_stride,
            strideH=_stride,
            strideW=1,
        )
case(
    "TRANSPOSE_CONV",
    [c([2, 10, 8, 3]), cf(3, 3, 3, 2), f(2, 5, 4, 2), cf(3)],
    name="bias",
    padding=0,
    strideH=2,
    strideW=2,
    fusedActivationFunction=1,
)
_x, _w = q(1, 5, 4, 8), w8(3, 3, 3, 8, axis=0)
case(
    "TRANSPOSE_CONV",
    [c([1, 10, 8, 3]), _w, _x, bias(_x, _w, 3)],
    qo(scale=0.1),
    name="int8",
    padding=0,
    strideH=2,
    strideW=2,
)
_x = q(1, 5, 4, 8, dtype=np.int16, scale=2e-4)
case(
    "TRANSPOSE_CONV",
    [c([1, 10, 8, 3]), _w, _x, bias(_x, _w, 3, np.int64)],
    qo(np.int16, 1e-3),
    name="int16",
    padding=0,
    strideH=2,
    strideW=2,
)
for _x, _y in ((False, False), (True, False), (False, True)):
    case(
        "BATCH_MATMUL",
        [f(2, 4, 3) if _x else f(2, 3, 4), f(2, 5, 4) if _y else f(2, 4, 5)],
        adjX=_x,
        adjY=_y,
        name=f"{_x:d}{_y:d}",
    )
case("BATCH_MATMUL", [f(2, 1, 3, 4), f(3, 4, 5)], name="broadcast")
case("BATCH_MATMUL", [q(2, 3, 4), q(2, 4, 5)], qo(scale=0.3), name="int8")
case("SOFTMAX", [f(2, 3, 4)], beta=1.0)
case("SOFTMAX", [f(3, 4)], beta=0.5, name="beta")
case("SOFTMAX", [q(3, 9)], qo(scale=1 / 256, zero=-128), beta=1.0, name="int8")
case("SOFTMAX", [q(3, 9, dtype=np.uint8)], qo(np.uint8, 1 / 256, 0), beta=1.0, name="uint8")
case(
    "SOFTMAX",
    [q(3, 9, dtype=np.int16, scale=2e-4)],
    qo(np.int16, 1 / 32768),
    beta=1.0,
    name="int16",
    quanta=TABLE,
)
case("LOG_SOFTMAX", [f(2, 3, 4)])
case("LOG_SOFTMAX", [q(3, 9)], qo(scale=16 / 256, zero=127), name="int8")
case("L2_NORMALIZATION", [f(2, 3, 4)])
case("L2_NORMALIZATION", [q(3, 9)], qo(scale=1 / 128, zero=0), name="int8")
case("LOCAL_RESPONSE_NORMALIZATION", [f(1, 3, 4, 9)], radius=2, bias=1.0, alpha=0.3, beta=0.5)
case("DEPTH_TO_SPACE", [f(2, 3, 4, 8)], blockSize=2)
case("SPACE_TO_DEPTH", [f(2, 4, 6, 3)], blockSize=2)
case("DEPTH_TO_SPACE", [q(2, 3, 4, 8)], qo(), blockSize=2, name="int8")
case("SPACE_TO_DEPTH", [q(2, 4, 6, 3)], qo(), blockSize=2, name="int8")
for _align, _half in ((False, False), (True, False), (False, True)):
    for _to in ([9, 5], [3, 11], [1, 1]):
        _n = f"{_align:d}{_half:d}-{_to[0]}"
        case("RESIZE_BILINEAR", [f(2, 5, 7, 3), c(_to)], alignCorners=_align, halfPixelCenters=_half, name=_n)
        case(
            "RESIZE_NEAREST_NEIGHBOR",
            [f(2, 5, 7, 3), c(_to)],
            alignCorners=_align,
            halfPixelCenters=_half,
            name=_n,
        )
    case(
        "RESIZE_BILINEAR",
        [q(2, 5, 7, 3), c([9, 4])],
        qo(),
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"int8-{_align:d}{_half:d}",
    )
    case(
        "RESIZE_BILINEAR",
        [f(1, 5, 7, 2), T(np.int32([9, 4]))],
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"computed-{_align:d}{_half:d}",
    )
    case(
        "RESIZE_NEAREST_NEIGHBOR",
        [f(1, 5, 7, 2), T(np.int32([9, 4]))],
        alignCorners=_align,
        halfPixelCenters=_half,
        name=f"computed-{_align:d}{_half:d}",
    )

# Quantization

case("QUANTIZE", [f(3, 9)], qo())
case("QUANTIZE", [f(3, 9)], qo(np.uint8), name="uint8")
case("QUANTIZE", [f(3, 9)], qo(np.int16, 1e-3), name="int16")
case("QUANTIZE", [q(3, 9)], qo(scale=0.03, zero=7), name="int8-int8")
case("QUANTIZE", [q(3, 9, dtype=np.uint8)], qo(scale=0.05, zero=-7), name="uint8-int8")
case("QUANTIZE", [q(3, 9, dtype=np.int16, scale=2e-3)], qo(), name="int16-int8")
for _dtype in (np.int8, np.uint8, np.int16):
    case("DEQUANTIZE", [q(3, 9, dtype=_dtype)], name=np.dtype(_dtype).name)
case("DEQUANTIZE", [T(f(3, 4).value.astype(np.float16))], name="float16")
case("DEQUANTIZE", [T(q(3, 4).value, scale=np.float32([0.1, 0.2, 0.3]), zero=0, axis=0)], name="channels")
