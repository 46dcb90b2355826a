"""What handlers of every family share: dtypes of the kernels, constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition, dtype

FLOAT = dtype("float")
INDEX = ("int32", "int64")
NUMBERS = ("float", *INDEX)
BYTES = ("float", "bool", "int8", "uint8", *INDEX)
COMMON = ("float16", "bfloat16", "int16", *BYTES)
BLOCKS = ("float", "int8", "uint8", *INDEX)
TEXT = ("string",)
FEW_BITS = ("int2", "int4", "uint4")
PADDED_RANK = 5
EVERY = ("double", "uint16", "uint32", "uint64", *COMMON)

NHWC = hub.NHWC
TFLITE = "bridge.tflite"
INTEGER = "bridge.tflite.integer"

NOT_EMPTY = condition("a non-empty input", lambda n: 0 not in (shape_of(n.inputs[0]) or []))


def i32(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)


def axis_of(node: ir.Node, default: int = 0) -> int:
    """The attribute `axis`, counted from the first dimension of input 0."""
    return attr(node, "axis", default) % (rank_of(node.inputs[0]) or 1)
