"""Layers element by element, and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bridge_coreml.cases.common import by_torch, f
from bridge_coreml.cases.network import IMAGE, Network, X, add_layer, layer, network


def layers() -> dict[str, Network]:
    return unary() | activations() | binary() | reductions()


def unary() -> dict[str, Network]:
    unit, over = f(2, 3, low=-0.9, high=0.9), f(2, 3, low=1, high=3)
    plain: dict[str, Any] = {
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "atan": np.arctan,
        "asinh": np.arcsinh,
        "exp2": np.exp2,
        "ceil": np.ceil,
        "floor": np.floor,
        "round": np.rint,
        "sign": np.sign,
        "erf": by_torch(lambda F, x: x.erf()),
    }
    rows = [(n, w, X) for n, w in plain.items()]
    rows += [
        ("asin", np.arcsin, unit),
        ("acos", np.arccos, unit),
        ("atanh", np.arctanh, unit),
        ("acosh", np.arccosh, over),
    ]
    found = {n: layer(n, x, want=w) for n, w, x in rows}
    modes: dict[str, Any] = {
        "sqrt": np.sqrt,
        "rsqrt": lambda v: 1 / np.sqrt(v + 1e-6),
        "inverse": lambda v: 1 / (v + 1e-6),
        "power": lambda v: v**1.5,
        "exp": np.exp,
        "log": np.log,
        "abs": np.abs,
        "threshold": lambda v: np.maximum(v, 1.5),
    }
    for mode, want in modes.items():
        found[f"unary {mode}"] = layer(
            "unary", over, mode=mode, alpha=1.5, shift=0.5, scale=2.0, want=lambda x, w=want: w(2 * x + 0.5)
        )

    def without_epsilon(mode: str) -> Callable[[Any], None]:
        return lambda b: add_layer(b, "unary", {"mode": mode}).unary.ClearField("epsilon")

    tiny = np.float32([1e-6, 2e-6, 1.0])
    found["unary rsqrt unset"] = network(
        without_epsilon("rsqrt"), tiny, want=lambda x: 1 / np.sqrt(x + np.float32(1e-6))
    )
    found["unary inverse unset"] = network(
        without_epsilon("inverse"), tiny, want=lambda x: 1 / (x + np.float32(1e-6))
    )
    return found | {
        "clip": layer("clip", X, min_value=-0.5, max_value=1.0, want=lambda x: x.clip(-0.5, 1)),
        "clampedReLU": layer(
            "clamped_relu", X, alpha=0.2, beta=1.0, want=lambda x: np.minimum(np.where(x < 0, x * 0.2, x), 1)
        ),
        "gelu": layer("gelu", X, want=by_torch(lambda F, x: F.gelu(x))),
        "gelu tanh": layer(
            "gelu", X, mode="TANH_APPROXIMATION", want=by_torch(lambda F, x: F.gelu(x, approximate="tanh"))
        ),
        "gelu sigmoid": layer(
            "gelu", X, mode="SIGMOID_APPROXIMATION", want=lambda x: x / (1 + np.exp(-1.702 * x))
        ),
        "copy": layer("copy", X, want=lambda x: x),
        "softmaxND": layer("softmax_nd", X, axis=1, want=by_torch(lambda F, x: F.softmax(x, 1))),
    }


def activations() -> dict[str, Network]:
    alpha, beta = np.float32([0.1, 0.5, -0.2, 1.5]), np.float32([1, 0.5, 2, 1.5])
    spread = lambda v: v.reshape(4, 1, 1)  # noqa: E731
    kinds: dict[str, tuple[Any, Any]] = {
        "RELU": (None, lambda x: np.maximum(x, 0)),
        "TANH": (None, np.tanh),
        "SIGMOID": (None, lambda x: 1 / (1 + np.exp(-x))),
        "SOFTPLUS": (None, lambda x: np.log1p(np.exp(x))),
        "SOFTSIGN": (None, lambda x: x / (1 + np.abs(x))),
        "LEAKYRELU": ([0.3], lambda x: np.where(x < 0, x * 0.3, x)),
        "ELU": (0.7, lambda x: np.where(x < 0, 0.7 * np.expm1(x), x)),
        "LINEAR": ([2.0, -0.5], lambda x: 2 * x - 0.5),
        "SCALED_TANH": ([1.5, 0.5], lambda x: 1.5 * np.tanh(0.5 * x)),
        "SIGMOID_HARD": ([0.3, 0.6], lambda x: (0.3 * x + 0.6).clip(0, 1)),
        "THRESHOLDEDRELU": (0.5, lambda x: np.where(x < 0.5, 0, x)),
        "PRELU": (alpha, lambda x: np.where(x < 0, x * spread(alpha), x)),
        "PARAMETRICSOFTPLUS": ([alpha, beta], lambda x: spread(alpha) * np.log1p(np.exp(spread(beta) * x))),
    }
    return {
        f"activation {kind.lower()}": layer(
            "activation", IMAGE, non_linearity=kind, params=parameters, want=want
        )
        for kind, (parameters, want) in kinds.items()
    }


def binary() -> dict[str, Network]:
    x, y, row = f(2, 3, 4), f(2, 3, 4), f(3, 1)
    found = {}
    rows: list[tuple[str, str, Any]] = [
        ("addBroadcastable", "add", np.add),
        ("multiplyBroadcastable", "multiply", np.multiply),
        ("subtractBroadcastable", "subtract", np.subtract),
        ("divideBroadcastable", "divide", np.divide),
        ("maxBroadcastable", "max", np.maximum),
        ("minBroadcastable", "min", np.minimum),
        ("floorDivBroadcastable", "floor_div", np.floor_divide),
        ("modBroadcastable", "mod", np.mod),
    ]
    for kind, name, want in rows:
        found[kind] = layer(f"{name}_broadcastable", x, row, want=want)
    whole = np.round(x)
    or_equal = {"use_greater_than_equal": True}, {"use_less_than_equal": True}
    compared: list[tuple[str, str, dict[str, Any], Any]] = [
        ("greaterThan", "greater_than", {}, np.greater),
        ("greaterEqual", "greater_than", or_equal[0], np.greater_equal),
        ("lessThan", "less_than", {}, np.less),
        ("lessEqual", "less_than", or_equal[1], np.less_equal),
        ("equal", "equal", {}, np.equal),
        ("notEqual", "not_equal", {}, np.not_equal),
    ]
    for kind, name, how, want in compared:
        found[kind] = layer(name, whole, np.round(row), alpha=1.0, **how, want=want)
        found[f"{kind} number"] = layer(name, whole, alpha=1.0, **how, want=lambda x, w=want: w(x, 1))
    truth = (x > 0).astype(np.float32), (y > 0).astype(np.float32)
    for mode in ("AND", "OR", "XOR"):
        logical = getattr(np, f"logical_{mode.lower()}")
        found[f"logical{mode.capitalize()}"] = layer("logical", *truth, mode=mode, want=logical)
    found["logicalNot"] = layer("logical", truth[0], mode="NOT", want=np.logical_not)
    elements: dict[str, Any] = {
        "ADD": np.add,
        "MULTIPLY": np.multiply,
        "MAX": np.maximum,
        "MIN": np.minimum,
        "AVE": lambda a, b: (a + b) / 2,
    }
    for mode, want in elements.items():
        kind = {"AVE": "average"}.get(mode, mode.lower())
        found[kind] = layer("elementwise", IMAGE, f(1, 4, 6, 8), mode=mode, want=want)
    return found | {
        "powBroadcastable": layer("pow_broadcastable", f(2, 3, low=0.1), f(3), want=np.power),
        "add number": layer("elementwise", X, mode="ADD", alpha=1.5, want=lambda x: x + 1.5),
        "multiply number": layer("elementwise", X, mode="MULTIPLY", alpha=1.5, want=lambda x: x * 1.5),
        "whereBroadcastable": layer(
            "where_broadcastable", truth[0], x, row, want=lambda c, a, b: np.where(c > 0, a, b)
        ),
        "batchedMatmul": layer(
            "batched_mat_mul",
            f(2, 3, 4),
            f(2, 5, 4),
            transpose_b=True,
            want=lambda a, b: a @ b.swapaxes(1, 2),
        ),
    }


def reductions() -> dict[str, Network]:
    x = f(2, 3, 4, low=0.2)
    rows: dict[str, Any] = {
        "Sum": np.sum,
        "Prod": np.prod,
        "Mean": np.mean,
        "Max": np.max,
        "Min": np.min,
        "L1": lambda v, **k: np.abs(v).sum(**k),
        "L2": lambda v, **k: np.sqrt((v * v).sum(**k)),
        "SumSquare": lambda v, **k: (v * v).sum(**k),
        "LogSum": lambda v, **k: np.log(v.sum(**k)),
        "LogSumExp": lambda v, **k: np.log(np.exp(v).sum(**k)),
    }
    found = {}
    for kind, want in rows.items():
        add = f"reduce_{kind.lower()}"
        found[f"reduce{kind}"] = layer(
            add, x, axes=[0, 2], want=lambda v, w=want: w(v, axis=(0, 2), keepdims=True)
        )
        found[f"reduce{kind} last"] = layer(
            add, x, axes=[-1], keepdims=False, want=lambda v, w=want: w(v, axis=-1)
        )
    ordered = np.float32([[3, 1, 2, 5], [0, -1, 7, 4]])
    top = lambda v: [-np.sort(-v, 1)[:, :2], np.argsort(-v, 1)[:, :2]]  # noqa: E731
    return found | {
        "argMax": layer("argmax", x, axis=1, want=lambda v: v.argmax(1)[:, None]),
        "argMin": layer("argmin", x, axis=-1, keepdims=False, want=lambda v: v.argmin(-1)),
        "argSort": layer("argsort", ordered, axis=1, descending=True, want=lambda v: np.argsort(-v, 1)),
        "topK": layer("topk", ordered, k=2, axis=1, want=top),
        "cumSum": layer("cumsum", x, axis=1, want=lambda v: v.cumsum(1)),
        "cumSum reverse": layer(
            "cumsum",
            x,
            axis=-1,
            reverse=True,
            exclusive=True,
            want=lambda v: v[..., ::-1].cumsum(-1)[..., ::-1] - v,
        ),
    }
