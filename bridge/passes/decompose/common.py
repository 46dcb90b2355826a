"""Tensor helpers that several families of decompositions share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.dims import scalar
from bridge.hub import shape_of


def along(op: Any, vector: ir.Value, axis: int, rank: int) -> ir.Value:
    """A vector as a tensor of `rank` dimensions, all but `axis` of length 1."""
    shape = [1] * rank
    shape[axis] = -1
    length = shape_of(vector)
    if length is not None:
        shape[axis] = length[0]
    return op.Reshape(vector, op.const(np.array(shape, np.int64)), allowzero=1 if 0 in shape else None)


def wide(op: Any, x: ir.Value) -> ir.Value:
    """`x` in float32 where it is of half precision, whose squares and sums overflow."""
    half = x.dtype in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
    return op.Cast(x, to=int(ir.DataType.FLOAT)) if half else x


def like(op: Any, x: ir.Value, of: ir.Value) -> ir.Value:
    """`x` in the dtype of `of`."""
    return x if x.dtype == of.dtype else op.Cast(x, to=int(of.dtype))  # type: ignore[arg-type]


def in_float32(op: Any, x: ir.Value, compute: Callable[[ir.Value], Any]) -> Any:
    """`compute` of `x`, where that is of half precision in float32 and rounded afterwards; of one result or
    of a tuple of them."""
    results = compute(wide(op, x))
    return tuple(like(op, r, x) for r in results) if isinstance(results, tuple) else like(op, results, x)


def wrap_indices(op: Any, indices: ir.Value, length: Any) -> ir.Value:
    """Indices counted from the end made to count from the start."""
    size = op.Cast(scalar(op, length), to=int(indices.dtype or ir.DataType.INT64))
    return op.Where(op.Less(indices, zero(op, indices)), op.Add(indices, size), indices)


def zero(op: Any, x: ir.Value, number: Any = 0) -> ir.Value:
    """A scalar of the dtype of `x`."""
    return op.const(number, x.dtype)
