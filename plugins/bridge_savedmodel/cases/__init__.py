"""TensorFlow functions of one operator each; the hub must compute what TensorFlow computes for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bridge.matrix import Made, NativeCase
from bridge_savedmodel.cases import (
    constants,
    control,
    conv,
    image,
    linalg,
    math,
    nn,
    quantize,
    random,
    recurrent,
    reduce,
    segment,
    sequence,
    signal,
    sparse,
    special,
    tensor,
    text,
    versions,
)
from bridge_savedmodel.tensorflow import tensorflow

FAMILIES: tuple[Callable[[Any], dict[str, tuple]], ...] = (
    math.unary_math,
    math.binary_math,
    reduce.reductions,
    tensor.tensors,
    nn.neural_networks,
    image.images,
    segment.segments,
    signal.fourier,
    text.strings,
    control.control_flow,
    sparse.sets_and_counts,
    sparse.ragged_tensors,
    sparse.sparse_tensors,
    recurrent.recurrent_cells,
    linalg.matrices,
    quantize.quantization,
    tensor.further_operators,
    random.stateless_random,
    text.regular_expressions,
    text.word_ngrams,
    versions.versions,
    segment.segments_of_known_number,
    sequence.tensor_lists,
    control.identities,
    constants.constant_arguments,
    linalg.factorizations,
    conv.windows_of_any_size,
    signal.audio,
    special.special_functions,
)
"""Cases by name, each a function and its inputs. The order decides which random numbers a case gets."""


def cases() -> dict[str, NativeCase]:
    """The cases of every operator, as the matrix measures them. Leading dimensions are known only at run
    time."""
    tf = tensorflow()
    declared = {name: case for family in FAMILIES for name, case in family(tf).items()}
    return {name: native(tf, name, *case) for name, case in declared.items()}


def native(tf: Any, name: str, function: Callable[..., Any], *arrays: np.ndarray) -> NativeCase:
    """The case of a function of the arrays; the first word of its name is the operator."""

    def make(folder: Path) -> Made:
        specs = [_spec(tf, f"in{n}", a) for n, a in enumerate(arrays)]
        traced = tf.function(function, autograph=False).get_concrete_function(*specs)
        results = tf.nest.flatten(traced(*(tf.constant(a) for a in arrays)))
        inputs = {f"in{n}": a for n, a in enumerate(arrays)}
        return Made(traced, inputs, expected=[as_array(t) for t in results])

    return NativeCase((name.split()[0],), make)


def as_array(value: Any) -> np.ndarray:
    """A tensor as an array, strings as str."""
    array = np.asarray(value)
    return np.vectorize(lambda v: v.decode(), otypes=[object])(array) if array.dtype == object else array


def _spec(tf: Any, name: str, array: np.ndarray) -> Any:
    dims = [None, *array.shape[1:]] if array.ndim > 1 else array.shape
    return tf.TensorSpec(dims, tf.string if array.dtype == object else array.dtype, name)
