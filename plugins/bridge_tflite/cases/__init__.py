"""One-operator TFLite files, by family; the hub must compute what LiteRT computes."""

from __future__ import annotations

from bridge.matrix import NativeCase
from bridge_tflite.cases import (
    control,
    custom,
    dtypes,
    image_detection,
    math,
    ml,
    nn,
    quantize,
    recurrent,
    reduce,
    stablehlo,
    tensor,
    text,
)
from bridge_tflite.cases.common import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "control",
    "custom",
    "dtypes",
    "image_detection",
    "math",
    "ml",
    "nn",
    "quantize",
    "recurrent",
    "reduce",
    "stablehlo",
    "tensor",
    "text",
]


def cases() -> dict[str, NativeCase]:
    """Every case, in the form that the matrix measures."""
    return {name: NativeCase((case.operator,), case.build) for name, case in CASES.items()}
