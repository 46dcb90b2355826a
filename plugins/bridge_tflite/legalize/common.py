"""Shapes and indices in int32, as the kernels of TFLite take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bridge.hub import const, rank_of
from bridge.needs import condition
from bridge.passes.decompose.common import wrap_indices

INT32, INT64 = int(ir.DataType.INT32), int(ir.DataType.INT64)
I32_MAX = 2**31 - 1
RANKED = condition("a known rank", lambda n: rank_of(n.inputs[0]) is not None)


def clamp_to_int32(op: Any, value: ir.Value) -> Any:
    """An int64 vector as int32, clamped to its range."""
    array = const(value)
    if array is not None:
        return op.const(np.clip(array, -I32_MAX, I32_MAX).astype(np.int32))
    return op.Cast(op.Min(op.Max(value, -I32_MAX), I32_MAX), to=INT32)


def as_int32(op: Any, value: ir.Value) -> Any:
    """An int64 vector as int32; its elements are known to fit."""
    array = const(value)
    return op.const(array.astype(np.int32)) if array is not None else op.Cast(value, to=INT32)


def value_per_axis(op: Any, axes: Any, rank: int, count: int, values: ir.Value, default: int) -> ir.Value:
    """Vector [rank]: the element of `values` for the axes in `axes`, `default` for the others."""
    named = const(axes) if axes is not None else np.arange(count)
    if named is not None:
        order = [int(a) % rank for a in named]
        padded = op.Concat(values, op.const(np.array([default], np.int32)), axis=0)
        positions = [order.index(a) if a in order else count for a in range(rank)]
        return op.Gather(padded, op.const(np.array(positions, np.int64)), axis=0)
    positive = op.Unsqueeze(wrap_indices(op, op.Cast(axes, to=INT32), rank), [1])
    hit = op.Equal(positive, op.const(np.arange(rank, dtype=np.int32)[None]))
    summed = op.ReduceSum(
        op.Where(hit, op.Unsqueeze(values, [1]), op.const(np.array(0, np.int32))), [0], keepdims=0
    )
    is_named = op.ReduceMax(op.Cast(hit, to=INT32), [0], keepdims=0)
    return op.Where(
        op.Equal(is_named, op.const(np.array(1, np.int32))), summed, op.const(np.array(default, np.int32))
    )
