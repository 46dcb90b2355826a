"""TensorFlow functions of one operator each: what TensorFlow computes for them is what the hub must
compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_savedmodel.cases import audio, factor, graphs, older, operators, sparse, special, text
from bridge_savedmodel.tensorflow import tensorflow


def cases() -> dict[str, NativeCase]:
    """Every operator's cases, as the matrix measures them; leading dimensions are known at run time only."""
    tf = tensorflow()
    declared = {
        name: case
        for family in (
            *operators.FAMILIES,
            *sparse.FAMILIES,
            *text.FAMILIES,
            *older.FAMILIES,
            *factor.FAMILIES,
            *graphs.FAMILIES,
            *audio.FAMILIES,
            *special.FAMILIES,
        )
        for name, case in family(tf).items()
    }
    return {name: native(tf, name, *case) for name, case in declared.items()}


def native(tf: Any, name: str, function: Callable[..., Any], *arrays: np.ndarray) -> NativeCase:
    """The case of a function of the arrays; the first word of its name is the operator."""

    def make(folder: Path) -> Made:
        specs = [_spec(tf, f"in{n}", a) for n, a in enumerate(arrays)]
        traced = tf.function(function, autograph=False).get_concrete_function(*specs)
        found = tf.nest.flatten(traced(*(tf.constant(a) for a in arrays)))
        inputs = {f"in{n}": a for n, a in enumerate(arrays)}
        return Made(traced, inputs, expected=[plain(t) for t in found])

    return NativeCase((name.split()[0],), make)


def plain(value: Any) -> np.ndarray:
    """A tensor as an array, strings as str."""
    array = np.asarray(value)
    return np.vectorize(lambda v: v.decode(), otypes=[object])(array) if array.dtype == object else array


def _spec(tf: Any, name: str, array: np.ndarray) -> Any:
    dims = [None, *array.shape[1:]] if array.ndim > 1 else array.shape
    return tf.TensorSpec(dims, tf.string if array.dtype == object else array.dtype, name)
