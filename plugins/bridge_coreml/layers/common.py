"""What the families of layers share: the table, weights, blobs as batches of images."""

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
    """Networks inside a layer."""
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
    """WeightParams as a float array; scale and bias of quantized ones are single, or one for each of the
    first dimension.

    Raises UnreadableFile for fewer values than the shape has places.
    """
    count = math.prod(shape)
    if params.floatValue:
        found = np.array(params.floatValue, np.float32)
    elif params.float16Value:
        found = np.frombuffer(params.float16Value, np.float16).astype(np.float32)
    elif params.int8RawValue:
        found = _scaled(np.frombuffer(params.int8RawValue, np.int8), params.quantization, shape)
    elif params.rawValue:
        found = _quantized(params.rawValue, params.quantization, shape)
    else:
        found = np.zeros(0, np.float32)
    if found.size < count:
        raise UnreadableFile(f"A layer holds {found.size} weights where {count} belong.")
    return found[:count].reshape(shape)


def _quantized(raw: bytes, how: Any, shape: list[int]) -> np.ndarray:
    """Unsigned integers of 1 to 8 bits, packed from the highest bit down."""
    bits, count = how.numberOfBits or 8, math.prod(shape)
    if not 1 <= bits <= 8 or len(raw) * 8 < count * bits:
        return np.zeros(0, np.float32)
    stream = np.unpackbits(np.frombuffer(raw, np.uint8), count=count * bits).reshape(count, bits)
    values = (stream * (1 << np.arange(bits)[::-1])).sum(axis=1)
    if how.WhichOneof("QuantizationType") == "lookupTableQuantization":
        table = np.array(how.lookupTableQuantization.floatValue, np.float32)
        return table[values] if values.max(initial=0) < table.size else np.zeros(0, np.float32)
    return _scaled(values, how, shape)


def _scaled(values: np.ndarray, how: Any, shape: list[int]) -> np.ndarray:
    scale, bias = (
        np.array(v, np.float32) for v in (how.linearQuantization.scale, how.linearQuantization.bias)
    )
    rows = values[: math.prod(shape)].reshape(shape[0] if shape else 1, -1).astype(np.float32)
    scale, bias = (v.reshape(-1, 1) if v.size > 1 else v for v in (scale, bias))
    rows = rows * scale if scale.size else rows
    return (rows + bias if bias.size else rows).ravel()


def images(op: Any, x: ir.Value, rank: int = 4) -> tuple[Any, Callable[[Any], Any]]:
    """A blob as [batch, ...] of `rank` dimensions, leading ones joined, and how to undo that for a result."""
    own = rank_of(x) or rank
    if own == rank:
        return x, lambda y: y
    sizes = lengths(op, x)
    if own < rank:
        made = op.Unsqueeze(x, ints(*range(rank - own)))
        return made, lambda y: op.Squeeze(y, ints(*range(rank - own)))
    lead = sizes[: own - rank + 1]
    made = reshape(op, x, [product(op, lead), *sizes[own - rank + 1 :]])
    return made, lambda y: reshape(op, y, [*lead, *lengths(op, y)[1:]])


__all__ = [
    "BOOL", "FLOAT", "I64_MAX", "I64_MIN", "INT64", "as_bool", "as_float", "const", "images",
    "lengths", "need", "nested", "product", "rank_of", "reshape", "shape_of", "vector", "weight",
]  # fmt: skip
