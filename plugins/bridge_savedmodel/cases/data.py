"""Small random inputs of cases, drawn from one generator in the order of the cases."""

from __future__ import annotations

from typing import Any

import numpy as np

RNG = np.random.default_rng(0)


def f(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """Float32 numbers between `low` and `high`."""
    return RNG.uniform(low, high, shape).astype(np.float32)


def i(*shape: int, low: int = -5, high: int = 6, dtype: Any = np.int32) -> np.ndarray:
    """Integers from `low` to below `high`."""
    return RNG.integers(low, high, shape).astype(dtype)


def b(*shape: int) -> np.ndarray:
    return RNG.random(shape) > 0.5


def s(*words: str) -> np.ndarray:
    return np.array(words, object)


X, Y = f(3, 4), f(3, 4)
IMAGE = f(2, 7, 8, 3)
TWO = (X, Y)
