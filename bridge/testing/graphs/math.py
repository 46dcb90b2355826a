"""Steps element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from bridge.testing.graphs.growth import ANY_FLOAT, BOOL, FLOATS, INTS, NUMBERS, Graph, step

UNARY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Relu", {}), ("Sigmoid", {}), ("Tanh", {}), ("Neg", {}), ("Abs", {}), ("Softplus", {}), ("Erf", {}),
    ("Softsign", {}), ("Mish", {}), ("HardSwish", {}), ("Sin", {}), ("Cos", {}), ("Atan", {}), ("Asinh", {}),
    ("Gelu", {"approximate": "none"}), ("Gelu", {"approximate": "tanh"}),
    ("LeakyRelu", {"alpha": 0.2}), ("LeakyRelu", {"alpha": 1.5}), ("Elu", {"alpha": 0.5}), ("Elu", {}),
    ("Celu", {"alpha": 0.7}), ("Selu", {}), ("Selu", {"alpha": 1.2, "gamma": 0.8}), ("ThresholdedRelu", {}),
    ("HardSigmoid", {}), ("HardSigmoid", {"alpha": 0.4, "beta": 0.3}), ("Sign", {}),
    ("Shrink", {"bias": 0.2, "lambd": 0.4}), ("Identity", {}),
)  # fmt: skip
ROUNDING = ("Floor", "Ceil", "Round")
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
COMPARE = ("Greater", "Less", "GreaterOrEqual", "LessOrEqual", "Equal")
BITS = ("BitwiseAnd", "BitwiseOr", "BitwiseXor")


@step(0)
def unary(g: Graph, src: str, x: np.ndarray) -> str:
    op, attributes = g.pick(*UNARY)
    return g.add(op, src, **attributes)


@step(0, ANY_FLOAT)
def unary_of_any_float(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick("Relu", "Sigmoid", "Tanh", "Neg", "Abs"), src)


@step(0)
def domain(g: Graph, src: str, x: np.ndarray) -> str:
    """Functions of some numbers only."""
    op = g.pick("Sqrt", "Log", "Reciprocal", "Acosh", "Asin", "Atanh", "Exp", "Sinh")
    if op in ("Sqrt", "Log", "Reciprocal", "Acosh"):
        least = np.float32(1.5 if op == "Acosh" else 0.1)
        return g.add(op, g.add("Add", g.add("Abs", src), least))
    return g.add(op, g.add("Clip", src, np.float32(-0.9), np.float32(0.9)))


@step(0)
def rounded(g: Graph, src: str, x: np.ndarray) -> str:
    """Away from what ties: halves and whole numbers."""
    return g.add(g.pick(*ROUNDING), g.add("Add", g.add("Mul", src, np.float32(1.3)), np.float32(0.2717)))


@step(0)
def ties(g: Graph, src: str, x: np.ndarray) -> str:
    """Halves are rounded to even."""
    halves = g.rng.integers(-5, 6, x.shape[-1:] or ()) / np.float32(2)
    return g.add("Add", src, g.add("Round", np.asarray(halves, np.float32)))


@step(0, NUMBERS)
def clip(g: Graph, src: str, x: np.ndarray) -> str:
    """With either bound, or none; below the other, too."""
    low, high = (np.array(v, x.dtype) for v in g.pick((0, 6), (-1, 1), (0, 1), (-2, 2), (1, -1)))
    return g.add("Clip", src, *g.pick((low, high), (low,), ("", high), ()))


@step(0, (*NUMBERS, "float16"))
def with_constant(g: Graph, src: str, x: np.ndarray) -> str:
    shape = [n if g.maybe(0.6) else 1 for n in x.shape[int(g.rng.integers(x.ndim + 1)) :]]
    shape = [1] * g.pick(0, 0, 0, 1) + shape
    drawn = g.normal(*shape) * (1 if x.dtype.kind == "f" else 3)
    operands = [src, drawn.astype(x.dtype)]
    if g.maybe(0.4):
        operands.reverse()
    return g.add(g.pick(*BINARY), *operands)


@step(0, NUMBERS)
def with_value(g: Graph, src: str, x: np.ndarray) -> str:
    fitting = g.others(
        x, lambda v: all(m == n or 1 in (m, n) for m, n in zip(v.shape[::-1], x.shape[::-1], strict=False))
    )
    return g.add(g.pick(*BINARY), src, str(g.rng.choice(fitting)))


@step(0)
def many(g: Graph, src: str, x: np.ndarray) -> str:
    """Sum, Mean, Max and Min of one, two or three."""
    more = [src, g.normal(*x.shape[-1:]), np.float32(0.3)][: g.pick(0, 1, 2, 3)]
    return g.add(g.pick("Sum", "Mean", "Max", "Min"), src, *more)


@step(0)
def divide(g: Graph, src: str, x: np.ndarray) -> str:
    divisor = (1.5 + abs(g.normal(*x.shape[-1:]))).astype(np.float32)
    return (
        g.add("Div", src, divisor)
        if g.maybe(0.7)
        else g.add("Div", divisor, g.add("Add", g.add("Abs", src), np.float32(1)))
    )


@step(0)
def power(g: Graph, src: str, x: np.ndarray) -> str:
    """Also with exponents of another dtype, and of each element."""
    base = g.add("Add", g.add("Abs", src), np.float32(0.2))
    exponent = g.pick(
        np.float32(0.5), np.float32(-1), np.int64(2), np.int32(3), np.float32(1.7), g.normal(*x.shape[-1:])
    )
    return g.add("Pow", src if isinstance(exponent, np.integer) else base, exponent)


@step(0)
def far_from_zero(g: Graph, src: str, x: np.ndarray) -> str:
    """Values whose mean is far larger than their deviation."""
    if g.maybe(0.3):
        src = g.add("Mul", src, np.float32(g.pick(0.1, 0.01)))
    return g.add("Add", src, np.array(g.pick(100, -300, 1000, -1000), np.float32))


@step(0)
def large(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Mul", src, np.float32(g.pick(50, -200, 1e-3, 1e-6)))


@step(0)
def multiple_or_itself(g: Graph, src: str, x: np.ndarray) -> str:
    factor = np.array(g.pick(2, 0.5, -1.5, 3), np.float32)
    return g.add(g.pick("Max", "Min"), g.add("Mul", src, factor), src)


@step(0)
def infinite(g: Graph, src: str, x: np.ndarray) -> str:
    """Operators that say what they make of an infinity."""
    places = g.rng.random(x.shape[-1:] or ()) < 0.4
    y = g.add("Where", places, np.float32(g.pick(np.inf, -np.inf)), src)
    op = g.pick(
        "Clip", "Sigmoid", "Tanh", "Atan", "Erf", "IsInf", "Min", "Reciprocal", "HardSigmoid", "Softsign"
    )
    if op == "Clip":
        return g.add(op, y, np.float32(-3), np.float32(4))
    if op == "IsInf":
        return g.add(op, y, detect_positive=g.pick(0, 1), detect_negative=g.pick(0, 1))
    if op == "Min":
        return g.add("Max", g.add("Min", y, np.float32(5)), np.float32(-5))
    if op == "Reciprocal":
        return g.add("Where", places, g.add("Reciprocal", y), src)
    return g.add(op, y) if op != "Softsign" else g.add("Relu", g.add("Min", y, np.float32(2)))


@step(0)
def no_number(g: Graph, src: str, x: np.ndarray) -> str:
    places = g.rng.random(x.shape[-1:] or ()) < 0.4
    y = g.add("Where", places, np.float32(np.nan), src)
    y = g.add(g.pick("Neg", "Identity", "Tanh", "Exp"), y) if g.maybe(0.3) else y
    found = g.add("IsNaN", y)
    return found if g.maybe() else g.add("Where", found, np.float32(0.5), y)


@step(0, last=True)
def not_finite(g: Graph, src: str, x: np.ndarray) -> str:
    """Infinities, and numbers that are none, in the answer."""
    places = g.rng.random(x.shape[-1:] or ()) < 0.4
    y = g.add("Where", places, np.float32(g.pick(np.inf, -np.inf, np.nan)), src)
    return g.add(g.pick("Abs", "Neg", "Exp"), y) if g.maybe() else y


@step(0)
def masked(g: Graph, src: str, x: np.ndarray) -> str:
    """A choice by the value itself, continuous where it changes."""
    mask = g.add(g.pick("Greater", "LessOrEqual"), src, np.zeros((), np.float32))
    return g.add("Where", mask, src, g.add("Mul", src, np.array(0.3, np.float32)))


@step(0, NUMBERS)
def where(g: Graph, src: str, x: np.ndarray) -> str:
    parts = [src, (3 * g.normal(*x.shape[-1:])).astype(x.dtype)]
    if g.maybe(0.3):
        parts.reverse()
    return g.add(
        "Where", g.rng.random([2, 1, *x.shape][-g.pick(1, x.ndim, x.ndim) :] if x.ndim else ()) < 0.5, *parts
    )


@step(0, NUMBERS)
def compare(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(g.pick(*COMPARE), src, np.array(g.pick(0, 1, 0.37) if x.dtype.kind == "f" else 1, x.dtype))


@step(0, BOOL)
def logic(g: Graph, src: str, x: np.ndarray) -> str:
    op = g.pick("And", "Or", "Xor", "Not", "Equal")
    return g.add(op, src) if op == "Not" else g.add(op, src, g.rng.random(x.shape[-1:] or ()) < 0.5)


@step(0, BOOL)
def chosen(g: Graph, src: str, x: np.ndarray) -> str:
    if g.maybe(0.3):
        return g.add("Cast", src, to=g.pick(TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32))
    fitting = [
        n
        for n, v in g.values.items()
        if v.found[0].dtype == np.float32 and v.found[0].shape == x.shape and n not in g.closed
    ]
    return g.add(
        "Where", src, str(g.rng.choice(fitting)) if fitting else g.normal(*x.shape[-1:]), np.float32(-0.5)
    )


@step(0, INTS)
def whole(g: Graph, src: str, x: np.ndarray) -> str:
    """Division truncates; Mod has the sign of the divisor, with fmod that of the dividend."""
    op = g.pick("Div", "Mod", "fmod", "Abs", "Neg", "Sign", "Pow", "Sum")
    divisor = np.array(g.pick(2, 3, -2, -3, 5), x.dtype)
    if op == "fmod":
        return g.add("Mod", src, divisor, fmod=1)
    if op in ("Div", "Mod"):
        return g.add(op, g.add("Sub", src, np.array(2, x.dtype)), divisor)
    if op == "Pow":
        return g.add(op, src, np.array(2, x.dtype))
    return g.add("Mul", src, np.array(-3, x.dtype)) if op == "Sum" else g.add(op, src)


@step(0, INTS)
def bits(g: Graph, src: str, x: np.ndarray) -> str:
    op = g.pick(*BITS, "BitwiseNot", "BitShift")
    if op == "BitwiseNot":
        return g.add(op, src)
    if op == "BitShift":
        unsigned = g.add("Cast", g.add("Abs", src), to=g.pick(TensorProto.UINT8, TensorProto.UINT32))
        kind = np.uint8 if g.nodes[-1].attribute[0].i == TensorProto.UINT8 else np.uint32
        shifted = g.add(op, unsigned, np.array(g.pick(0, 1, 3), kind), direction=g.pick("LEFT", "RIGHT"))
        return g.add("Cast", shifted, to=TensorProto.INT32)
    return g.add(op, src, np.array(g.pick(1, 5, -2, 7), x.dtype))


@step(0, INTS)
def numbers(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add(
        "Cast",
        src,
        to=g.pick(
            TensorProto.FLOAT,
            TensorProto.FLOAT,
            TensorProto.DOUBLE,
            TensorProto.INT32,
            TensorProto.INT64,
            TensorProto.BOOL,
        ),
    )


@step(0, (*FLOATS, "float64"))
def cast(g: Graph, src: str, x: np.ndarray) -> str:
    """To integers toward zero."""
    to = g.pick(
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.BOOL,
        TensorProto.FLOAT,
    )
    if to in (TensorProto.INT64, TensorProto.INT32):
        src = g.add("Add", g.add("Mul", src, np.array(2.3, x.dtype)), np.array(0.2717, x.dtype))
    return g.add("Cast", src, to=to)


@step(0, ("float64",))
def narrowed(g: Graph, src: str, x: np.ndarray) -> str:
    return (
        g.add("CastLike", src, np.zeros(1, np.float32))
        if g.maybe()
        else g.add("Cast", src, to=TensorProto.FLOAT)
    )


@step(0)
def remainder(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("Mod", g.add("Add", src, np.float32(0.2717)), np.float32(g.pick(1.5, -2, 3)), fmod=1)


@step(1)
def by_length(g: Graph, src: str, x: np.ndarray) -> str:
    """Times a length that is computed."""
    length: Any = g.add("Cast", g.length(src, g.axis(x)), to=TensorProto.FLOAT)
    return g.add(g.pick("Mul", "Div"), src, length)


@step(3)
def prelu(g: Graph, src: str, x: np.ndarray) -> str:
    return g.add("PRelu", src, g.normal(*g.pick((), (x.shape[-1],), (x.shape[1], *[1] * (x.ndim - 2)))))
