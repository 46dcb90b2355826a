"""Shapes as lists of lengths: ints where they are known, hub.Dim where they are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import Builder, Dim, Length, const, rank_of

__all__ = [
    "arange",
    "broadcast",
    "entries",
    "known",
    "length_of",
    "lengths",
    "on_last_axis",
    "product",
    "reshape",
    "scalar",
    "sizes_of",
    "vector",
]

INT64 = int(ir.DataType.INT64)


def lengths(op: Builder, x: ir.Value) -> list[Any]:
    """Every dimension of `x`, whose rank must be known."""
    assert x.shape is not None
    return [
        int(d) if isinstance(d, int) else Dim(op, op.Shape(x, start=i, end=i + 1))
        for i, d in enumerate(x.shape)
    ]


def length_of(op: Builder, number: ir.Value) -> Length:
    """An integer of one element as a length."""
    array = const(number)
    return (
        int(array.reshape(())) if array is not None else Dim(op, reshape(op, op.Cast(number, to=INT64), [1]))
    )


def entries(op: Builder, values: ir.Value, positions: Sequence[int]) -> list[Any]:
    """The elements of an int64 vector at `positions`, as lengths."""
    array = const(values)
    if array is not None:
        return [int(array[i]) for i in positions]
    return [Dim(op, op.Slice(values, [i], [i + 1], [0])) for i in positions]


def sizes_of(op: Builder, x: ir.Value) -> ir.Value:
    """The shape of `x`, int64 of shape [rank]; constant where it is static."""
    return vector(op, lengths(op, x))


def vector(op: Builder, parts: Sequence[Any]) -> ir.Value:
    """One int64 vector of lengths; values of shape [n] join as they are."""
    pieces: list[Any] = []
    for part in parts:
        if not isinstance(part, (int, np.integer)):
            pieces.append(part)
        elif pieces and isinstance(pieces[-1], list):
            pieces[-1].append(int(part))
        else:
            pieces.append([int(part)])
    values = [op.const(np.array(p, np.int64)) if isinstance(p, list) else p for p in pieces or [[]]]
    if len(values) > 1:
        return op.Concat(*values, axis=0)
    return values[0].value if isinstance(values[0], Dim) else values[0]


def reshape(op: Builder, x: ir.Value, parts: Sequence[Any]) -> ir.Value:
    """`x` with the lengths `parts`; one may be -1. A single unknown length needs no run-time shape."""
    unknown = [i for i, p in enumerate(parts) if not isinstance(p, (int, np.integer))]
    if len(unknown) == 1 and not {-1, 0} & set(known(parts)):
        parts = [-1 if i in unknown else p for i, p in enumerate(parts)]
    result = op.Reshape(x, vector(op, parts), allowzero=1 if 0 in known(parts) else None)
    if result.shape is None or rank_of(result) != len(parts):
        result.shape = ir.Shape([p if isinstance(p, int) and p >= 0 else None for p in parts])
    return result


def known(parts: Sequence[Any]) -> list[int]:
    """Those of the lengths that are known."""
    return [int(p) for p in parts if isinstance(p, (int, np.integer))]


def on_last_axis(op: Builder, x: ir.Value, axis: int, compute: Callable[[Any], Any]) -> Any:
    """`compute` of `x` with `axis` brought last, and its result, of the same rank, with that axis brought
    back; of one result or of a tuple of them. The rank of `x` must be known."""
    rank = rank_of(x) or 0
    if (axis := axis % max(rank, 1)) >= rank - 1:
        return compute(x)
    results = compute(op.Transpose(x, perm=[*range(axis), *range(axis + 1, rank), axis]))
    back = [*range(axis), rank - 1, *range(axis, rank - 1)]
    if isinstance(results, tuple):
        return tuple(op.Transpose(result, perm=back) for result in results)
    return op.Transpose(results, perm=back)


def product(op: Builder, parts: Sequence[Any]) -> Any:
    """Product of lengths."""
    result: Any = int(np.prod(known(parts), dtype=np.int64))
    for part in parts:
        if not isinstance(part, (int, np.integer)):
            result = (part if isinstance(part, Dim) else Dim(op, part)) * result
    return result


def broadcast(op: Builder, one: Length, other: Length) -> Length:
    """The length that two of one axis broadcast to."""
    if isinstance(one, Dim) and isinstance(other, Dim):
        return Dim(op, op.Where(op.Equal(one.value, np.array([1])), other.value, one.value))
    known, unknown = (other, one) if isinstance(one, Dim) else (one, other)
    return unknown if known == 1 else known


def scalar(op: Builder, length: Length | ir.Value) -> ir.Value:
    """A length as an int64 scalar."""
    if isinstance(length, (int, np.integer)):
        return op.const(np.array(length, np.int64))
    return reshape(op, length.value if isinstance(length, Dim) else length, [])


def arange(op: Builder, length: Length | ir.Value) -> ir.Value:
    """0, 1, … of int64, `length` of them."""
    if isinstance(length, (int, np.integer)):
        return op.const(np.arange(length, dtype=np.int64))
    return op.Range(op.const(np.array(0, np.int64)), scalar(op, length), op.const(np.array(1, np.int64)))
