"""Element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge_coreml.cases.common import Program, b, by_torch, f, half, i, program, t

UNIT = "acos asin atanh"
POSITIVE = "inverse log rsqrt sqrt"
PLAIN = (
    "abs atan ceil cos cosh erf exp exp2 floor identity relu relu6 round sigmoid sign sin sinh "
    "softplus softsign square tan tanh"
)
BINARY = "add sub mul real_div floor_div mod maximum minimum"
COMPARED = "equal not_equal less less_equal greater greater_equal"
X = f(2, 3, low=-3, high=3)


def programs(mb: Any) -> dict[str, Program]:
    return unary(mb) | activations(mb) | binary(mb) | chosen(mb)


def unary(mb: Any) -> dict[str, Program]:
    def each(names: str, *arrays: np.ndarray, suffix: str = "", **more: Any) -> dict[str, Program]:
        return {
            f"{n}{suffix}": program(lambda *v, n=n: getattr(mb, n)(x=v[0]), *arrays, **more)
            for n in names.split()
        }

    found = each(PLAIN, X) | each(UNIT, f(2, 3, low=-0.9, high=0.9)) | each(POSITIVE, f(2, 3, low=0.1))
    found |= each("abs relu tanh", f(1, 2, 1, 3, 2), suffix=" rank 5")
    found |= each("tan exp relu sigmoid round", half(X), suffix=" half", target=16)
    found |= each("abs sign square", i(7), suffix=" whole")
    halves = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    return found | {
        "round halves": program(lambda x: mb.round(x=x), halves),
        "inverse epsilon": program(lambda x: mb.inverse(x=x, epsilon=0.5), X),
        "log epsilon": program(lambda x: mb.log(x=x, epsilon=0.5), f(4, low=0.1)),
        "rsqrt epsilon": program(lambda x: mb.rsqrt(x=x, epsilon=0.5), f(4, low=0.1)),
        "clip": program(lambda x: mb.clip(x=x, alpha=-1.0, beta=0.5), X),
        "threshold": program(lambda x: mb.threshold(x=x, alpha=0.3), X),
        "logical_not": program(lambda x: mb.logical_not(x=x), b(2, 4)),
        "cast to whole": program(lambda x: mb.cast(x=x, dtype="int32"), X),
        "cast to truth": program(lambda x: mb.cast(x=x, dtype="bool"), np.float32([0, 1, -2, 0.5])),
        "cast to float": program(lambda x: mb.cast(x=x, dtype="fp32"), i(5)),
        "cast to half": program(lambda x: mb.cast(x=x, dtype="fp16"), X, target=16),
        "cast to int8": program(lambda x: mb.cast(x=x, dtype="int8"), X * 30, target=17),
        "cast to uint16": program(lambda x: mb.cast(x=x, dtype="uint16"), i(5, low=0, high=999), target=17),
    }


def activations(mb: Any) -> dict[str, Program]:
    x, image = f(3, 4, low=-4, high=4), f(2, 3, 2, 4)
    alpha, beta = np.array([0.1, 0.5, -0.3], np.float32), np.array([1, 0.5, 2], np.float32)
    modes = ("EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION")
    clamped = by_torch(lambda F, x: F.leaky_relu(x, 0.2).clamp(max=1.5))
    parametric = lambda x: np.log1p(np.exp(x * beta.reshape(3, 1, 1))) * alpha.reshape(3, 1, 1)  # noqa: E731
    return {
        "clamped_relu": program(lambda x: mb.clamped_relu(x=x, alpha=0.2, beta=1.5), x, want=clamped),
        "elu": program(lambda x: mb.elu(x=x, alpha=0.7), x),
        "leaky_relu": program(lambda x: mb.leaky_relu(x=x, alpha=0.2), x),
        "linear_activation": program(lambda x: mb.linear_activation(x=x, alpha=0.5, beta=1.5), x),
        "prelu": program(
            lambda x: mb.prelu(x=x, alpha=alpha), image, want=by_torch(lambda F, x: F.prelu(x, t(alpha)))
        ),
        "prelu rank 3": program(
            lambda x: mb.prelu(x=x, alpha=alpha[:1].repeat(3)),
            f(2, 3, 4),
            want=by_torch(lambda F, x: F.prelu(x, t(alpha[:1]))),
        ),
        "scaled_tanh": program(lambda x: mb.scaled_tanh(x=x, alpha=1.5, beta=0.5), x),
        "sigmoid_hard": program(lambda x: mb.sigmoid_hard(x=x, alpha=0.3, beta=0.6), x),
        "silu": program(lambda x: mb.silu(x=x), x, want=by_torch(lambda F, x: F.silu(x))),
        "softplus_parametric": program(
            lambda x: mb.softplus_parametric(x=x, alpha=alpha, beta=beta), image, want=parametric
        ),
        "thresholded_relu": program(lambda x: mb.thresholded_relu(x=x, alpha=0.5), x),
        **{
            f"gelu {m.lower()}": program(lambda x, m=m: mb.gelu(x=x, mode=m), x, want=_gelu(m)) for m in modes
        },
        **{f"softmax {a}": program(lambda x, a=a: mb.softmax(x=x, axis=a), f(2, 3, 4)) for a in (0, 1, -1)},
    }


def _gelu(mode: str) -> Any:
    if mode == "SIGMOID_APPROXIMATION":
        return lambda x: x / (1 + np.exp(-1.702 * x))
    return by_torch(lambda F, x: F.gelu(x, approximate="none" if mode == "EXACT" else "tanh"))


def binary(mb: Any) -> dict[str, Program]:
    def each(names: str, x: Any, y: Any, suffix: str = "", **more: Any) -> dict[str, Program]:
        return {
            f"{n}{suffix}": program(lambda x, y, n=n: getattr(mb, n)(x=x, y=y), x, y, **more)
            for n in names.split()
        }

    def constant(n: str, x: np.ndarray, y: Any) -> Program:
        return program(lambda x: getattr(mb, n)(x=x, y=y), x)

    divisors = np.float32([[1.5], [-2.5], [0.75]])
    whole, other = i(20, low=-20, high=20), np.where(i(20) < 0, -3, 4).astype(np.int32)
    found = each(BINARY, f(2, 3, 4), divisors) | each(BINARY, whole, other, " whole")
    found |= each(BINARY, half(X), half(np.abs(X) + 0.5), " half", target=16)
    found |= each(COMPARED, np.round(f(3, 4)), np.round(f(4))) | each(
        COMPARED, i(9, low=0, high=3), i(9, low=0, high=3), " whole"
    )
    found |= each("logical_and logical_or logical_xor", b(8), b(8))
    found |= {f"{n} constant": constant(n, X, 1.5) for n in (BINARY + " " + COMPARED + " pow").split()}
    found |= {f"{n} whole constant": constant(n, whole, 3) for n in (BINARY + " " + COMPARED).split()}
    return found | {
        "pow": program(lambda x, y: mb.pow(x=x, y=y), f(2, 3, low=0.1), f(3)),
        "pow square": program(lambda x: mb.pow(x=x, y=2.0), X),
        "sub scalars": program(lambda x, y: mb.sub(x=mb.squeeze(x=x), y=mb.squeeze(x=y)), f(1), f(1)),
    }


def chosen(mb: Any) -> dict[str, Program]:
    return {
        "select": program(lambda c, x, y: mb.select(cond=c, a=x, b=y), b(3, 4), f(3, 4), f(3, 4)),
        "select whole": program(lambda c, x, y: mb.select(cond=c, a=x, b=y), b(5), i(5), i(5)),
        "select constants": program(
            lambda c: mb.select(cond=c, a=1.5, b=-2.0), b(3, 4), want=lambda c: np.where(c, 1.5, -2.0)
        ),
        "non_zero": program(lambda x: mb.non_zero(x=x), np.float32([[0, 1, 0], [2, 0, 3]])),
    }
