"""TensorFlow operators → hub, by family."""

from bridge_savedmodel.import_ops import (
    arrays,
    control,
    image,
    lists,
    loops,
    math,
    matrix,
    nn,
    random,
    reduce,
    segment,
    signal,
    slices,
    sparse,
    state,
    tensor,
    text,
)
from bridge_savedmodel.import_ops.common import ops

__all__ = [
    "arrays",
    "control",
    "image",
    "lists",
    "loops",
    "math",
    "matrix",
    "nn",
    "ops",
    "random",
    "reduce",
    "segment",
    "signal",
    "slices",
    "sparse",
    "state",
    "tensor",
    "text",
]
