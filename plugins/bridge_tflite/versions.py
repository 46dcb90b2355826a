"""Versions of TFLite operators: the lowest one whose reader knows the given dtypes, ranks and options.

LiteRT refuses a version above its own. An older reader must refuse an operator it would compute differently.
The rules are those of TFLite's own converter (`op_version.cc`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.hub import input_at
from bridge_tflite.schema import ENUMS


@dataclass(frozen=True)
class Use:
    """One operator of a file: its tensors (None for absent ones) and its options, as the schema declares
    them."""

    inputs: list[Any]
    outputs: list[Any]
    options: Any

    def type(self, index: int = 0, output: bool = False) -> str:
        """Type of a tensor by its name in the schema, empty if absent."""
        tensors = self.outputs if output else self.inputs
        tensor = tensors[index] if index < len(tensors) else None
        return "" if tensor is None else TYPES[tensor.type]

    def rank(self, index: int = 0) -> int:
        tensor = input_at(self, index)
        return 0 if tensor is None or tensor.shape is None else len(tensor.shape)

    def scales(self, index: int = 0) -> list[float]:
        """Scales of the quantization of an input."""
        return _scales(input_at(self, index))

    def says(self, field: str) -> bool:
        return bool(getattr(self.options, field, False))

    def broadcasts(self) -> bool:
        shapes = [[] if t is None else list(t.shape) for t in self.inputs[:2]]
        return len(shapes) == 2 and shapes[0] != shapes[1]


TYPES = {n: name for name, n in ENUMS["TensorType"].items()}
Rule = tuple[int, Callable[[Use], bool]]


def _scales(tensor: Any) -> list[float]:
    scales = None if tensor is None or tensor.quantization is None else tensor.quantization.scale
    return [] if scales is None else [float(s) for s in scales]


def by_dtype(index: int = 0, **versions: int) -> list[Rule]:
    """Rules of versions by the type of input `index`."""
    return [(version, has_type(index, dtype)) for dtype, version in versions.items()]


def has_type(index: int, dtype: str) -> Callable[[Use], bool]:
    return lambda use: use.type(index) == dtype


def rank_above(limit: int) -> Callable[[Use], bool]:
    return lambda use: use.rank() > limit


def broadcasts_wide(use: Use) -> bool:
    return use.broadcasts() and max(use.rank(0), use.rank(1)) > 4


def casts(*dtypes: str) -> Callable[[Use], bool]:
    """Predicate: a cast from or to one of `dtypes`."""
    return lambda use: use.type() in dtypes or use.type(output=True) in dtypes


def is_integer(use: Use) -> bool:
    return use.type() == use.type(1) == "INT8"


def is_hybrid(use: Use) -> bool:
    return use.type() == "FLOAT32" and use.type(1) == "INT8"


def is_per_channel(use: Use) -> bool:
    return len(use.scales(1)) > 1


def has_wide_bias(use: Use) -> bool:
    """True for int16 activations by int8 weights with a declared dtype of the bias."""
    return use.type() == "INT16" and use.type(1) == "INT8" and use.says("quantizedBiasType")


def scales_up(use: Use) -> bool:
    """True for a quantized product whose scale factor is 1 or more."""
    scales = [*use.scales(0)[:1], *use.scales(1)[:1], *_scales(use.outputs[0])[:1]]
    return len(scales) == 3 and scales[0] * scales[1] / scales[2] >= 1


def is_unscaled_int16(use: Use) -> bool:
    return use.type() == "INT16" and not use.scales()


INT8 = by_dtype(INT8=2)
INT8_INT16 = by_dtype(INT16=3, INT8=2)
RESIZE = [*by_dtype(INT16=4), (3, lambda u: u.says("halfPixelCenters") or u.says("alignCorners")), *INT8]
MIN_MAX = [*by_dtype(INT16=4), (3, broadcasts_wide), *INT8]
PAD: list[Rule] = [*by_dtype(BOOL=5), (4, rank_above(4)), *INT8_INT16]
BLOCKS: list[Rule] = [*by_dtype(INT16=4), (3, lambda u: u.rank() != 4), *INT8]

VERSIONS: dict[str, list[Rule]] = {
    **dict.fromkeys(
        [
            "DEPTH_TO_SPACE",
            "GREATER",
            "LESS_EQUAL",
            "L2_NORMALIZATION",
            "LOG_SOFTMAX",
            "SPACE_TO_DEPTH",
            "SPLIT_V",
            "SQUARED_DIFFERENCE",
            "SUM",
        ],
        INT8,
    ),
    **dict.fromkeys(
        [
            "AVERAGE_POOL_2D",
            "BATCH_MATMUL",
            "GREATER_EQUAL",
            "LESS",
            "LOGISTIC",
            "MAX_POOL_2D",
            "MEAN",
            "MIRROR_PAD",
            "REDUCE_MAX",
            "REDUCE_MIN",
            "RELU6",
            "RSQRT",
            "SOFTMAX",
            "TANH",
            "TOPK_V2",
        ],
        INT8_INT16,
    ),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD", "SQRT"), by_dtype(INT8=2, INT16=2)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), MIN_MAX),
    **dict.fromkeys(("PAD", "PADV2"), PAD),
    **dict.fromkeys(("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"), BLOCKS),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), by_dtype(BOOL=3, INT8=2)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), RESIZE),
    "ABS": [(4, is_unscaled_int16), *by_dtype(INT32=5, INT16=3, INT8=2, UINT8=2)],
    "ADD": [*by_dtype(FLOAT16=6), (5, is_unscaled_int16), *by_dtype(INT64=4, INT16=3, INT8=2)],
    "BROADCAST_TO": [*by_dtype(INT8=3, INT16=3), (2, lambda u: True)],
    "CAST": [
        (7, casts("BFLOAT16")),
        (6, casts("INT4", "UINT4", "INT2")),
        (5, casts("FLOAT64", "FLOAT16")),
        (4, casts("UINT16")),
        (3, casts("INT8")),
        (2, casts("UINT32")),
    ],
    "CONCATENATION": by_dtype(INT4=5, UINT32=4, INT16=3, INT8=2),
    "CONV_2D": [
        (8, has_wide_bias),
        (6, lambda u: u.inputs[0].shape[-1] != u.inputs[1].shape[-1]),
        (5, lambda u: is_hybrid(u) and is_per_channel(u)),
        (2, is_hybrid),
        (3, is_integer),
    ],
    "DEPTHWISE_CONV_2D": [
        (6, lambda u: is_hybrid(u) and is_per_channel(u)),
        (4, is_hybrid),
        (3, is_integer),
        (2, lambda u: (u.options.dilationWFactor, u.options.dilationHFactor) != (1, 1)),
    ],
    "DEQUANTIZE": [
        (5, lambda u: u.type() == "INT8" and len(u.scales()) > 1),
        *by_dtype(INT16=3, FLOAT16=3, INT8=2),
    ],
    "DIV": [(2, broadcasts_wide)],
    "DYNAMIC_UPDATE_SLICE": [*by_dtype(BFLOAT16=6, INT16=4, FLOAT16=3), *by_dtype(2, INT64=2)],
    "EQUAL": by_dtype(INT16=5, STRING=3, INT8=2),
    "FILL": by_dtype(1, FLOAT16=4, INT8=3, INT16=3, BOOL=2, STRING=2),
    "FLOOR_DIV": by_dtype(INT16=3, INT8=3, FLOAT32=2),
    "FLOOR_MOD": by_dtype(INT16=2, INT8=2),
    "FULLY_CONNECTED": [
        (12, lambda u: is_hybrid(u) and is_per_channel(u)),
        (11, has_wide_bias),
        (6, lambda u: len(u.inputs) == 2),
        (5, lambda u: u.says("keepNumDims")),
        (4, is_integer),
        (3, is_hybrid),
    ],
    "GATHER": [
        (6, lambda u: u.type(1) == "INT16"),
        (5, lambda u: u.says("batchDims")),
        *by_dtype(INT16=4, BOOL=3, INT8=2),
    ],
    "GATHER_ND": [*by_dtype(BOOL=5), *by_dtype(1, INT16=4), *by_dtype(INT16=3, STRING=2)],
    "GELU": by_dtype(INT8=2, UINT8=2),
    "LEAKY_RELU": by_dtype(INT16=2),
    "LSTM": [(2, lambda u: u.says("kernelType"))],
    "MUL": [
        *by_dtype(FLOAT16=8, UINT32=7),
        (7, is_unscaled_int16),
        *by_dtype(INT64=5, INT16=4),
        (3, scales_up),
        *INT8,
    ],
    "NOT_EQUAL": by_dtype(INT16=4, STRING=3, INT8=2),
    "PACK": by_dtype(UINT32=4, INT16=3, INT8=2),
    "QUANTIZE": [(3, lambda u: len(u.scales()) > 1 or len(_scales(u.outputs[0])) > 1), (2, casts("INT16"))],
    "RANGE": by_dtype(INT64=2),
    "RELU": by_dtype(INT16=3, INT8=2, UINT8=2),
    "REVERSE_V2": by_dtype(INT8=3, BOOL=2),
    "SELECT_V2": by_dtype(1, UINT32=2),
    "SIGN": by_dtype(INT32=2),
    "SLICE": [*by_dtype(UINT32=6), (5, rank_above(4)), *by_dtype(INT16=4, STRING=3, INT8=2)],
    "SQUEEZE": by_dtype(STRING=2),
    "STRIDED_SLICE": [
        *by_dtype(UINT32=7),
        (6, lambda u: u.says("ellipsisMask") or u.says("newAxisMask")),
        *by_dtype(STRING=5),
        (4, rank_above(4)),
        *by_dtype(BOOL=3, INT8=2),
    ],
    "SUB": [
        (5, lambda u: u.type() == "INT16" and not u.says("potScaleInt16")),
        *by_dtype(INT64=4),
        (3, broadcasts_wide),
        *INT8,
    ],
    "TILE": by_dtype(INT8=3, STRING=2),
    "TRANSPOSE": [
        *by_dtype(FLOAT16=9),
        (8, lambda u: u.rank() > 6 or u.type() == "BFLOAT16"),
        (6, rank_above(5)),
        *by_dtype(INT16=5),
        (4, rank_above(4)),
        *by_dtype(BOOL=3, INT8=2),
    ],
    "TRANSPOSE_CONV": [
        (4, lambda u: u.says("fusedActivationFunction")),
        (3, lambda u: len(u.inputs) == 4),
        *by_dtype(1, INT8=2),
    ],
    "UNPACK": by_dtype(INT8=2, UINT8=2, BOOL=3, INT16=4, FLOAT16=5, BFLOAT16=5),
    "WHERE": [(2, lambda u: u.type() != "BOOL")],
}


def version(operator: str, use: Use) -> int:
    """Version to write for one use of a builtin operator: that of the first rule that holds, else 1."""
    return next((number for number, holds in VERSIONS.get(operator, ()) if holds(use)), 1)
