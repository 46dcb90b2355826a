"""One-operator TFLite files, by family: what LiteRT computes for each is what the hub must compute."""

from tflite_cases import (
    control,
    custom,
    detection,
    dtypes,
    math,
    ml,
    nn,
    quantize,
    recurrent,
    reduce,
    stablehlo,
    tensor,
)
from tflite_cases.common import CASES, Case

__all__ = [
    "CASES",
    "Case",
    "control",
    "custom",
    "detection",
    "dtypes",
    "math",
    "ml",
    "nn",
    "quantize",
    "recurrent",
    "reduce",
    "stablehlo",
    "tensor",
]
