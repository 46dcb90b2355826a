"""Helpers of several families: fused activations, layout, weights, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.facts import APPROXIMATED
from bridge.hub import rank_of
from bridge.importing import ints
from bridge.needs import condition

INT32, INT64, BOOL, UINT32, UINT64, FLOAT, DOUBLE = (
    int(ir.DataType[n]) for n in ("INT32", "INT64", "BOOL", "UINT32", "UINT64", "FLOAT", "DOUBLE")
)

LARGEST = 2**26

# Fused activations of schema.ActivationFunctionType
NONE, RELU, RELU_N1_TO_1, RELU6, TANH, SIGN_BIT = range(6)


FUSED = condition(
    "a fused activation that LiteRT computes here: RELU, RELU6, RELU_N1_TO_1 or none",
    lambda n: n.get("fusedActivationFunction", 0) <= RELU6,
)


def activate(op: Any, node: Any, x: Any) -> Any:
    """Apply the operator's fused activation to `x`."""
    activation = node.get("fusedActivationFunction", NONE)
    if activation == RELU:
        return op.Relu(x)
    if activation == RELU_N1_TO_1:
        return clip(op, x, -1, 1)
    if activation == RELU6:
        return clip(op, x, 0, 6)
    return op.Tanh(x) if activation == TANH else x


def clip(op: Any, x: Any, low: float, high: float) -> Any:
    dtype = x.dtype.numpy()
    return op.Clip(x, np.array(low, dtype), np.array(high, dtype))


def mark_approximated(value: Any, reason: str) -> Any:
    """`value`, with its node marked as approximated in the report."""
    APPROXIMATED.set(value.producer(), reason)
    return value


def check_count(size: int) -> int:
    """Return `size`. Raises UnreadableFile if it is negative or above the limit for an axis or a constant."""
    if not 0 <= size <= LARGEST:
        raise UnreadableFile(f"An operator of the file asks for {size} elements at once.")
    return int(size)


def check_expansion(x: Any, axis: int, step: int) -> None:
    """Check that `axis` times `step` is within the limit. Raises UnreadableFile as `check_count` does."""
    length = x.shape[axis] if x.shape is not None else None
    check_count(step * (length if isinstance(length, int) else 1))


def arange(size: int) -> np.ndarray:
    """Indices 0 to size - 1. Raises UnreadableFile as `check_count` does."""
    return np.arange(check_count(size))


HYBRID = "LiteRT quantizes what 8-bit weights multiply to 8 bits while it runs; here it stays float"


def mark_hybrid(node: Any, value: Any, weights: int) -> Any:
    """`value`, marked as approximated if LiteRT multiplies floats by quantized weights."""
    hybrid = node.type(0).startswith("FLOAT") and node.tensor(weights).quantized
    return mark_approximated(value, HYBRID) if hybrid else value


def axis_length(op: Any, x: Any, axis: int) -> Any:
    rank = rank_of(x) or 1
    size = x.shape[axis % rank]
    if isinstance(size, int):
        return op.const(np.int64(check_count(size)))
    return op.Squeeze(op.Shape(x, start=axis % rank, end=axis % rank + 1), ints(0))
