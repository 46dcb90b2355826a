"""Helpers of several families: fused activations, layout, weights, limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.facts import APPROXIMATED
from bridge.hub import const, rank_of
from bridge.needs import condition
from bridge.ops import Need
from bridge.passes.channels_last import to_first, to_last

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


def constant(index: int, name: str) -> Need:
    """Need: input `index` is absent or stored in the file."""
    return condition(f"a constant {name}", lambda n: n.constant(index))


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


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def as_int64(op: Any, value: Any) -> Any:
    """Shape, axis or index tensor as int64."""
    array = const(value)
    if array is not None:
        return op.const(np.atleast_1d(array).astype(np.int64))
    return op.Cast(value, to=INT64)


def vector(value: Any) -> list[int] | None:
    """Elements of a constant as ints, or None."""
    array = const(value)
    return None if array is None else [int(v) for v in array.ravel()]


def to_nchw(op: Any, x: Any) -> Any:
    """Transpose channels last to channels first."""
    return op.Transpose(x, perm=to_first(rank_of(x) or 0))


def to_nhwc(op: Any, x: Any) -> Any:
    """Transpose channels first to channels last."""
    return op.Transpose(x, perm=to_last(rank_of(x) or 0))


def permute_weights(op: Any, w: Any, perm: list[int]) -> Any:
    """Transpose weights: constants now, quantized constants before their DequantizeLinear."""
    array = const(w)
    if array is not None:
        return op.const(np.ascontiguousarray(array.transpose(perm)))
    producer = w.producer()
    if (
        producer is not None
        and producer.op_type == "DequantizeLinear"
        and const(producer.inputs[0]) is not None
    ):
        integers = np.ascontiguousarray(const(producer.inputs[0]).transpose(perm))
        axis = perm.index(hub.attr(producer, "axis")) if rank_of(producer.inputs[1]) else None
        return op.DequantizeLinear(op.const(integers), *producer.inputs[1:], axis=axis)
    return op.Transpose(w, perm=perm)


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
