"""What the families share: fused activations, layout, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.errors import UnreadableFile
from bridge.facts import APPROXIMATED
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
    """`x` under the operator's fused activation."""
    kind = node.get("fusedActivationFunction", NONE)
    if kind == RELU:
        return op.Relu(x)
    if kind == RELU_N1_TO_1:
        return clip(op, x, -1, 1)
    if kind == RELU6:
        return clip(op, x, 0, 6)
    return op.Tanh(x) if kind == TANH else x


def clip(op: Any, x: Any, low: float, high: float) -> Any:
    dtype = x.dtype.numpy()
    return op.Clip(x, np.array(low, dtype), np.array(high, dtype))


def approximated(value: Any, reason: str) -> Any:
    """`value`, whose node the report calls approximated."""
    APPROXIMATED.set(value.producer(), reason)
    return value


def bounded(size: int) -> int:
    """`size` elements. Raises UnreadableFile for more than an axis or a constant of a real model has."""
    if not 0 <= size <= LARGEST:
        raise UnreadableFile(f"An operator of the file asks for {size} elements at once.")
    return int(size)


def spread(x: Any, axis: int, step: int) -> None:
    """Raise UnreadableFile, as `bounded` does, where `step` places for each of `axis` are too many."""
    length = x.shape[axis] if x.shape is not None else None
    bounded(step * (length if isinstance(length, int) else 1))


def counted(size: int) -> np.ndarray:
    """0, 1 … size - 1. Raises UnreadableFile as `bounded` does."""
    return np.arange(bounded(size))


HYBRID = "LiteRT quantizes what 8-bit weights multiply to 8 bits while it runs; here it stays float"


def told(node: Any, value: Any, weights: int) -> Any:
    """`value`, marked as approximated where LiteRT multiplies floats by quantized weights."""
    hybrid = node.kind(0).startswith("FLOAT") and node.tensor(weights).quantized
    return approximated(value, HYBRID) if hybrid else value
