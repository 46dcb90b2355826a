"""Helpers of all families of layers: casts, weights, blobs as batches of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import lengths, product, reshape, vector
from bridge.errors import UnreadableFile
from bridge.hub import const, rank_of, shape_of
from bridge.importing import ints
from bridge.ops import Need

FLOAT, INT64, BOOL = (int(ir.DataType[n]) for n in ("FLOAT", "INT64", "BOOL"))
I64_MAX, I64_MIN = 2**63 - 1, -(2**63) + 1


def need(text: str, holds: Callable[[Any], bool]) -> Need:
    return Need(text, lambda layer: holds(layer.params))


def nested(layer: Any) -> list[Any]:
    """Networks inside a branch or loop layer."""
    if layer.WhichOneof("layer") == "branch":
        return [layer.branch.ifBranch, layer.branch.elseBranch]
    if layer.WhichOneof("layer") == "loop":
        return [layer.loop.conditionNetwork, layer.loop.bodyNetwork]
    return []


def as_float(op: Any, value: ir.Value) -> Any:
    return value if value.dtype == ir.DataType.FLOAT else op.Cast(value, to=FLOAT)


def as_bool(op: Any, value: ir.Value) -> Any:
    return op.Not(op.Equal(value, op.const(np.float32(0))))


def weight(params: Any, shape: list[int]) -> np.ndarray:
    """Float32 array of a WeightParams message. Quantized weights have one scale and bias, or one per index of
    the first dimension.

    Raises UnreadableFile for fewer values than the shape needs.
    """
    size = math.prod(shape)
    if params.floatValue:
        values = np.array(params.floatValue, np.float32)
    elif params.float16Value:
        values = np.frombuffer(params.float16Value, np.float16).astype(np.float32)
    elif params.int8RawValue:
        values = _scaled(np.frombuffer(params.int8RawValue, np.int8), params.quantization, shape)
    elif params.rawValue:
        values = _quantized(params.rawValue, params.quantization, shape)
    else:
        values = np.zeros(0, np.float32)
    if values.size < size:
        raise UnreadableFile(f"A layer holds {values.size} weights where {size} belong.")
    return values[:size].reshape(shape)


def _quantized(raw: bytes, quantization: Any, shape: list[int]) -> np.ndarray:
    """Dequantize unsigned integers of 1 to 8 bits, packed from the highest bit down."""
    bits, count = quantization.numberOfBits or 8, math.prod(shape)
    if not 1 <= bits <= 8 or len(raw) * 8 < count * bits:
        return np.zeros(0, np.float32)
    stream = np.unpackbits(np.frombuffer(raw, np.uint8), count=count * bits).reshape(count, bits)
    values = (stream * (1 << np.arange(bits)[::-1])).sum(axis=1)
    if quantization.WhichOneof("QuantizationType") == "lookupTableQuantization":
        table = np.array(quantization.lookupTableQuantization.floatValue, np.float32)
        return table[values] if values.max(initial=0) < table.size else np.zeros(0, np.float32)
    return _scaled(values, quantization, shape)


def _scaled(values: np.ndarray, quantization: Any, shape: list[int]) -> np.ndarray:
    scale, bias = (
        np.array(v, np.float32)
        for v in (quantization.linearQuantization.scale, quantization.linearQuantization.bias)
    )
    rows = values[: math.prod(shape)].reshape(shape[0] if shape else 1, -1).astype(np.float32)
    scale, bias = (v.reshape(-1, 1) if v.size > 1 else v for v in (scale, bias))
    rows = rows * scale if scale.size else rows
    return (rows + bias if bias.size else rows).ravel()


def images(op: Any, x: ir.Value, rank: int = 4) -> tuple[Any, Callable[[Any], Any]]:
    """Reshape a blob to `rank` dimensions by merging or adding leading ones; also return the inverse for a
    result."""
    own_rank = rank_of(x) or rank
    if own_rank == rank:
        return x, lambda y: y
    sizes = lengths(op, x)
    if own_rank < rank:
        image = op.Unsqueeze(x, ints(*range(rank - own_rank)))
        return image, lambda y: op.Squeeze(y, ints(*range(rank - own_rank)))
    leading = sizes[: own_rank - rank + 1]
    image = reshape(op, x, [product(op, leading), *sizes[own_rank - rank + 1 :]])
    return image, lambda y: reshape(op, y, [*leading, *lengths(op, y)[1:]])


__all__ = [
    "BOOL", "FLOAT", "I64_MAX", "I64_MIN", "INT64", "as_bool", "as_float", "const", "images",
    "lengths", "need", "nested", "product", "rank_of", "reshape", "shape_of", "vector", "weight",
]  # fmt: skip
