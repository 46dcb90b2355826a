"""Tensor helpers that several families of decompositions share."""

from __future__ import annotations

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
    return op.Reshape(vector, op.const(np.array(shape, np.int64)))


def wrap_indices(op: Any, indices: ir.Value, length: Any) -> ir.Value:
    """Indices counted from the end made to count from the start."""
    size = op.Cast(scalar(op, length), to=int(indices.dtype or ir.DataType.INT64))
    return op.Where(op.Less(indices, zero(op, indices)), op.Add(indices, size), indices)


def zero(op: Any, x: ir.Value, number: Any = 0) -> ir.Value:
    """A scalar of the dtype of `x`."""
    return op.const(number, x.dtype)
