"""The version of an operator a file has to name: what a reader must know of it for these dtypes, ranks and options.

LiteRT refuses a version above the one it has; older readers refuse what is newer than they are, and must, since they would compute
something else. The rules are those of TFLite's own converter (`op_version.cc`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from bridge.hub import input_at


@dataclass(frozen=True)
class Use:
    """One operator of a file: its tensors (None for absent ones) and its options, as the schema has them."""

    inputs: list[Any]
    outputs: list[Any]
    options: Any

    def kind(self, index: int = 0, output: bool = False) -> str:
        """Dtype of a tensor by the schema's name, empty where there is none."""
        tensors = self.outputs if output else self.inputs
        tensor = tensors[index] if index < len(tensors) else None
        return "" if tensor is None else TYPES[tensor.type]

    def rank(self, index: int = 0) -> int:
        tensor = input_at(self, index)
        return 0 if tensor is None or tensor.shape is None else len(tensor.shape)

    def scales(self, index: int = 0) -> list[float]:
        """Scales of an input's quantization."""
        return _scales(input_at(self, index))

    def says(self, field: str) -> bool:
        return bool(getattr(self.options, field, False))

    def broadcasts(self) -> bool:
        shapes = [[] if t is None else list(t.shape) for t in self.inputs[:2]]
        return len(shapes) == 2 and shapes[0] != shapes[1]


TYPES = {n: name for name, n in vars(schema.TensorType).items() if isinstance(n, int)}
Rule = tuple[int, Callable[[Use], bool]]


def _scales(tensor: Any) -> list[float]:
    found = None if tensor is None or tensor.quantization is None else tensor.quantization.scale
    return [] if found is None else [float(s) for s in found]


def by_dtype(index: int = 0, **versions: int) -> list[Rule]:
    """Versions by the dtype of an input."""
    return [(version, of_kind(index, kind)) for kind, version in versions.items()]


def of_kind(index: int, kind: str) -> Callable[[Use], bool]:
    return lambda use: use.kind(index) == kind


def rank_above(limit: int) -> Callable[[Use], bool]:
    return lambda use: use.rank() > limit


def wide_broadcast(use: Use) -> bool:
    return use.broadcasts() and max(use.rank(0), use.rank(1)) > 4


def either(*kinds: str) -> Callable[[Use], bool]:
    """A cast from or to one of `kinds`."""
    return lambda use: use.kind() in kinds or use.kind(output=True) in kinds


def integer(use: Use) -> bool:
    return use.kind() == use.kind(1) == "INT8"


def hybrid(use: Use) -> bool:
    return use.kind() == "FLOAT32" and use.kind(1) == "INT8"


def per_channel(use: Use) -> bool:
    return len(use.scales(1)) > 1


def wide_bias(use: Use) -> bool:
    """16-bit activations by 8-bit weights whose bias says its dtype."""
    return use.kind() == "INT16" and use.kind(1) == "INT8" and use.says("quantizedBiasType")


def growing(use: Use) -> bool:
    """A product of quantized numbers that is scaled up."""
    scales = [*use.scales(0)[:1], *use.scales(1)[:1], *_scales(use.outputs[0])[:1]]
    return len(scales) == 3 and scales[0] * scales[1] / scales[2] >= 1


def unscaled_short(use: Use) -> bool:
    return use.kind() == "INT16" and not use.scales()


