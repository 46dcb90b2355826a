"""What the families share: fused activations, layout, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge import hub
from bridge.errors import UnreadableFile
from bridge.facts import APPROXIMATED
from bridge.hub import const, rank_of
from bridge.ops import Need
from bridge.passes.channels_last import to_first, to_last

INT32, INT64, BOOL, UINT32, UINT64, FLOAT, DOUBLE = (
    int(ir.DataType[n]) for n in ("INT32", "INT64", "BOOL", "UINT32", "UINT64", "FLOAT", "DOUBLE")
)

LARGEST = 2**26

# Fused activations of schema.ActivationFunctionType
NONE, RELU, RELU_N1_TO_1, RELU6, TANH, SIGN_BIT = range(6)


def need(text: str, holds: Any) -> Need:
    return Need(text, holds)


FUSED = need(
    "a fused activation that LiteRT computes here: RELU, RELU6, RELU_N1_TO_1 or none",
    lambda n: n.get("fusedActivationFunction", 0) <= RELU6,
)


def constant(index: int, name: str) -> Need:
    """Input `index` is absent or stored in the file."""
    return need(f"a constant {name}", lambda n: n.constant(index))


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


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def as_int64(op: Any, value: Any) -> Any:
    """A shape, axis or index tensor in int64."""
    array = const(value)
    if array is not None:
        return op.const(np.atleast_1d(array).astype(np.int64))
    return op.Cast(value, to=7)


def vector(value: Any) -> list[int] | None:
    """A constant as a list of ints."""
    array = const(value)
    return None if array is None else [int(v) for v in array.ravel()]


def first(op: Any, x: Any) -> Any:
    """Channels last → channels first."""
    return op.Transpose(x, perm=to_first(rank_of(x) or 0))


def last(op: Any, x: Any) -> Any:
    """Channels first → channels last."""
    return op.Transpose(x, perm=to_last(rank_of(x) or 0))


def permuted(op: Any, w: Any, perm: list[int]) -> Any:
    """Weights with their axes in another order; stored ones are reordered now, quantized ones before they are dequantized."""
    array = const(w)
    if array is not None:
        return op.const(np.ascontiguousarray(array.transpose(perm)))
    made = w.producer()
    if made is not None and made.op_type == "DequantizeLinear" and const(made.inputs[0]) is not None:
        turned = np.ascontiguousarray(const(made.inputs[0]).transpose(perm))
        axis = perm.index(hub.attr(made, "axis")) if rank_of(made.inputs[1]) else None
        return op.DequantizeLinear(op.const(turned), *made.inputs[1:], axis=axis)
    return op.Transpose(w, perm=perm)


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
