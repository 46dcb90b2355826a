"""Helpers of several families: dtypes that the kernels take, domains, int32 constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.hub import attr, rank_of, shape_of
from bridge.needs import condition, dtype

# Dtypes of the first input of LiteRT's kernels, as `bridge.needs.dtype` takes them; `float` is float32.
# A kernel that takes others has them in its rule.
FLOAT_KERNEL = dtype("float")
"""Need of a kernel that takes float32 alone."""
INDEX_DTYPES = ("int32", "int64")
ARITHMETIC_DTYPES = ("float", *INDEX_DTYPES)
BLOCK_DTYPES = ("float", "int8", "uint8", *INDEX_DTYPES)
SCATTER_DTYPES = ("float", "bool", "int8", "uint8", *INDEX_DTYPES)
GATHER_DTYPES = ("float16", "bfloat16", "int16", *SCATTER_DTYPES)
RESHAPE_DTYPES = ("double", "uint16", "uint32", "uint64", *GATHER_DTYPES)
TEXT_DTYPES = ("string",)
SUB_BYTE_DTYPES = ("int2", "int4", "uint4")
PADDED_RANK = 5
"""Highest rank that PAD and PADV2 take."""

NHWC = hub.NHWC
TFLITE = "bridge.tflite"
INTEGER = "bridge.tflite.integer"

INT64_TYPE = 4
"""INT64 in the schema's TensorType."""


def has_one_unknown_dim(node: ir.Node) -> bool:
    shape = node.outputs[0].shape
    unknown = sum(not isinstance(d, int) for d in shape or ())
    return shape is not None and (not unknown or (unknown == 1 and 0 not in list(shape)))


ONE_UNKNOWN = condition("at most one dynamic dimension in the result", has_one_unknown_dim)
NOT_EMPTY = condition("a non-empty input", lambda n: 0 not in (shape_of(n.inputs[0]) or []))


def i32(values: Any) -> np.ndarray:
    return np.asarray(values, np.int32)


def axis_of(node: ir.Node, default: int = 0) -> int:
    """Attribute `axis` as a non-negative index into the dimensions of input 0."""
    return attr(node, "axis", default) % (rank_of(node.inputs[0]) or 1)