INT8 = by_dtype(INT8=2)
SHORT_TOO = by_dtype(INT16=3, INT8=2)
RESIZED = [*by_dtype(INT16=4), (3, lambda u: u.says("halfPixelCenters") or u.says("alignCorners")), *INT8]
EXTREME = [*by_dtype(INT16=4), (3, wide_broadcast), *INT8]
PADDED: list[Rule] = [*by_dtype(BOOL=5), (4, rank_above(4)), *SHORT_TOO]
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
        SHORT_TOO,
    ),
    **dict.fromkeys(("EXP", "LOG", "REDUCE_PROD", "SQRT"), by_dtype(INT8=2, INT16=2)),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), EXTREME),
    **dict.fromkeys(("PAD", "PADV2"), PADDED),
    **dict.fromkeys(("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"), BLOCKS),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), by_dtype(BOOL=3, INT8=2)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), RESIZED),
    "ABS": [(4, unscaled_short), *by_dtype(INT32=5, INT16=3, INT8=2, UINT8=2)],
    "ADD": [*by_dtype(FLOAT16=6), (5, unscaled_short), *by_dtype(INT64=4, INT16=3, INT8=2)],
    "BROADCAST_TO": [*by_dtype(INT8=3, INT16=3), (2, lambda u: True)],
    "CAST": [
        (7, either("BFLOAT16")),
        (6, either("INT4", "UINT4", "INT2")),
        (5, either("FLOAT64", "FLOAT16")),
        (4, either("UINT16")),
        (3, either("INT8")),
        (2, either("UINT32")),
    ],
    "CONCATENATION": by_dtype(INT4=5, UINT32=4, INT16=3, INT8=2),
    "CONV_2D": [
        (8, wide_bias),
        (6, lambda u: u.inputs[0].shape[-1] != u.inputs[1].shape[-1]),
        (5, lambda u: hybrid(u) and per_channel(u)),
        (2, hybrid),
        (3, integer),
    ],
    "DEPTHWISE_CONV_2D": [
        (6, lambda u: hybrid(u) and per_channel(u)),
        (4, hybrid),
        (3, integer),
        (2, lambda u: (u.options.dilationWFactor, u.options.dilationHFactor) != (1, 1)),
    ],
    "DEQUANTIZE": [
        (5, lambda u: u.kind() == "INT8" and len(u.scales()) > 1),
        *by_dtype(INT16=3, FLOAT16=3, INT8=2),
    ],
    "DIV": [(2, wide_broadcast)],
    "DYNAMIC_UPDATE_SLICE": [*by_dtype(BFLOAT16=6, INT16=4, FLOAT16=3), *by_dtype(2, INT64=2)],
    "EQUAL": by_dtype(INT16=5, STRING=3, INT8=2),
    "FILL": by_dtype(1, FLOAT16=4, INT8=3, INT16=3, BOOL=2, STRING=2),
    "FLOOR_DIV": by_dtype(INT16=3, INT8=3, FLOAT32=2),
    "FLOOR_MOD": by_dtype(INT16=2, INT8=2),
    "FULLY_CONNECTED": [
        (12, lambda u: hybrid(u) and per_channel(u)),
        (11, wide_bias),
        (6, lambda u: len(u.inputs) == 2),
        (5, lambda u: u.says("keepNumDims")),
        (4, integer),
        (3, hybrid),
    ],
    "GATHER": [
        (6, lambda u: u.kind(1) == "INT16"),
        (5, lambda u: u.says("batchDims")),
        *by_dtype(INT16=4, BOOL=3, INT8=2),
    ],
    "GATHER_ND": [*by_dtype(BOOL=5), *by_dtype(1, INT16=4), *by_dtype(INT16=3, STRING=2)],
    "GELU": by_dtype(INT8=2, UINT8=2),
    "LEAKY_RELU": by_dtype(INT16=2),
    "LSTM": [(2, lambda u: u.says("kernelType"))],
    "MUL": [
        *by_dtype(FLOAT16=8, UINT32=7),
        (7, unscaled_short),
        *by_dtype(INT64=5, INT16=4),
        (3, growing),
        *INT8,
    ],
    "NOT_EQUAL": by_dtype(INT16=4, STRING=3, INT8=2),
    "PACK": by_dtype(UINT32=4, INT16=3, INT8=2),
    "QUANTIZE": [(3, lambda u: len(u.scales()) > 1 or len(_scales(u.outputs[0])) > 1), (2, either("INT16"))],
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
        (5, lambda u: u.kind() == "INT16" and not u.says("potScaleInt16")),
        *by_dtype(INT64=4),
        (3, wide_broadcast),
        *INT8,
    ],
    "TILE": by_dtype(INT8=3, STRING=2),
    "TRANSPOSE": [
        *by_dtype(FLOAT16=9),
        (8, lambda u: u.rank() > 6 or u.kind() == "BFLOAT16"),
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
    "WHERE": [(2, lambda u: u.kind() != "BOOL")],
}


def version(operator: str, use: Use) -> int:
    """The version to write for one use of a builtin operator: of the first rule that holds, else 1."""
    return next((number for number, holds in VERSIONS.get(operator, ()) if holds(use)), 1)
